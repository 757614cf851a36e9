"""Numbers that others published, from the harness's own procedures; the source stands beside each.

The procedures that have references of their own elsewhere: boundaries of looks (test_sequential), permutations and
trends (test_permutation), false discovery (test_claim), runs x items (test_items).
"""

import math
from typing import Any

import numpy as np
import pytest
from scipy import stats  # pyright: ignore[reportMissingTypeStubs] - scipy ships none
from statsmodels.stats.weightstats import (  # pyright: ignore[reportMissingTypeStubs] - it ships none
    ttost_ind,  # pyright: ignore[reportUnknownVariableType] - likewise
)

from harness.decide import CellSample, Landmarks, Results, decide
from harness.decide.contrasts import ContrastFit, contrast
from harness.decide.counts import clopper_pearson
from harness.decide.means import find
from harness.decide.terms import fixed
from harness.record.verdict import Outcome, RunLabel
from harness.spec import Hypothesis
from harness.spec.prediction import Equivalence, MinEffect, Scale

DIFFERENCE = (1.0, -1.0)


def cell(values: Any) -> CellSample:
    """Runs of a response without bounds, so that nothing but the runs speaks."""
    runs = np.asarray(values, float)
    return CellSample(runs, (RunLabel.NO_GAIN,) * runs.size, 1, runs.size, bounded=False)


def with_moments(n: int, mean: float, sd: float) -> CellSample:
    """Any n runs of this mean and standard deviation: Welch's t knows no more of them."""
    runs = np.linspace(-1, 1, n)
    return cell(mean + sd * runs / runs.std(ddof=1))


def t_of(fit: ContrastFit) -> float:
    return fit.estimate / fit.se


# Means.


def test_nists_two_sample_t_of_miles_per_gallon() -> None:
    # NIST/SEMATECH e-Handbook 1.3.5.3, AUTO83B.DAT, 249 US and 79 Japanese cars: means 20.14458 and 30.48101, SDs
    # 6.41470 and 6.10771; assuming unequal variances T = -12.9463 with 136.8750 degrees of freedom.
    fit = contrast(DIFFERENCE, [with_moments(249, 20.14458, 6.41470), with_moments(79, 30.48101, 6.10771)])
    assert t_of(fit) == pytest.approx(-12.9463, abs=5e-5)
    assert fit.df == pytest.approx(136.8750, abs=5e-5)


def test_nists_certified_resistances() -> None:
    # NIST StRD, one-way analysis of variance, SiRstv: five instruments, five readings each; certified within-instrument
    # mean square 1.08318280000000E-02 on 20 degrees of freedom. With weights 1/5 the variance is that over 25 readings.
    readings = [
        [196.3052, 196.1240, 196.1890, 196.2569, 196.3403],
        [196.3042, 196.3825, 196.1669, 196.3257, 196.0422],
        [196.1303, 196.2005, 196.2889, 196.0343, 196.1811],
        [196.2795, 196.1748, 196.1494, 196.1485, 195.9885],
        [196.2119, 196.1051, 196.1850, 196.0052, 196.2090],
    ]
    cells = [cell(instrument) for instrument in readings]
    fit = contrast([0.2] * 5, cells)
    assert fit.se**2 * 25 == pytest.approx(1.08318280000000e-02, rel=1e-11)
    assert fit.pooled_df == 20
    # Certified between-instrument sum of squares 5.11462616000000E-02, from the same means.
    means = [contrast([float(i == k) for i in range(5)], cells).estimate for k in range(5)]
    assert 5 * sum((m - fit.estimate) ** 2 for m in means) == pytest.approx(5.11462616000000e-02, rel=1e-9)


SLEEP = (
    [0.7, -1.6, -0.2, -1.2, -0.1, 3.4, 3.7, 0.8, 0.0, 2.0],
    [1.9, 0.8, 1.1, 0.1, -0.1, 4.4, 5.5, 1.6, 4.6, 3.4],
)
"""Extra hours of sleep under two drugs (Student 1908, Biometrika 6:1; R's data set `sleep`)."""


