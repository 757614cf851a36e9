"""The learning rates that a design tunes: chosen on each base by validation, before the first look, and kept.

Tuning runs have seeds that no verdict uses and are scored on problems that no verdict looks at. What they come to is a
file in the store, as it would be derived again from the same runs.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from harness.campaign.bench import Bench
from harness.campaign.seeds import executed
from harness.plan import PlannedBase, PlannedRun, RunSet, tuning
from harness.record.atomic import create_json, read_json
from harness.record.verdict import Tried, Tuned
from harness.spec import Cell, Given, Hypothesis
from harness.spec.canonical import digest


@dataclass(frozen=True, slots=True)
class Tuning:
    """What the tuning of a hypothesis on a base has come to."""

    given: Given
    """What arms take from the protocol, with the rates that were chosen."""
    runs: RunSet
    """The tuning runs; none where no arm is tuned."""
    finished: bool = True
    said: tuple[Tuned, ...] = ()
    lacking: str = ""
    """Why some arm has no rate; empty where all have."""


def tuned_on(bench: Bench, name: str, hypothesis: Hypothesis, base: PlannedBase) -> Tuning:
    """Return how the tuning of a hypothesis stands on a base; reads the index only where something is to be chosen."""
    runs = tuning(name, hypothesis, bench.protocol, base.name)
    given = bench.protocol.given
    if not runs.runs:
        return Tuning(given, runs)
    ended = sum(executed(bench, run) for run in runs.runs)
    if ended < len(runs.runs):
        return Tuning(given, runs, finished=False, lacking=f"{ended} of {len(runs.runs)} tuning runs were executed")
    said = _chosen(bench, hypothesis, runs)
    rates = {cell: each.learning_rate_scale for cell, each in said.items() if each.learning_rate_scale is not None}
    lacking = ", ".join(each.arm for cell, each in said.items() if cell not in rates)
    return Tuning(
        given=replace(given, rates=rates),
        runs=runs,
        said=tuple(said.values()),
        lacking=f"tuning runs without a result leave no learning rate for {lacking}" if lacking else "",
    )


def _chosen(bench: Bench, hypothesis: Hypothesis, runs: RunSet) -> dict[Cell, Tuned]:
    """Return what was chosen for each tuned cell, from the file that says so, which is written the first time."""
    cells = hypothesis.tuned(bench.protocol.given)
    manifests = {run.id: bench.run_job(run).manifest() for run in runs.runs}
    files = {run_id: found["files"] if found else None for run_id, found in manifests.items()}
    path = bench.store.tunings / f"{digest(files)[:12]}.json"
    kept = read_json(path)
    if kept is None:
        scores = _scores(bench, runs.runs)
        kept = [_best(hypothesis, cell, runs.runs, scores).model_dump(mode="json") for cell in cells]
        create_json(path, kept)
    return dict(zip(cells, (Tuned.model_validate(each, strict=False) for each in kept), strict=True))


def _scores(bench: Bench, runs: Sequence[PlannedRun]) -> dict[str, float]:
    """Return the validation accuracy of each tuning run that counts."""
    from harness.store import invalid_runs, query, refresh  # duckdb, 0.2 s

    refresh(bench.store, bench.measures())
    ids = [run.id for run in runs]
    sql = (
        "SELECT run_id, sum(correct) / sum(samples) FROM evaluation "
        "WHERE split = 'validation' AND list_contains(?, run_id) GROUP BY run_id"
    )
    left_out = invalid_runs(bench.store, ids)
    return {run_id: float(score) for run_id, score in query(bench.store, sql, [ids])[1] if run_id not in left_out}


def _best(hypothesis: Hypothesis, cell: Cell, runs: Sequence[PlannedRun], scores: Mapping[str, float]) -> Tuned:
    """Return the candidate with the best mean score among those of which every run has one; the smallest of equals."""
    how = hypothesis.design.tuning
    assert how is not None
    tried: list[Tried] = []
    for scale in how.learning_rate_scales:
        found = [scores[run.id] for run in runs if run.cell == cell.at_rate(scale) and run.id in scores]
        tried.append(Tried(learning_rate_scale=scale, runs=len(found), mean=sum(found) / len(found) if found else None))
    whole = [each for each in tried if each.runs == how.seeds and each.mean is not None]
    best = max(whole, key=lambda each: (each.mean or 0.0, -each.learning_rate_scale), default=None)
    return Tuned(arm=cell.slug(), learning_rate_scale=best and best.learning_rate_scale, tried=tuple(tried))
