"""From committed runs to a verdict: thresholds, labels, samples, the decisions of all predictions, their conjunction.

Bases are replicated: each gets a verdict of its own, whose runs vary the training seed on that one base.
"""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version

import numpy as np

from harness import __version__
from harness.campaign.bench import Bench
from harness.decide import CellSample, conjunction, decide, item_variance, label, summary
from harness.plan import PlannedBase, PlannedRun, RunSet, registration_hash
from harness.record.verdict import (
    CellSummary,
    MissingRun,
    Outcome,
    PredictionVerdict,
    Reason,
    Registered,
    RunLabel,
    Verdict,
)
from harness.spec import Cell, Hypothesis
from harness.spec.protocol import prompts_per_update
from harness.store import Response, query, refresh, responses

SCHEMA = 1
FLOOR = 5.0
"""Standard errors of item sampling that a base must be above zero before a fall from it, or none, means anything."""
LIBRARIES = ("numpy", "scipy", "statsmodels")


@dataclass(frozen=True, slots=True)
class Evidence:
    """What a verdict is made of."""

    bench: Bench
    name: str
    hypothesis: Hypothesis
    runs: RunSet
    """The hypothesis's own runs on one base."""
    inputs: str

    @property
    def base(self) -> PlannedBase:
        """The base that the runs start from."""
        return self.runs.bases[0]


@dataclass(frozen=True, slots=True)
class _Scores:
    """What labels are relative to, and every run's label."""

    base_accuracy: float
    collapsed_below: float
    trained_above: float
    n_items: int
    labels: Mapping[str, RunLabel]
    values: Mapping[str, Mapping[str, Response]]
    """By measure, then by run."""

    def base_at_floor(self) -> bool:
        """Return whether the base's accuracy is within `FLOOR` item-sampling standard errors of zero."""
        return self.base_accuracy <= FLOOR * item_variance(self.base_accuracy, self.n_items) ** 0.5


def decided(evidence: Evidence) -> Verdict:
    """Return the verdict; raise RuntimeError where the base itself has no result."""
    bench, hypothesis, protocol = evidence.bench, evidence.hypothesis, evidence.bench.protocol
    refresh(bench.store, bench.measures())
    scores = _scores(evidence)
    predictions: list[PredictionVerdict] = []
    for prediction in hypothesis.predictions:
        cells = prediction.cells(protocol.recipe.scaling)
        samples = {
            name: _sample(evidence, cell, prediction.measure, scores, hypothesis.design.seeds)
            for name, cell in cells.items()
        }
        decision = decide(prediction, samples, hypothesis.refute_alpha(prediction))
        predictions.append(_at_floor(decision, scores) if scores.base_at_floor() else decision)
    outcome, reading = conjunction(predictions)
    missing = _missing(evidence)
    return Verdict(
        schema_version=SCHEMA,
        hypothesis=evidence.name,
        title=hypothesis.title,
        claim=hypothesis.claim,
        base=evidence.base.name,
        base_id=evidence.base.id,
        base_accuracy=scores.base_accuracy,
        protocol=bench.protocol_name,
        outcome=outcome,
        reading=reading + _auxiliary(predictions),
        recipe=_recipe(evidence),
        collapsed_below=scores.collapsed_below,
        trained_above=scores.trained_above,
        n_items=scores.n_items,
        predictions=tuple(predictions),
        cells=_cells(evidence, scores),
        planned_runs=len(evidence.runs.runs),
        used_runs=len(evidence.runs.runs) - len(missing),
        missing=missing,
        registered=_registered(evidence),
        not_shown=hypothesis.not_shown,
        inputs=evidence.inputs,
        software={"harness": __version__, **{name: version(name) for name in LIBRARIES}, **_run_software(evidence)},
    )


def _at_floor(decision: PredictionVerdict, scores: _Scores) -> PredictionVerdict:
    """Return a decision that supported or refuted as inconclusive: from the floor nothing can fall."""
    if decision.outcome not in (Outcome.SUPPORTED, Outcome.REFUTED):
        return decision
    detail = f"base accuracy {scores.base_accuracy:.3f} on {scores.n_items} problems; {decision.detail}"
    changed = {"outcome": Outcome.INCONCLUSIVE, "reason": Reason.AT_FLOOR, "detail": detail}
    return decision.model_copy(update=changed)


def _auxiliary(predictions: Sequence[PredictionVerdict]) -> str:
    """Return what the auxiliary predictions came to, as a sentence to follow the reading; empty without any."""
    said = ", ".join(f"{p.id} {p.outcome}" for p in predictions if p.role == "auxiliary")
    return f" Auxiliary: {said}." if said else ""


