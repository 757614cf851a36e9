"""What more runs may bring: limits that hold at every look without a plan, and the chance that the plan's end decides.

Always-valid limits come from a Gaussian-mixture t e-value: theta / sigma ~ N(0, c^2) under the alternative, sigma with
its right-Haar prior. Whenever one looks, the limits are wrong at some time with probability at most 2 alpha, alpha a
side by symmetry. They serve where nobody knows how many runs will come; with a planned end the levels of `spending`
give narrower ones. Exact for one variance common to all runs and the pooled t; with Welch's t and Satterthwaite's df,
as the harness has them, approximate.

The chance to resolve is a flat-prior prediction of the final interval from the present one, taking the variance as
final. It is for stopping without a decision (futility), which is never binding and cannot raise the error.

Numbers may be floats or arrays (n_sets,) of as many data sets.
"""

import math
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtr, stdtrit  # pyright: ignore[reportMissingTypeStubs] - scipy ships none

Numbers = TypeVar("Numbers", float, NDArray[np.float64])
"""One number, or one a data set, (n_sets,)."""


@dataclass(frozen=True, slots=True)
class Regions:
    """Where an interval has to lie for a decision; the edges are in no region, and the regions do not overlap."""

    support_above: float
    """Supported when wholly above this, which may be minus infinity, ..."""
    support_below: float = math.inf
    """... and wholly below this."""
    refute_below: float = -math.inf
    """Refuted when wholly below this."""
    refute_above: float = math.inf
    """Refuted when wholly above this."""


@dataclass(frozen=True, slots=True)
class FinalLook:
    """What is planned for the last look."""

    fraction: float
    """Runs seen now / runs at the last look, above 0, at most 1."""
    df: float
    """Degrees of freedom expected there."""
    support_level: float
    """One-sided level at which it may be supported there."""
    refute_level: float
    """One-sided level at which it may be refuted there."""


def e_value(t: Numbers, df: Numbers, n_eff: float, c: float = 2.0) -> Numbers:
    """Return the evidence against a zero effect; it reaches 1 / (2 alpha) with probability at most 2 alpha, ever.

    sqrt(g) [(1 + t^2 / df) / (1 + g t^2 / df)]^((df + 1) / 2), g = 1 / (1 + n_eff c^2): the density of t averaged over
    its noncentrality ~ N(0, n_eff c^2), divided by the central density (Wang and Ramdas 2024, arXiv:2310.03722).

    Args:
        t: Estimate / standard error.
        df: Degrees of freedom.
        n_eff: 1 / sum_i (w_i^2 / n_i) of a contrast with weights w and n_i runs a cell.
        c: Standard deviation of the effects expected, in between-run standard deviations.
    """
    g = 1 / (1 + n_eff * c**2)
    gain = np.log1p(t**2 / df) - np.log1p(g * t**2 / df)
    value: Any = math.sqrt(g) * np.exp((df + 1) / 2 * gain)  # numpy's stubs do not follow a number or an array through
    return value


def always_valid_half_width(se: Numbers, df: Numbers, n_eff: float, alpha: float, c: float = 2.0) -> Numbers:
    """Return half the width of the interval of all effects whose `e_value` is below 1 / (2 alpha).

    se sqrt(df (R - 1) / (1 - R g)), R = (1 / (2 alpha sqrt g))^(2 / (df + 1)): the e-value solved for t. Infinite
    where R g >= 1: no t, however large, is evidence enough yet.

    Args:
        se: Standard error, in the estimate's unit.
        df: Degrees of freedom.
        n_eff: 1 / sum_i (w_i^2 / n_i) of a contrast with weights w and n_i runs a cell.
        alpha: One-sided level, at most .5.
        c: Standard deviation of the effects expected, in between-run standard deviations.
    """
    g = 1 / (1 + n_eff * c**2)
    excess = np.expm1(-2 / (df + 1) * math.log(2 * alpha * math.sqrt(g)))
    room = 1 - (1 + excess) * g
    half = se * np.sqrt(df * excess / np.where(room > 0, room, 1))
    finite_or_not: Any = np.where(room > 0, half, math.inf)[()]
    return finite_or_not


def resolve_probability(estimate: Numbers, se: Numbers, df: Numbers, regions: Regions, final: FinalLook) -> Numbers:
    """Return the probability that the last look's interval will lie inside one of the regions.

    With f the fraction seen: the final estimate is estimate + t_df se sqrt(1 - f), the final half-width
    t_{final df} se sqrt(f), since the flat-prior predictive variance of the mean of all runs is se^2 (1 - f)
    (Spiegelhalter, Freedman and Blackburn 1986, Controlled Clinical Trials 7:8, for known variance).

    Args:
        estimate: The contrast now.
        se: Its standard error now, finite and above zero.
        df: Its degrees of freedom now.
        regions: On the contrast's scale.
        final: The last look.
    """

    def clears(distance: Numbers, level: float) -> Any:
        """Return the probability that the final limit stays clear of an edge that is `distance` away now."""
        half = float(stdtrit(final.df, 1 - level)) * math.sqrt(final.fraction)
        if final.fraction >= 1:
            return np.where(distance / se > half, 1.0, 0.0)[()]
        return stdtr(df, (distance / se - half) / math.sqrt(1 - final.fraction))

    above = clears(estimate - regions.support_above, final.support_level)
    below = clears(regions.support_below - estimate, final.support_level)
    supported = np.maximum(above + below - 1, 0)  # both: at least one holds, or it is too wide for both
    low = clears(regions.refute_below - estimate, final.refute_level)
    return supported + low + clears(estimate - regions.refute_above, final.refute_level)
