"""What is predicted: an estimand with two disjoint regions, one that supports it and one that refutes it.

Both regions are declared before data. A margin of zero is refused: against zero, "p < .05" can never be refuted
positively, so such a prediction could not come out both ways. The run is the unit of every one of them, never the
problem: more problems do not replace runs.
"""

from abc import abstractmethod
from itertools import pairwise
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, model_validator

from harness.spec.adapter import Rank, Scaling
from harness.spec.arms import Arm, Arms, Given, different, sorted_ranks
from harness.spec.cell import Algorithm, Cell
from harness.spec.code import CodeName
from harness.spec.declared import Declared, FieldError
from harness.spec.measure import is_measure
from harness.spec.problem import shown


def _state_a_margin(value: float) -> float:
    if value == 0:
        raise ValueError("0 is a bare p-value test. State the smallest effect that matters, e.g. 0.05.")
    return value


def _name_a_measure(value: str) -> str:
    if not is_measure(value):
        rule = "is no measure. Write NAME in lower-case letters, digits and underscores"
        rule += ", NAME@STEP with a step without leading zeros, or module:function."
        raise ValueError(f"{shown(value)} {rule}")
    return value


Margin = Annotated[float, AfterValidator(_state_a_margin), Field(gt=0)]
ViewName = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,62}$")]
Measure = Annotated[str, AfterValidator(_name_a_measure)]
Role = Literal["primary", "auxiliary", "exploratory"]
Scale = Literal["raw", "log_ratio", "logit"]
Side = Literal["below", "above"]
Looks = Annotated[tuple[Annotated[int, Field(ge=1)], ...], Field(min_length=1, max_length=32)]


class Predicted(Declared):
    """What every kind of prediction declares."""

    id: Annotated[str, Field(pattern=r"^[a-z][a-z0-9-]{0,62}$")]
    statement: Annotated[str, Field(min_length=10, max_length=400)]
    role: Role
    rationale: Annotated[str, Field(min_length=15, max_length=600)]
    alpha: Annotated[float, Field(ge=1e-6, le=0.1)] = 0.05
    unit: Literal["run"] = "run"

    @abstractmethod
    def arms(self) -> dict[str, Arm]:
        """Return the arms that are compared, by the names used in estimates and cards."""

    def cells(self, given: Given) -> dict[str, Cell]:
        """Return the cells of `arms` with what the protocol gives."""
        return {name: arm.cell(given) for name, arm in self.arms().items()}

    def unnamed_cells(self, given: Given) -> tuple[Cell, ...]:
        """Return the cells of `cells` without their names, each at least once."""
        return tuple(dict.fromkeys(self.cells(given).values()))


class _OfMeans(Predicted):
    """A contrast of mean responses.

    `measure`: what runs respond in: NAME of a measure, of a time series its value at the last update, NAME@STEP its
    value at another, or a function of the project's own.
    `scale`: raw (the measure's own unit), log_ratio (natural logarithm, so that a difference is the log of a ratio of
    geometric means and a margin of 0.223 is a ratio of 1.25) or logit (of a share). `generalise_to`: benchmark holds
    the problems fixed; items takes them as a sample and adds their variance. `looks`: runs a cell at which this
    prediction may be decided; the design's own where it names none.
    """

    measure: Measure = "accuracy"
    scale: Scale = "raw"
    generalise_to: Literal["benchmark", "items"] = "benchmark"
    looks: Looks | None = None

    @model_validator(mode="after")
    def _items_are_raw(self) -> "_OfMeans":
        if self.generalise_to == "items" and self.scale != "raw":
            rule = f"{self.scale} has no run by item variance. Use the raw scale to generalise to items."
            raise FieldError("scale", rule)
        return self


class _TwoArms(_OfMeans):
    a: Arm
    b: Arm

    @model_validator(mode="after")
    def _arms_differ(self) -> "_TwoArms":
        different(a=self.a, b=self.b)
        return self

    def arms(self) -> dict[str, Arm]:
        """Return the minuend `a` and the subtrahend `b`."""
        return {"a": self.a, "b": self.b}


class MinEffect(_TwoArms):
    """mean(a) - mean(b) > margin. Refuted below `refute_below` (default: the margin itself)."""

    kind: Literal["min_effect"]
    margin: Margin
    refute_below: float | None = None

    @model_validator(mode="after")
    def _regions_disjoint(self) -> "MinEffect":
        _disjoint(self.refute_below, self.margin)
        return self


