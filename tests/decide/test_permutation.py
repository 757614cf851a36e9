import itertools
import math
from collections.abc import Sequence

import numpy as np
import pytest
from numpy.typing import ArrayLike, NDArray
from scipy import stats  # pyright: ignore[reportMissingTypeStubs] - scipy ships none

from harness.decide.permutation import (
    DRAWS,
    SlopeFit,
    Trend,
    jonckheere,
    leave_one_out_signs,
    partial_correlation,
    slope_fit,
)
from harness.spec.reachability import attainable_p

Values = Sequence[float] | NDArray[np.float64]

# Three strata of 3, 4 and 2 units: 3! x 4! x 2! = 288 orders. No two slopes d_p are near each other.
STRATA = list("aaabbbbcc")
X = np.array([1.0, 2.5, 4.1, 0.3, 1.9, 2.2, 5.0, 7.3, 9.1])
Y = np.array([0.21, 0.34, 0.29, 0.52, 0.55, 0.71, 0.68, 0.11, 0.17])

# Hollander & Wolfe (1999) Example 6.2, Table 6.6: pieces worked with no, rough and accurate knowledge of performance.
KNOWLEDGE = [40, 35, 38, 43, 44, 41, 38, 40, 47, 44, 40, 42, 48, 40, 45, 43, 46, 44]
# The `coffee` example of DescTools' JonckheereTerpstraTest (R): groups of 4, 6 and 5, no ties.
COFFEE = [447, 396, 383, 410, 438, 521, 468, 391, 504, 472, 513, 543, 506, 489, 407]


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def alone(n: int) -> list[str]:
    """Labels that put n units in one stratum."""
    return ["one"] * n


def strata_of(n_strata: int, size: int) -> list[str]:
    return [f"s{index}" for index in range(n_strata) for _ in range(size)]


def fit(x: ArrayLike, y: ArrayLike, strata: Sequence[str], x_unit: float | None = None) -> SlopeFit:
    return slope_fit(x, y, strata, rng(), x_unit)


def limits(found: SlopeFit, alpha: float = 0.05) -> tuple[float, float]:
    return found.low(alpha), found.high(alpha)


def orders_by_hand(strata: Sequence[str]) -> list[list[int]]:
    """Every order of the units that keeps each in its stratum, (n_orders, n_units)."""
    members = [[i for i, label in enumerate(strata) if label == name] for name in dict.fromkeys(strata)]
    orders: list[list[int]] = []
    for moved in itertools.product(*(itertools.permutations(group) for group in members)):
        order = list(range(len(strata)))
        for group, places in zip(members, moved, strict=True):
            for unit, place in zip(group, places, strict=True):
                order[unit] = place
        orders.append(order)
    return orders


def p_by_hand(x: Values, y: Values, strata: Sequence[str], d: float, side: int) -> float:
    """Permute the residuals y - d x against the centred x, d per unit of x: the definition, unit by unit."""
    means = {name: np.mean([v for v, label in zip(x, strata, strict=True) if label == name]) for name in set(strata)}
    centred = [v - means[label] for v, label in zip(x, strata, strict=True)]
    residual = [b - d * a for a, b in zip(x, y, strict=True)]
    observed = sum(c * r for c, r in zip(centred, residual, strict=True))
    orders = orders_by_hand(strata)
    values = [sum(c * residual[place] for c, place in zip(centred, order, strict=True)) for order in orders]
    return sum(side * (value - observed) >= -1e-9 for value in values) / len(orders)


def test_p_is_that_of_permuting_the_residuals_one_by_one() -> None:
    found = fit(X, Y, STRATA, x_unit=1)
    slopes = (-0.2, -0.05, 0.0, 0.03, 0.06, 0.2)
    assert [found.p_above(d) for d in slopes] == pytest.approx([p_by_hand(X, Y, STRATA, d, 1) for d in slopes])
    assert [found.p_below(d) for d in slopes] == pytest.approx([p_by_hand(X, Y, STRATA, d, -1) for d in slopes])


