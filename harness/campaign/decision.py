"""From what was observed to a verdict: the decisions of all predictions, their combination, and what it rests on.

Bases are replicated unless the design combines them: each gets a verdict of its own, whose runs vary the training seed
on that one base. A verdict that is not confirmatory says what is suggestive, and supports or refutes nothing.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib.metadata import version

from harness import __version__
from harness.campaign.bench import Bench
from harness.campaign.integrity import Integrity, Kind
from harness.campaign.observed import Observed, compared, estimand
from harness.campaign.seeds import seeds_reached
from harness.campaign.units import units
from harness.decide import CellSample, Results, at_floor, combined, decide, directions, explored, summary, untested
from harness.plan import PlannedBase, RunSet, registration_hash
from harness.record.verdict import SCHEMA, CellSummary, JudgedRun, PredictionVerdict, Registered, Tuned, Verdict
from harness.spec import Hypothesis
from harness.spec.prediction import Association, CollapseProbability, Custom, Prediction
from harness.spec.protocol import prompts_per_update
from harness.store import base_responses

LIBRARIES = ("numpy", "scipy", "statsmodels")


@dataclass(frozen=True, slots=True)
class Evidence:
    """What a verdict is made of."""

    bench: Bench
    name: str
    hypothesis: Hypothesis
    subject: str
    """What it is about: a base, several, or an adopted table."""
    subject_id: str
    runs: RunSet
    """The hypothesis's own runs on the bases; empty for an adopted table."""
    bases: tuple[PlannedBase, ...]
    """What the verdict is about; empty for an adopted table."""
    seen: dict[str, Observed]
    """What was observed, by base."""
    inputs: str
    integrity: Integrity
    held: tuple[str, ...]
    """What was checked of the runs and holds, in words."""
    tuned: tuple[Tuned, ...] = ()

    @property
    def only(self) -> Observed:
        """What was observed on the one base, or on the first of several."""
        return next(iter(self.seen.values()))


def decided(evidence: Evidence) -> Verdict:
    """Return the verdict."""
    bench, hypothesis, seen = evidence.bench, evidence.hypothesis, evidence.only
    registered = _registered(evidence)
    predictions = _decisions(evidence, confirmatory=registered.confirmatory)
    outcome, reading = combined(predictions, hypothesis.combine)
    missing = tuple(run for said in evidence.seen.values() for run in said.missing)
    planned = sum(said.planned for said in evidence.seen.values())
    one = hypothesis.design.bases is None
    return Verdict(
        schema_version=SCHEMA,
        hypothesis=evidence.name,
        title=hypothesis.title,
        claim=hypothesis.claim,
        base=evidence.subject,
        base_id=evidence.subject_id,
        base_accuracy=seen.landmarks.base if one else None,
        protocol=bench.protocol_name,
        outcome=outcome,
        reading=reading + _beside(predictions),
        recipe=_recipe(evidence),
        collapsed_below=seen.landmarks.collapsed_below if one else None,
        trained_above=seen.landmarks.trained_above if one else None,
        n_items=seen.n_items,
        predictions=tuple(predictions),
        cells=_cells(evidence),
        runs=tuple(_runs(evidence)),
        planned_runs=planned,
        used_runs=planned - len(missing),
        missing=missing,
        registered=registered,
        not_shown=hypothesis.not_shown,
        directions=directions(hypothesis.predictions, predictions),
        tuned=evidence.tuned,
        inputs=evidence.inputs,
        software={"harness": __version__, **{name: version(name) for name in LIBRARIES}, **seen.software},
    )


def _decisions(evidence: Evidence, *, confirmatory: bool) -> list[PredictionVerdict]:
    """Return the decision of every prediction; exploratory ones, or all, held to a false discovery rate."""
    decisions = [_decision(evidence, prediction) for prediction in evidence.hypothesis.predictions]
    exploring = [i for i, said in enumerate(decisions) if not confirmatory or said.role == "exploratory"]
    for index, said in zip(exploring, explored([decisions[i] for i in exploring]), strict=True):
        decisions[index] = said
    return decisions


def _decision(evidence: Evidence, prediction: Prediction) -> PredictionVerdict:
    results = results_of(evidence, prediction)
    if why := next((seen.lacking for seen in evidence.seen.values() if seen.lacking), ""):
        return untested(evidence.hypothesis, prediction, results.samples, why)
    return decide(evidence.hypothesis, prediction, results)


def results_of(evidence: Evidence, prediction: Prediction) -> Results:
    """Return the runs of a prediction's arms, as far as they have been executed."""
    bench, hypothesis, seen = evidence.bench, evidence.hypothesis, evidence.only
    reached = min(seeds_reached(prediction, hypothesis, said.given, said.reached) for said in evidence.seen.values())
    if seen.once:
        cells = prediction.cells(seen.given).values()
        reached = max(seen.reached.get(cell, 0) for cell in cells)
    floor = _floor(evidence)
    if isinstance(prediction, Association):
        found = units(bench, prediction, hypothesis, evidence.bases, evidence.seen)
        return Results({}, reached, floor=floor, units=found)
    measure = "accuracy" if isinstance(prediction, CollapseProbability) else prediction.measure
    samples = {
        name: seen.sample(arm.cell(seen.given), measure, hypothesis.design.seeds, arm.where)
        for name, arm in prediction.arms().items()
    }
    own = estimand(bench, prediction.estimand) if isinstance(prediction, Custom) else None
    return Results(samples, reached, seen.landmarks, (), own, seen.once, floor)


