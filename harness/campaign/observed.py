"""What was observed: every run of a hypothesis with its label and responses, from the committed records of one base.

Runs that are invalid for what they did, whatever they scored, and runs that somebody excluded count as missing: their
reason is listed, and no verdict may hang on what they would have given. A run with a result and no value of a measure
counts as missing for the predictions on that measure alone, with its reason. Seeds count as reached once their runs
have been executed in every cell, with or without a result.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from harness.campaign.bench import Bench
from harness.campaign.seeds import reached
from harness.campaign.tuning import Tuning
from harness.decide import CellSample, Landmarks, item_variance
from harness.plan import PlannedBase, PlannedRun, RunSet
from harness.record.exclusion import excluded
from harness.record.verdict import MissingRun, RunLabel
from harness.source.code import load
from harness.spec import Cell, Given, Hypothesis
from harness.spec.code import is_code
from harness.spec.measure import Grain, bounded_among, head_of, split
from harness.spec.prediction import Association, CollapseProbability, Prediction
from harness.store import MeasureError, inert_factors, invalid_runs, item_responses, query, responses, silences
from harness.store.code_measures import code_responses
from harness.store.silence import NO_VALUE

LAUNCHED = "peak_reward"
"""The measure that tells whether a run ever gained reward in training."""


@dataclass(frozen=True, slots=True)
class ObservedRun:
    """One run with a result that counts."""

    run_id: str
    cell: Cell
    seed: int
    """Number of its seed, from 0."""
    label: RunLabel
    values: Mapping[str, float]
    """Response by measure."""
    items: Mapping[str, NDArray[np.float64]] = field(default_factory=dict[str, NDArray[np.float64]])
    """Response to each problem, (n_items,), by measure."""
    launched: bool | None = None


@dataclass(frozen=True, slots=True)
class Observed:
    """Everything that a verdict on one base rests on."""

    landmarks: Landmarks
    given: Given
    """What the arms take from the protocol, with the rates that were tuned on this base."""
    n_items: int | None
    runs: tuple[ObservedRun, ...]
    reached: Mapping[Cell, int]
    """Seeds of each cell that were executed, without a gap from the first."""
    planned: int
    missing: tuple[MissingRun, ...]
    bounded: frozenset[str]
    """Measures, as predictions name them, whose values are shares from 0 to 1."""
    silent: Mapping[str, Mapping[str, str]] = field(default_factory=dict[str, Mapping[str, str]])
    """Why runs have no value, by measure and run; only runs of cells that a prediction on the measure compares."""
    doubts: tuple[str, ...] = ()
    """What the runs themselves say against a verdict, such as a factor that changed nothing."""
    lacking: str = ""
    """What is not known though a decision needs it; empty where nothing is lacking."""
    once: bool = False
    """Whether all runs came at once, so that they are decided once."""
    software: Mapping[str, str] = field(default_factory=dict[str, str])

    def sample(self, cell: Cell, measure: str, planned: int, where: str | None = None) -> CellSample:
        """Return the runs of a cell, or of those the ones labelled `where`, with their response to a measure."""
        found = [run for run in self.runs if run.cell == cell and run.seed < planned]
        chosen = [run for run in found if where is None or run.label == where]
        runs = [run for run in chosen if measure in run.values]
        items = [run.items[measure] for run in runs if measure in run.items]
        return CellSample(
            values=np.array([run.values[measure] for run in runs], dtype=np.float64),
            labels=tuple(run.label for run in runs),
            n_items=self.n_items or 1,
            planned=planned,
            seeds=tuple(run.seed for run in runs),
            items=np.stack(items) if items and len(items) == len(runs) else None,
            bounded=measure in self.bounded,
            selected=where is not None,
            others=tuple(run.seed for run in found if run not in chosen),
            silent=tuple((run.seed, run.label) for run in chosen if measure not in run.values),
            launched=tuple(run.launched for run in runs),
        )


def observed(bench: Bench, hypothesis: Hypothesis, base: PlannedBase, runs: RunSet, tuning: Tuning) -> Observed:
    """Return what the records say of a hypothesis's runs on one base; the index must be up to date.

    Runs are labelled relative to what they start from, which is the base itself unless their cell names a checkpoint.

    Raises:
        RuntimeError: the base itself has no result.
    """
    landmarks = _landmarks(bench, base)
    of_start = {start.id: _landmarks(bench, start) for start in runs.bases if bench.base_job(start).manifest()}
    left_out = _left_out(bench, runs)
    ids = [run.id for run in runs.runs if run.id not in left_out]
    values, items = _responses(bench, hypothesis, ids)
    peaks = responses(bench.store, LAUNCHED, ids) if LAUNCHED in bench.shelf.names("analysis") else {}
    found = tuple(
        ObservedRun(
            run_id=run.id,
            cell=run.cell,
            seed=run.index,
            label=became,
            values={measure: said[run.id] for measure, said in values.items() if run.id in said},
            items={measure: said[run.id] for measure, said in items.items() if run.id in said},
            launched=None if run.id not in peaks else of_start[run.base.id].launched(peaks[run.id].value),
        )
        for run in runs.runs
        if run.id in values["accuracy"]
        and (became := of_start[run.base.id].label(values["accuracy"][run.id])) is not None
    )
    return Observed(
        landmarks=landmarks,
        given=tuning.given,
        lacking=tuning.lacking,
        n_items=bench.protocol.task.evaluation_problems,
        runs=found,
        reached=reached(bench, runs),
        planned=len(runs.runs),
        missing=tuple(
            MissingRun(run_id=r.id, cell=r.cell.slug(), reason=_why(bench, r, left_out))
            for r in runs.runs
            if r.id not in values["accuracy"]
        ),
        bounded=bounded_among(bench.shelf.measures(), measures_of(hypothesis.predictions)),
        silent=_silent(bench, hypothesis, found, tuning.given),
        doubts=tuple(inert_factors(bench.store, ids)),
        software=_software(bench, ids),
    )


def _landmarks(bench: Bench, base: PlannedBase) -> Landmarks:
    _, rows = query(bench.store, "SELECT accuracy FROM base WHERE base_id = ?", [base.id])
    if not rows:
        raise RuntimeError(f"base {base.name} has no result: {bench.failed.get(base.id, 'it was not made yet')}")
    return relative_to(float(rows[0][0]), bench, answers(bench))


def relative_to(base: float, bench: Bench, answers: int) -> Landmarks:
    """Return the limits of the labels for a base of this accuracy, over so many sampled answers in all."""
    thresholds = bench.protocol.thresholds
    gain = thresholds.healthy_gain
    trained = None if gain is None else base + thresholds.trained_share * gain
    return Landmarks(base, thresholds.collapsed_share * base, trained, item_variance(base, answers) ** 0.5)


def answers(bench: Bench) -> int:
    """Return how many answers an evaluation samples."""
    return bench.protocol.task.evaluation_problems * bench.protocol.evaluation.samples_per_problem


def _left_out(bench: Bench, runs: RunSet) -> dict[str, str]:
    """Return the runs with a result that does not count, with the reason."""
    ids = [run.id for run in runs.runs]
    by_hand = {run_id: f"excluded: {reason}" for run_id, reason in excluded(bench.store).items() if run_id in ids}
    damaged = {run_id: _damage(bench, run_id, why) for run_id, why in bench.damaged.items() if run_id in ids}
    return {run_id: f"invalid: {why}" for run_id, why in invalid_runs(bench.store, ids).items()} | damaged | by_hand


def _damage(bench: Bench, run_id: str, why: str) -> str:
    """Return the reason without the remedy and the place of the store, which are none of a verdict's business."""
    return f"damaged: {why.removeprefix(f'{bench.store.runs / run_id}/').partition('. ')[0]}"


