"""The mistakes of a hypothesis that no single field shows, each told where its author would mend it.

Works on the raw mapping and skips what does not validate, so that these mistakes are reported beside others.
"""

import json
from collections.abc import Collection, Mapping, Set
from typing import Any, TypeVar

from pydantic import TypeAdapter, ValidationError

from harness.spec.arms import Arm
from harness.spec.declared import Declared
from harness.spec.design import Design, check_looks
from harness.spec.hypothesis import shared_levels
from harness.spec.measure import Grain, MeasureHead, bounded_among, head_of, split
from harness.spec.messages import mistaken, nearest, unknown
from harness.spec.model import Model
from harness.spec.prediction import (
    Association,
    CollapseProbability,
    Equivalence,
    Interaction,
    MeanBound,
    MinEffect,
    NonInferiority,
    NonSuperiority,
    Prediction,
)
from harness.spec.problem import Location, Problem, items, mapping, shown
from harness.spec.reachability import too_few_for_means, unreachable

MOST_RUNS = 10_000
"""Most runs that one prediction may ask for; beyond it a declaration is a mistake rather than a plan."""

D = TypeVar("D", bound=Declared)
_PREDICTION: TypeAdapter[Prediction] = TypeAdapter(Prediction)


def check(
    raw: Mapping[str, Any],
    measures: Mapping[str, MeasureHead] | None = None,
    rivals: Collection[str] | None = None,
) -> list[Problem]:
    """Return the mistakes that cross fields: repeated ids, no primary prediction, unreachable regions, and others.

    With `measures`, those in reach by name, a prediction on another one, or on one of the wrong grain, is a mistake;
    with `rivals`, the hypotheses that may be named as rivals, so is any other.
    """
    written = items(raw.get("predictions"))
    roles = [mapping(item).get("role") for item in written]
    problems = _repeated_ids(written)
    if written and all(role in ("auxiliary", "exploratory") for role in roles):
        rule = "no prediction is primary, so nothing decides the claim. Give one the role primary."
        problems.append(Problem(("predictions",), rule))
    parsed = {i: p for i, item in enumerate(written) if (p := _parsed(item)) is not None}
    if measures is not None:
        problems += [problem for i, p in parsed.items() for problem in _measure(i, p, measures)]
    if rivals is not None:
        problems += _rivals(items(raw.get("rivals")), rivals)
    problems += [problem for i, p in parsed.items() for problem in _circular(i, p)]
    bounded = bounded_among(measures or {}, (getattr(p, "measure", "accuracy") for p in parsed.values())) | {"accuracy"}
    problems += [problem for i, p in parsed.items() for problem in _impossible(i, p, bounded)]
    design = _read(Design, raw.get("design", {}))
    if design is not None:
        problems += _by_design(parsed, design, roles.count("primary"), str(raw.get("combine", "all")))
    if (model := _read(Model, raw.get("model"))) is not None:
        problems += _unexpected(parsed, model) + _absurd(model, parsed, bounded)
    return problems


def _parsed(item: Any) -> Prediction | None:
    try:
        return _PREDICTION.validate_json(json.dumps(item))
    except ValidationError:
        return None


def _read(model: type[D], written: Any) -> D | None:
    try:
        return None if written is None else model.model_validate_json(json.dumps(written))
    except ValidationError:
        return None


def _by_design(parsed: dict[int, Prediction], design: Design, primaries: int, combine: str) -> list[Problem]:
    problems = _too_many(parsed, design)
    problems += too_few_for_means(parsed, design.seeds)
    tuned = any(arm.tuned for prediction in parsed.values() for arm in prediction.arms().values())
    if design.tuning is not None and parsed and not tuned:
        rule = "no arm is tuned. Say `tuned: true` in one, or leave tuning out."
        problems.append(Problem(("design", "tuning"), rule))
    for index, prediction in parsed.items():
        problems += _looks(index, prediction, design)
        problems += _combined(index, prediction, design)
        problems += _tuned(index, prediction, design)
        problems += unreachable(index, prediction, design, *shared_levels(prediction, combine, primaries))
    return problems


def _looks(index: int, prediction: Prediction, design: Design) -> list[Problem]:
    looks = getattr(prediction, "looks", None)
    if looks is None:
        return []
    place = ("predictions", index, "looks")
    if design.sequential == "always_valid":
        return [Problem(place, "always_valid may look after every run. Leave looks out.")]
    try:
        check_looks(looks, design.seeds)
    except ValueError as error:
        return [Problem(place, str(error))]
    return []