def _floor(evidence: Evidence) -> str:
    """Return which base is at the floor, so that nothing can be decided on it; empty where none is."""
    for name, seen in evidence.seen.items():
        base, n = seen.landmarks.base, seen.n_items
        if base is not None and n is not None and (why := at_floor(base, n)):
            return f"base {name}: {why}"
    return ""


def _beside(predictions: Sequence[PredictionVerdict]) -> str:
    """Return what the other predictions came to, as sentences to follow the reading; empty without any."""
    text = ""
    for role in ("auxiliary", "exploratory"):
        said = ", ".join(f"{p.id} {p.outcome}" for p in predictions if p.role == role)
        text += f" {role.capitalize()}: {said}." if said else ""
    return text


def _cells(evidence: Evidence) -> tuple[CellSummary, ...]:
    found: list[CellSummary] = []
    given, seeds = evidence.only.given, evidence.hypothesis.design.seeds
    cells = dict.fromkeys(cell for p in evidence.hypothesis.predictions for cell in p.cells(given).values())
    for base, seen in evidence.seen.items():
        for cell in cells:
            sample: CellSample = seen.sample(cell, "accuracy", seeds)
            said = summary(cell.slug(), sample)
            found.append(said if len(evidence.seen) == 1 else said.model_copy(update={"name": f"{base} {said.name}"}))
    return tuple(found)


def _runs(evidence: Evidence) -> Iterator[JudgedRun]:
    for base, seen in evidence.seen.items():
        for run in seen.runs:
            yield JudgedRun(
                run_id=run.run_id,
                base=base,
                cell=run.cell.slug(),
                seed=run.seed,
                accuracy=run.values["accuracy"],
                label=run.label,
                launched=run.launched,
            )


def _registered(evidence: Evidence) -> Registered:
    """Return whether the declaration was frozen before its data, and what the runs say against it."""
    integrity = evidence.integrity
    doubts = [doubt for seen in evidence.seen.values() for doubt in seen.doubts]
    costs = [*(deviation.text for deviation in integrity.deviations), *doubts]
    return Registered(
        hash=registration_hash(evidence.hypothesis, evidence.bench.protocol),
        confirmatory=not costs,
        deviations=tuple(costs),
        explored=any(deviation.kind is Kind.EXPLORED for deviation in integrity.deviations),
        held=evidence.held,
        notes=(*integrity.notes, *silent_measures(evidence)),
        violated=any(deviation.violation for deviation in integrity.deviations),
    )


def silent_measures(evidence: Evidence) -> Iterator[str]:
    """Yield, for each measure that some run or base has no value of, how many have none and why: one line each."""
    given = evidence.only.given
    for measure, cells in compared(evidence.hypothesis.predictions, given).items():
        why = Counter(reason for seen in evidence.seen.values() for reason in seen.silent.get(measure, {}).values())
        runs = sum(run.cell in cells for seen in evidence.seen.values() for run in seen.runs)
        if why:
            reasons = ", ".join(f"{reason}: {count}" for reason, count in sorted(why.items()))
            yield f"{measure}: no value for {why.total()} of {runs} runs ({reasons})"
    of_bases = {p.x for p in evidence.hypothesis.predictions if isinstance(p, Association) and p.x != "log2_tokens"}
    ids = [base.id for base in evidence.bases]
    for measure in sorted(of_bases):
        if lacking := len(ids) - len(base_responses(evidence.bench.store, measure, ids)):
            yield f"{measure}: no value for {lacking} of {len(ids)} bases"


def _recipe(evidence: Evidence) -> tuple[str, ...]:
    protocol = evidence.bench.protocol
    if not evidence.bases:
        return (f"adopted table {evidence.subject}", f"thresholds: {protocol.thresholds.source}")
    grpo = protocol.grpo
    updates = protocol.task.training_prompts // (prompts_per_update(grpo) or 1)
    warmup = grpo.get("warmup_steps", 0)
    parts = [
        f"lr {grpo['learning_rate']:g} {grpo.get('lr_scheduler_type', 'linear')}",
        protocol.recipe.scaling.in_words(),
        f"batch {grpo['per_device_train_batch_size']}",
        f"warm-up {warmup:g}" if warmup else "no warm-up",
        f"{updates} updates on {protocol.task.training_prompts} prompts",
        _bases(evidence.bases, evidence.bench),
    ]
    return (
        ", ".join(parts),
        f"rate chosen as the {protocol.pilot.in_words()}",
        f"thresholds: {protocol.thresholds.source}",
    )


def _bases(bases: Sequence[PlannedBase], bench: Bench) -> str:
    if len(bases) == 1:
        return bench.protocol.base(bases[0].name).in_words()
    return f"{len(bases)} bases"
