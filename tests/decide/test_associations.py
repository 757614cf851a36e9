"""Associations across bases: what a unit is, what is missing, and which side is which. The p is test_permutation's."""

import math
from typing import Any

import numpy as np
import pytest
from scipy import stats  # pyright: ignore[reportMissingTypeStubs] - scipy ships none

from harness.decide import CellSample, Results, decide
from harness.decide.associations import Unit, find, rule
from harness.decide.ruling import Finding
from harness.decide.terms import fixed
from harness.record.verdict import Outcome, Reason, Refutation, RunLabel
from harness.spec import Hypothesis
from harness.spec.prediction import Association


def claim(**fields: Any) -> Association:
    given: dict[str, Any] = {
        "id": "slope",
        "statement": "The gap grows with depth.",
        "role": "primary",
        "rationale": "For the test alone.",
        "kind": "association",
        "x": "depth",
        "a": {"rank": 8},
        "b": {"rank": 128},
        "direction": "positive",
        "strata": ["family"],
        "margin": 0.01,
    }
    return Association.model_validate({**given, **fields}, strict=False)


def arm(mean: float, runs: int = 3, planned: int = 3) -> CellSample:
    return CellSample(np.full(runs, mean), (RunLabel.TRAINED,) * runs, 500, planned)


def unit(index: int, x: float | None, gap: float, family: str = "one", budget: str = "small", **more: Any) -> Unit:
    given: dict[str, Any] = {"log2_tokens": 10.0, "a": arm(0.5 + gap / 2), "b": arm(0.5 - gap / 2), **more}
    return Unit(f"base {index}", family, budget, x=x, **given)


def found(prediction: Association, units: list[Unit], planned: int | None = None, alpha: float = 0.05) -> Finding:
    return find(prediction, units, fixed(alpha, alpha, 3), len(units) if planned is None else planned)


RISING = [unit(i, float(i), 0.1 + 0.05 * i) for i in range(5)]
"""One family of five bases in perfect order: p = 1/5! = .0083; slope .05 a unit of x, .079 an SD (sqrt 2.5)."""


def test_a_slope_is_supported_beyond_its_margin_and_refuted_short_of_it() -> None:
    # Perfectly linear: every other order rejects the same slope, so both limits are the slope itself.
    slope = 0.05 * math.sqrt(2.5)
    assert found(claim(margin=slope - 0.001), RISING).outcome is Outcome.SUPPORTED
    said = found(claim(margin=slope + 0.001), RISING)
    assert (said.outcome, said.how) == (Outcome.REFUTED, Refutation.TOO_SMALL)
    zone = claim(margin=slope + 0.001, refute_below=slope - 0.001)
    assert found(zone, RISING).outcome is Outcome.INCONCLUSIVE
    estimate = rule(claim(), RISING, fixed(0.05, 0.05, 3)).estimates[0]
    assert (estimate.value, estimate.low, estimate.high) == pytest.approx((slope, slope, slope))


def test_the_other_direction_has_the_wrong_sign() -> None:
    said = found(claim(direction="negative"), RISING)
    assert (said.outcome, said.how) == (Outcome.REFUTED, Refutation.WRONG_SIGN)
    assert rule(claim(direction="negative"), RISING, fixed(0.05, 0.05, 3)).estimates[0].name.startswith("- slope of")


def test_three_families_are_underpowered_by_design() -> None:
    # The unit across families is the family: 3! orders, however many bases each family has. p = 1/6.
    units = [unit(3 * f + i, float(f), 0.1 + 0.1 * f + 0.01 * i, f"family {f}") for f in range(3) for i in range(3)]
    across = claim(strata=[])
    said = found(across, units)
    assert (said.outcome, said.reason, said.settled) == (Outcome.INCONCLUSIVE, Reason.UNDERPOWERED, True)
    assert said.why == "the smallest p that 3 units can give is 0.167"
    shown = rule(across, units, fixed(0.05, 0.05, 3))
    assert shown.attainable_p == pytest.approx(1 / 6)
    assert (shown.estimates[0].low, shown.estimates[0].high, shown.estimates[0].n_runs) == (None, None, 3)
    assert found(across, units, alpha=1 / 6).outcome is Outcome.SUPPORTED


def test_perfect_agreement_of_three_is_no_certainty_whatever_scipy_says() -> None:
    # scipy.stats.spearmanr([1, 2, 3], [1, 2, 3]).pvalue is 0, from a t distribution with one degree of freedom.
    assert float(stats.spearmanr([1, 2, 3], [1, 2, 3]).pvalue) == 0  # pyright: ignore
    three = [unit(i, float(i), 0.1 * i) for i in range(3)]
    assert found(claim(), three).reason is Reason.UNDERPOWERED


def test_families_are_compared_by_their_means() -> None:
    # Within each family the gap falls with x, between their means it rises: 4 families, p = 1/4! = .0417.
    units = [unit(2 * f + i, 10.0 * f + i, 0.1 + 0.1 * f - 0.05 * i, f"family {f}") for f in range(4) for i in range(2)]
    assert found(claim(strata=[]), units).outcome is Outcome.SUPPORTED
    within = found(claim(strata=["family"], margin=0.001), units)
    assert within.reason is not Reason.IN_SUPPORT
    assert rule(claim(), units, fixed(0.05, 0.05, 3)).estimates[0].value == pytest.approx(
        -0.05 * math.sqrt(0.5)  # a unit of x is .5 about each family's mean: SD sqrt(4 x .5 / 4)
    )


