from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.special import stdtrit  # pyright: ignore[reportMissingTypeStubs] - scipy ships none

from harness.decide import CellSample
from harness.decide.custom import evaluated, find, rule
from harness.decide.ruling import Ruling
from harness.decide.spending import nominal_levels
from harness.decide.terms import Look, Terms, fixed
from harness.record.verdict import Outcome, Reason, Refutation, RunLabel
from harness.spec.prediction import Custom


def claim(**fields: Any) -> Custom:
    given: dict[str, Any] = {
        "id": "own",
        "statement": "The mean is above one half.",
        "role": "primary",
        "rationale": "For the test alone.",
        "kind": "custom",
        "estimand": "mine:a_mean",
        "among": {"rank": [8]},
        "direction": "above",
        "value": 0.5,
    }
    return Custom.model_validate({**given, **fields}, strict=False)


def cell(mean: float, runs: int = 5, planned: int = 5) -> CellSample:
    values = mean + np.array([-0.02, -0.01, 0.0, 0.01, 0.02])[:runs]
    return CellSample(values, (RunLabel.TRAINED,) * runs, 500, planned)


def a_mean(arms: Mapping[str, NDArray[np.float64]], alpha: float) -> tuple[float, float, float]:
    """Student's t interval of the one arm's mean."""
    runs = arms["r=8"]
    half = float(stdtrit(runs.size - 1, 1 - alpha)) * float(runs.std(ddof=1)) / runs.size**0.5
    return float(runs.mean()), float(runs.mean()) - half, float(runs.mean()) + half


HALF = 2.131847 * (2.5e-4 / 5) ** 0.5
"""t(.95, df 4) = 2.131847; five runs of variance 2.5 x .01^2: .01507."""


@pytest.mark.parametrize(
    ("beyond", "above"),
    [
        (HALF + 1e-4, Outcome.SUPPORTED),
        (HALF - 1e-4, Outcome.INCONCLUSIVE),
        (-HALF + 1e-4, Outcome.INCONCLUSIVE),
        (-HALF - 1e-4, Outcome.REFUTED),
    ],
)
def test_an_own_estimand_turns_at_its_value(beyond: float, above: Outcome) -> None:
    runs = {"r=8": cell(0.5 + beyond)}
    said = find(claim(), runs, fixed(0.05, 0.05, 5), a_mean)
    assert (said.outcome, said.how) == (above, Refutation.OTHER_SIDE if above is Outcome.REFUTED else None)
    turned = {Outcome.SUPPORTED: Outcome.REFUTED, Outcome.REFUTED: Outcome.SUPPORTED}.get(above, above)
    assert find(claim(direction="below"), runs, fixed(0.05, 0.05, 5), a_mean).outcome is turned


def test_refutation_may_begin_further_away() -> None:
    runs, far = {"r=8": cell(0.45)}, claim(refute_beyond=0.44)
    assert find(claim(), runs, fixed(0.05, 0.05, 5), a_mean).outcome is Outcome.REFUTED
    assert find(far, runs, fixed(0.05, 0.05, 5), a_mean).outcome is Outcome.INCONCLUSIVE
    above = claim(direction="below", refute_beyond=0.56)
    assert find(above, {"r=8": cell(0.55)}, fixed(0.05, 0.05, 5), a_mean).outcome is Outcome.INCONCLUSIVE
    assert find(above, {"r=8": cell(0.59)}, fixed(0.05, 0.05, 5), a_mean).outcome is Outcome.REFUTED


def test_each_side_is_asked_for_its_own_level_of_the_look() -> None:
    asked: list[float] = []

    def remembers(arms: Mapping[str, NDArray[np.float64]], alpha: float) -> tuple[float, float, float]:
        asked.append(alpha)
        return a_mean(arms, alpha)

    find(claim(), {"r=8": cell(0.5)}, Terms(0.05, 0.025, Look(2, (3, 5, 8))), remembers)
    assert asked == [nominal_levels(0.05, (3, 5, 8))[1], nominal_levels(0.025, (3, 5, 8))[1]]


def test_the_estimate_is_what_the_function_says() -> None:
    (estimate,) = rule(claim(), {"r=8": cell(0.6)}, fixed(0.05, 0.025, 5), a_mean).estimates
    assert (estimate.name, estimate.unit, estimate.n_runs) == ("a mean", "own", 5)
    assert (estimate.value, estimate.low, estimate.high) == pytest.approx((0.6, 0.6 - HALF, 0.6 + HALF))
    wider = 2.776445 * (2.5e-4 / 5) ** 0.5  # t(.975, df 4)
    assert (estimate.refute_low, estimate.refute_high) == pytest.approx((0.6 - wider, 0.6 + wider))


def test_missing_runs_leave_it_open_and_no_run_leaves_it_untested() -> None:
    said = find(claim(), {"r=8": cell(0.9, runs=4)}, fixed(0.05, 0.05, 5), a_mean)
    assert (said.outcome, said.reason) == (Outcome.INCONCLUSIVE, Reason.MISSING_RUNS)
    said = find(claim(), {"r=8": cell(0.9, runs=0)}, fixed(0.05, 0.05, 5), a_mean)
    assert (said.outcome, said.reason) == (Outcome.UNTESTED, Reason.NO_RUNS)
    assert rule(claim(), {"r=8": cell(0.9, runs=0)}, fixed(0.05, 0.05, 5), a_mean) == Ruling("")


def test_unbounded_limits_decide_nothing_and_are_not_numbers() -> None:
    def shrugs(arms: Mapping[str, NDArray[np.float64]], alpha: float) -> tuple[float, float, float]:
        return float(arms["r=8"].mean()), -np.inf, np.inf

    runs = {"r=8": cell(0.9)}
    assert find(claim(), runs, fixed(0.05, 0.05, 5), shrugs).outcome is Outcome.INCONCLUSIVE
    estimate = rule(claim(), runs, fixed(0.05, 0.05, 5), shrugs).estimates[0]
    assert (estimate.low, estimate.high, estimate.refute_low, estimate.refute_high) == (None,) * 4


@pytest.mark.parametrize(
    ("returned", "complaint"),
    [
        ((0.5, 0.6, 0.7), r"mine:a_mean: \(0.5, 0.6, 0.7\) is not low <= estimate <= high"),
        ((np.nan, 0.4, 0.6), "is not low <= estimate <= high with a finite estimate"),
        ((0.5, np.nan, 0.6), "is not low <= estimate <= high"),
        ((np.inf, 0.4, np.inf), "with a finite estimate"),
        ((0.5, 0.6), r"returned \(0.5, 0.6\). Return \(estimate, low, high\)"),
        (0.5, r"returned 0.5. Return \(estimate, low, high\)"),
        (("x", 0, 1), "Return"),
    ],
)
def test_a_function_that_says_something_else_is_refused(returned: Any, complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        evaluated(claim(), {"r=8": cell(0.5)}, 0.05, lambda arms, alpha: returned)