def _scores(evidence: Evidence) -> _Scores:
    store, thresholds = evidence.bench.store, evidence.bench.protocol.thresholds
    _, rows = query(store, "SELECT accuracy FROM base WHERE base_id = ?", [evidence.base.id])
    if not rows:
        why = evidence.bench.failed.get(evidence.base.id, "it was not made yet")
        raise RuntimeError(f"base {evidence.base.name} has no result: {why}")
    base = float(rows[0][0])
    low, high = thresholds.collapsed_share * base, base + thresholds.trained_share * thresholds.healthy_gain
    ids = [run.id for run in evidence.runs.runs]
    measures = {"accuracy", *(prediction.measure for prediction in evidence.hypothesis.predictions)}
    values = {measure: responses(store, measure, ids) for measure in measures}
    labels = {run_id: label(said.value, low, base, high) for run_id, said in values["accuracy"].items()}
    return _Scores(base, low, high, evidence.bench.protocol.task.evaluation_problems, labels, values)


def _sample(evidence: Evidence, cell: Cell, measure: str, scores: _Scores, planned: int) -> CellSample:
    ids = [run.id for run in evidence.runs.runs if run.cell == cell]
    values = scores.values[measure]
    used = [run_id for run_id in ids if run_id in values and run_id in scores.labels]
    return CellSample(
        values=np.array([values[run_id].value for run_id in used], dtype=np.float64),
        labels=tuple(scores.labels[run_id] for run_id in used),
        n_items=scores.n_items,
        planned=planned,
    )


def _cells(evidence: Evidence, scores: _Scores) -> tuple[CellSummary, ...]:
    counts = Counter(run.cell for run in evidence.runs.runs)
    return tuple(
        summary(cell.slug(), _sample(evidence, cell, "accuracy", scores, planned)) for cell, planned in counts.items()
    )


def _missing(evidence: Evidence) -> tuple[MissingRun, ...]:
    return tuple(
        MissingRun(run_id=run.id, cell=run.cell.slug(), reason=_why(evidence, run))
        for run in evidence.runs.runs
        if evidence.bench.run_job(run).manifest() is None
    )


def _why(evidence: Evidence, run: PlannedRun) -> str:
    return evidence.bench.failed.get(run.id, "not executed")


def _recipe(evidence: Evidence) -> tuple[str, ...]:
    protocol = evidence.bench.protocol
    grpo, pretraining = protocol.grpo, protocol.bases[evidence.base.name].pretraining
    updates = protocol.task.training_prompts // (prompts_per_update(grpo) or 1)
    warmup = grpo.get("warmup_steps", 0)
    parts = [
        f"lr {grpo['learning_rate']:g} {grpo.get('lr_scheduler_type', 'linear')}",
        protocol.recipe.scaling.in_words(),
        f"batch {grpo['per_device_train_batch_size']}",
        f"warm-up {warmup:g}" if warmup else "no warm-up",
        f"{updates} updates on {protocol.task.training_prompts} prompts",
        f"base of pre-training seed {pretraining.seed}",
    ]
    return (
        ", ".join(parts),
        f"rate chosen as the {protocol.pilot.in_words()}",
        f"thresholds: {protocol.thresholds.source}",
    )


def _registered(evidence: Evidence) -> Registered:
    bench = evidence.bench
    current = registration_hash(evidence.hypothesis, bench.protocol)
    registration = bench.registration(evidence.name)
    deviations: list[str] = []
    if registration is None:
        deviations.append("never registered")
    else:
        if registration.hash != current:
            changed = f"declaration or protocol changed since registration ({registration.hash[:12]})"
            deviations.append(changed)
        if older := bench.older_runs(registration, evidence.runs):
            deviations.append(f"{older} runs are older than the registration")
    deviations += _invalid(evidence)
    return Registered(hash=current, confirmatory=not deviations, deviations=tuple(deviations))


def _invalid(evidence: Evidence) -> list[str]:
    """Return what makes runs doubtful whatever they scored: changed base weights, seeds that changed nothing."""
    ids = [run.id for run in evidence.runs.runs]
    sql = (
        "SELECT count(*) FILTER (NOT base_weights_unchanged), "
        "count(first_rollouts_sha256) - count(DISTINCT (first_rollouts_sha256, algorithm, rank, scaling, multiplier, "
        "learning_rate)) FILTER (first_rollouts_sha256 IS NOT NULL) FROM run WHERE list_contains(?, run_id)"
    )
    changed, repeated = query(evidence.bench.store, sql, [ids])[1][0]
    said = [f"{changed} runs changed the frozen weights of their base"] if changed else []
    return said + ([f"{repeated} seeds drew the same first completions as another"] if repeated else [])


def _run_software(evidence: Evidence) -> dict[str, str]:
    ids = [run.id for run in evidence.runs.runs]
    _, rows = query(evidence.bench.store, "SELECT DISTINCT software FROM run WHERE list_contains(?, run_id)", [ids])
    found: list[dict[str, str]] = [json.loads(row[0]) for row in rows]
    names = ("torch", "transformers", "trl", "peft")
    return {name: ", ".join(sorted({said[name] for said in found})) or "no runs" for name in names}