def test_equal_x_and_equal_y_count_as_ties() -> None:
    # Budgets with two bases each, accuracies on a coarse grid: many orders do exactly as well.
    strata, x, y = alone(6), [1.0, 1, 2, 2, 3, 3], [0.1, 0.2, 0.2, 0.3, 0.2, 0.4]
    found = fit(x, y, strata, x_unit=1)
    for d in (0.0, 0.05, 0.1):
        assert found.p_above(d) == pytest.approx(p_by_hand(x, y, strata, d, 1))
        assert found.p_below(d) == pytest.approx(p_by_hand(x, y, strata, d, -1))
    # Moving only equal x changes nothing: 2 x 2 x 2 of the 720 orders.
    assert found.attainable_p == pytest.approx(8 / 720)


@pytest.mark.parametrize("alpha", [0.01, 0.05, 0.1, 0.25, 4 / 288])
def test_a_limit_is_where_p_crosses_alpha(alpha: float) -> None:
    found = fit(X, Y, STRATA, x_unit=1)
    low, high = limits(found, alpha)
    assert p_by_hand(X, Y, STRATA, low - 1e-7, 1) <= alpha < p_by_hand(X, Y, STRATA, low + 1e-7, 1)
    assert p_by_hand(X, Y, STRATA, high + 1e-7, -1) <= alpha < p_by_hand(X, Y, STRATA, high - 1e-7, -1)


def test_a_limit_and_its_p_never_disagree() -> None:
    found = fit(X, Y, STRATA)
    for d in np.linspace(-0.3, 0.3, 601).tolist() + found.reached[found.reached > -math.inf].tolist():
        assert (found.low(0.05) > d) == (found.p_above(d) <= 0.05)
        assert (found.high(0.05) < d) == (found.p_below(d) <= 0.05)


@pytest.mark.parametrize(
    ("n", "p"),
    # 1/n!, where scipy.stats.spearmanr says 0 for n = 3 and 4.
    [(3, 1 / 6), (4, 1 / 24), (5, 1 / 120)],
)
def test_perfect_agreement_is_never_certain(n: int, p: float) -> None:
    found = fit(np.arange(n), np.arange(n), alone(n))
    assert found.exact
    assert found.p_above(0) == pytest.approx(p)
    assert found.attainable_p == attainable_p([n]) == pytest.approx(p)
    assert found.p_below(0) == 1


def test_three_units_have_no_limit_at_five_per_cent() -> None:
    found = fit([1, 2, 3], [1, 2, 3], alone(3))
    assert limits(found) == (-math.inf, math.inf)
    # At 1/6 the observed order may be alone, so the limits are finite: with y = x every slope but 1 is rejected.
    assert limits(found, 1 / 6) == pytest.approx((1, 1))


def test_attainable_p_of_strata_is_the_product() -> None:
    assert attainable_p([4, 4, 4]) == 1 / 13_824
    assert attainable_p([3, 3, 3]) == pytest.approx(1 / 216)
    assert attainable_p([1, 1]) == 1
    assert fit(X, Y, STRATA).attainable_p == attainable_p([3, 4, 2])


@pytest.mark.parametrize("alternative", ["greater", "less"])
def test_one_stratum_is_scipys_test_of_pairings(alternative: str) -> None:
    x, y = X[:7], Y[:7]
    reference = stats.permutation_test(  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]
        (x,),
        lambda moved: float(np.corrcoef(moved, y)[0, 1]),  # pyright: ignore[reportUnknownLambdaType, reportUnknownArgumentType]
        permutation_type="pairings",
        alternative=alternative,
        n_resamples=5_040,  # 7!: all of them
    )
    found = fit(x, y, alone(7))
    p = found.p_above(0) if alternative == "greater" else found.p_below(0)
    assert p == pytest.approx(reference.pvalue)  # pyright: ignore[reportUnknownArgumentType, reportUnknownMemberType]