def test_strata_hold_family_and_budget_constant() -> None:
    # Gap and x rise with the budget alone; within family and budget they have nothing in common.
    rng = np.random.default_rng(1)
    units = [
        unit(
            12 * f + 4 * b + i,
            5.0 * b + float(rng.normal()),
            0.1 + 0.1 * b + 0.02 * float(rng.normal()),
            f"f{f}",
            f"b{b}",
        )
        for f in range(2)
        for b in range(3)
        for i in range(4)
    ]
    assert found(claim(strata=["family"], margin=0.02), units).outcome is Outcome.SUPPORTED
    assert found(claim(strata=["family", "budget"], margin=0.02), units).outcome is not Outcome.SUPPORTED
    assert "24 units in 6 strata" in rule(claim(strata=["family", "budget"]), units, fixed(0.05, 0.05, 3)).detail


def test_a_trend_in_tokens_is_a_slope_for_one_doubling() -> None:
    units = [unit(i, None, 0.1 + 0.03 * i, log2_tokens=10.0 + i) for i in range(5)]
    per_doubling = claim(x="log2_tokens", margin=0.02)
    complete = [Unit(u.base, u.family, u.budget, u.log2_tokens, u.log2_tokens, u.a, u.b) for u in units]
    assert found(per_doubling, complete).outcome is Outcome.SUPPORTED
    shown = rule(per_doubling, complete, fixed(0.05, 0.05, 3))
    assert shown.estimates[0].value == pytest.approx(0.03)
    assert shown.estimates[0].name == "slope of the gap for one doubling of tokens, within family"
    assert {e.name: e.value for e in shown.effect_sizes} == pytest.approx(
        {"partial correlation": 1.0, "concordance of pairs (Jonckheere)": 1.0}
    )


def test_leaving_out_a_family_keeps_the_unit_of_the_slope() -> None:
    # Slopes of .03 and .05 a doubling; without the one, the other is left.
    units = [
        unit(4 * f + i, 10.0 + i, 0.1 + slope * i, f"f{f}", log2_tokens=10.0 + i)
        for f, slope in enumerate((0.03, 0.05))
        for i in range(4)
    ]
    detail = rule(claim(x="log2_tokens"), units, fixed(0.05, 0.05, 3)).detail
    assert detail.endswith("without one family: f0 +0.050, f1 +0.030")


@pytest.mark.parametrize("what", ["base", "x", "run", "arm"])
def test_a_missing_unit_leaves_it_open_and_not_underpowered(what: str) -> None:
    broken = {
        "base": [],
        "x": [unit(4, None, 0.3)],
        "run": [unit(4, 4.0, 0.3, a=arm(0.65, runs=2))],
        "arm": [unit(4, 4.0, 0.3, a=arm(0.65, runs=0))],
    }[what]
    for known in (4, 2):  # with two left not even perfect agreement would do; but more were planned
        said = found(claim(), [*RISING[:known], *broken], planned=5)
        assert (said.outcome, said.reason, said.settled) == (Outcome.INCONCLUSIVE, Reason.MISSING_RUNS, False)


def test_fewer_than_two_units_test_nothing() -> None:
    for units in ([], RISING[:1], [unit(0, None, 0.1), unit(1, 1.0, 0.2)]):
        said = found(claim(), units, planned=5)
        assert (said.outcome, said.reason) == (Outcome.UNTESTED, Reason.NO_RUNS)
        assert rule(claim(), units, fixed(0.05, 0.05, 3)).detail == ""


def test_a_gap_that_never_varies_shows_nothing() -> None:
    said = found(claim(), [unit(i, float(i), 0.25) for i in range(5)])
    assert (said.outcome, said.reason) == (Outcome.INCONCLUSIVE, Reason.NO_SPREAD)


def test_an_x_that_never_varies_has_no_slope() -> None:
    said = found(claim(), [unit(i, 3.0, 0.1 * i) for i in range(5)])
    assert (said.outcome, said.reason) == (Outcome.INCONCLUSIVE, Reason.UNDERPOWERED)


def test_the_same_bases_give_the_same_verdict_where_orders_are_drawn() -> None:
    rng = np.random.default_rng(2)
    units = [unit(i, float(rng.normal()), float(rng.uniform(-0.3, 0.3))) for i in range(12)]
    declared = Hypothesis.model_validate(
        {
            "title": "abc",
            "claim": "The gap grows with depth.",
            "source": "a test",
            "design": {"seeds": 3, "bases": {"families": 1, "seeds": 12}},
            "predictions": [claim().model_dump()],
        },
        strict=False,
    )
    (prediction,) = declared.predictions
    said = [decide(declared, prediction, Results({}, 3, units=tuple(order))) for order in (units, units[::-1])]
    assert said[0] == said[1]
    assert "random orders" in said[0].estimates[0].method
    assert said[0].attainable_p is not None and said[0].attainable_p <= 1e-4
