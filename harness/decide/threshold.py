"""Where on a scale an event becomes more likely than not, from runs that either had it or had not.

The event's probability at x is logistic, 1 / (1 + exp(-(x - place) / width)), with both numbers unknown: a flat prior
on the place within its limits, a log-uniform one on the width (1/16 to 1, in the unit of x: from 10 % to 90 % takes
.27 to 4.4). The posterior is summed on a grid, so nothing is sampled and the same runs give the same answer.

It is the posterior of adaptive threshold measurement (Kontsevich and Tyler 1999, Vision Research 39:2729), without
lapses. When one stops is no part of a likelihood; how often its intervals cover at a fixed truth depends on the width
there and is simulated in `benchmarks/frontier.py`. Runs are taken as independent.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

MASS = 0.9
"""Probability of the interval, the rest equally on both sides."""
FINENESS = 1 / 32
"""Distance of neighbouring places of the grid."""
WIDTHS: Floats = np.geomspace(1 / 16, 1, 9)
"""Widths of the transition, (n_widths,), in the unit of x."""


@dataclass(frozen=True, slots=True, eq=False)
class Threshold:
    """The posterior of the place at which the event has probability one half, whatever the width.

    Attributes:
        places: Ascending places, (n_places,), equally far apart.
        weights: Probability of each, (n_places,).
    """

    places: Floats
    weights: Floats

    def quantiles(self, levels: Sequence[float]) -> Floats:
        """Return the quantiles (n_levels,) at these levels; each place stands for its surroundings, evenly."""
        edges = np.append(self.places - FINENESS / 2, self.places[-1] + FINENESS / 2)
        below = np.append(0.0, np.cumsum(self.weights))
        return np.interp(levels, below, edges)

    @property
    def median(self) -> float:
        """The place that is as likely too high as too low."""
        return float(self.quantiles([0.5])[0])

    @property
    def interval(self) -> tuple[float, float]:
        """The equal-tailed interval that holds `MASS`."""
        low, high = self.quantiles([(1 - MASS) / 2, (1 + MASS) / 2])
        return float(low), float(high)

    def draws(self, rng: np.random.Generator, count: int) -> Floats:
        """Return random places (count,)."""
        return self.quantiles(rng.random(count).tolist())


def locate(trials: Sequence[tuple[float, bool]], low: float, high: float) -> Threshold:
    """Return the posterior of the place.

    Args:
        trials: Where each run was, and whether it had the event, (n_runs,).
        low: The lowest place that is possible.
        high: The highest.
    """
    places = low + FINENESS * np.arange(round((high - low) / FINENESS) + 1, dtype=np.float64)
    log_weights = np.zeros((places.size, WIDTHS.size))
    for x, event in trials:
        distance = (x - places[:, None]) / WIDTHS
        log_weights -= np.logaddexp(0, -distance if event else distance)
    weights = np.exp(log_weights - log_weights.max()).sum(axis=1)
    return Threshold(places, weights / weights.sum())
