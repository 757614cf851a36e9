import math
from typing import Any

import numpy as np
import pytest

from harness.decide import CellSample
from harness.decide.margins import Margin, margin, rule_margin
from harness.record.verdict import Outcome, Reason, RunLabel
from harness.spec import Interaction, MinEffect, NonInferiority

C, T = RunLabel.COLLAPSED, RunLabel.TRAINED
ARMS = {
    "a": {"rank": 8},
    "b": {"rank": 128},
    "c": {"rank": 8, "algorithm": "sft"},
    "d": {"rank": 128, "algorithm": "sft"},
}
COMMON = {
    "id": "claim",
    "statement": "One is better than the other.",
    "role": "primary",
    "rationale": "For the test alone.",
}


def two_arms(kind: type[MinEffect | NonInferiority], **fields: Any) -> Margin:
    name = "min_effect" if kind is MinEffect else "non_inferiority"
    return kind.model_validate({**COMMON, "kind": name, "a": ARMS["a"], "b": ARMS["b"], **fields})


def interaction(size: float) -> Interaction:
    return Interaction.model_validate({**COMMON, "kind": "interaction", "margin": size, **ARMS})


def cell(
    values: list[float], labels: list[RunLabel] | None = None, planned: int = 5, n_items: int = 10**5
) -> CellSample:
    return CellSample(np.array(values), tuple(labels or [T] * len(values)), n_items, planned)


def around(mean: float, planned: int = 5) -> CellSample:
    """Five runs with mean `mean` and variance .02^2 x 2.5 = .001."""
    return cell([mean + d for d in (-0.04, -0.02, 0.0, 0.02, 0.04)], planned=planned)


HALF_WIDTH = 1.859548 * math.sqrt(2 * 0.001 / 5)
"""t(.95, df 8) = 1.859548 (any table) times the standard error of a difference of two such cells: .0372."""


@pytest.mark.parametrize(
    ("difference", "outcome", "reason"),
    [
        (0.30 + HALF_WIDTH + 0.001, Outcome.SUPPORTED, Reason.IN_SUPPORT),
        (0.30 + HALF_WIDTH - 0.001, Outcome.INCONCLUSIVE, Reason.STRADDLES),
        (0.10 - HALF_WIDTH + 0.001, Outcome.INCONCLUSIVE, Reason.STRADDLES),
        (0.10 - HALF_WIDTH - 0.001, Outcome.REFUTED, Reason.IN_REFUTE),
    ],
)
def test_min_effect_turns_at_its_regions(difference: float, outcome: Outcome, reason: Reason) -> None:
    prediction = two_arms(MinEffect, margin=0.30, refute_below=0.10)
    ruling = margin(prediction, {"a": around(0.3 + difference), "b": around(0.3)}, 0.05)
    assert (ruling.outcome, ruling.reason) == (outcome, reason)


@pytest.mark.parametrize(
    ("difference", "outcome"),
    [
        (-0.05 + HALF_WIDTH + 0.001, Outcome.SUPPORTED),
        (-0.05, Outcome.INCONCLUSIVE),
        (-0.05 - HALF_WIDTH - 0.001, Outcome.REFUTED),
    ],
)
def test_non_inferiority_turns_at_minus_the_margin(difference: float, outcome: Outcome) -> None:
    arms = {"a": around(0.5 + difference), "b": around(0.5)}
    assert margin(two_arms(NonInferiority, margin=0.05), arms, 0.05).outcome is outcome


def test_refuting_is_held_to_its_own_level() -> None:
    arms = {"a": around(0.45 - HALF_WIDTH - 0.001), "b": around(0.5)}
    prediction = two_arms(NonInferiority, margin=0.05)
    assert margin(prediction, arms, 0.05).outcome is Outcome.REFUTED
    assert margin(prediction, arms, 0.025).outcome is Outcome.INCONCLUSIVE


def test_interaction_is_the_difference_of_the_drops() -> None:
    arms = {name: around(m) for name, m in zip("abcd", (0.7, 0.2, 0.6, 0.5), strict=True)}
    ruling = margin(interaction(0.2), arms, 0.05)
    assert ruling.estimates[0].value == pytest.approx(0.4)  # (.7 - .2) - (.6 - .5)
    assert ruling.outcome is Outcome.SUPPORTED
    swapped = {"a": arms["c"], "b": arms["d"], "c": arms["a"], "d": arms["b"]}
    assert margin(interaction(0.2), swapped, 0.05).outcome is Outcome.REFUTED


def test_an_identical_arm_never_shows_an_effect() -> None:
    assert (
        margin(two_arms(MinEffect, margin=0.02), {"a": around(0.5), "b": around(0.5)}, 0.05).outcome
        is Outcome.INCONCLUSIVE
    )


def test_the_estimate_carries_both_levels() -> None:
    estimate = margin(two_arms(NonInferiority, margin=0.05), {"a": around(0.5), "b": around(0.4)}, 0.025).estimates[0]
    wider = 2.306004 * math.sqrt(2 * 0.001 / 5)  # t(.975, df 8)
    assert (estimate.value, estimate.low, estimate.high) == pytest.approx((0.1, 0.1 - HALF_WIDTH, 0.1 + HALF_WIDTH))
    assert (estimate.refute_low, estimate.refute_high) == pytest.approx((0.1 - wider, 0.1 + wider))
    assert (estimate.unit, estimate.n_runs) == ("accuracy", 10)


