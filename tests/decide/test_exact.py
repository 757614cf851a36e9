"""Exact limits over several looks: against every path of a few runs, and against closed forms."""

import math
from collections.abc import Sequence
from itertools import product
from typing import Any

import numpy as np
import pytest

from harness.decide.exact import clopper_pearson, count_levels, error_of, shared_out
from harness.decide.terms import Look

LOOKS = [(3, 5), (5, 9), (5, 10), (3, 5, 8), (4, 7, 10, 12)]


def error_by_paths(sizes: Sequence[int], levels: Sequence[float], p: float) -> float:
    """Return how often some look's upper limit lies below p, path by path."""
    error = 0.0
    for path in product((0, 1), repeat=sizes[-1]):
        limits = [clopper_pearson(sum(path[:n]), n, level)[1] for n, level in zip(sizes, levels, strict=True)]
        if min(limits) < p:
            error += p ** sum(path) * (1 - p) ** (sizes[-1] - sum(path))
    return error


@pytest.mark.parametrize("sizes", LOOKS)
@pytest.mark.parametrize("alpha", [0.05, 0.0125])
def test_all_looks_together_err_no_more_often_than_one_would(sizes: tuple[int, ...], alpha: float) -> None:
    levels = count_levels(alpha, sizes)
    worst = error_of(sizes, levels)
    assert 0.99 * alpha < worst <= alpha
    # The largest of them all lies just above a value that a limit can take; nowhere in between is there more.
    edges = [clopper_pearson(k, n, level)[1] for n, level in zip(sizes, levels, strict=True) for k in range(n)]
    by_paths = {p: error_by_paths(sizes, levels, p) for p in (*np.nextafter(edges, 2), 0.05, 0.3, 0.5, 0.8)}
    assert max(by_paths.values()) == pytest.approx(worst, rel=1e-9)


def test_what_five_and_ten_runs_decide_at_one_half() -> None:
    """5 of 5 at the first look, 9 of 10 at the second, though a fixed ten would bear neither more nor less."""
    first, second = (Look(number, (5, 10)).of_counts(0.05) for number in (1, 2))
    assert clopper_pearson(5, 5, first)[0] > 0.5
    assert clopper_pearson(4, 5, first)[0] < 0.5
    assert clopper_pearson(9, 10, second)[0] > 0.5
    assert clopper_pearson(8, 10, second)[0] < 0.5
    # Of fair coins 1/32 are unanimous in five; 5/1024 of the paths have their only exception among the first five.
    assert error_by_paths((5, 10), (first, second), 0.5) == pytest.approx(1 / 32 + 5 / 1024, rel=1e-12)


def test_one_look_has_the_whole_of_alpha() -> None:
    assert count_levels(0.05, (7,)) == shared_out(0.05, (7,)) == (0.05,)
    assert Look(1, (7,)).of_counts(0.05) == Look(1, (7,)).of_counts(0.05, cells=4) == 0.05


def test_the_mean_over_unlike_cells_shares_alpha_out() -> None:
    """Nothing is known of how looks at a pooled count hang together, so their levels sum to alpha (Bonferroni)."""
    levels = [Look(number, (3, 5, 8)).of_counts(0.05, cells=2) for number in (1, 2, 3)]
    assert math.fsum(levels) == pytest.approx(0.05, rel=1e-12)
    assert levels == list(shared_out(0.05, (3, 5, 8)))
    assert all(own > shared for own, shared in zip(count_levels(0.05, (3, 5, 8)), levels, strict=True))


@pytest.mark.parametrize("sizes", [*LOOKS, (9, 10), (10, 20, 40)])
@pytest.mark.parametrize("kind", ["pocock", "obrien_fleming"])
def test_the_last_look_has_no_less_than_is_shared_out(sizes: tuple[int, ...], kind: Any) -> None:
    """Who asks whether a region can be reached enumerates only where that much would not do."""
    assert count_levels(0.05, sizes, kind)[-1] >= shared_out(0.05, sizes)[-1]


def test_beyond_a_hundred_runs_alpha_is_shared_out() -> None:
    assert count_levels(0.05, (50, 101)) == shared_out(0.05, (50, 101))
    assert count_levels(0.05, (50, 100)) != shared_out(0.05, (50, 100))


def test_lower_limits_mirror_upper_ones() -> None:
    for number, n in ((1, 5), (2, 10)):
        level = Look(number, (5, 10)).of_counts(0.05)
        for k in range(n + 1):
            assert clopper_pearson(k, n, level)[0] == pytest.approx(1 - clopper_pearson(n - k, n, level)[1], abs=1e-12)
