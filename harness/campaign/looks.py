"""Look by look: how many seeds each prediction wants now, until all are settled or their last look is over.

Every look is a stored verdict. A prediction that is settled asks for nothing more; runs that it shares with others may
still come, and can only take its decision away, by showing a cell that mixes collapsed and other runs.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from harness.campaign.bench import Bench
from harness.campaign.seeds import reached, seeds_reached
from harness.campaign.tuning import tuned_on
from harness.campaign.verdicts import Subject, of_base, runs_of, stored_on, subjects, verdict_on
from harness.plan import PlannedBase, RunSet, union
from harness.record.verdict import Verdict
from harness.spec import Hypothesis
from harness.spec.design import LARGEST_ARM


@dataclass(frozen=True, slots=True)
class Due:
    """What is to be executed before the next decisions."""

    runs: RunSet
    """What the open predictions want, those runs included that exist already."""
    look: int
    """The latest look among them, from 1."""
    looks: int
    """Planned looks of the one with the most."""


def due(bench: Bench, hypotheses: Mapping[str, Hypothesis], bases: Sequence[PlannedBase] | None) -> Due | None:
    """Return what the next looks need, tuning first, or None where every prediction on every base is settled.

    Decides what can be decided on the way; a look whose runs are all there already is passed at once.
    """
    parts: list[RunSet] = []
    number, most = 1, 1
    for name, hypothesis in hypotheses.items():
        for subject in subjects(bench, hypothesis, bases):
            tuning = tuned_on(bench, name, hypothesis, subject[0])
            if not tuning.finished:
                parts.append(tuning.runs)
            elif wanted := _wanted(bench, name, hypothesis, subject):
                seeds = {(name, p.id): wanted.get(p.id, 0) for p in hypothesis.predictions}
                parts.append(runs_of(bench, name, hypothesis, subject, seeds))
                steps = {p.id: hypothesis.schedule(p) for p in hypothesis.predictions if p.id in wanted}
                number = max(number, *(sizes.index(wanted[i]) + 1 for i, sizes in steps.items()))
                most = max(most, *map(len, steps.values()))
    return Due(union(parts), number, most) if parts else None


def at_first(hypotheses: Mapping[str, Hypothesis], runs: RunSet) -> int:
    """Return how many of the runs come before, or for, the first look of some prediction."""
    firsts = {f"{name}/{p.id}": claim.schedule(p)[0] for name, claim in hypotheses.items() for p in claim.predictions}
    return sum(any(run.index < firsts.get(reason, LARGEST_ARM) for reason in run.needed_by) for run in runs.runs)


def _wanted(bench: Bench, name: str, hypothesis: Hypothesis, subject: Subject) -> dict[str, int]:
    """Return the seeds that open predictions want next; empty where none is open."""
    if any(base.id in bench.failed for base in subject) or tuned_on(bench, name, hypothesis, subject[0]).lacking:
        return {}  # nothing can be run on it in this command
    if any(bench.base_job(base).manifest() is None for base in subject):
        return {p.id: hypothesis.schedule(p)[0] for p in hypothesis.predictions}
    verdict = stored_on(bench, name, hypothesis, subject) or _fresh(bench, name, hypothesis, subject)
    settled = {said.id for said in verdict.predictions if said.settled} if verdict else set[str]()
    have = _reached(bench, name, hypothesis, subject)
    nexts = (
        (p, next((n for n in hypothesis.schedule(p) if n > have[p.id]), None))
        for p in hypothesis.predictions
        if p.id not in settled
    )
    return {prediction.id: size for prediction, size in nexts if size is not None}


def _fresh(bench: Bench, name: str, hypothesis: Hypothesis, subject: Subject) -> Verdict | None:
    """Return a new verdict where some prediction has reached a look; deciding takes seconds, so not for nothing."""
    have = _reached(bench, name, hypothesis, subject)
    if any(have[p.id] >= hypothesis.schedule(p)[0] for p in hypothesis.predictions):
        return verdict_on(bench, name, hypothesis, subject)
    return None


def _reached(bench: Bench, name: str, hypothesis: Hypothesis, subject: Subject) -> dict[str, int]:
    runs = runs_of(bench, name, hypothesis, subject)
    given = tuned_on(bench, name, hypothesis, subject[0]).given
    by_base = [reached(bench, of_base(runs, base)) for base in subject]
    return {
        p.id: min(seeds_reached(p, hypothesis, given, by_cell) for by_cell in by_base) for p in hypothesis.predictions
    }