def _combined(index: int, prediction: Prediction, design: Design) -> list[Problem]:
    """Return the mistakes of mixing one verdict over several bases with one verdict a base."""
    place = ("predictions", index, "kind")
    if not isinstance(prediction, Association):
        rule = "one verdict combines all bases of design.bases, and this kind speaks of one. Declare it separately."
        return [Problem(place, rule)] if design.bases is not None else []
    if design.bases is None:
        rule = "an association needs several bases. Add design.bases: {families: F, budgets: B, seeds: S}."
        return [Problem(place, rule)]
    if prediction.x != "log2_tokens" and prediction.strata == ("family",) and design.bases.budgets > 1:
        rule = (
            "x and the gap both drift with the tokens seen, so bases of one family are associated whatever x is. "
            "Compare within [family, budget]."
        )
        return [Problem(("predictions", index, "strata"), rule)]
    return []


def _tuned(index: int, prediction: Prediction, design: Design) -> list[Problem]:
    """Return the mistakes of arms that need a tuning, or a base, that the design does not provide."""
    place = ("predictions", index)
    arms = prediction.arms().values()
    if design.tuning is None and any(arm.tuned for arm in arms):
        rule = "an arm is tuned and the design says not how. Add design.tuning: {learning_rate_scales: [...]}."
        return [Problem(place, rule)]
    if design.bases is not None and any(arm.tuned for arm in arms):
        return [Problem(place, "an arm is tuned, base by base, and design.bases combines bases. Declare its rate.")]
    if design.bases is not None and any(arm.checkpoint for arm in arms):
        return [Problem(place, "an arm names a checkpoint, and design.bases names the bases. Leave one out.")]
    return []


def _rivals(written: list[Any], known: Collection[str]) -> list[Problem]:
    problems: list[Problem] = []
    for i, item in enumerate(written):
        name = mapping(item).get("hypothesis")
        if isinstance(name, str) and name not in known:
            rule = unknown(f"{shown(name)} is no other hypothesis here", nearest(name, sorted(known)))
            problems.append(Problem(("rivals", i, "hypothesis"), rule))
    return problems


def _circular(index: int, prediction: Prediction) -> list[Problem]:
    """Return the mistake of comparing runs, selected by their accuracy, in their accuracy."""
    selected = [name for name, arm in prediction.arms().items() if arm.where is not None]
    if not selected or not getattr(prediction, "measure", "").startswith("accuracy"):
        return []
    rule = f"{', '.join(selected)} are runs selected by their accuracy, so their accuracy differs by selection alone."
    return [Problem(("predictions", index, "measure"), f"{rule} Respond in another measure, or leave where out.")]


def _measure(index: int, prediction: Prediction, measures: Mapping[str, MeasureHead]) -> list[Problem]:
    place = ("predictions", index, "measure")
    problems: list[Problem] = []
    if isinstance(prediction, Association) and prediction.x != "log2_tokens":
        problems += _grain(("predictions", index, "x"), prediction.x, measures, Grain.BASE)
    if isinstance(prediction, CollapseProbability) or ":" in prediction.measure:
        return problems
    by_item = getattr(prediction, "generalise_to", "benchmark") == "items"
    problems += _grain(place, prediction.measure, measures, Grain.ITEM if by_item else Grain.RUN)
    unbounded = not bounded_among(measures, [prediction.measure])
    if getattr(prediction, "scale", "raw") == "logit" and not problems and unbounded:
        rule = f"{shown(prediction.measure)} is not a share from 0 to 1, so it has no logit. Use raw or log_ratio."
        problems.append(Problem(("predictions", index, "scale"), rule))
    return problems


def _grain(place: Location, measure: str, measures: Mapping[str, MeasureHead], wanted: Grain) -> list[Problem]:
    """Return the mistake of a measure that is not there, or has other rows than wanted; NAME@STEP wants steps."""
    name, step = split(measure)
    if wanted is Grain.RUN and step is not None:
        wanted = Grain.STEP
    fits = (Grain.RUN, Grain.ITEM, Grain.STEP) if wanted is Grain.RUN else (wanted,)
    head = head_of(measures, measure)
    if head is not None and head.grain in fits:
        return []
    known = sorted(name for name, head in measures.items() if head.grain in fits)
    near = None if name in measures else nearest(name, known)
    rule = mistaken(f"{shown(measure)} is no measure with {wanted.rows()} in analysis/", near)
    remedy = "Use one." if step is None else f"Use one, or leave @{step} out."
    return [Problem(place, f"{rule} Known: {', '.join(known) or 'none'}. {remedy}")]


