"""What is predicted: an estimand with two disjoint regions, one that supports it and one that refutes it.

Both regions are declared before data. A margin of zero is refused: against zero, "p < .05" can never be refuted
positively, so such a prediction could not come out both ways. Means are on the accuracy scale, from 0 to 1.
"""

import math
from collections.abc import Iterator
from itertools import pairwise, product
from typing import Annotated, Literal, TypeVar

from pydantic import AfterValidator, Field, model_validator

from harness.spec.adapter import AdapterSpec, Algorithm, Cell, PositiveFloat, Proportional, Rank, Scaling, exact
from harness.spec.declared import Declared, FieldError
from harness.spec.problem import shown

T = TypeVar("T")


def _some_and_different(values: tuple[T, ...]) -> tuple[T, ...]:
    if not values:
        raise ValueError("[] is an empty list, which names no run. Name at least one value.")
    if len(set(values)) != len(values):
        raise ValueError(f"{shown(values)} repeats a value. Name each once.")
    return values


def _sorted_ranks(ranks: tuple[int, ...]) -> tuple[int, ...]:
    if any(low >= high for low, high in pairwise(ranks)):
        raise ValueError(f"{shown(ranks)} is not strictly increasing. Sort the ranks and name each once.")
    return ranks


def _state_a_margin(value: float) -> float:
    if value == 0:
        raise ValueError("0 is a bare p-value test. State the smallest effect that matters, e.g. 0.05.")
    return value


# 64 values are more than any factor is tried at; without a bound, four short lists multiply into millions of cells.
Several = Annotated[tuple[T, ...], Field(max_length=64), AfterValidator(_some_and_different)]
SortedRanks = Annotated[tuple[Rank, ...], Field(min_length=1, max_length=64), AfterValidator(_sorted_ranks)]
AccuracyMargin = Annotated[float, AfterValidator(_state_a_margin), Field(gt=0, lt=1)]
InteractionMargin = Annotated[float, AfterValidator(_state_a_margin), Field(gt=0, lt=2)]
Measure = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,62}$")]


class Arm(Declared):
    """One cell, named by the factors that a hypothesis may set; what is left out follows the protocol's recipe."""

    algorithm: Algorithm = "grpo"
    rank: Rank
    scaling: Scaling | None = None
    learning_rate_scale: PositiveFloat = 1.0

    def cell(self, scaling: Scaling) -> Cell:
        """Return the cell, with the protocol's `scaling` where the arm names none."""
        adapter = AdapterSpec(rank=self.rank, scaling=self.scaling or scaling)
        return Cell(algorithm=self.algorithm, adapter=adapter, learning_rate_scale=self.learning_rate_scale)

    def in_words(self) -> str:
        """Return the arm as an estimate names it: `SFT r=128`, with the factors that differ from the recipe."""
        parts = [self.algorithm.upper(), f"r={self.rank}"]
        parts += [self.scaling.in_words()] if self.scaling is not None else []
        parts += [f"lr x{self.learning_rate_scale:g}"] if self.learning_rate_scale != 1 else []
        return " ".join(parts)


class Arms(Declared):
    """Several cells: every combination of the values that each factor lists."""

    algorithm: Several[Algorithm] = ("grpo",)
    rank: SortedRanks
    scaling: Several[Scaling] | None = None
    learning_rate_scale: Several[PositiveFloat] = (1.0,)

    def size(self) -> int:
        """Return the number of cells."""
        factors = (self.algorithm, self.rank, self.scaling or (None,), self.learning_rate_scale)
        return math.prod(len(values) for values in factors)

    def each(self) -> Iterator[Arm]:
        """Yield one arm for every combination, the rank varying fastest."""
        for algorithm, scaling, scale, rank in product(
            self.algorithm, self.scaling or (None,), self.learning_rate_scale, self.rank
        ):
            yield Arm(algorithm=algorithm, rank=rank, scaling=scaling, learning_rate_scale=scale)


class _Predicted(Declared):
    """What every kind of prediction declares."""

    id: Annotated[str, Field(pattern=r"^[a-z][a-z0-9-]{0,62}$")]
    statement: Annotated[str, Field(min_length=10, max_length=400)]
    role: Literal["primary", "auxiliary"]
    rationale: Annotated[str, Field(min_length=15, max_length=600)]
    alpha: Annotated[float, Field(ge=1e-6, le=0.1)] = 0.05
    measure: Measure = "accuracy"

    def arms(self) -> dict[str, Arm]:
        """Return the arms that are compared, by the names used in estimates and cards."""
        raise NotImplementedError(f"{type(self).__name__} names no arms")

    def cells(self, scaling: Scaling) -> dict[str, Cell]:
        """Return `arms` as cells under the protocol's `scaling`."""
        return {name: arm.cell(scaling) for name, arm in self.arms().items()}


def _different(**arms: Arm) -> None:
    seen: dict[Arm, str] = {}
    for name, arm in arms.items():
        if arm in seen:
            raise FieldError(name, f"{seen[arm]} and {name} are the same cell. Contrast two different ones.")
        seen[arm] = name


