"""How far the seeds of a hypothesis's cells have been executed; reads job directories, and nothing heavy."""

from collections import Counter
from collections.abc import Mapping

from harness.campaign.bench import Bench
from harness.plan import PlannedRun, RunSet
from harness.record.job import State
from harness.spec import Cell, Given, Hypothesis
from harness.spec.prediction import Prediction


def reached(bench: Bench, runs: RunSet) -> dict[Cell, int]:
    """Return, by cell, how many seeds have been executed without a gap; a run that failed was executed too."""
    counts: Counter[Cell] = Counter()
    for run in sorted(runs.runs, key=lambda run: run.index):
        counts[run.cell] += counts[run.cell] == run.index and executed(bench, run)
    return dict(counts)


def seeds_reached(prediction: Prediction, hypothesis: Hypothesis, given: Given, by_cell: Mapping[Cell, int]) -> int:
    """Return how many seeds have been executed in every cell of a prediction."""
    cells = prediction.cells(given).values()
    return min(min(by_cell.get(cell, 0) for cell in cells), hypothesis.design.seeds)


def executed(bench: Bench, run: PlannedRun) -> bool:
    """Return whether a run has ended, with a result or not, so that this command will not execute it."""
    ended = (State.COMMITTED,) if bench.retry else (State.COMMITTED, State.FAILED)
    return run.id in bench.failed or bench.run_job(run).state() in ended
