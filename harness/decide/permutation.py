"""Whether y goes with x among units of one stratum: a slope with limits from permutations, and a monotone trend.

The unit is one independent base. Model: y = stratum intercept + slope x X + error, errors exchangeable within a
stratum, X conditioned on. "The slope is d" is tested one-sided by permuting the residuals y - d x X within strata.
Departure from the textbook: no search for the limits. With X centred within strata, an order p of the units does at
least as well as the observed one exactly from d_p = X.(y - y_p) / X.(X - X_p) on, and the divisor is never negative.
So both limits are order statistics of d_p; an order that moves only equal X does as well at every d. All orders are
taken where they are few, else a random sample and the observed one (Phipson & Smyth 2010, SAGMB 9:39).

Limits: what drifts with X between the units of one stratum counts as X's; checkpoints of one pass of training are
not exchangeable. Where y varies in no stratum the limits meet at zero, and the caller decides whether that is
evidence or a floor. Rounding counts as a tie, so it never helps a verdict.
"""

import itertools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]
Groups = Sequence[tuple[Floats, Floats]]
"""(x, y) of each stratum, each (n_s,)."""
Orders = NDArray[np.intp]
"""Orders of one stratum's units, (n_orders, n_s), the observed one first."""
Statistic = Callable[[Orders], Floats]
"""From a stratum's orders to its part of a sum over strata, (n_orders, n_terms)."""

EXACT_UP_TO = math.factorial(8)
"""Most orders that are all taken: those of eight units without strata; three strata of four have 13,824."""

DRAWS = 19_999
"""Random orders where there are more; with the observed one 20,000, so that the smallest p is 0.00005."""

ROUNDING = 1e-12
"""Share of |X| |y| below which a difference of two statistics is rounding."""


@dataclass(frozen=True, slots=True)
class SlopeFit:
    """A within-stratum slope with what its permutations say of every other slope."""

    estimate: float | None
    """Least squares with stratum intercepts, y's unit for one unit of x; None where x varies in no stratum."""
    n_units: int
    n_strata: int
    exact: bool
    """True where all orders were taken, False where they are a random sample."""
    reached: Floats = field(repr=False, compare=False)
    """Ascending (n_orders,): the slope from which on an order does at least as well; -inf where at every slope."""
    left: Floats = field(repr=False, compare=False)
    """Ascending (n_orders,): the slope up to which an order does at most as well; inf where at every slope."""

    @property
    def attainable_p(self) -> float:
        """The smallest one-sided p that these x and strata could give; in a random sample of orders, an estimate."""
        return self.p_above(-math.inf)

    def p_above(self, d: float) -> float:
        """Return the one-sided p of "the slope is at most d" against "above d"; never 0."""
        return int(np.searchsorted(self.reached, d, side="right")) / len(self.reached)

    def p_below(self, d: float) -> float:
        """Return the one-sided p of "the slope is at least d" against "below d"; never 0."""
        return (len(self.left) - int(np.searchsorted(self.left, d, side="left"))) / len(self.left)

    def low(self, alpha: float) -> float:
        """Return the one-sided lower limit, above d exactly where p_above(d) <= alpha < 1; -inf where there is none."""
        return float(self.reached[_rejecting(alpha, len(self.reached))])

    def high(self, alpha: float) -> float:
        """Return the one-sided upper limit, below d exactly where p_below(d) <= alpha < 1; inf where there is none."""
        return float(self.left[-1 - _rejecting(alpha, len(self.left))])


@dataclass(frozen=True, slots=True)
class Trend:
    """A monotone trend over ordered groups, compared within strata only."""

    concordance: float | None
    """Rising less falling pairs, as a share of the pairs from different groups, -1 to 1; None without such pairs."""
    p_rising: float
    """One-sided p of "no trend" against "y rises"; never 0."""
    p_falling: float
    """One-sided p of "no trend" against "y falls"; never 0."""
    n_pairs: int
    """Pairs of one stratum and different groups."""
    n_units: int
    n_strata: int
    exact: bool
    """True where all orders were taken, False where they are a random sample."""