class _TwoArms(_Predicted):
    a: Arm
    b: Arm

    @model_validator(mode="after")
    def _arms_differ(self) -> "_TwoArms":
        _different(a=self.a, b=self.b)
        return self

    def arms(self) -> dict[str, Arm]:
        """Return the minuend `a` and the subtrahend `b`."""
        return {"a": self.a, "b": self.b}


class MinEffect(_TwoArms):
    """mean(a) - mean(b) > margin. Refuted below `refute_below` (default: the margin itself)."""

    kind: Literal["min_effect"]
    margin: AccuracyMargin
    refute_below: Annotated[float, Field(gt=-1, lt=1)] | None = None

    @model_validator(mode="after")
    def _regions_disjoint(self) -> "MinEffect":
        if self.refute_below is not None and self.refute_below > self.margin:
            raise FieldError(
                "refute_below",
                f"{exact(self.refute_below)} lies above margin {exact(self.margin)}, so one estimate could be in both "
                "regions. Lower refute_below to the margin or less.",
            )
        return self


class NonInferiority(_TwoArms):
    """mean(a) - mean(b) > -margin. Refuted below -margin."""

    kind: Literal["non_inferiority"]
    margin: AccuracyMargin


class Interaction(_Predicted):
    """[mean(a) - mean(b)] - [mean(c) - mean(d)] > margin. Refuted below the margin."""

    kind: Literal["interaction"]
    a: Arm
    b: Arm
    c: Arm
    d: Arm
    margin: InteractionMargin

    @model_validator(mode="after")
    def _arms_differ(self) -> "Interaction":
        _different(a=self.a, b=self.b, c=self.c, d=self.d)
        return self

    def arms(self) -> dict[str, Arm]:
        """Return the four arms in the order of the contrast."""
        return {"a": self.a, "b": self.b, "c": self.c, "d": self.d}


class CollapseProbability(_Predicted):
    """In each cell, the probability of the event lies on the declared side of `probability`.

    Supported: every cell's exact one-sided bound lies on that side (an intersection-union test, no correction).
    Refuted: the mean probability over the cells is shown to lie on the other side, so that at least one cell does.
    """

    kind: Literal["collapse_probability"]
    event: Literal["collapsed", "trained"]
    direction: Literal["below", "above"]
    # Closer to 0 or 1 no design of 1000 seeds decides: at alpha .1 unanimity takes log(.1) / log(.999) = 2302 runs.
    probability: Annotated[float, Field(ge=0.001, le=0.999)]
    among: Arms

    def arms(self) -> dict[str, Arm]:
        """Return one arm a cell, named by its distinguishing factors."""
        return {_name(arm, self.among): arm for arm in self.among.each()}


class Cliff(_Predicted):
    """One doubling of rank carries more than `share` of the drop from the first to the last rank.

    Supported: the total drop exceeds `min_total_drop` and, for some pair of neighbouring ranks (the declared
    `location`, if any), the contrast [m_j - m_(j+1)] - share x [m_first - m_last] exceeds zero. Refuted: the total
    drop is shown to be smaller, or every such contrast is shown to be negative.
    """

    kind: Literal["cliff"]
    ranks: Annotated[tuple[Rank, ...], Field(min_length=3, max_length=64), AfterValidator(_sorted_ranks)]
    algorithm: Algorithm = "grpo"
    scaling: Scaling | None = None
    share: Annotated[float, Field(gt=0, lt=1)]
    min_total_drop: AccuracyMargin
    location: Annotated[tuple[Rank, ...], Field(min_length=2, max_length=2)] | None = None

    @model_validator(mode="after")
    def _location_is_a_gap(self) -> "Cliff":
        if self.location is not None and self.location not in list(pairwise(self.ranks)):
            raise FieldError(
                "location",
                f"{list(self.location)} is not a pair of neighbouring ranks of {shown(self.ranks)}. "
                "Name two neighbours, or leave location out.",
            )
        return self

    def arms(self) -> dict[str, Arm]:
        """Return one arm a rank, named `r=RANK`, in the order of the ranks."""
        return {f"r={r}": Arm(algorithm=self.algorithm, rank=r, scaling=self.scaling) for r in self.ranks}


def _name(arm: Arm, among: Arms) -> str:
    parts = [arm.algorithm] if len(among.algorithm) > 1 else []
    parts.append(f"r={arm.rank}")
    if len(among.scaling or ()) > 1 and arm.scaling is not None:
        scaling = arm.scaling
        by = f"{exact(scaling.factor)}r" if isinstance(scaling, Proportional) else exact(scaling.alpha)
        parts.append(f"{arm.scaling.policy} {by}")
    parts += [f"lr x{exact(arm.learning_rate_scale)}"] if len(among.learning_rate_scale) > 1 else []
    return " ".join(parts)


Prediction = Annotated[
    MinEffect | NonInferiority | Interaction | CollapseProbability | Cliff, Field(discriminator="kind")
]