def test_ranks_over_the_same_places_are_pages_test() -> None:
    # Page's L is the sum of place x rank, the statistic of a slope over ranks within each row.
    rows = np.array([[1, 3, 2, 4], [2, 1, 3, 4], [1, 2, 4, 3]])
    reference = stats.page_trend_test(rows, ranked=True, method="exact")  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]
    found = fit(np.tile(np.arange(4.0), 3), rows.ravel().astype(float), strata_of(3, 4))
    assert found.p_above(0) == pytest.approx(reference.pvalue)  # pyright: ignore[reportUnknownArgumentType, reportUnknownMemberType]


def test_perfect_rows_give_pages_smallest_p() -> None:
    # Page's L = 3 x (1 + 4 + 9 + 16) = 90, exact p = 1 / 24^3 = 7.23e-5.
    found = fit(np.tile(np.arange(4.0), 3), np.tile(np.arange(4.0), 3), strata_of(3, 4))
    assert found.p_above(0) == pytest.approx(7.23e-5, abs=1e-7)


def test_the_slope_is_least_squares_with_stratum_intercepts() -> None:
    labels = sorted(set(STRATA))
    design = np.column_stack([X] + [[label == name for label in STRATA] for name in labels])
    per_x = float(np.linalg.lstsq(design, Y, rcond=None)[0][0])
    # Pooled variance: sum of squares about the stratum means over 9 - 3 degrees of freedom.
    squares = sum(float(np.var(X[np.array(STRATA) == name]) * STRATA.count(name)) for name in labels)
    assert fit(X, Y, STRATA, x_unit=1).estimate == pytest.approx(per_x)
    assert fit(X, Y, STRATA).estimate == pytest.approx(per_x * math.sqrt(squares / 6))


def test_the_fit_tells_what_it_stands_on() -> None:
    found = fit(X, Y, STRATA)
    assert (found.n_units, found.n_strata, found.exact, len(found.reached)) == (9, 3, True, 288)
    many = fit(np.arange(24), np.arange(24) % 5, strata_of(6, 4))
    assert (many.n_units, many.n_strata, many.exact, len(many.reached)) == (24, 6, False, DRAWS + 1)
    assert many.attainable_p == 1 / (DRAWS + 1)  # 24^6 orders: only the observed one, which is always added


def test_random_orders_agree_with_all_of_them() -> None:
    # Three strata of 3, 4 and 2 are few orders; a fourth of 8 equal x adds 8! orders and not a thing to the sums.
    padded = [*STRATA, *("d" * 8)]
    found = slope_fit([*X, *([1.0] * 8)], [*Y, *np.linspace(0, 1, 8)], padded, rng(3), x_unit=1)
    whole = fit(X, Y, STRATA, x_unit=1)
    assert (found.exact, whole.exact) == (False, True)
    for d in (-0.05, 0.0, 0.03):
        p = whole.p_above(d)
        assert found.p_above(d) == pytest.approx(p, abs=4 * math.sqrt(p * (1 - p) / DRAWS) + 1e-4)


def test_the_generator_is_the_only_randomness() -> None:
    x, y, strata = rng(1).normal(size=24), rng(2).normal(size=24), strata_of(6, 4)
    first, again = slope_fit(x, y, strata, rng(5)), slope_fit(x, y, strata, rng(5))
    assert first == again
    assert np.array_equal(first.reached, again.reached)
    assert jonckheere(y, x, strata, rng(5)) == jonckheere(y, x, strata, rng(5))


def test_no_spread_of_x_is_no_slope() -> None:
    # .1 + .1 + .1 is not .3: without care the rounding of the mean would be taken for spread.
    found = fit([0.1, 0.1, 0.1, 0.7, 0.7, 0.7], [1, 2, 3, 4, 5, 6], list("aaabbb"))
    assert found.estimate is None
    assert limits(found) == (-math.inf, math.inf)
    assert (found.p_above(-100), found.p_below(100), found.attainable_p) == (1, 1, 1)


