"""What data decide: seeds a cell, the moments at which they may be examined, and independent bases.

Means are examined group-sequentially: at each look the level is a share of alpha (Lan and DeMets 1983, Biometrika
70:659, spending of Pocock's type), so that stopping early costs no error; so are counts, with exact limits.
"""

from itertools import pairwise
from typing import Annotated, Literal

from pydantic import Field, model_validator

from harness.spec.declared import Declared, FieldError, unset
from harness.spec.problem import shown
from harness.spec.scaling import PositiveFloat

SMALLEST_ARM = 3
"""Fewest runs a cell needs before its between-run variance is worth an interval (a t quantile on 2 df is 2.9)."""
LARGEST_ARM = 1000
"""Most seeds a cell that a design may ask for."""
USUAL_LOOKS = (3, 5, 8)
MOST_LOOKS = 5
"""Beyond a few looks, group-sequential intervals widen for nothing; `always_valid` is made for more."""

Count = Annotated[int, Field(ge=1)]


def check_looks(looks: tuple[int, ...], seeds: int) -> None:
    """Raise ValueError where looks do not increase, begin too early or do not end at the last seed."""
    if any(low >= high for low, high in pairwise(looks)):
        raise ValueError(f"{shown(looks)} is not strictly increasing. Sort the looks and name each once.")
    if looks[-1] != seeds:
        raise ValueError(f"{shown(looks)} does not end at the {seeds} seeds of the design. Make {seeds} the last look.")
    if looks[0] < min(SMALLEST_ARM, seeds):
        raise ValueError(f"{shown(looks)} looks at fewer than {SMALLEST_ARM} runs a cell. Begin at {SMALLEST_ARM}.")
    if len(looks) > MOST_LOOKS:
        raise ValueError(f"{shown(looks)} has more than {MOST_LOOKS} looks. Name fewer, or use always_valid.")


class Bases(Declared):
    """How many independent bases are combined: families x budgets of pre-training x pre-training seeds."""

    families: Count
    budgets: Count = 1
    seeds: Count = 1

    def strata(self, by: tuple[str, ...]) -> list[int]:
        """Return the number of units in each stratum: bases, or families where nothing is held constant."""
        if not by:
            return [self.families]
        sizes = {"family": self.families, "budget": self.budgets}
        count = 1
        for name in by:
            count *= sizes[name]
        return [self.families * self.budgets * self.seeds // count] * count


class Tuning(Declared):
    """How the learning rate of each tuned arm is chosen, on every base anew.

    Each candidate, a multiple of the protocol's rate, is tried with one seed that no verdict uses; the `finalists` best
    by accuracy on the validation split are tried with all `seeds`, and the one with the best mean is taken, of equal
    ones the smallest. That is one round of successive halving (Karnin, Koren and Somekh 2013, ICML). Every arm has the
    same candidates and as many runs, so that none is tuned harder than another.
    """

    learning_rate_scales: Annotated[tuple[PositiveFloat, ...], Field(min_length=2, max_length=32)]
    seeds: Annotated[int, Field(ge=1, le=100)] = 3
    finalists: Annotated[int, Field(ge=1, le=32)] = 2

    @model_validator(mode="after")
    def _in_order(self) -> "Tuning":
        if any(low >= high for low, high in pairwise(self.learning_rate_scales)):
            rule = f"{shown(self.learning_rate_scales)} is not strictly increasing. Sort it and name each once."
            raise FieldError("learning_rate_scales", rule)
        if self.finalists > len(self.learning_rate_scales):
            rule = f"{self.finalists} of {len(self.learning_rate_scales)} candidates cannot be left. Name fewer."
            raise FieldError("finalists", rule)
        return self


class Design(Declared):
    """The same number of derived seeds in every cell, examined at planned looks.

    `looks` is by default those of 3, 5, 8 below `seeds`, then `seeds`. `futility`: stop a mean-based prediction at a
    look where the predictive probability that the last one decides it is below this; 0 never stops. It is not binding:
    no error rate rests on it. `spending`: Pocock's type gives early looks nearly as much level as late ones; O'Brien
    and Fleming's saves it for the last, for arms whose spreads may differ by more than threefold. With `bases`, one
    verdict combines several independent bases; without, every base gets a verdict of its own. `tuning` is for arms that
    are `tuned`, and comes before the first look.
    """

    seeds: Annotated[int, Field(ge=1, le=LARGEST_ARM)] = 8
    looks: tuple[Count, ...] | None = None
    sequential: Literal["group_sequential", "always_valid"] = "group_sequential"
    spending: Literal["pocock", "obrien_fleming"] = "pocock"
    futility: Annotated[float, Field(ge=0, lt=1)] = 0.3
    bases: Bases | None = None
    tuning: Annotated[Tuning | None, Field(exclude_if=unset(None))] = None
    max_runs: Count | None = None

    @model_validator(mode="after")
    def _looks_fit(self) -> "Design":
        if self.looks is not None:
            if self.sequential == "always_valid":
                raise FieldError("looks", "always_valid may look after every run. Leave looks out.")
            if not self.looks:
                raise FieldError("looks", "[] is an empty list. Name the runs a cell at each look.")
            try:
                check_looks(self.looks, self.seeds)
            except ValueError as error:
                raise FieldError("looks", str(error)) from None
        return self

    def schedule(self) -> tuple[int, ...]:
        """Return the runs a cell at each look."""
        if self.sequential == "always_valid":
            return tuple(range(min(SMALLEST_ARM, self.seeds), self.seeds + 1))
        return self.looks or (*(n for n in USUAL_LOOKS if n < self.seeds), self.seeds)
