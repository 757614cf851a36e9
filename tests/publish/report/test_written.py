"""Digits: what a reader can check with a pencil."""

import math
from typing import Any

import pytest
from scipy.stats import binomtest, t  # pyright: ignore[reportMissingTypeStubs, reportUnknownVariableType]

from harness.publish.report.written import (
    MINUS,
    column_texts,
    decimals_for,
    exact_limits,
    fixed,
    half_width,
    significant,
)


@pytest.mark.parametrize(
    ("uncertainties", "decimals"),
    [([0.034], 3), ([0.34], 2), ([3.4], 1), ([34.0], 0), ([340.0], 0), ([1e-9], 4), ([], 2), ([0.0, math.inf], 2)],
)
def test_two_digits_of_the_uncertainty_are_kept(uncertainties: list[float], decimals: int) -> None:
    assert decimals_for(uncertainties) == decimals


def test_the_median_uncertainty_sets_the_column() -> None:
    assert decimals_for([0.001, 0.02, 5.0]) == 3


@pytest.mark.parametrize(
    ("value", "said"),
    [(0.25, ".25"), (-0.25, f"{MINUS}.25"), (-0.001, ".00"), (1.0, "1.00"), (None, ""), (math.nan, "")],
)
def test_shares_have_no_zero_before_the_point_and_zero_has_no_sign(value: float | None, said: str) -> None:
    assert fixed(value, 2, zero=False) == said


def test_infinite_limits_are_signs() -> None:
    assert (fixed(math.inf, 2), fixed(-math.inf, 2)) == ("∞", f"{MINUS}∞")


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (1234.5, "1234"),
        (12.345, "12.3"),
        (0.012345, "0.0123"),
        (1.5e-5, f"1.50e{MINUS}05"),
        (2e6, "2.00e+06"),
        (0, "0"),
    ],
)
def test_three_significant_digits(value: float, said: str) -> None:
    assert significant(value) == said


def test_estimates_of_one_unit_have_the_same_decimals_and_accuracies_are_points() -> None:
    rows = [(-0.012, -0.03, 0.006, "accuracy"), (0.4, 0.38, 0.42, "accuracy"), (1.0, None, None, "probability")]
    assert column_texts("estimate", [*rows, (None, None, None, None)]) == [
        f"{MINUS}1.2 [{MINUS}3.0, 0.6]",
        "40.0 [38.0, 42.0]",
        f"1.00 [{MINUS}∞, ∞]",
        "",
    ]
    assert column_texts("unit", [(row[3],) for row in rows]) == ["points", "points", "probability"]


def test_a_mean_has_the_t_interval_of_its_runs() -> None:
    said = half_width(0.05, 5, 0.4, None)
    assert said == pytest.approx(t.ppf(0.975, 4) * 0.05 / math.sqrt(5))  # pyright: ignore[reportUnknownMemberType]
    low, high = 0.4 - said, 0.4 + said
    assert column_texts("mean", [(0.4, 0.05, 5, None, False)]) == [f".400 [{low:.3f}, {high:.3f}]".replace("0.", ".")]


def test_the_spread_of_runs_is_at_least_what_sampling_of_problems_gives() -> None:
    p = (0.4 * 100 + 1) / 102  # Laplace's
    assert half_width(0.0, 2, 0.4, 100) == pytest.approx(12.7062 * math.sqrt(p * (1 - p) / 100 / 2), rel=1e-5)


def test_no_interval_is_given_for_a_mixed_cell_one_run_or_none() -> None:
    rows = [(0.4, 0.3, 5, 500, True), (0.4, None, 1, 500, False), (None, None, 0, 500, False)]
    assert column_texts("mean", rows) == [".40", ".40", ""]


@pytest.mark.parametrize(("count", "n"), [(0, 5), (5, 5), (1, 10), (3, 7)])
def test_counts_have_exact_limits(count: int, n: int) -> None:
    limits: Any = binomtest(count, n).proportion_ci(0.95, "exact")
    assert exact_limits(count, n) == pytest.approx((limits.low, limits.high))


def test_events_say_count_and_runs() -> None:
    assert column_texts("events", [(0, 5), (None, 5), (0, 0)]) == ["0/5 [.00, .52]", "", "0/0"]


def test_what_is_missing_is_empty() -> None:
    for written in ("text", "code", "count", "number", "accuracy", "unit", "p", "minutes"):
        assert column_texts(written, [(None,)]) == [""]
    assert column_texts("p", [(0.0004,), (0.0404,)]) == ["<.001", ".040"]
    assert column_texts("minutes", [(90.0,)]) == ["1.5"]
    assert column_texts("spread", [(1.234, 0.12), (1.0, None), (None, None)]) == ["1.23 (0.12)", "1.00", ""]
