"""Findings made again from the run directories alone, as `harness report --check` compares them with what was written.

The index is built anew beside the store, reading every committed file as it is, also one that is not what was
committed: what a change has done to the figures is what the check is to tell. Every verdict is then decided again.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from harness.campaign.bench import Bench
from harness.campaign.findings import Findings, findings
from harness.campaign.verdicts import made_subjects, subject_id, verdict_on
from harness.plan import PlannedBase
from harness.record.adopted import adopted
from harness.record.atomic import IntegrityError
from harness.record.layout import Store
from harness.record.verdict import Verdict
from harness.record.verdict_files import latest, replace
from harness.spec import DeclarationError, Hypothesis
from harness.spec.shelf import Shelf


@dataclass(frozen=True, slots=True)
class Recomputed:
    """Findings from the records alone, and what was found wrong on the way."""

    findings: Findings
    damaged: tuple[str, ...]
    """Files that are not what was committed."""
    stale: tuple[str, ...]
    """Verdicts that cannot be decided again as they were, with the reason."""


def recomputed(shelf: Shelf, store: Store, folder: Path, names: Sequence[str], protocol: str | None) -> Recomputed:
    """Return the findings on `names` under `protocol` made again; index and verdicts go to `folder`.

    A job of which a file is gone, or cannot be read at all, is not in them, and is told.
    """
    from harness.store import rebuild

    again = store.made_again_in(folder)
    damaged: list[str] = []
    measures = [shelf.path("analysis", name) for name in shelf.names("analysis")]
    lacking: dict[str, str] = {}
    rebuild(again, measures, lacking.__setitem__, damaged.append)
    stale: list[str] = []
    for verdict in latest(store):  # all of them: a report of one names its rivals' outcomes
        if protocol in (None, verdict.protocol) and (why := _decided_again(shelf, again, verdict)):
            stale.append(f"{verdict.hypothesis} on {verdict.base} (protocol {verdict.protocol}): {why}")
    made = findings(shelf, again, names, protocol, lacking.__setitem__)
    return Recomputed(made, (*damaged, *lacking.values()), tuple(stale))


def _decided_again(shelf: Shelf, store: Store, verdict: Verdict) -> str:
    """Decide a verdict again; return why it could not be, or came out otherwise; empty where neither."""
    bench = Bench(shelf, store, verdict.protocol, explore=verdict.registered.explored)
    try:
        hypothesis = shelf.hypothesis(verdict.hypothesis)
        made = _on_its_subject(bench, hypothesis, verdict)
    except (DeclarationError, IntegrityError, RuntimeError) as error:
        return str(error).splitlines()[0]
    if made is None:
        return "the bases that it is about are not those of the protocol any more"
    if made.inputs == verdict.inputs:
        return ""
    replace(store, made, made.model_copy(update={"inputs": verdict.inputs}))  # under the id that the report knows
    if made.model_copy(update={"inputs": verdict.inputs}) == verdict:
        return ""  # such as a measure that was added, which nothing of the verdict rests on
    again = f"`harness test {verdict.hypothesis} --protocol {verdict.protocol}` decides again"
    return f"declaration, measures, results or deciding code are not those it was decided on; {again}"


def _on_its_subject(bench: Bench, hypothesis: Hypothesis, verdict: Verdict) -> Verdict | None:
    if verdict.base_id.startswith("table "):
        from harness.campaign.adopted import verdict_on_table

        table = adopted(bench.store, verdict.base)
        return None if table is None else verdict_on_table(bench, verdict.hypothesis, hypothesis, table)
    for bases in (_named(bench, verdict), None):
        for subject in made_subjects(bench, hypothesis, bases) if bases != () else ():
            if subject_id(subject) == verdict.base_id:
                return verdict_on(bench, verdict.hypothesis, hypothesis, subject)
    return None


def _named(bench: Bench, verdict: Verdict) -> tuple[PlannedBase, ...]:
    """Return the bases that a verdict's subject names, none where the protocol knows them no more."""
    try:
        return bench.planned_bases(verdict.base.split("+"))
    except DeclarationError:
        return ()
