"""Which quantity lines thresholds up: how far the arms' critical values of each lie apart, in octaves.

The spread is the standard deviation of log2 over the arms. Two spreads are compared by their ratio; its interval comes
from redrawing every arm's critical rate from its own posterior, arms independent of each other and fixed (they were
chosen, not sampled, so nothing is said about others). Redrawing adds the intervals' own noise to both spreads, which
pulls the ratio towards 1: a ratio shown to be small is small.

Whether one value fits all arms is Cochran's Q, the squared distances from the weighted mean in units of each arm's
posterior standard deviation, against chi-square with one degree of freedom fewer than arms (Cochran 1954, Biometrics
10:101). Posteriors of so few runs are not normal, so its p-value is approximate.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import chdtrc  # pyright: ignore[reportMissingTypeStubs] - scipy ships none

from harness.decide.threshold import MASS

Floats = NDArray[np.float64]

FEWEST = 3
"""Arms below which a spread says nothing."""


@dataclass(frozen=True, slots=True)
class Spread:
    """How far apart the arms are in one quantity."""

    octaves: float
    """Standard deviation of log2 of the critical values over the arms."""
    noise: float
    """Root mean square of the arms' posterior standard deviations, in octaves: a spread of arms that are all alike."""
    q: float
    """Cochran's Q."""
    p: float
    """Its p-value, approximate: small where no single value fits all arms."""


@dataclass(frozen=True, slots=True)
class Ratio:
    """One spread over another."""

    value: float | None
    """None where the other spread is zero."""
    low: float
    high: float
    """Limits of the central 90 % of redrawn ratios, around which `value` need not lie in the middle."""


def spread(values: Floats, draws: Floats) -> Spread:
    """Return how far apart arms are.

    Args:
        values: log2 of each arm's critical value, (n_arms,).
        draws: Redrawn, (n_draws, n_arms).

    Raises:
        ValueError: there are fewer than three arms.
    """
    if values.size < FEWEST:
        raise ValueError(f"{values.size} arms have no spread worth the name. Give at least {FEWEST}.")
    variances = draws.var(axis=0, ddof=1)
    weights = 1 / variances
    centre = float(weights @ draws.mean(axis=0) / weights.sum())
    q = float(weights @ (draws.mean(axis=0) - centre) ** 2)
    return Spread(float(values.std(ddof=1)), float(variances.mean() ** 0.5), q, float(chdtrc(values.size - 1, q)))


def ratio(values: Floats, draws: Floats, to_values: Floats, to_draws: Floats) -> Ratio:
    """Return the spread of one quantity over that of another; the same draw of the rates is behind both rows."""
    ratios = draws.std(axis=1, ddof=1) / to_draws.std(axis=1, ddof=1)
    low, high = np.quantile(ratios, [(1 - MASS) / 2, (1 + MASS) / 2])
    to = float(to_values.std(ddof=1))
    return Ratio(float(values.std(ddof=1)) / to if to > 0 else None, float(low), float(high))
