"""At which level each look may decide, so that all looks together decide wrongly no more often than one would.

Error-spending (Lan and DeMets 1983, Biometrika 70:659): a function says how much of alpha may be used up by the share
of the final sample that has been seen; the level of a look is found by the recursion of Armitage, McPherson and Rowe
(1969, JRSS A 132:235), numerical integration of the density of S_k = sqrt(t_k) Z_k below the earlier boundaries.

Departures from the textbook: the boundaries are one-sided and are handed out as nominal levels, to be used as t
quantiles instead of normal ones. With normal statistics of known variance the total is alpha exactly; with Welch's t
it is approximately alpha, as `benchmarks/sequential.py` measures. The lower side is never a boundary here: stopping
without a decision, for whatever reason, only lowers the error.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import brentq  # pyright: ignore[reportMissingTypeStubs, reportUnknownVariableType] - scipy ships none
from scipy.special import ndtr, ndtri, roots_legendre  # pyright: ignore[reportMissingTypeStubs, reportUnknownVariableType] - likewise

Spending = Literal["pocock", "obrien_fleming"]
"""Nearly the same level at every look, or almost nothing at the early ones."""

_NODES = 256
"""Of the Gauss-Legendre rule, over at most 18 standard deviations; see `crossing` for what it can resolve."""
_REACH = 9.0
"""Standard deviations beyond which S_k has a probability (1e-19) that is left out."""
_NEVER = 40.0
"""A boundary on the z scale that is crossed with probability zero in double precision."""


@dataclass(frozen=True, slots=True)
class _Uncrossed:
    """Where S is while no boundary has been crossed: `mass` (n_nodes,) at `nodes` (n_nodes,), at a fraction."""

    fraction: float
    nodes: NDArray[np.float64]
    mass: NDArray[np.float64]

    def crosses(self, fraction: float, bound: float) -> float:
        """Return the probability of being above `bound` (a z value) at a later fraction, for the first time."""
        ahead = self.nodes - bound * math.sqrt(fraction)
        return float(self.mass @ ndtr(ahead / math.sqrt(fraction - self.fraction)))

    def below(self, fraction: float, bound: float) -> "_Uncrossed":
        """Return where S is at a later fraction if it is below `bound` (a z value) there too."""
        scale, step = math.sqrt(fraction), math.sqrt(fraction - self.fraction)
        roots, weights = _rule()
        low, high = -_REACH * scale, min(bound, _REACH) * scale
        nodes = (low + high + (high - low) * roots) / 2
        kernel = np.exp(-(((nodes[:, None] - self.nodes) / step) ** 2) / 2) / (step * math.sqrt(2 * math.pi))
        return _Uncrossed(fraction, nodes, kernel @ self.mass * weights * (high - low) / 2)


def spent(alpha: float, fraction: float, kind: Spending = "pocock") -> float:
    """Return how much of a one-sided alpha may be used up once `fraction` of the final sample has been seen.

    Args:
        alpha: One-sided level of all looks together.
        fraction: Information fraction, above 0, at most 1.
        kind: alpha ln(1 + (e - 1) t), or 2 (1 - Phi(z_{alpha/2} / sqrt t)), both of Lan and DeMets (1983).
    """
    if kind == "pocock":
        return alpha * math.log1p(math.expm1(1) * fraction)
    return 2 * float(ndtr(ndtri(alpha / 2) / math.sqrt(fraction)))


@lru_cache(maxsize=4096)
def nominal_levels(alpha: float, sizes: tuple[int, ...], kind: Spending = "pocock") -> tuple[float, ...]:
    """Return the one-sided level of each look's test or interval.

    Args:
        alpha: One-sided level of all looks together, between 0 and 1.
        sizes: Runs per arm at each look, (n_looks,), rising; the last is the final sample.
        kind: The spending function.

    Returns:
        (n_looks,); a single look has the whole of alpha.

    Raises:
        ValueError: Where alpha is no level or the sizes do not rise.
    """
    if not 0 < alpha < 1:
        raise ValueError(f"alpha {alpha}: the level of all looks together lies between 0 and 1, e.g. 0.05.")
    fractions = _fractions(sizes)
    if len(sizes) == 1:
        return (alpha,)
    levels, used, walk = list[float](), 0.0, _start()
    for fraction in fractions:
        total = spent(alpha, fraction, kind)
        bound = _bound(walk, fraction, total - used)
        levels.append(float(ndtr(-bound)))
        used, walk = total, walk.below(fraction, bound)
    return tuple(levels)


def crossing(bounds: Sequence[float], sizes: Sequence[int]) -> tuple[float, ...]:
    """Return the probability that Z_k is above its bound for the first time at look k, when there is no effect.

    Exact to about 1e-12 for looks at least a hundredth of the sample so far apart.

    Args:
        bounds: On the z scale, (n_looks,).
        sizes: Runs per arm at each look, (n_looks,), rising.

    Returns:
        (n_looks,); the sum is the type I error of the one-sided test.

    Raises:
        ValueError: Where the sizes do not rise.
    """
    first, walk = list[float](), _start()
    for fraction, bound in zip(_fractions(sizes), bounds, strict=True):
        first.append(walk.crosses(fraction, bound))
        walk = walk.below(fraction, bound)
    return tuple(first)


def _bound(walk: _Uncrossed, fraction: float, increment: float) -> float:
    """Return the z value that is crossed first at this fraction with probability `increment`."""

    def excess(bound: float) -> float:
        return walk.crosses(fraction, bound) - increment

    return float(brentq(excess, -_REACH, _NEVER))  # pyright: ignore[reportArgumentType, reportUnknownArgumentType]


def _fractions(sizes: Sequence[int]) -> list[float]:
    if not sizes or any(a >= b for a, b in zip((0, *sizes), sizes, strict=False)):
        raise ValueError(f"looks {list(sizes)}: each is after more runs than the one before, e.g. [3, 5, 8].")
    return [size / sizes[-1] for size in sizes]


def _start() -> _Uncrossed:
    return _Uncrossed(0.0, np.zeros(1), np.ones(1))


@lru_cache(maxsize=1)
def _rule() -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the roots and weights of the Gauss-Legendre rule on (-1, 1), each (n_nodes,)."""
    return roots_legendre(_NODES)
