import itertools
import math
from dataclasses import replace

import numpy as np
import pytest
from scipy import stats  # pyright: ignore[reportMissingTypeStubs] - scipy ships none

from harness.decide import CellSample, item_variance
from harness.decide.contrasts import ContrastFit, contrast, worst_case
from harness.decide.scales import bounds, on_scale, variance_floor
from harness.record.verdict import RunLabel
from harness.spec.prediction import Scale

DIFFERENCE = (1.0, -1.0)


def cell(values: list[float], planned: int | None = None, n_items: int = 10**6) -> CellSample:
    """A cell whose items are so many that the variance floor is out of the way, unless asked for."""
    labels = (RunLabel.TRAINED,) * len(values)
    return CellSample(np.array(values), labels, n_items, len(values) if planned is None else planned)


A = cell([0.61, 0.55, 0.70, 0.58, 0.64])
B = cell([0.31, 0.38, 0.29, 0.44])


def welch(a: CellSample, b: CellSample, level: float) -> tuple[float, float, float]:
    """Return df and the two-sided interval of mean(a) - mean(b) from scipy."""
    result = stats.ttest_ind(a.values, b.values, equal_var=False)  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]
    ends = result.confidence_interval(level)  # pyright: ignore
    return float(result.df), float(ends.low), float(ends.high)  # pyright: ignore


def limits(fit: ContrastFit, alpha: float = 0.05) -> tuple[float, float]:
    return fit.low(alpha), fit.high(alpha)


def test_two_cells_are_welchs_t() -> None:
    fit = contrast(DIFFERENCE, [A, B])
    df, low, high = welch(A, B, 0.90)  # one-sided .05 at each end is the two-sided 90 % interval
    assert fit.df == pytest.approx(df)
    assert limits(fit) == pytest.approx((low, high))


def test_students_sleep_data_give_the_published_interval() -> None:
    # R's help page of t.test on `sleep` (Student 1908): df = 17.776, 95 % interval -3.3654832 to 0.2054832 hours.
    # Moved by 2 and divided by 10 to lie between 0 and 1, so the interval is divided by 10.
    first = [0.7, -1.6, -0.2, -1.2, -0.1, 3.4, 3.7, 0.8, 0.0, 2.0]
    second = [1.9, 0.8, 1.1, 0.1, -0.1, 4.4, 5.5, 1.6, 4.6, 3.4]
    fit = contrast(DIFFERENCE, [cell([(x + 2) / 10 for x in group]) for group in (first, second)])
    assert fit.df == pytest.approx(17.776, abs=0.001)
    assert limits(fit, 0.025) == pytest.approx((-0.33654832, 0.02054832), abs=1e-7)


def test_four_alike_cells_pool_their_degrees_of_freedom() -> None:
    # Equal n and s^2: se^2 = 4 s^2 / n with s^2 = .01 and n = 3 (values -.1, 0, .1), df = 4 (n - 1) = 8.
    cells = [cell([m - 0.1, m, m + 0.1]) for m in (0.8, 0.3, 0.5, 0.4)]
    fit = contrast((1, -1, -1, 1), cells)
    assert (fit.estimate, fit.se, fit.df) == pytest.approx((0.4, math.sqrt(4 * 0.01 / 3), 8))


def test_swapping_the_arms_flips_the_sign() -> None:
    low, high = limits(contrast(DIFFERENCE, [A, B]))
    assert limits(contrast(DIFFERENCE, [B, A])) == pytest.approx((-high, -low))


def test_a_constant_added_to_all_runs_leaves_the_difference() -> None:
    moved = [cell([x + 0.2 for x in sample.values.tolist()]) for sample in (A, B)]
    assert limits(contrast(DIFFERENCE, moved)) == pytest.approx(limits(contrast(DIFFERENCE, [A, B])))


def test_more_items_do_not_replace_runs() -> None:
    few, many = ([cell(s.values.tolist(), n_items=n) for s in (A, B)] for n in (500, 1000))
    assert contrast(DIFFERENCE, few) == contrast(DIFFERENCE, many)


def test_the_order_of_the_runs_does_not_matter() -> None:
    turned = [cell(sample.values.tolist()[::-1]) for sample in (A, B)]
    assert limits(contrast(DIFFERENCE, turned)) == pytest.approx(limits(contrast(DIFFERENCE, [A, B])))


def test_a_cell_of_weight_zero_plays_no_part() -> None:
    assert contrast((1, 0, -1), [A, cell([0.5]), B]) == contrast(DIFFERENCE, [A, B])


@pytest.mark.parametrize(
    ("mean", "variance"),
    # p = (k+1)/(N+2), N = 98: k = 0: .01 x .99 / 98; k = 49: .5 x .5 / 98; k = 98: .99 x .01 / 98.
    [(0.0, 0.0099 / 98), (0.5, 0.25 / 98), (1.0, 0.0099 / 98)],
)
def test_item_variance_is_never_zero(mean: float, variance: float) -> None:
    assert item_variance(mean, 98) == pytest.approx(variance)


def test_identical_runs_get_the_floor() -> None:
    # Both arms identical at 0 and 1 with N = 98: se^2 = 2 x (.0099 / 98) / 5, df = 2 x 4.
    fit = contrast(DIFFERENCE, [cell([1.0] * 5, n_items=98), cell([0.0] * 5, n_items=98)])
    assert (fit.estimate, fit.se, fit.df) == pytest.approx((1.0, math.sqrt(2 * 0.0099 / 98 / 5), 8))


def test_one_run_shows_no_spread() -> None:
    assert limits(contrast(DIFFERENCE, [A, cell([0.3])])) == (-math.inf, math.inf)


