"""How many more runs would decide: against the closed form, and against deciding with that many."""

import math

import pytest
from scipy.special import stdtrit  # pyright: ignore[reportMissingTypeStubs] - scipy ships none

from harness.decide.contrasts import ContrastFit
from harness.decide.resolve import MOST, first, runs_to_resolve
from harness.decide.sequential import Regions
from harness.decide.terms import fixed

ABOVE = Regions(support_above=0.3, refute_below=0.3)


def fit(estimate: float, sd: float, n: int) -> ContrastFit:
    """Two arms of n runs and one spread: se = sd sqrt(2 / n), df = 2 (n - 1)."""
    return ContrastFit(estimate, sd * math.sqrt(2 / n), 2.0 * (n - 1), n / 2, 2.0 * (n - 1))


def half(sd: float, n: int, level: float) -> float:
    return float(stdtrit(2.0 * (n - 1), 1 - level)) * sd * math.sqrt(2 / n)


@pytest.mark.parametrize("sd", [0.05, 0.1, 0.4])
@pytest.mark.parametrize("distance", [0.04, -0.04, 0.1])
def test_it_is_the_fewest_runs_whose_interval_clears_the_margin(distance: float, sd: float) -> None:
    more = runs_to_resolve(fit(0.3 + distance, sd, 3), ABOVE, fixed(0.05, 0.025), 3)
    assert more is not None
    level = 0.05 if distance > 0 else 0.025
    assert half(sd, 3 + more, level) < abs(distance)
    assert more == 0 or half(sd, 3 + more - 1, level) >= abs(distance)


def test_far_from_small_samples_it_is_the_normal_formula() -> None:
    # n = 2 (z sd / distance)^2 = 2 (1.644854 x 10)^2 = 541.1 for sd = 10 distances; t makes it one or two more.
    more = runs_to_resolve(fit(0.31, 0.1, 10), ABOVE, fixed(0.05, 0.05), 10)
    assert more is not None
    assert 541 <= 10 + more <= 544


def test_at_the_margin_no_number_of_runs_decides() -> None:
    assert runs_to_resolve(fit(0.3, 0.1, 5), ABOVE, fixed(0.05, 0.05), 5) is None
    assert half(0.1, MOST, 0.05) > 0.001
    assert runs_to_resolve(fit(0.301, 0.1, 5), ABOVE, fixed(0.05, 0.05), 5) is None  # beyond MOST


def test_what_is_decided_needs_no_more() -> None:
    assert runs_to_resolve(fit(0.9, 0.01, 3), ABOVE, fixed(0.05, 0.05), 3) == 0


def test_an_indifference_zone_resolves_nothing_inside_it() -> None:
    zone = Regions(support_above=0.3, refute_below=0.1)
    assert runs_to_resolve(fit(0.2, 0.001, 5), zone, fixed(0.05, 0.05), 5) is None


def test_equivalence_needs_both_limits_inside_and_either_outside_at_half_the_level() -> None:
    both = Regions(support_above=-0.05, support_below=0.05, refute_below=-0.05, refute_above=0.05)
    inside = runs_to_resolve(fit(0.01, 0.05, 3), both, fixed(0.05, 0.05), 3)
    outside = runs_to_resolve(fit(0.09, 0.05, 3), both, fixed(0.05, 0.05), 3)
    assert inside is not None and outside is not None
    assert half(0.05, 3 + inside, 0.05) < 0.04 <= half(0.05, 2 + inside, 0.05)
    assert half(0.05, 3 + outside, 0.025) < 0.04 <= half(0.05, 2 + outside, 0.025)


@pytest.mark.parametrize(("se", "n"), [(math.inf, 5), (0.1, 1)])
def test_without_a_spread_nobody_knows(se: float, n: int) -> None:
    assert runs_to_resolve(ContrastFit(0.9, se, 4.0), ABOVE, fixed(0.05, 0.05), n) is None


@pytest.mark.parametrize("needed", [1, 2, 3, 17, 999, 1000])
def test_the_search_finds_the_first(needed: int) -> None:
    assert first(lambda n: n >= needed, 1) == needed - 1
    assert first(lambda n: n >= needed, 1000) == 0


def test_the_search_ends() -> None:
    assert first(lambda n: n > MOST, 1) is None
