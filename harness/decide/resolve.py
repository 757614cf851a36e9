"""How many more runs a cell would decide, if estimate and spread stayed what they are. A plan, not a promise.

The answer is for a new design with a single look: within the present one no run beyond its last look counts.
"""

import math
from collections.abc import Callable

from scipy.special import stdtrit  # pyright: ignore[reportMissingTypeStubs] - scipy ships none

from harness.decide.contrasts import ContrastFit
from harness.decide.sequential import Regions
from harness.decide.terms import Terms

MOST = 1000
"""Runs a cell beyond which the answer is: none."""


def runs_to_resolve(fit: ContrastFit, regions: Regions, terms: Terms, n: int) -> int | None:
    """Return the further runs a cell after which a contrast's interval would lie inside one region.

    Args:
        fit: The contrast at `n` runs a cell.
        regions: On the contrast's scale.
        terms: The levels of the two sides.
        n: Runs a cell now.
    """
    if not math.isfinite(fit.se) or n < 2:
        return None
    ways = max(1, (regions.refute_below > -math.inf) + (regions.refute_above < math.inf))

    def decided(runs: int) -> bool:
        se, df = fit.se * math.sqrt(n / runs), fit.df * (runs - 1) / (n - 1)
        half, refuting = (float(stdtrit(df, 1 - a)) * se for a in (terms.alpha, terms.refute_alpha / ways))
        low, high = fit.estimate - half, fit.estimate + half
        above = regions.support_above == -math.inf or low > regions.support_above
        inside = above and (regions.support_below == math.inf or high < regions.support_below)
        outside = fit.estimate + refuting < regions.refute_below or fit.estimate - refuting > regions.refute_above
        return inside or outside

    return first(decided, n)


def first(decided: Callable[[int], bool], n: int) -> int | None:
    """Return how many runs beyond `n` it takes until `decided`, which stays true once it is; None beyond MOST."""
    if decided(n):
        return 0
    if not decided(MOST):
        return None
    low, high = n, MOST
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if decided(middle) else (middle, high)
    return high - n