def slope_fit(
    x: ArrayLike, y: ArrayLike, strata: Sequence[str], rng: np.random.Generator, x_unit: float | None = None
) -> SlopeFit:
    """Fit the within-stratum slope of y on x with its permutation test.

    Args:
        x: One value a unit, (n_units,).
        y: One value a unit, (n_units,).
        strata: One label a unit, (n_units,).
        rng: Draws the orders where not all are taken. The order in which the units are given does not matter.
        x_unit: What of x the slope is for, above 0; by default one pooled within-stratum standard deviation.

    Raises:
        ValueError: If there are no units, their numbers differ or a value is not finite.
    """
    groups = _by_stratum(x, y, strata)
    xx, _, yy = _products(groups)
    unit, slope = _unit_and_slope(groups, x_unit)
    sums, exact = _permuted_sums([(len(xs), _slope_terms(xs, ys)) for xs, ys in groups], rng)
    above, below = sums[:, 0], sums[:, 1]
    slack = ROUNDING * math.sqrt(xx * yy)
    return SlopeFit(
        estimate=slope,
        n_units=sum(len(xs) for xs, _ in groups),
        n_strata=len(groups),
        exact=exact,
        reached=np.sort(_ratio(unit * (above - slack), below, -math.inf)),
        left=np.sort(_ratio(unit * (above + slack), below, math.inf)),
    )


def leave_one_out_signs(
    x: ArrayLike, y: ArrayLike, strata: Sequence[str], groups: Sequence[str], x_unit: float | None = None
) -> dict[str, float | None]:
    """Return the slope without each group in turn: descriptive, for its sign.

    Args:
        x: One value a unit, (n_units,).
        y: One value a unit, (n_units,).
        strata: One label a unit, (n_units,).
        groups: One label a unit, (n_units,), for example its family.
        x_unit: As for `slope_fit`; by default one standard deviation of the units left.

    Returns:
        By group, in order of appearance, the slope of the others; None where their x varies in no stratum.

    Raises:
        ValueError: If the numbers of units differ or a value is not finite.
    """
    rows = list(zip(np.asarray(x, float), np.asarray(y, float), strata, groups, strict=True))
    slopes: dict[str, float | None] = {}
    for group in dict.fromkeys(groups):
        kept = [row for row in rows if row[3] != group]
        xs, ys, labels = ([row[column] for row in kept] for column in range(3))
        slopes[group] = _unit_and_slope(_by_stratum(xs, ys, labels), x_unit)[1] if kept else None
    return slopes


def partial_correlation(x: ArrayLike, y: ArrayLike, strata: Sequence[str]) -> float | None:
    """Return the correlation of x and y after taking out the stratum means, -1 to 1.

    It is the partial correlation given n_strata - 1 stratum dummies and has n_units - n_strata - 1 residual degrees
    of freedom. None where x or y varies in no stratum.

    Args:
        x: One value a unit, (n_units,).
        y: One value a unit, (n_units,).
        strata: One label a unit, (n_units,).

    Raises:
        ValueError: If there are no units, their numbers differ or a value is not finite.
    """
    xx, xy, yy = _products(_by_stratum(x, y, strata))
    return xy / math.sqrt(xx * yy) if xx > 0 and yy > 0 else None


def jonckheere(y: ArrayLike, order: ArrayLike, strata: Sequence[str], rng: np.random.Generator) -> Trend:
    """Test for a monotone trend of y over ordered groups, within strata.

    The statistic is the sum over strata of Jonckheere's S, the rising less the falling pairs of different groups; a
    pair of equal y counts for neither. S = 2J - n_pairs, J being Terpstra's sum of Mann-Whitney counts (Jonckheere
    1954, Biometrika 41:133). As a share of the pairs it is Somers' D of y given the group, and Kendall's tau where
    all values differ.

    Args:
        y: One value a unit, (n_units,).
        order: The group's place, for example its token budget, (n_units,).
        strata: One label a unit, (n_units,), for example its family.
        rng: Draws the orders where not all are taken. The order in which the units are given does not matter.

    Raises:
        ValueError: If there are no units, their numbers differ or a value is not finite.
    """
    groups = _by_stratum(order, y, strata)
    sums, exact = _permuted_sums([(len(ys), _rising_terms(places, ys)) for places, ys in groups], rng)
    s = sums[:, 0]
    n_pairs = sum(int(np.less.outer(places, places).sum()) for places, _ in groups)
    return Trend(
        concordance=float(s[0]) / n_pairs if n_pairs else None,
        p_rising=int(np.count_nonzero(s >= s[0])) / len(s),
        p_falling=int(np.count_nonzero(s <= s[0])) / len(s),
        n_pairs=n_pairs,
        n_units=sum(len(ys) for _, ys in groups),
        n_strata=len(groups),
        exact=exact,
    )