class NonSuperiority(_TwoArms):
    """mean(a) - mean(b) < margin. Refuted above it."""

    kind: Literal["non_superiority"]
    margin: Margin


class NonInferiority(_TwoArms):
    """mean(a) - mean(b) > -margin. Refuted below -margin."""

    kind: Literal["non_inferiority"]
    margin: Margin


class Equivalence(_TwoArms):
    """low < mean(a) - mean(b) < high. Refuted outside: two one-sided tests, and their reverse."""

    kind: Literal["equivalence"]
    low: float
    high: float

    @model_validator(mode="after")
    def _straddle_zero(self) -> "Equivalence":
        if not self.low < 0 < self.high:
            rule = f"{self.low:g} to {self.high:g} does not straddle 0. Write low below 0 and high above it."
            raise FieldError("low", rule)
        return self


class Interaction(_OfMeans):
    """[mean(a) - mean(b)] - [mean(c) - mean(d)] > margin. Refuted below the margin."""

    kind: Literal["interaction"]
    a: Arm
    b: Arm
    c: Arm
    d: Arm
    margin: Margin

    @model_validator(mode="after")
    def _arms_differ(self) -> "Interaction":
        different(a=self.a, b=self.b, c=self.c, d=self.d)
        return self

    def arms(self) -> dict[str, Arm]:
        """Return the four arms in the order of the contrast."""
        return {"a": self.a, "b": self.b, "c": self.c, "d": self.d}


class MeanBound(_OfMeans):
    """mean(cell) lies on the declared side of `value`, counted from `reference`. Refuted on the other side.

    `reference`: zero, or a landmark of accuracy that the protocol and the base give (base: the base's own accuracy;
    collapsed_below and trained_above: the limits of those labels).
    """

    kind: Literal["mean_bound"]
    cell: Arm
    direction: Side
    value: float
    reference: Literal["zero", "base", "collapsed_below", "trained_above"] = "zero"

    @model_validator(mode="after")
    def _reference_is_an_accuracy(self) -> "MeanBound":
        if self.reference != "zero" and (self.scale != "raw" or not self.measure.startswith("accuracy")):
            rule = f"{self.reference} is an accuracy. Count from zero, or bound the raw accuracy."
            raise FieldError("reference", rule)
        if self.reference != "zero" and self.generalise_to == "items":
            rule = f"{self.reference} was measured on these problems. Count from zero, or leave generalise_to out."
            raise FieldError("reference", rule)
        return self

    def arms(self) -> dict[str, Arm]:
        """Return the one arm."""
        return {"cell": self.cell}


class CollapseProbability(Predicted):
    """How often the event happens lies on the declared side of `probability`.

    `quantifier`: each_cell: in every cell (an intersection-union test, no correction); mean_over_cells: on average
    over them; always: as mean_over_cells, and one run shown to be an exception refutes it. `refute_by` (each_cell
    only): mean_over_cells, the mean is shown to lie on the other side, so that at least one cell does; any_cell, one
    cell is, at the level divided by the number of cells.
    """

    kind: Literal["collapse_probability"]
    event: Literal["collapsed", "trained"]
    direction: Side
    # Closer to 0 or 1 no design of 1000 seeds decides: at alpha .1 unanimity takes log(.1) / log(.999) = 2302 runs.
    probability: Annotated[float, Field(ge=0.001, le=0.999)]
    among: Arms
    quantifier: Literal["each_cell", "mean_over_cells", "always"] = "each_cell"
    refute_by: Literal["mean_over_cells", "any_cell"] = "mean_over_cells"
    looks: Looks | None = None

    @model_validator(mode="after")
    def _one_way_to_refute(self) -> "CollapseProbability":
        if self.refute_by == "any_cell" and self.quantifier != "each_cell":
            rule = f"any_cell refutes a claim about each cell, not {self.quantifier}. Leave refute_by out."
            raise FieldError("refute_by", rule)
        return self

    def arms(self) -> dict[str, Arm]:
        """Return one arm a cell, named by its distinguishing factors."""
        return self.among.named()

    def unnamed_cells(self, given: Given) -> tuple[Cell, ...]:
        """Return the cells of `cells`: there may be thousands, and nobody asks for their names here."""
        return self.among.cells(given)