def test_a_mixed_cell_decides_nothing_but_is_reported() -> None:
    mixed = cell([0.02, 0.02, 0.02, 0.02, 0.6], [C, C, C, C, T])
    ruling = margin(two_arms(MinEffect, margin=0.05), {"a": around(0.9), "b": mixed}, 0.05)
    assert (ruling.outcome, ruling.reason) == (Outcome.INCONCLUSIVE, Reason.MIXED_CELLS)
    assert ruling.detail == "collapsed and other runs side by side at b (4 of 5 collapsed)"
    assert ruling.estimates[0].value == pytest.approx(0.9 - 0.136)
    collapsed = cell([0.02, 0.02, 0.02, 0.02, 0.02], [C] * 5)
    assert (
        margin(two_arms(MinEffect, margin=0.05), {"a": around(0.9), "b": collapsed}, 0.05).outcome is Outcome.SUPPORTED
    )


def test_an_arm_without_runs_is_untested() -> None:
    ruling = margin(two_arms(MinEffect, margin=0.05), {"a": around(0.9), "b": cell([])}, 0.05)
    assert (ruling.outcome, ruling.reason, ruling.detail) == (Outcome.UNTESTED, Reason.NO_RUNS, "no runs at b")


@pytest.mark.parametrize(
    ("mean", "outcome", "reason"),
    [
        (0.9, Outcome.SUPPORTED, Reason.IN_SUPPORT),
        (0.35, Outcome.INCONCLUSIVE, Reason.MISSING_RUNS),
        (0.1, Outcome.REFUTED, Reason.IN_REFUTE),
    ],
)
def test_a_missing_run_leaves_only_what_survives_both_worst_cases(
    mean: float, outcome: Outcome, reason: Reason
) -> None:
    # One of six missing in a, mean m: (5 m + 0)/6 at worst for support, (5 m + 1)/6 against refutation, with
    # s = 1 x sqrt(1/6) at most .41 and t(.95, df 4) = 2.13. m = .9: .75 - 2.13 x .37/2.45 = .43 > .1 + b's .05 mean;
    # m = .1 against a = .9 in b: .25 + .33 - .9 < -.1. m = .35: with the run at 0 the limit falls to -.03.
    prediction = two_arms(MinEffect, margin=0.1, refute_below=-0.1)
    other = around(0.9 if mean < 0.2 else 0.05)
    ruling = margin(prediction, {"a": around(mean, planned=6), "b": other}, 0.05)
    assert (ruling.outcome, ruling.reason) == (outcome, reason)
    assert ruling.detail.endswith("1 of 11 planned runs missing")


def test_one_run_in_an_arm_gives_no_interval() -> None:
    ruling = margin(two_arms(MinEffect, margin=0.1), {"a": around(0.9), "b": cell([0.1], planned=1)}, 0.05)
    assert (ruling.outcome, ruling.reason) == (Outcome.INCONCLUSIVE, Reason.STRADDLES)
    assert (ruling.estimates[0].low, ruling.estimates[0].high) == (None, None)


def test_hedges_g_matches_its_formula() -> None:
    # d = .1 / sqrt(.001), times 1 - 3 / (4 x 8 - 1) (Hedges 1981).
    effects = margin(two_arms(MinEffect, margin=0.05), {"a": around(0.5), "b": around(0.4)}, 0.05).effect_sizes
    assert [(e.name, e.value) for e in effects] == [
        ("Hedges g (a - b)", pytest.approx(0.1 / math.sqrt(0.001) * (1 - 3 / 31)))
    ]


def test_hedges_g_is_withheld_where_a_spread_is_below_item_sampling() -> None:
    tight = cell([0.5, 0.5, 0.5, 0.501, 0.5], n_items=200)
    assert margin(two_arms(MinEffect, margin=0.05), {"a": tight, "b": around(0.4)}, 0.05).effect_sizes == ()


@pytest.mark.parametrize(("sd_a", "sd_b"), [(0.03, 0.03), (0.01, 0.05)])
def test_non_inferiority_is_wrong_at_most_alpha_at_its_boundary(sd_a: float, sd_b: float) -> None:
    """True difference = -margin, n = 5: either verdict is wrong, each at a rate within alpha and Monte Carlo error."""
    rng, repeats, prediction = np.random.default_rng(11), 4000, two_arms(NonInferiority, margin=0.05)
    a, b = rng.normal(0.45, sd_a, (repeats, 5)), rng.normal(0.50, sd_b, (repeats, 5))  # (n_repeats, n_runs)
    outcomes = [rule_margin(prediction, {"a": cell([*x]), "b": cell([*y])}, 0.05) for x, y in zip(a, b, strict=True)]
    for wrong in (Outcome.SUPPORTED, Outcome.REFUTED):
        rate = outcomes.count(wrong) / repeats
        assert 0.02 < rate <= 0.05 + 3 * math.sqrt(0.05 * 0.95 / repeats)  # and not by never deciding