def _by_stratum(x: ArrayLike, y: ArrayLike, strata: Sequence[str]) -> Groups:
    """Return (x, y) of each stratum, each (n_s,), in an order that does not depend on the one given."""
    xs, ys, labels = np.asarray(x, float), np.asarray(y, float), np.asarray(strata, str)
    if not xs.shape == ys.shape == labels.shape == (len(strata),) or not len(strata):
        shapes = f"x {xs.shape}, y {ys.shape}, strata {labels.shape}"
        raise ValueError(f"{shapes}: must be alike and not empty. Give one of each a unit.")
    if not np.isfinite([xs, ys]).all():
        raise ValueError("x and y must be finite. Leave out units without a value and report how many.")
    places = np.lexsort((ys, xs, labels))
    cuts = np.flatnonzero(labels[places][1:] != labels[places][:-1]) + 1
    return [(xs[units], ys[units]) for units in np.split(places, cuts)]


def _centred(values: Floats) -> Floats:
    moved = values - values[0]  # first, since equal values less their rounded mean may not be exactly zero
    return moved - moved.mean()


def _products(groups: Groups) -> tuple[float, float, float]:
    """Return the within-stratum sums of products x.x, x.y and y.y."""
    x, y = (np.concatenate([_centred(pair[side]) for pair in groups]) for side in (0, 1))
    return float(x @ x), float(x @ y), float(y @ y)


def _unit_and_slope(groups: Groups, x_unit: float | None) -> tuple[float, float | None]:
    """Return the unit of x, by default its deviation on n_units - n_strata degrees of freedom, and the slope."""
    xx, xy, _ = _products(groups)
    if xx == 0:
        return 0.0, None
    unit = math.sqrt(xx / sum(len(xs) - 1 for xs, _ in groups)) if x_unit is None else x_unit
    return unit, unit * xy / xx


def _slope_terms(x: Floats, y: Floats) -> Statistic:
    """Return a stratum's X.(y - y_p) and X.(X - X_p), the latter as |X - X_p|^2 / 2: zero exactly where X_p = X."""
    centred = _centred(x)
    return lambda orders: np.column_stack(((y - y[orders]) @ centred, np.square(x - x[orders]).sum(axis=1) / 2))


def _rising_terms(places: Floats, y: Floats) -> Statistic:
    """Return a stratum's rising less falling pairs of different places."""
    signs = np.sign(np.subtract.outer(y, y))  # (n_s, n_s): y of the row less y of the column
    later = [np.flatnonzero(places > place) for place in places]

    def rising(orders: Orders) -> Floats:
        # One unit at a time: all pairs at once would take n_s times the memory.
        s = np.zeros(len(orders))
        for unit, others in enumerate(later):
            s += signs[orders[:, others], orders[:, [unit]]].sum(axis=1)
        return s[:, None]

    return rising


def _permuted_sums(strata: Sequence[tuple[int, Statistic]], rng: np.random.Generator) -> tuple[Floats, bool]:
    """Return the statistics summed over strata, (n_orders, n_terms), the observed first, and whether of all orders.

    Args:
        strata: A stratum's number of units and its statistic, (n_strata,).
        rng: Draws the orders where there are more than EXACT_UP_TO.
    """
    exact = math.prod(math.factorial(size) for size, _ in strata) <= EXACT_UP_TO
    sums = np.zeros((1, 1))
    for size, statistic in strata:
        if exact:  # every order of this stratum with every one of those before
            terms = statistic(_all_orders(size))
            sums = (sums[:, None] + terms).reshape(-1, terms.shape[1])
        else:
            sums = sums + statistic(_drawn_orders(size, rng))
    return sums, exact


@lru_cache(maxsize=8)
def _all_orders(size: int) -> Orders:
    orders = np.array(list(itertools.permutations(range(size))), np.intp)
    orders.setflags(write=False)
    return orders


def _drawn_orders(size: int, rng: np.random.Generator) -> Orders:
    observed = np.tile(np.arange(size), (DRAWS + 1, 1))
    return np.vstack((observed[:1], rng.permuted(observed[1:], axis=1)))


def _ratio(numerators: Floats, divisors: Floats, at_zero: float) -> Floats:
    return np.divide(numerators, divisors, out=np.full_like(divisors, at_zero), where=divisors > 0)


def _rejecting(alpha: float, n_orders: int) -> int:
    """Return the largest count k with k / n_orders <= alpha, by the very division that gives p."""
    k = round(alpha * n_orders)
    return k if k / n_orders <= alpha else k - 1
