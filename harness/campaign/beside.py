"""What a card shows beside a verdict: how the claim's rivals came out on the same base, and what others reported.

Derived anew whenever a card is shown, and no part of a verdict: a verdict rests on its own runs alone.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from harness.campaign.bench import Bench
from harness.campaign.standing import standing
from harness.plan import PlannedBase
from harness.record.verdict import Outcome, Verdict
from harness.spec import DeclarationError, Hypothesis
from harness.spec.beside import Reported, Rival


@dataclass(frozen=True, slots=True)
class RivalSaid:
    """A rival and its verdict on the same base under the same protocol; None where there is none."""

    rival: Rival
    verdict: Verdict | None

    @property
    def outcome(self) -> Outcome | None:
        """The rival's own outcome."""
        return self.verdict.outcome if self.verdict else None


@dataclass(frozen=True, slots=True)
class ReportedSaid:
    """A reported result, and the mean accuracy that the same cell has here; None where it was not run."""

    reported: Reported
    here: float | None


@dataclass(frozen=True, slots=True)
class Beside:
    """What stands beside one verdict."""

    rivals: tuple[RivalSaid, ...] = ()
    stands: str = ""
    """What the verdict means beside the rivals', in a sentence."""
    reported: tuple[ReportedSaid, ...] = ()

    @property
    def reproduced_by(self) -> tuple[str, ...]:
        """Names of the rivals that hold."""
        return tuple(said.rival.hypothesis for said in self.rivals if said.outcome is Outcome.SUPPORTED)


def with_rivals(
    bench: Bench, hypotheses: Mapping[str, Hypothesis], bases: Sequence[PlannedBase] | None = None
) -> tuple[dict[str, Hypothesis], dict[str, str]]:
    """Return the hypotheses and, after them, the rivals of each that are not among them; theirs are not followed.

    Beside them, the rivals that cannot be asked under the bench's protocol and on these bases (None: the protocol's
    choice), with the first reason: what a rival would need does not keep a claim from its test.

    Raises:
        DeclarationError: a rival that is not declared, or that has mistakes of its own.
    """
    wanted = dict.fromkeys(rival.hypothesis for said in hypotheses.values() for rival in said.rivals)
    others = [name for name in wanted if name not in hypotheses]
    for name in others:
        bench.shelf.hypothesis(name)  # mistakes of its own are raised
    rivals, left_out = bench.askable(others, bases)
    return {**hypotheses, **rivals}, left_out


def beside(bench: Bench, verdict: Verdict, verdicts: Sequence[Verdict]) -> Beside:
    """Return what stands beside `verdict`, among `verdicts` its rivals'; nothing where it is no longer declared.

    Nor where its protocol is not, or has changed so that it cannot run the cells any more.
    """
    try:
        hypothesis = bench.hypotheses([verdict.hypothesis])[verdict.hypothesis]
    except DeclarationError:
        return Beside()
    there = {said.hypothesis: said for said in verdicts if _place(said) == _place(verdict)}
    rivals = tuple(RivalSaid(rival, there.get(rival.hypothesis)) for rival in hypothesis.rivals)
    measured = {cell.name: cell.mean for cell in verdict.cells}
    reported = tuple(
        ReportedSaid(said, measured.get(said.arm.cell(bench.protocol.given).slug()) if said.arm else None)
        for said in hypothesis.reported
    )
    stands = standing(verdict.outcome, [(said.rival.explains, said.outcome) for said in rivals])
    return Beside(rivals, stands, reported)


def _place(verdict: Verdict) -> tuple[str, str, bool]:
    """Return where a verdict stands: its subject and protocol, explorations apart."""
    return verdict.base_id, verdict.protocol, verdict.registered.explored
