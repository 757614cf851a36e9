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
from harness.record.exclusion import excluded
from harness.record.foreign import reading
from harness.record.verdict import Tried, Tuned
from harness.spec import Cell, Given, Hypothesis
from harness.spec.canonical import digest


@dataclass(frozen=True, slots=True)
class Tuning:
    """What the tuning of a hypothesis on a base has come to."""

    given: Given
    """What arms take from the protocol, with the rates that were chosen."""
    runs: RunSet
    """The tuning runs that are known to be needed so far; none where no arm is tuned."""
    finished: bool = True
    said: tuple[Tuned, ...] = ()
    lacking: str = ""
    """Why some arm has no rate; empty where all have."""


def tuned_on(bench: Bench, name: str, hypothesis: Hypothesis, base: PlannedBase) -> Tuning:
    """Return how the tuning of a hypothesis stands on a base; reads the index only where something is to be chosen."""
    every, given = tuning(name, hypothesis, bench.protocol, base.name), bench.protocol.given
    if not every.runs:
        return Tuning(given, every)
    runs = _of(every, [run for run in every.runs if run.index == 0])
    if _all_ended(bench, runs):
        finalists = _finalists(bench, hypothesis, runs)
        runs = _of(every, [run for run in every.runs if run.index == 0 or run.cell in finalists])
    if not _all_ended(bench, runs):
        ended = sum(executed(bench, run) for run in runs.runs)
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


def _of(every: RunSet, runs: Sequence[PlannedRun]) -> RunSet:
    return replace(every, runs=tuple(runs))


def _all_ended(bench: Bench, runs: RunSet) -> bool:
    return all(executed(bench, run) for run in runs.runs)


def _finalists(bench: Bench, hypothesis: Hypothesis, first: RunSet) -> frozenset[Cell]:
    """Return the cells that are tried with all seeds: of each arm, the best of its candidates by their first runs."""
    how = hypothesis.design.tuning
    assert how is not None
    found: list[Cell] = []
    for cell, said in _kept(bench, hypothesis, first).items():
        scored = [each for each in said.tried if each.mean is not None]
        best = sorted(scored, key=lambda each: (-(each.mean or 0.0), each.learning_rate_scale))[: how.finalists]
        found += [cell.at_rate(each.learning_rate_scale) for each in best]
    return frozenset(found)


def _chosen(bench: Bench, hypothesis: Hypothesis, runs: RunSet) -> dict[Cell, Tuned]:
    """Return what was chosen for each tuned cell: of candidates with all runs the best mean, of equals the least."""
    how = hypothesis.design.tuning
    assert how is not None
    found: dict[Cell, Tuned] = {}
    for cell, said in _kept(bench, hypothesis, runs).items():
        whole = [each for each in said.tried if each.runs == how.seeds and each.mean is not None]
        best = max(whole, key=lambda each: (each.mean or 0.0, -each.learning_rate_scale), default=None)
        found[cell] = said.model_copy(update={"learning_rate_scale": best and best.learning_rate_scale})
    return found


def _kept(bench: Bench, hypothesis: Hypothesis, runs: RunSet) -> dict[Cell, Tuned]:
    """Return what the candidates of each tuned cell scored, from the file that says so, written the first time."""
    cells = hypothesis.tuned(bench.protocol.given)
    manifests = {run.id: bench.run_job(run).manifest() for run in runs.runs}
    files = {run_id: found["files"] if found else None for run_id, found in manifests.items()}
    out = sorted(excluded(bench.store).keys() & files.keys())
    path = bench.store.tunings / f"{digest([files, out] if out else files)[:12]}.json"
    kept = read_json(path, list)
    if kept is None:
        scores = _scores(bench, runs.runs)
        kept = [_tried(hypothesis, cell, runs.runs, scores).model_dump(mode="json") for cell in cells]
        create_json(path, kept)
    with reading(path):
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
    left_out = invalid_runs(bench.store, ids).keys() | excluded(bench.store).keys()
    return {run_id: float(score) for run_id, score in query(bench.store, sql, [ids])[1] if run_id not in left_out}


def _tried(hypothesis: Hypothesis, cell: Cell, runs: Sequence[PlannedRun], scores: Mapping[str, float]) -> Tuned:
    """Return what the candidates of a cell scored; which of them is chosen is not said yet."""
    how = hypothesis.design.tuning
    assert how is not None
    tried: list[Tried] = []
    for scale in how.learning_rate_scales:
        found = [scores[run.id] for run in runs if run.cell == cell.at_rate(scale) and run.id in scores]
        tried.append(Tried(learning_rate_scale=scale, runs=len(found), mean=sum(found) / len(found) if found else None))
    return Tuned(arm=cell.slug(), learning_rate_scale=None, tried=tuple(tried))