def test_rs_welch_test_of_students_sleep_data() -> None:
    # R, t.test(extra ~ group, data = sleep): t = -1.8608, df = 17.776, p = 0.07939, interval -3.3654832 to 0.2054832.
    fit = contrast(DIFFERENCE, [cell(group) for group in SLEEP])
    assert t_of(fit) == pytest.approx(-1.8608, abs=5e-5)
    assert fit.df == pytest.approx(17.776, abs=5e-4)
    assert (fit.low(0.025), fit.high(0.025)) == pytest.approx((-3.3654832, 0.2054832), abs=5e-8)


SAID = {"id": "claim", "statement": "It is as predicted.", "role": "primary", "rationale": "For the test alone."}
TWO = {"a": {"rank": 8}, "b": {"rank": 128}, "measure": "hours"}


def equivalence(bound: float, scale: Scale = "raw") -> Equivalence:
    fields = {**SAID, **TWO, "kind": "equivalence", "low": -bound, "high": bound, "scale": scale}
    return Equivalence.model_validate(fields, strict=False)


# The clinical data with which statsmodels checks its TOST against R's package `equivalence` (test_tost.py there): two
# groups of fifteen, the first and the second variable.
FIRST = (
    [2.84, 2.51, 2.41, 2.95, 3.14, 3.79, 4.14, 3.85, 3.02, 3.45, 5.37, 3.81, 4.19, 3.16, 3.84],
    [2.60, 2.82, 2.18, 3.46, 4.01, 3.04, 3.47, 4.06, 2.91, 3.59, 4.51, 3.16, 3.86, 3.31, 3.02],
)
SECOND = (
    [4.00, 3.26, 4.14, 3.42, 3.25, 4.34, 4.97, 4.31, 3.11, 3.41, 5.02, 4.21, 4.59, 5.30, 4.32],
    [3.76, 3.66, 3.65, 3.60, 3.48, 2.87, 3.24, 3.92, 3.99, 4.21, 4.21, 3.31, 3.61, 2.97, 2.73],
)


@pytest.mark.parametrize(
    ("groups", "df", "interval", "p"),
    [
        # R, equivalence::tost(var1[1:15], var1[16:30], epsilon = 0.6): dissimilarity rejected.
        (FIRST, 26.7484787582315, (-0.2666862980722534, 0.596019631405587), 0.04853083976236974),
        # R, the same of var2: not rejected.
        (SECOND, 24.11000151062728, (0.194916250699966, 0.930417082633366), 0.4317936812594803),
    ],
)
def test_rs_two_one_sided_tests(
    groups: tuple[list[float], list[float]], df: float, interval: tuple[float, float], p: float
) -> None:
    a, b = (cell(group) for group in groups)
    fit = contrast(DIFFERENCE, [a, b])
    assert fit.df == pytest.approx(df, rel=1e-12)
    assert (fit.low(0.05), fit.high(0.05)) == pytest.approx(interval, rel=1e-10)
    for level, wanted in ((p * 1.0001, Outcome.SUPPORTED), (p * 0.9999, Outcome.INCONCLUSIVE)):
        assert find(equivalence(0.6), {"a": a, "b": b}, fixed(level, 1e-6), Landmarks()).outcome is wanted
    assert (find(equivalence(0.6), {"a": a, "b": b}, fixed(0.05, 0.05), Landmarks()).outcome is Outcome.SUPPORTED) is (
        p < 0.05
    )


