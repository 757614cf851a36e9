import math
from itertools import pairwise

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import integrate, special, stats  # pyright: ignore[reportMissingTypeStubs] - scipy ships none

from harness.decide.sequential import FinalLook, Regions, always_valid_half_width, e_value, resolve_probability
from harness.decide.spending import Spending, crossing, nominal_levels, spent

LOOKS = (3, 5, 8)
MARGIN = Regions(support_above=0.3, refute_below=0.3)
ZONE = Regions(support_above=0.3, refute_below=0.1)
EQUIVALENCE = Regions(support_above=-0.05, support_below=0.05, refute_below=-0.05, refute_above=0.05)


def bounds(levels: tuple[float, ...]) -> list[float]:
    """Return the z values of one-sided levels."""
    return [-float(special.ndtri(level)) for level in levels]


def within(count: int, trials: int, probability: float) -> bool:
    """Whether a count is within 4 standard errors of what its probability makes expect."""
    return abs(count - trials * probability) <= 4 * math.sqrt(trials * probability * (1 - probability))


def two_arms(sets: int, largest: int) -> dict[int, tuple[NDArray[np.float64], NDArray[np.float64]]]:
    """Return the estimates and standard errors, each (n_sets,), of two like arms after n runs an arm."""
    runs = np.random.default_rng(5).standard_normal((2, sets, largest))
    return {
        n: (
            runs[0, :, :n].mean(axis=1) - runs[1, :, :n].mean(axis=1),
            np.sqrt(runs[:, :, :n].var(axis=2, ddof=1).sum(axis=0) / n),
        )
        for n in range(3, largest + 1)
    }


# Jennison and Turnbull 2000, Group Sequential Methods, tables 2.1 and 2.3: two-sided .05, equal groups. The constant
# rounded down leaves more than .025 a side, rounded up less (crossing both sides has a probability below 1e-5).
@pytest.mark.parametrize(("looks", "constant"), [(2, 2.178), (3, 2.289), (4, 2.361), (5, 2.413)])
def test_pococks_constants_spend_five_percent(looks: int, constant: float) -> None:
    more, less = (sum(crossing([constant + d] * looks, range(1, looks + 1))) for d in (-0.0005, 0.0005))
    assert less < 0.025 < more


@pytest.mark.parametrize(("looks", "constant"), [(2, 1.977), (3, 2.004), (4, 2.024), (5, 2.040)])
def test_obrien_and_flemings_constants_spend_five_percent(looks: int, constant: float) -> None:
    def total(c: float) -> float:
        return sum(crossing([c * math.sqrt(looks / k) for k in range(1, looks + 1)], range(1, looks + 1)))

    assert total(constant + 0.0005) < 0.025 < total(constant - 0.0005)


def test_lan_and_demets_boundaries_at_thirds() -> None:
    # Lan-DeMets O'Brien-Fleming type, one-sided .025, three equal looks: 3.710, 2.511, 1.993 (Lan and DeMets 1983).
    assert bounds(nominal_levels(0.025, (1, 2, 3), "obrien_fleming")) == pytest.approx([3.710, 2.511, 1.993], abs=5e-4)


def test_the_levels_of_looks_at_3_5_and_8() -> None:
    # From an earlier, independent implementation; the simulation below checks them from outside.
    assert nominal_levels(0.05, LOOKS) == pytest.approx((0.0249, 0.0207, 0.0248), abs=5e-5)


def test_the_spending_functions() -> None:
    # .05 ln(1 + 1.71828 / 2) = .05 x .620115; z_.0125 = 2.241403, / sqrt .5 = 3.169822, 2 x .000763 = .001525.
    assert spent(0.05, 0.5) == pytest.approx(0.03100573, abs=1e-7)
    assert spent(0.025, 0.5, "obrien_fleming") == pytest.approx(0.0015252, abs=1e-6)


@pytest.mark.parametrize("kind", ["pocock", "obrien_fleming"])
@pytest.mark.parametrize("alpha", [1e-6, 0.05, 0.5])
def test_in_the_end_all_of_alpha_is_spent(kind: Spending, alpha: float) -> None:
    assert spent(alpha, 1.0, kind) == pytest.approx(alpha, rel=1e-9)
    assert sum(crossing(bounds(nominal_levels(alpha, LOOKS, kind)), LOOKS)) == pytest.approx(alpha, rel=1e-8)