def test_units_alone_in_their_strata_show_nothing() -> None:
    found = fit([1, 2, 3], [1, 2, 3], list("abc"))
    assert (found.estimate, found.p_above(0), *limits(found)) == (None, 1, -math.inf, math.inf)
    assert partial_correlation([1, 2, 3], [1, 2, 3], list("abc")) is None


def test_equal_y_reject_nothing_at_zero() -> None:
    found = fit([1, 2, 3, 4], [0.1] * 4, alone(4))
    assert (found.estimate, found.p_above(0), found.p_below(0)) == (0, 1, 1)


def test_swapping_the_sign_of_x_flips_the_slope() -> None:
    one, other = fit(X, Y, STRATA), fit(-X, Y, STRATA)
    assert other.estimate == pytest.approx(-(one.estimate or math.nan))
    low, high = limits(one)
    assert limits(other) == pytest.approx((-high, -low))
    assert other.p_above(0.01) == one.p_below(-0.01)


def test_a_constant_per_stratum_changes_nothing() -> None:
    moved = np.array([{"a": 3.0, "b": -7.0, "c": 0.1}[label] for label in STRATA])
    one = fit(X, Y, STRATA)
    for other in (fit(X + moved, Y, STRATA), fit(X, Y + moved, STRATA)):
        assert other.estimate == pytest.approx(one.estimate)
        assert limits(other) == pytest.approx(limits(one))
        assert other.p_above(0) == one.p_above(0)


@pytest.mark.parametrize("size", [3, 4])  # of six strata: 3!^6 = 46,656 orders, drawn; the same draws for any order
def test_the_order_of_the_units_does_not_matter(size: int) -> None:
    strata, n = strata_of(6, size), 6 * size
    x, y, turned = rng(1).normal(size=n), rng(2).normal(size=n), rng(3).permutation(n)
    one, other = fit(x, y, strata), fit(x[turned], y[turned], np.array(strata)[turned].tolist())
    assert np.array_equal(one.reached, other.reached)
    assert one == other


def test_the_scale_of_x_does_not_matter_unless_its_unit_is_given() -> None:
    assert limits(fit(1000 * X, Y, STRATA)) == pytest.approx(limits(fit(X, Y, STRATA)))
    thousandth = tuple(1000 * end for end in limits(fit(1000 * X, Y, STRATA, x_unit=1)))
    assert thousandth == pytest.approx(limits(fit(X, Y, STRATA, x_unit=1)))


def test_a_shift_of_y_along_x_shifts_the_limits() -> None:
    low, high = limits(fit(X, Y, STRATA, x_unit=1))
    assert limits(fit(X, Y + 0.4 * X, STRATA, x_unit=1)) == pytest.approx((low + 0.4, high + 0.4))


def test_partial_correlation_is_pingouins_with_stratum_dummies() -> None:
    import pandas  # pyright: ignore[reportMissingTypeStubs] - it ships none
    import pingouin  # pyright: ignore[reportMissingTypeStubs] - here, because importing it takes two seconds

    dummies = {name: [float(label == name) for label in STRATA] for name in "bc"}
    frame = pandas.DataFrame({"x": X, "y": Y, **dummies})
    reference = pingouin.partial_corr(frame, x="x", y="y", covar=["b", "c"])  # pyright: ignore
    assert partial_correlation(X, Y, STRATA) == pytest.approx(float(reference["r"].iloc[0]))  # pyright: ignore


def test_hollander_and_wolfes_example() -> None:
    # J = 79 of 3 x 36 pairs: S = 2 x 79 - 108 = 50. With ties the exact p is 359,641 of 17,153,136 divisions (counted
    # value by value); the book's normal approximation .0207. Drawn here, so within 4 standard errors.
    found = jonckheere(KNOWLEDGE, np.repeat([1, 2, 3], 6), alone(18), rng())
    assert found.concordance == pytest.approx(50 / 108)
    assert (found.n_pairs, found.n_units, found.n_strata, found.exact) == (108, 18, 1, False)
    assert found.p_rising == pytest.approx(0.020966, abs=4 * math.sqrt(0.021 / DRAWS))