def test_a_fit_knows_the_runs_that_carry_it() -> None:
    # 1 / (1/5 + 1/4) = 20/9 and 4 + 3 degrees of freedom; half the weights carry four times as much.
    fit = contrast(DIFFERENCE, [A, B])
    assert (fit.n_eff, fit.pooled_df) == pytest.approx((20 / 9, 7))
    assert contrast((0.5, -0.5), [A, B]).n_eff == pytest.approx(80 / 9)


def test_runs_that_do_not_vary_show_no_spread_where_sampling_is_unknown() -> None:
    still = [CellSample(np.full(5, x), (RunLabel.TRAINED,) * 5, 10, 5, bounded=False) for x in (0.1, 0.3)]
    fit = contrast(DIFFERENCE, still)
    assert (fit.estimate, fit.se) == (pytest.approx(-0.2), math.inf)


def test_without_missing_runs_the_worst_case_is_the_fit() -> None:
    assert (
        worst_case(DIFFERENCE, [A, B], "low") == worst_case(DIFFERENCE, [A, B], "high") == contrast(DIFFERENCE, [A, B])
    )


def test_missing_runs_pull_each_arm_its_own_way() -> None:
    # a: five runs of .6 and one missing; b: five of .3 and one missing. Lowest: 3/6 - (1.5 + 1)/6.
    arms = [cell([0.6] * 5, planned=6), cell([0.3] * 5, planned=6)]
    assert worst_case(DIFFERENCE, arms, "low").estimate == pytest.approx(0.5 - 2.5 / 6)
    assert worst_case(DIFFERENCE, arms, "high").estimate == pytest.approx(4 / 6 - 0.25)


def test_worst_case_limits_enclose_those_of_every_completion() -> None:
    rng = np.random.default_rng(7)
    a, b = cell([0.9, 0.88, 0.93, 0.85], planned=6), cell([0.02, 0.0, 0.05], planned=4)
    low, high = worst_case(DIFFERENCE, [a, b], "low").low(0.05), worst_case(DIFFERENCE, [a, b], "high").high(0.05)
    corners = list(itertools.product((0.0, 1.0), repeat=3))
    fills = np.vstack([corners, rng.uniform(size=(200, 3))])  # (n_fills, 3): two runs of a, one of b
    for fill in fills:
        whole = [cell([*a.values, fill[0], fill[1]]), cell([*b.values, fill[2]])]
        ends = limits(contrast(DIFFERENCE, whole))
        assert low <= ends[0] and ends[1] <= high


@pytest.mark.parametrize("scale", ["logit", "raw"])
def test_worst_case_limits_enclose_every_completion_on_each_bounded_scale(scale: Scale) -> None:
    rng = np.random.default_rng(8)
    a, b = cell([0.9, 0.88, 0.93], planned=5, n_items=100), cell([0.02, 0.0, 0.05], n_items=100)
    low = worst_case(DIFFERENCE, [a, b], "low", scale).low(0.05)
    high = worst_case(DIFFERENCE, [a, b], "high", scale).high(0.05)
    for fill in np.vstack([list(itertools.product((0.0, 1.0), repeat=2)), rng.uniform(size=(200, 2))]):
        fit = contrast(DIFFERENCE, [cell([*a.values, *fill], n_items=100), b], scale)
        assert low <= fit.low(0.05) and fit.high(0.05) <= high
    assert -math.inf < low < high < math.inf


@pytest.mark.parametrize("sample", [cell([0.5] * 5, planned=6), cell([0.5, 0.6, 0.7], planned=4)])
def test_nothing_bounds_what_is_missing_of_a_ratio_or_of_a_selection(sample: CellSample) -> None:
    picked = replace(sample, selected=True)
    unbounded = replace(sample, bounded=False)
    for fit in (
        worst_case((1,), [sample], "low", "log_ratio"),
        worst_case((1,), [picked], "low"),
        worst_case((1,), [unbounded], "high"),
    ):
        assert (fit.se, fit.low(0.05), fit.high(0.05)) == (math.inf, -math.inf, math.inf)


# Scales.


def test_responses_on_their_scales() -> None:
    sample = cell([0.25, 0.5, 1.0], n_items=4)
    assert on_scale(sample, "raw").tolist() == [0.25, 0.5, 1.0]
    assert on_scale(sample, "log_ratio") == pytest.approx([-2 * math.log(2), -math.log(2), 0])
    assert on_scale(sample, "logit") == pytest.approx([math.log(1.5 / 3.5), 0, math.log(4.5 / 0.5)])
    assert not np.isfinite(on_scale(cell([0.0, 0.5]), "log_ratio")).all()


@pytest.mark.parametrize("scale", ["raw", "log_ratio", "logit"])
def test_the_variance_floor_is_the_sampling_variance_on_each_scale(scale: Scale) -> None:
    # A run answers 400 problems, each right with probability .3: the variance of the transformed share, simulated, is
    # within 2 % of the floor at .3.
    shares = np.random.default_rng(1).binomial(400, 0.3, 200_000) / 400
    drawn = CellSample(shares, (RunLabel.NO_GAIN,) * shares.size, 400, shares.size)
    variance = float(on_scale(drawn, scale).var())
    assert variance_floor(cell([0.3, 0.3], n_items=400), scale) == pytest.approx(variance, rel=0.02)
    assert variance_floor(replace(cell([0.3]), bounded=False), scale) == 0


def test_only_a_bounded_scale_has_ends() -> None:
    sample = cell([0.5], n_items=99)
    assert bounds(sample, "raw") == (0, 1)
    assert bounds(sample, "logit") == pytest.approx((-math.log(199), math.log(199)))
    assert bounds(sample, "log_ratio") is None
    assert bounds(replace(sample, bounded=False), "raw") is None