@pytest.mark.parametrize("scale", ["raw", "log_ratio"])
@pytest.mark.parametrize("groups", [FIRST, SECOND])
@pytest.mark.parametrize("bound", [0.3, 0.45, 0.75])
def test_statsmodels_tost_has_the_same_p(groups: tuple[list[float], list[float]], bound: float, scale: Scale) -> None:
    transform = np.log if scale == "log_ratio" else None
    low, high = (-bound, bound) if scale == "raw" else (math.exp(-bound), math.exp(bound))  # it takes a ratio's bounds
    reference = ttost_ind(*map(np.array, groups), low, high, usevar="unequal", transform=transform)  # pyright: ignore
    p = float(reference[0])  # pyright: ignore
    declared = Hypothesis.model_validate(
        {
            "title": "abc",
            "claim": "The groups are alike.",
            "source": "a test",
            "design": {"seeds": 15, "looks": [15]},
            "predictions": [equivalence(bound, scale).model_dump()],
        },
        strict=False,
    )
    runs = dict(zip("ab", map(cell, groups), strict=True))
    said = decide(declared, declared.predictions[0], Results(runs, 15))
    assert said.p_support == (None if p > 0.5 else pytest.approx(max(p, 1e-6), rel=1e-3))


@pytest.mark.parametrize("margin", [0.1, 0.5, 1.5])
def test_scipys_one_sided_welch_test_has_the_same_p(margin: float) -> None:
    # Group 2 exceeds group 1 by 1.58 hours on average; by more than the margin?
    first, second = (np.array(group) for group in SLEEP)
    p = float(stats.ttest_ind(second - margin, first, equal_var=False, alternative="greater").pvalue)  # pyright: ignore
    fields = {**SAID, **TWO, "kind": "min_effect", "margin": margin}
    prediction = MinEffect.model_validate(fields, strict=False)
    runs = {"a": cell(second), "b": cell(first)}
    for level, wanted in ((p * 1.0001, Outcome.SUPPORTED), (p * 0.9999, Outcome.INCONCLUSIVE)):
        assert find(prediction, runs, fixed(level, 1e-6), Landmarks()).outcome is wanted


# Probabilities.


def test_rs_exact_interval_of_mendels_peas() -> None:
    # R, binom.test(682, 682 + 243, p = 3/4): 95 percent confidence interval 0.7076683 0.7654066.
    low, high = clopper_pearson(682, 925, 0.025)
    assert (low, high) == pytest.approx((0.7076683, 0.7654066), abs=5e-8)


@pytest.mark.parametrize(
    ("events", "runs", "interval"),
    # Newcombe 1998 (Statistics in Medicine 17:857), table I, method 5: exact Clopper-Pearson, 95 %.
    [
        (81, 263, (0.2527, 0.3676)),
        (15, 148, (0.0578, 0.1617)),
        (0, 20, (0.0000, 0.1684)),
        (1, 29, (0.0009, 0.1776)),
    ],
)
def test_newcombes_table_of_exact_intervals(events: int, runs: int, interval: tuple[float, float]) -> None:
    assert clopper_pearson(events, runs, 0.025) == pytest.approx(interval, abs=5e-5)


@pytest.mark.parametrize("alpha", [0.0125, 0.05])
@pytest.mark.parametrize("runs", [1, 3, 5, 14])
def test_scipys_exact_interval_is_the_same_for_every_count(runs: int, alpha: float) -> None:
    for events in range(runs + 1):
        reference = stats.binomtest(events, runs).proportion_ci(1 - 2 * alpha, "exact")  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]
        ends = float(reference.low), float(reference.high)  # pyright: ignore[reportUnknownMemberType, reportUnknownArgumentType]
        assert clopper_pearson(events, runs, alpha) == pytest.approx(ends, abs=1e-10)


@pytest.mark.parametrize("runs", [3, 5, 14])
def test_the_rule_of_three(runs: int) -> None:
    # 0 of n: 1 - .05^(1/n), about 3/n, since ln .05 = -2.996 (Hanley and Lippman-Hand 1983, JAMA 249:1743).
    high = clopper_pearson(0, runs, 0.05)[1]
    assert high == pytest.approx(-math.expm1(math.log(0.05) / runs))
    assert high < 3 / runs