@pytest.mark.parametrize("kind", ["pocock", "obrien_fleming"])
@pytest.mark.parametrize("sizes", [LOOKS, tuple(range(3, 21))])
def test_simulated_walks_cross_as_often_as_was_spent(kind: Spending, sizes: tuple[int, ...]) -> None:
    walks, levels = 200_000, nominal_levels(0.05, sizes, kind)
    steps = np.random.default_rng(1).standard_normal((walks, len(sizes))) * np.sqrt(np.diff(sizes, prepend=0))
    above = np.cumsum(steps, axis=1) / np.sqrt(sizes) > np.array(bounds(levels))
    assert within(int(above.any(axis=1).sum()), walks, 0.05)
    by_middle = int(above[:, : len(sizes) // 2 + 1].any(axis=1).sum())
    assert within(by_middle, walks, spent(0.05, sizes[len(sizes) // 2] / sizes[-1], kind))


@pytest.mark.parametrize("kind", ["pocock", "obrien_fleming"])
def test_every_level_rises_with_alpha(kind: Spending) -> None:
    # Only then is "the smallest alpha that decides" a p-value, to be found by bisection.
    levels = [nominal_levels(alpha, LOOKS, kind) for alpha in np.geomspace(1e-6, 0.5, 40).tolist()]
    assert all(less < more for pair in pairwise(levels) for less, more in zip(*pair, strict=True))


def test_a_single_look_has_the_whole_of_alpha() -> None:
    assert nominal_levels(0.05, (8,)) == (0.05,)


def test_only_the_ratios_of_the_sizes_matter() -> None:
    assert nominal_levels(0.05, (30, 50, 80)) == nominal_levels(0.05, LOOKS)


@pytest.mark.parametrize("sizes", [(), (5, 3), (3, 3), (0, 3)])
def test_looks_that_do_not_rise_are_refused(sizes: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="each is after more runs"):
        nominal_levels(0.05, sizes)


@pytest.mark.parametrize("alpha", [0.0, 1.0, math.nan])
def test_a_level_outside_0_to_1_is_refused(alpha: float) -> None:
    with pytest.raises(ValueError, match="lies between 0 and 1"):
        nominal_levels(alpha, LOOKS)


def test_welchs_t_at_the_looks_supports_a_zero_effect_no_more_often_than_alpha() -> None:
    sets, levels = 20_000, nominal_levels(0.05, LOOKS)
    arms, wrong = two_arms(sets, 8), np.zeros(sets, dtype=bool)
    for n, level in zip(LOOKS, levels, strict=True):
        estimate, se = arms[n]  # with 2 (n - 1) degrees of freedom, more than Welch's: the harder case
        wrong |= estimate - float(special.stdtrit(2 * (n - 1), 1 - level)) * se > 0
    assert wrong.sum() <= sets * 0.05 + 4 * math.sqrt(sets * 0.05 * 0.95)
    assert wrong.sum() > sets * spent(0.05, 3 / 8) * 0.9  # the first look alone spends .0249


@pytest.mark.parametrize("t", [0.0, 1.0, -2.5, 6.0])
@pytest.mark.parametrize(("df", "n_eff"), [(4.0, 1.5), (14.0, 4.0), (5.3, 2.5)])
def test_the_e_value_is_the_mixture_of_noncentral_t_densities(t: float, df: float, n_eff: float) -> None:
    c = 2.0
    tau = c * math.sqrt(n_eff)  # of the noncentrality (theta / sigma) sqrt n_eff

    def integrand(noncentrality: float) -> float:
        density = stats.nct.pdf(t, df, noncentrality) * stats.norm.pdf(noncentrality, scale=tau)  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]
        return float(density)  # pyright: ignore[reportUnknownArgumentType]

    mixture = sum(integrate.quad(integrand, *ends, epsabs=1e-12)[0] for ends in ((-8 * tau, 0), (0, 8 * tau)))  # pyright: ignore
    assert e_value(t, df, n_eff, c) == pytest.approx(mixture / stats.t.pdf(t, df), rel=1e-5)  # pyright: ignore


@pytest.mark.parametrize("alpha", [0.05, 0.005, 0.4])
@pytest.mark.parametrize("c", [1.0, 2.0])
def test_at_the_edge_the_e_value_is_one_over_two_alpha(alpha: float, c: float) -> None:
    half = always_valid_half_width(0.02, 14.0, 4.0, alpha, c)
    assert e_value(half / 0.02, 14.0, 4.0, c) == pytest.approx(1 / (2 * alpha), rel=1e-10)


def test_with_three_runs_an_arm_the_width_depends_on_the_degrees_of_freedom() -> None:
    # n_eff = 1.5, g = 1/7, 1 / (.1 sqrt g) = 26.458. df 4: R = 26.458^.4 = 3.7070, sqrt(4 x 2.7070 / (1 - .52957))
    # = 4.7976. df 2: R = 26.458^(2/3) = 8.8790, R g = 1.27: no limit yet.
    assert always_valid_half_width(0.1, 4.0, 1.5, 0.05) == pytest.approx(0.47976, abs=1e-5)
    assert always_valid_half_width(0.1, 2.0, 1.5, 0.05) == math.inf


def test_always_valid_limits_survive_looking_after_every_run() -> None:
    sets, arms = 20_000, two_arms(20_000, 20)
    above, below = np.zeros(sets, dtype=bool), np.zeros(sets, dtype=bool)
    for n, (estimate, se) in arms.items():
        half = always_valid_half_width(se, np.full(sets, 2.0 * (n - 1)), n / 2, 0.05)
        above, below = above | (estimate - half > 0), below | (estimate + half < 0)
    for wrong in (above, below):
        assert wrong.sum() <= sets * 0.05
    assert above.sum() > 0  # it can go wrong: limits that never exclude anything would pass the rest


@pytest.mark.parametrize("regions", [MARGIN, ZONE, EQUIVALENCE])
@pytest.mark.parametrize("estimate", [0.02, 0.25, 0.35])
@pytest.mark.parametrize("fraction", [3 / 8, 5 / 8])
def test_the_chance_to_resolve_is_that_of_simulated_endings(regions: Regions, estimate: float, fraction: float) -> None:
    # Flat priors on the effect and on log sigma: sigma^2 = s^2 df / chi^2, effect ~ N(estimate, se^2 sigma^2 / s^2),
    # and the mean of the runs to come has the variance of the mean of those seen x f / (1 - f).
    sets, se, df, final = 200_000, 0.03, 6.0, FinalLook(fraction, 14.0, 0.02, 0.01)
    generator = np.random.default_rng(7)
    spread = se * np.sqrt(df / generator.chisquare(df, sets))
    effect = estimate + spread * generator.standard_normal(sets)
    to_come = effect + spread * math.sqrt(fraction / (1 - fraction)) * generator.standard_normal(sets)
    last = fraction * estimate + (1 - fraction) * to_come
    wide, wider = (float(special.stdtrit(14.0, 1 - level)) * se * math.sqrt(fraction) for level in (0.02, 0.01))
    resolved = (last - wide > regions.support_above) & (last + wide < regions.support_below)
    resolved |= (last + wider < regions.refute_below) | (last - wider > regions.refute_above)
    assert within(int(resolved.sum()), sets, resolve_probability(estimate, se, df, regions, final))


def ending(estimate: float, regions: Regions = MARGIN, fraction: float = 3 / 8, se: float = 0.03) -> float:
    return resolve_probability(estimate, se, 4.0, regions, FinalLook(fraction, 14.0, 0.025, 0.025))


def test_with_all_runs_seen_it_is_resolved_or_it_is_not() -> None:
    # t_14(.975) = 2.1448, x .03 = .0643: clear of .3 from .3644 on and up to .2356.
    assert [ending(x, fraction=1.0) for x in (0.365, 0.364, 0.236, 0.235)] == [1, 0, 0, 1]


def test_far_from_the_margin_it_will_be_resolved() -> None:
    assert ending(300.0) == pytest.approx(1, abs=1e-9)
    assert ending(-300.0) == pytest.approx(1, abs=1e-9)


def test_at_the_margin_it_hardly_will() -> None:
    # 2 P(t_4 > 2.1448 sqrt(3/8) / sqrt(5/8) = 1.66133): between the two-sided .2 (1.533) and .1 (2.132).
    assert ending(0.3) == pytest.approx(2 * float(special.stdtr(4.0, -1.66133)), abs=1e-5)
    assert 0.1 < ending(0.3) < 0.2


def test_an_indifference_zone_makes_it_less_likely() -> None:
    assert ending(0.28, ZONE) < ending(0.28, MARGIN)


def test_an_interval_wider_than_the_region_cannot_support_equivalence() -> None:
    # The final half-width is 2.1448 x .1 x sqrt(3/8) = .131, the region's .05. What is left is refutation on either
    # side: 2 P(t_4 > (.5 + 2.1448 sqrt(3/8)) / sqrt(5/8) = 2.29379).
    assert ending(0.0, EQUIVALENCE, se=0.1) == pytest.approx(2 * float(special.stdtr(4.0, -2.29379)), abs=1e-5)


def test_mirrored_regions_give_the_mirrored_chance() -> None:
    mirrored = Regions(-math.inf, support_below=-0.3, refute_above=-0.1)
    assert ending(-0.33, mirrored) == pytest.approx(ending(0.33, ZONE), abs=1e-12)


def test_arrays_are_many_numbers() -> None:
    t, se, df = np.array([0.5, 3.0]), np.array([0.02, 0.04]), np.array([2.0, 6.0])
    final = FinalLook(3 / 8, 14.0, 0.025, 0.025)
    assert e_value(t, df, 1.5).tolist() == [e_value(*pair, 1.5) for pair in zip(t, df, strict=True)]
    assert always_valid_half_width(se, df, 1.5, 0.05).tolist() == [
        always_valid_half_width(*pair, 1.5, 0.05) for pair in zip(se, df, strict=True)
    ]
    assert resolve_probability(t, se, df, MARGIN, final).tolist() == [
        resolve_probability(*each, MARGIN, final) for each in zip(t, se, df, strict=True)
    ]
