"""Exact limits of a probability from counts, also where they are looked at more than once.

At each look the limits are those of Clopper and Pearson (1934, Biometrika 26:404) at a level of its own; the levels are
such that all looks together err no more often than one would. Their proportions are those that error-spending leaves
for normal statistics; their size is as large as exact enumeration allows, over all probabilities, as counts that can
take few values err less often than they may. So at looks after 5 and 10 runs, 5 of 5 show more than one half, or 9 of
10 do; a single look has the whole of alpha.
"""

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy.special import betaincinv, binom  # pyright: ignore[reportMissingTypeStubs] - scipy ships none

from harness.decide.spending import Spending, nominal_levels, spent

Bounds = tuple[float, float]
"""A lower and an upper limit, each one-sided."""

MOST_ENUMERATED = 100
"""Runs at the last look beyond which levels are not enumerated but share alpha out (Bonferroni)."""
HALVINGS = 16
"""Of the range in which the size of the levels is sought."""


@lru_cache(maxsize=4096)
def clopper_pearson(events: int, runs: int, alpha: float) -> Bounds:
    """Return the exact one-sided lower and upper limits of a probability.

    Each limit holds at level `alpha` by itself: quantiles of beta distributions, taken directly because a simulation
    asks for millions of them.

    Args:
        events: Runs with the event.
        runs: Runs in all; with none, the limits are 0 and 1.
        alpha: One-sided level.
    """
    low = float(betaincinv(events, runs - events + 1, alpha)) if events else 0.0
    return low, float(betaincinv(events + 1, runs - events, 1 - alpha)) if events < runs else 1.0


def shared_out(alpha: float, sizes: Sequence[int], kind: Spending = "pocock") -> tuple[float, ...]:
    """Return levels of the looks that sum to alpha, (n_looks,), and so hold whatever the looks have in common.

    Args:
        alpha: One-sided level of all looks together.
        sizes: Runs at each look, (n_looks,), rising.
        kind: The spending function.
    """
    if len(sizes) == 1:
        return (alpha,)
    used = [spent(alpha, size / sizes[-1], kind) for size in sizes]
    return tuple(now - before for before, now in zip((0.0, *used), used, strict=False))


@lru_cache(maxsize=4096)
def count_levels(alpha: float, sizes: tuple[int, ...], kind: Spending = "pocock") -> tuple[float, ...]:
    """Return the one-sided level of each look's limits at which all looks err at most at alpha, whatever the chance.

    Args:
        alpha: One-sided level of all looks together, between 0 and 1.
        sizes: Runs at each look, (n_looks,), rising; the last is the final number.
        kind: The spending function.

    Returns:
        (n_looks,); a single look has the whole of alpha.
    """
    if len(sizes) == 1:
        return (alpha,)
    if sizes[-1] > MOST_ENUMERATED:
        return shared_out(alpha, sizes, kind)
    shares = np.array(nominal_levels(alpha, sizes, kind))
    low, high = 0.0, min(2.0, 0.999 / float(shares.max()))
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        low, high = (middle, high) if error_of(sizes, shares * middle) <= alpha else (low, middle)
    return tuple(float(level) for level in shares * low)


def error_of(sizes: Sequence[int], levels: Sequence[float] | NDArray[np.float64]) -> float:
    """Return the largest probability, over all probabilities of the event, that some look's upper limit lies below it.

    Between two values that limits can take, the counts that err are the same, and low counts are the rarer the more
    probable the event; so the largest error lies just above one of these values. Lower limits mirror upper ones.

    Args:
        sizes: Runs at each look, (n_looks,), rising.
        levels: One-sided level of each look's limits, (n_looks,).
    """
    limits = [
        betaincinv(np.arange(n) + 1.0, n - np.arange(n), 1 - level) for n, level in zip(sizes, levels, strict=True)
    ]
    p = np.nextafter(np.concatenate(limits), 2.0)[:, None]  # (n_values, 1)
    events = np.arange(sizes[-1] + 1)
    paths = np.zeros((len(p), len(events)))  # the probability of each count, no look having erred
    paths[:, 0] = 1.0
    error, before = np.zeros(len(p)), 0
    for n, limit in zip(sizes, limits, strict=True):
        new = events[: n - before + 1]
        chances = binom(n - before, new) * p**new * (1 - p) ** (n - before - new)
        reached = np.zeros_like(paths)
        for k in new:
            reached[:, k:] += paths[:, : len(events) - k] * chances[:, [k]]
        errs = events < (limit < p).sum(1, keepdims=True)
        error += np.where(errs, reached, 0.0).sum(1)
        paths, before = np.where(errs, 0.0, reached), n
    return float(error.max())