def _why(bench: Bench, run: PlannedRun, left_out: Mapping[str, str]) -> str:
    if run.id in left_out:
        return left_out[run.id]
    if bench.run_job(run).manifest() is not None:
        return "it has no accuracy"
    return bench.failed.get(run.id, "not executed")


def measures_of(predictions: Sequence[Prediction]) -> dict[str, bool]:
    """Return the measures that predictions respond in, and whether any of them wants every problem's response."""
    found = {"accuracy": False}
    for prediction in predictions:
        if isinstance(prediction, CollapseProbability):
            continue
        by_item = not isinstance(prediction, Association) and getattr(prediction, "generalise_to", "") == "items"
        found[prediction.measure] = found.get(prediction.measure, False) or by_item
    return found


def compared(predictions: Sequence[Prediction], given: Given) -> dict[str, set[Cell]]:
    """Return, by measure, the cells whose runs are compared in it."""
    found: dict[str, set[Cell]] = {}
    for prediction in predictions:
        if not isinstance(prediction, CollapseProbability):
            found.setdefault(prediction.measure, set()).update(prediction.cells(given).values())
    return found


def without_value(predictions: Sequence[Prediction], given: Given, runs: Sequence[ObservedRun]) -> dict[str, list[str]]:
    """Return, by measure, the runs that are compared in it and have no value; no measure that all have."""
    lacking = {
        measure: [run.run_id for run in runs if run.cell in cells and measure not in run.values]
        for measure, cells in compared(predictions, given).items()
    }
    return {measure: ids for measure, ids in lacking.items() if ids}


