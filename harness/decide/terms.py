"""On what terms a prediction is decided: its two levels, and the look at which it is.

A contrast's interval at a look is a repeated confidence interval: a t interval at the nominal level which the spending
of alpha leaves for that look (Jennison and Turnbull 1989, JRSS B 51:305), valid whatever made the runs stop. The
always-valid alternative needs no plan of looks and is wider.
"""

import math
from dataclasses import dataclass, replace
from typing import Literal

from harness.decide.contrasts import ContrastFit
from harness.decide.exact import count_levels, shared_out
from harness.decide.sequential import always_valid_half_width
from harness.decide.spending import Spending, nominal_levels

Sequential = Literal["group_sequential", "always_valid"]


@dataclass(frozen=True, slots=True)
class Look:
    """One of the planned moments at which a prediction may be decided."""

    number: int
    """From 1."""
    sizes: tuple[int, ...]
    """Runs a cell at each planned look."""
    sequential: Sequential = "group_sequential"
    spending: Spending = "pocock"

    @property
    def runs(self) -> int:
        """Runs a cell at this look."""
        return self.sizes[self.number - 1]

    @property
    def last(self) -> bool:
        """Whether no look follows."""
        return self.number == len(self.sizes)

    def at_last(self) -> "Look":
        """Return the last look of the same plan."""
        return replace(self, number=len(self.sizes))

    def nominal(self, alpha: float) -> float:
        """Return the level that is left for this look of the whole one-sided level `alpha`."""
        if self.sequential == "always_valid" or len(self.sizes) == 1:
            return alpha
        return nominal_levels(alpha, self.sizes, self.spending)[self.number - 1]

    def of_counts(self, alpha: float, cells: int = 1) -> float:
        """Return the level that is left for this look's exact limits; over several cells, whatever their chances."""
        levels = count_levels if cells == 1 else shared_out
        return levels(alpha, self.sizes, self.spending)[self.number - 1]


@dataclass(frozen=True, slots=True)
class Terms:
    """The one-sided levels of the two sides, over all looks, and the look."""

    alpha: float
    refute_alpha: float
    look: Look

    def low(self, fit: ContrastFit, alpha: float) -> float:
        """Return the lower limit of a contrast at the whole one-sided level `alpha`."""
        return fit.low(self.look.nominal(alpha)) if self._planned(fit) else fit.estimate - self._half(fit, alpha)

    def high(self, fit: ContrastFit, alpha: float) -> float:
        """Return the upper limit of a contrast at the whole one-sided level `alpha`."""
        return fit.high(self.look.nominal(alpha)) if self._planned(fit) else fit.estimate + self._half(fit, alpha)

    def in_words(self, alpha: float) -> str:
        """Return how an interval at `alpha` was made."""
        if self.look.sequential == "always_valid":
            return f"always-valid t mixture, one-sided {alpha:g} over all looks"
        if len(self.look.sizes) == 1:
            return f"t over runs, one-sided {alpha:g}"
        looks = f"look {self.look.number} of {len(self.look.sizes)}"
        return f"repeated t interval, one-sided {alpha:g} over all looks, {self.look.nominal(alpha):.4f} at {looks}"

    def _planned(self, fit: ContrastFit) -> bool:
        return self.look.sequential == "group_sequential" or not math.isfinite(fit.se)

    def _half(self, fit: ContrastFit, alpha: float) -> float:
        half = always_valid_half_width(fit.se, fit.df, fit.n_eff, alpha) if fit.se > 0 else 0.0
        return float(half)


def fixed(alpha: float, refute_alpha: float, runs: int = 1) -> Terms:
    """Return the terms of a design with a single look."""
    return Terms(alpha, refute_alpha, Look(1, (runs,)))