def test_desctools_coffee_example() -> None:
    # JT = 59 of 4x6 + 4x5 + 6x5 = 74 pairs, exact two-sided p = .01973.
    found = jonckheere(COFFEE, np.repeat([1, 2, 3], [4, 6, 5]), alone(15), rng())
    assert found.concordance == pytest.approx((2 * 59 - 74) / 74)
    assert found.p_rising == pytest.approx(0.01973 / 2, abs=4 * math.sqrt(0.01 / DRAWS))


def test_jonckheere_of_two_groups_is_mann_whitney() -> None:
    low, high = [1.1, 2.3, 0.7], [1.9, 3.5, 2.2, 4.0]
    reference = stats.mannwhitneyu(high, low, alternative="greater", method="exact")  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]
    found = jonckheere([*low, *high], [0] * 3 + [1] * 4, alone(7), rng())
    assert found.p_rising == pytest.approx(reference.pvalue)  # pyright: ignore[reportUnknownArgumentType, reportUnknownMemberType]
    assert found.concordance == pytest.approx(2 * reference.statistic / 12 - 1)  # pyright: ignore


def test_jonckheere_of_single_units_is_kendall() -> None:
    reference = stats.kendalltau(X[:7], Y[:7], alternative="greater", method="exact")  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]
    found = jonckheere(Y[:7], X[:7], alone(7), rng())
    assert (found.concordance, found.p_rising) == pytest.approx((reference.statistic, reference.pvalue))  # pyright: ignore


def test_concordance_with_ties_is_somers_d() -> None:
    order, y = [1, 1, 2, 2, 3, 3, 3], [0.1, 0.2, 0.2, 0.1, 0.4, 0.2, 0.5]
    reference = stats.somersd(order, y)  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]
    assert jonckheere(y, order, alone(7), rng()).concordance == pytest.approx(reference.statistic)  # pyright: ignore


def test_strata_of_a_trend_are_compared_within_only() -> None:
    # Two families, each falling, the later-trained far above: pooled it rises, within it falls in all 3 + 3 pairs.
    y, tokens, family = [3, 2, 1, 9, 8, 7], [1, 2, 3, 4, 5, 6], list("aaabbb")
    found = jonckheere(y, tokens, family, rng())
    assert found == Trend(-1.0, p_rising=1.0, p_falling=1 / 36, n_pairs=6, n_units=6, n_strata=2, exact=True)
    assert (jonckheere(y, tokens, alone(6), rng()).concordance or 0) > 0


def test_turning_the_order_round_turns_the_trend_round() -> None:
    one, other = jonckheere(Y, X, STRATA, rng()), jonckheere(Y, -X, STRATA, rng())
    assert other.concordance == -(one.concordance or math.nan)
    assert (other.p_rising, other.p_falling) == (one.p_falling, one.p_rising)


def test_one_group_has_no_trend() -> None:
    found = jonckheere([1, 2, 3], [4, 4, 4], alone(3), rng())
    assert (found.concordance, found.n_pairs, found.p_rising, found.p_falling) == (None, 0, 1, 1)


def test_one_family_that_carries_the_slope_is_seen() -> None:
    # Slopes per unit of x within a, b, c: 1, 1 and -6, each with x = 0, 1 (squares 1/2). Without c: 1, without a or
    # b: (1 - 6) / 2.
    x, y, family = [0, 1] * 3, [0, 1, 5, 6, 9, 3], list("aabbcc")
    assert leave_one_out_signs(x, y, family, family, x_unit=1) == pytest.approx({"a": -2.5, "b": -2.5, "c": 1})


