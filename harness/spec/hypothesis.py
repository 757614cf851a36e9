"""A falsifiable claim: its predictions, how many seeds decide them, and whether they can come out both ways.

A hypothesis names no model, task or learning rate: those belong to the protocol, so that one declaration runs at
every scale. Its primary predictions form a conjunction: all must be supported for it to be supported.
"""

import json
from collections.abc import Collection, Mapping
from typing import Annotated, Any

from pydantic import Field, TypeAdapter, ValidationError

from harness.spec.declared import Declared
from harness.spec.prediction import CollapseProbability, Prediction
from harness.spec.problem import Problem, items, mapping, shown
from harness.spec.reachability import LARGEST_ARM, SMALLEST_ARM, too_few_for_means, unanimous_runs, unreachable

__all__ = ["SMALLEST_ARM", "Design", "Hypothesis", "check", "unanimous_runs"]

Sentence = Annotated[str, Field(min_length=3, max_length=300)]


class Design(Declared):
    """What data: the same number of derived seeds in every cell."""

    seeds: Annotated[int, Field(ge=1, le=LARGEST_ARM)]


class Hypothesis(Declared):
    """A named claim; the file's stem is its name."""

    title: Sentence
    claim: Annotated[str, Field(min_length=10, max_length=1000)]
    source: Annotated[str, Field(min_length=3, max_length=1000)]
    design: Design
    predictions: Annotated[tuple[Prediction, ...], Field(min_length=1)]
    not_shown: tuple[Sentence, ...] = ()

    def primary(self) -> tuple[Prediction, ...]:
        """Return the predictions whose conjunction is the claim."""
        return tuple(p for p in self.predictions if p.role == "primary")

    def refute_alpha(self, prediction: Prediction) -> float:
        """Return the one-sided level at which a prediction may refute.

        Refuting a conjunction is a union, so each primary prediction is held to the first Holm step,
        alpha / (number of primary predictions); an auxiliary one speaks only for itself.
        """
        return prediction.alpha / (len(self.primary()) if prediction.role == "primary" else 1)


MOST_RUNS = 10_000
"""Most runs that one prediction may ask for; beyond it a declaration is a mistake rather than a plan."""

_PREDICTION: TypeAdapter[Prediction] = TypeAdapter(Prediction)


def check(raw: Mapping[str, Any], measures: Collection[str] | None = None) -> list[Problem]:
    """Return the mistakes that no single field shows: repeated ids, no primary prediction, unreachable regions.

    Works on the raw mapping and skips what does not validate, so that these mistakes are reported beside others. With
    `measures`, the names of the measures in reach, a prediction on another one is a mistake too.
    """
    written = items(raw.get("predictions"))
    roles = [mapping(item).get("role") for item in written]
    problems = _repeated_ids(written)
    if written and all(role == "auxiliary" for role in roles):
        rule = "no prediction is primary, so nothing decides the claim. Give one the role primary."
        problems.append(Problem(("predictions",), rule))
    seeds = mapping(raw.get("design")).get("seeds")
    parsed = {i: p for i, item in enumerate(written) if (p := _parsed(item)) is not None}
    if measures is not None:
        problems += _unknown_measures(parsed, measures)
    if type(seeds) is int and 1 <= seeds <= LARGEST_ARM:
        problems += _too_many(parsed, seeds)
        problems += too_few_for_means(parsed, seeds)
        for index, prediction in parsed.items():
            share = roles.count("primary") if prediction.role == "primary" else 1
            problems += unreachable(index, prediction, seeds, prediction.alpha / share)
    return problems


def _parsed(item: Any) -> Prediction | None:
    try:
        return _PREDICTION.validate_json(json.dumps(item))
    except ValidationError:
        return None


def _unknown_measures(parsed: Mapping[int, Prediction], measures: Collection[str]) -> list[Problem]:
    known = ", ".join(sorted(measures))
    return [
        Problem(
            ("predictions", i, "measure"),
            f"{shown(p.measure)} is no measure from 0 to 1 in analysis/. Known: {known}. Use one.",
        )
        for i, p in parsed.items()
        if p.measure not in measures
    ]


def _too_many(parsed: Mapping[int, Prediction], seeds: int) -> list[Problem]:
    problems: list[Problem] = []
    for index, prediction in parsed.items():
        cells = prediction.among.size() if isinstance(prediction, CollapseProbability) else len(prediction.arms())
        if cells * seeds > MOST_RUNS:
            rule = f"{cells} cells of {seeds} seeds are more than {MOST_RUNS} runs. Name fewer levels or seeds."
            problems.append(Problem(("predictions", index), rule))
    return problems


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