def _silent(
    bench: Bench, hypothesis: Hypothesis, runs: Sequence[ObservedRun], given: Given
) -> dict[str, dict[str, str]]:
    lacking = without_value(hypothesis.predictions, given, runs)
    return {
        measure: dict.fromkeys(ids, NO_VALUE) if is_code(measure) else silences(bench.store, measure, ids)
        for measure, ids in lacking.items()
    }


def _responses(
    bench: Bench, hypothesis: Hypothesis, ids: Sequence[str]
) -> tuple[dict[str, dict[str, float]], dict[str, dict[str, NDArray[np.float64]]]]:
    values: dict[str, dict[str, float]] = {}
    items: dict[str, dict[str, NDArray[np.float64]]] = {}
    heads = bench.shelf.measures()
    for measure, by_item in measures_of(hypothesis.predictions).items():
        if is_code(measure):
            assert bench.shelf.code_root is not None  # a declaration that names code does not load without
            said = code_responses(bench.shelf.code_root, measure, bench.store, ids)
        else:
            said = responses(bench.store, measure, ids)
        values[measure] = {run_id: response.value for run_id, response in said.items()}
        head = head_of(heads, measure)
        if head is not None and head.bounded:
            _keeps_its_word(measure, values[measure])
        if by_item and head is not None and head.grain is Grain.ITEM:
            items[measure] = item_responses(bench.store, measure, ids)
    return values, items


def _keeps_its_word(measure: str, values: Mapping[str, float]) -> None:
    """Raise MeasureError where a measure that says `0 to 1` gave something else."""
    for run_id, value in values.items():
        if not 0 <= value <= 1:
            rule = f"its first line says 0 to 1, and run {run_id} has {value:g}. Mend the statement or the line."
            raise MeasureError([f"analysis/{split(measure)[0]}.sql:1 SQL: {rule}"])


def estimand(bench: Bench, name: str):
    """Return the user's function of this name, with the leave that loading its declaration took."""
    assert bench.shelf.code_root is not None
    return load(bench.shelf.code_root, name)


def _software(bench: Bench, ids: Sequence[str]) -> dict[str, str]:
    _, rows = query(bench.store, "SELECT DISTINCT software FROM run WHERE list_contains(?, run_id)", [list(ids)])
    found: list[dict[str, str]] = [json.loads(row[0]) for row in rows]
    names = ("torch", "transformers", "trl", "peft")
    return {name: ", ".join(sorted({str(said.get(name, "not said")) for said in found})) or "no runs" for name in names}