def test_leaving_out_a_group_is_the_fit_without_it() -> None:
    found = leave_one_out_signs(X, Y, STRATA, STRATA)
    kept = [unit for unit, label in enumerate(STRATA) if label != "b"]
    assert list(found) == ["a", "b", "c"]
    assert found["b"] == fit(X[kept], Y[kept], [STRATA[unit] for unit in kept]).estimate


def test_leaving_out_the_only_group_leaves_no_slope() -> None:
    assert leave_one_out_signs([1, 2], [1, 2], alone(2), ["f", "f"]) == {"f": None}


@pytest.mark.parametrize(
    ("x", "y", "strata", "rule"),
    [
        ([1.0, 2.0], [1.0], ["a", "a"], "alike"),
        ([1.0], [1.0], ["a", "a"], "alike"),
        ([], [], [], "not empty"),
        ([1.0, math.nan], [1.0, 2.0], ["a", "a"], "finite"),
        ([1.0, 2.0], [1.0, math.inf], ["a", "a"], "finite"),
    ],
)
def test_units_must_be_whole(x: list[float], y: list[float], strata: list[str], rule: str) -> None:
    with pytest.raises(ValueError, match=rule):
        fit(x, y, strata)


def rejections_by_chance(n: int, level: float = 0.05) -> tuple[int, int]:
    """The central 99.8 % of the rejections that a test of exactly this level makes in n data sets."""
    low, high = (int(stats.binom.ppf(q, n, level)) for q in (0.001, 0.999))  # pyright: ignore[reportUnknownMemberType, reportUnknownArgumentType]
    return low, high


@pytest.mark.slow
def test_at_the_margin_one_in_twenty_is_rejected_on_each_side() -> None:
    # 24 bases in 6 strata of 4, slope exactly at the margin, skewed errors, strata that differ in level and in x.
    draw, strata, n, d = rng(11), strata_of(6, 4), 300, 0.4
    above = below = 0
    for _ in range(n):
        level = np.repeat(draw.normal(scale=3, size=6), 4)
        x = level + draw.normal(size=24)
        y = level + d * x + draw.exponential(size=24)
        found = slope_fit(x, y, strata, draw, x_unit=1)
        above += found.low(0.05) > d
        below += found.high(0.05) < d
    least, most = rejections_by_chance(n)
    assert least <= above <= most
    assert least <= below <= most


def linear_in_tokens_rejects(x: NDArray[np.float64], y: NDArray[np.float64], tokens: NDArray[np.float64]) -> bool:
    """Whether x is significant at one-sided .05 beside an intercept and log2 tokens: the tempting adjustment."""
    design = np.column_stack((x, tokens, np.ones(len(x))))
    beta, squares = np.linalg.lstsq(design, y, rcond=None)[:2]
    df = len(x) - 3
    se = math.sqrt(float(squares[0]) / df * float(np.linalg.inv(design.T @ design)[0, 0]))
    return float(beta[0]) / se > float(stats.t.ppf(0.95, df))  # pyright: ignore[reportUnknownMemberType, reportUnknownArgumentType]


@pytest.mark.slow
def test_a_shared_sigmoid_in_tokens_is_no_association() -> None:
    # x and y both follow one sigmoid in log2 tokens, with independent noise: within a budget they have nothing in
    # common. Four bases in each of six budgets. A straight line in tokens leaves the bend to x.
    draw, budgets, n = rng(12), np.repeat(np.arange(6.0), 4), 300
    curve, strata = 1 / (1 + np.exp(-4 * (budgets - 2.5))), strata_of(6, 4)
    within = linear = 0
    for _ in range(n):
        x, y = (curve + draw.normal(scale=0.1, size=24) for _ in range(2))
        within += slope_fit(x, y, strata, draw).low(0.05) > 0
        linear += linear_in_tokens_rejects(x, y, budgets)
    least, most = rejections_by_chance(n)
    assert least <= within <= most
    assert linear > n / 2