class Cliff(Predicted):
    """One doubling of rank carries more than `share` of the drop from the first to the last rank.

    Supported: the total drop exceeds `min_total_drop` and, for some pair of neighbouring ranks (the declared
    `location`, if any), the contrast [m_j - m_(j+1)] - share x [m_first - m_last] exceeds zero. Refuted: the total
    drop is shown to be smaller, or every such contrast is shown to be negative.
    """

    kind: Literal["cliff"]
    ranks: Annotated[tuple[Rank, ...], Field(min_length=3, max_length=64), AfterValidator(sorted_ranks)]
    algorithm: Algorithm = "grpo"
    scaling: Scaling | None = None
    share: Annotated[float, Field(gt=0, lt=1)]
    min_total_drop: Margin
    location: Annotated[tuple[Rank, ...], Field(min_length=2, max_length=2)] | None = None
    measure: Measure = "accuracy"
    looks: Looks | None = None

    @model_validator(mode="after")
    def _some_step_may_carry_less(self) -> "Cliff":
        steps = len(self.ranks) - 1
        if self.location is None and self.share * steps <= 1:
            rule = f"the steepest of {steps} steps always carries at least 1/{steps} of the drop"
            raise FieldError("share", f"{self.share:g}: {rule}. Raise share above {1 / steps:.3g}, or name a location.")
        return self

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


class Association(Predicted):
    """Across independent bases, the gap mean(a) - mean(b) goes with x, compared within strata only.

    The estimand is a slope: change of the gap for one within-stratum standard deviation of x (for x = log2_tokens:
    for one doubling of the tokens seen in pre-training), times -1 where the declared direction is negative. Supported
    above `margin`, refuted below `refute_below` (default: the margin). x is a measure with one row a base, or
    log2_tokens. `strata`: what the bases of a stratum have in common; [] compares across families, one mean a family.
    """

    kind: Literal["association"]
    x: ViewName
    a: Arm
    b: Arm
    measure: Measure = "accuracy"
    direction: Literal["positive", "negative"]
    strata: tuple[Literal["family", "budget"], ...]
    margin: Margin
    refute_below: float | None = None

    @model_validator(mode="after")
    def _compares(self) -> "Association":
        different(a=self.a, b=self.b)
        _disjoint(self.refute_below, self.margin)
        if len(set(self.strata)) != len(self.strata):
            raise FieldError("strata", f"{shown(self.strata)} repeats a value. Name each once.")
        if self.strata == ("budget",):
            rule = "bases of one budget but different families differ in more than x. Add family."
            raise FieldError("strata", rule)
        if self.x == "log2_tokens" and "budget" in self.strata:
            raise FieldError("strata", "bases of one budget have seen the same tokens. Use [family].")
        return self

    def arms(self) -> dict[str, Arm]:
        """Return the minuend `a` and the subtrahend `b` of the gap."""
        return {"a": self.a, "b": self.b}


class Custom(Predicted):
    """An estimand of the author's own: `module:function`, with regions on its own scale.

    Supported on the declared side of `value`, refuted beyond `refute_beyond` on the other (default: the value).
    """

    kind: Literal["custom"]
    estimand: CodeName
    among: Arms
    direction: Side
    value: float
    refute_beyond: float | None = None
    measure: Measure = "accuracy"
    looks: Looks | None = None

    @model_validator(mode="after")
    def _regions_disjoint(self) -> "Custom":
        beyond = self.value if self.refute_beyond is None else self.refute_beyond
        if beyond > self.value if self.direction == "above" else beyond < self.value:
            rule = f"{beyond:g} lies inside the support region. Move it to the other side of value {self.value:g}."
            raise FieldError("refute_beyond", rule)
        return self

    def arms(self) -> dict[str, Arm]:
        """Return one arm a cell, named by its distinguishing factors."""
        return self.among.named()


def _disjoint(refute_below: float | None, margin: float) -> None:
    if refute_below is not None and refute_below > margin:
        raise FieldError(
            "refute_below",
            f"{refute_below!r} lies above margin {margin!r}, so one estimate could be in both regions. "
            "Lower refute_below to the margin or less.",
        )


Contrast = MinEffect | NonSuperiority | NonInferiority | Equivalence | Interaction | MeanBound
"""The kinds whose estimand is one linear contrast of cell means."""
Prediction = Annotated[
    MinEffect
    | NonSuperiority
    | NonInferiority
    | Equivalence
    | Interaction
    | MeanBound
    | CollapseProbability
    | Cliff
    | Association
    | Custom,
    Field(discriminator="kind"),
]