def _impossible(index: int, prediction: Prediction, bounded: Set[str]) -> list[Problem]:
    """Return margins that no pair of responses between 0 and 1 can reach."""
    if getattr(prediction, "scale", "raw") != "raw" or getattr(prediction, "measure", "") not in bounded:
        return []
    span = 2 if isinstance(prediction, Interaction) else 1
    fields = {
        "margin": span if isinstance(prediction, MinEffect | NonSuperiority | NonInferiority | Interaction) else None,
        "refute_below": span if isinstance(prediction, MinEffect) else None,
        "low": span if isinstance(prediction, Equivalence) else None,
        "high": span if isinstance(prediction, Equivalence) else None,
        "value": span if isinstance(prediction, MeanBound) else None,
        "min_total_drop": span if prediction.kind == "cliff" else None,
    }
    if isinstance(prediction, MeanBound) and prediction.reference == "zero" and not 0 < prediction.value < 1:
        what = f"{prediction.measure} lies from 0 to 1, so one side of this bound is empty"
        rule = f"{prediction.value:g} is out of range: {what}. Change it."
        return [Problem(("predictions", index, "value"), rule)]
    rule = "{value} is out of range: {measure}, from 0 to 1, gives this kind less than {limit} either way. Change it."
    return [
        Problem(
            ("predictions", index, field),
            rule.format(value=f"{value:g}", measure=getattr(prediction, "measure", ""), limit=limit),
        )
        for field, limit in fields.items()
        if limit is not None and (value := getattr(prediction, field)) is not None and abs(value) >= limit
    ]


def _absurd(model: Model, parsed: Mapping[int, Prediction], bounded: Set[str]) -> list[Problem]:
    """Return beliefs that no world can have: shares outside 0 to 1, and several for one cell."""
    problems: list[Problem] = []
    shares = all(getattr(p, "measure", "accuracy") in bounded for p in parsed.values())
    seen: dict[str, int] = {}
    for i, expected in enumerate(model.expected):
        if shares and not 0 <= expected.mean <= 1:
            rule = f"{expected.mean:g} is not between 0 and 1, where every response here lies. Change it."
            problems.append(Problem(("model", "expected", i, "mean"), rule))
        for arm in expected.among.each():
            if seen.setdefault(key := _key(arm), i) != i:
                rule = f"{arm.in_words()} is already in model.expected[{seen[key]}]. Expect one thing of each cell."
                problems.append(Problem(("model", "expected", i, "among"), rule))
                break
    return problems


def _unexpected(parsed: dict[int, Prediction], model: Model) -> list[Problem]:
    """Return the predictions about cells of which the model says nothing."""
    said = [arm for expected in model.expected for arm in expected.among.each()]
    problems: list[Problem] = []
    for index, prediction in parsed.items():
        silent = [
            arm.in_words() for arm in prediction.arms().values() if arm.model_copy(update={"where": None}) not in said
        ]
        if silent and not isinstance(prediction, Association):
            rule = f"the model expects nothing of {', '.join(silent)}. Add them to model.expected."
            problems.append(Problem(("predictions", index), rule))
        if isinstance(prediction, Association) and model.slope is None:
            problems.append(Problem(("predictions", index), "the model expects no slope. Add model.slope."))
    return problems


def _too_many(parsed: Mapping[int, Prediction], design: Design) -> list[Problem]:
    problems: list[Problem] = []
    for index, prediction in parsed.items():
        among = getattr(prediction, "among", None)
        cells = among.size() if among is not None else len(prediction.arms())
        if cells * design.seeds > MOST_RUNS:
            rule = f"{cells} cells of {design.seeds} seeds are more than {MOST_RUNS} runs. Name fewer levels or seeds."
            problems.append(Problem(("predictions", index), rule))
    if not problems and design.max_runs is not None:
        cells = {_key(arm) for p in parsed.values() for arm in p.arms().values()}
        bases = design.bases.families * design.bases.budgets * design.bases.seeds if design.bases else 1
        if (runs := len(cells) * design.seeds * bases) > design.max_runs:
            rule = (
                f"{design.max_runs} is less than the {runs} runs that the predictions ask for. Raise it, or ask less."
            )
            problems.append(Problem(("design", "max_runs"), rule))
    return problems


def _key(arm: Arm) -> str:
    return arm.model_copy(update={"where": None}).model_dump_json()


def _repeated_ids(predictions: list[Any]) -> list[Problem]:
    seen: dict[str, int] = {}
    problems: list[Problem] = []
    for index, item in enumerate(predictions):
        name = mapping(item).get("id")
        if isinstance(name, str) and name in seen:
            rule = f"{shown(name)} is already the id of predictions[{seen[name]}]. Give each prediction its own id."
            problems.append(Problem(("predictions", index, "id"), rule))
        elif isinstance(name, str):
            seen[name] = index
    return problems
