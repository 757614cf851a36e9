import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
from pydantic import TypeAdapter

from harness.decide import CellSample, Landmarks
from harness.decide.means import Samples, contrast_of, find, in_words, regions, rule, weights
from harness.decide.ruling import Finding, Ruling
from harness.decide.sequential import Regions
from harness.decide.terms import fixed
from harness.record.verdict import Outcome, Reason, Refutation, RunLabel
from harness.spec.prediction import (
    Contrast,
    Equivalence,
    Interaction,
    MeanBound,
    MinEffect,
    NonInferiority,
    NonSuperiority,
    Prediction,
)

C, D, N, T = RunLabel.COLLAPSED, RunLabel.DEGRADED, RunLabel.NO_GAIN, RunLabel.TRAINED
READ: TypeAdapter[Prediction] = TypeAdapter(Prediction)
ARMS: dict[str, dict[str, Any]] = {
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
LANDMARKS = Landmarks(base=0.4, collapsed_below=0.1, trained_above=0.46)


def claim(kind: str, **fields: Any) -> Contrast:
    """A contrast; of GRPO at ranks 8 and 128 (and SFT at the same) unless `fields` say otherwise."""
    arms: dict[str, Any] = {"interaction": ARMS, "mean_bound": {"cell": ARMS["a"]}}.get(
        kind, {name: ARMS[name] for name in "ab"}
    )
    read = READ.validate_python({**COMMON, "kind": kind, **arms, **fields}, strict=False)
    assert isinstance(
        read, MinEffect | NonSuperiority | NonInferiority | Equivalence | Interaction | MeanBound
    )  # the kinds of this floor
    return read


def cell(values: list[float], labels: list[RunLabel] | None = None, planned: int = 5, **more: Any) -> CellSample:
    given: dict[str, Any] = {"n_items": 10**5, **more}
    return CellSample(np.array(values), tuple(labels or [T] * len(values)), planned=planned, **given)


def around(mean: float, planned: int = 5, **more: Any) -> CellSample:
    """Five runs with mean `mean` and variance .02^2 x 2.5 = .001."""
    return cell([mean + d for d in (-0.04, -0.02, 0.0, 0.02, 0.04)], planned=planned, **more)


def found(prediction: Contrast, samples: Samples, refute_alpha: float = 0.05, where: Landmarks = LANDMARKS) -> Finding:
    return find(prediction, samples, fixed(0.05, refute_alpha, 5), where)


def outcome(prediction: Contrast, samples: Samples, refute_alpha: float = 0.05) -> Outcome:
    return found(prediction, samples, refute_alpha).outcome


def figures(prediction: Contrast, samples: Samples, refute_alpha: float = 0.05) -> Ruling:
    return rule(prediction, samples, fixed(0.05, refute_alpha, 5), LANDMARKS)


def arms(**means: float) -> dict[str, CellSample]:
    return {name: around(mean) for name, mean in means.items()}


HALF_WIDTH = 1.859548 * math.sqrt(2 * 0.001 / 5)
"""t(.95, df 8) = 1.859548 (any table) times the standard error of a difference of two such cells: .0372."""
WIDER = 2.306004 * math.sqrt(2 * 0.001 / 5)
"""Likewise with t(.975, df 8) = 2.306004: .0461."""
ALONE = 2.131847 * math.sqrt(0.001 / 5)
"""t(.95, df 4) = 2.131847 times the standard error of the mean of one such cell: .0301."""
BIT = 0.001


def test_weights_and_regions_are_those_of_the_kinds() -> None:
    infinite = math.inf
    assert weights(claim("min_effect", margin=0.1)) == (1, -1)
    assert weights(claim("interaction", margin=0.1)) == (1, -1, -1, 1)
    assert weights(claim("mean_bound", direction="above", value=0.1)) == (1,)
    rows: list[tuple[Contrast, Regions]] = [
        (claim("min_effect", margin=0.3), Regions(0.3, infinite, 0.3, infinite)),
        (claim("min_effect", margin=0.3, refute_below=-0.1), Regions(0.3, infinite, -0.1, infinite)),
        (claim("non_inferiority", margin=0.3), Regions(-0.3, infinite, -0.3, infinite)),
        (claim("non_superiority", margin=0.3), Regions(-infinite, 0.3, -infinite, 0.3)),
        (claim("equivalence", low=-0.1, high=0.2), Regions(-0.1, 0.2, -0.1, 0.2)),
        (claim("interaction", margin=0.3), Regions(0.3, infinite, 0.3, infinite)),
        (claim("mean_bound", direction="above", value=0.3), Regions(0.3, infinite, 0.3, infinite)),
        (claim("mean_bound", direction="below", value=0.3), Regions(-infinite, 0.3, -infinite, 0.3)),
    ]
    for prediction, wanted in rows:
        assert regions(prediction, LANDMARKS) == wanted, prediction


@pytest.mark.parametrize(
    ("difference", "wanted", "reason"),
    [
        (0.30 + HALF_WIDTH + BIT, Outcome.SUPPORTED, Reason.IN_SUPPORT),
        (0.30 + HALF_WIDTH - BIT, Outcome.INCONCLUSIVE, Reason.STRADDLES),
        (0.10 - HALF_WIDTH + BIT, Outcome.INCONCLUSIVE, Reason.STRADDLES),
        (0.10 - HALF_WIDTH - BIT, Outcome.REFUTED, Reason.IN_REFUTE),
    ],
)
def test_min_effect_turns_at_its_regions(difference: float, wanted: Outcome, reason: Reason) -> None:
    said = found(claim("min_effect", margin=0.30, refute_below=0.10), arms(a=0.3 + difference, b=0.3))
    assert (said.outcome, said.reason) == (wanted, reason)


@pytest.mark.parametrize(
    ("difference", "wanted"),
    [
        (-0.05 + HALF_WIDTH + BIT, Outcome.SUPPORTED),
        (-0.05 + HALF_WIDTH - BIT, Outcome.INCONCLUSIVE),
        (-0.05 - HALF_WIDTH + BIT, Outcome.INCONCLUSIVE),
        (-0.05 - HALF_WIDTH - BIT, Outcome.REFUTED),
    ],
)
def test_non_inferiority_turns_at_minus_the_margin_and_non_superiority_mirrors_it(
    difference: float, wanted: Outcome
) -> None:
    assert outcome(claim("non_inferiority", margin=0.05), arms(a=0.5 + difference, b=0.5)) is wanted
    assert outcome(claim("non_superiority", margin=0.05), arms(a=0.5, b=0.5 + difference)) is wanted


@pytest.mark.parametrize(
    ("difference", "wanted"),
    # Supported: both limits at .05 inside -.06 to .08, so between -.06 + .0372 and .08 - .0372. Refuted: a limit at
    # .025, half of the level for each side, outside.
    [
        (-0.06 - WIDER - BIT, Outcome.REFUTED),
        (-0.06 - WIDER + BIT, Outcome.INCONCLUSIVE),
        (-0.06 + HALF_WIDTH - BIT, Outcome.INCONCLUSIVE),
        (-0.06 + HALF_WIDTH + BIT, Outcome.SUPPORTED),
        (0.08 - HALF_WIDTH - BIT, Outcome.SUPPORTED),
        (0.08 - HALF_WIDTH + BIT, Outcome.INCONCLUSIVE),
        (0.08 + WIDER - BIT, Outcome.INCONCLUSIVE),
        (0.08 + WIDER + BIT, Outcome.REFUTED),
    ],
)
def test_equivalence_is_two_one_sided_tests_and_is_refuted_outside(difference: float, wanted: Outcome) -> None:
    assert outcome(claim("equivalence", low=-0.06, high=0.08), arms(a=0.5 + difference, b=0.5)) is wanted


def test_an_interval_as_wide_as_the_region_shows_no_equivalence() -> None:
    narrow = claim("equivalence", low=-HALF_WIDTH + BIT, high=HALF_WIDTH - BIT)
    assert outcome(narrow, arms(a=0.5, b=0.5)) is Outcome.INCONCLUSIVE


@pytest.mark.parametrize(
    ("reference", "landmark"), [("zero", 0.0), ("base", 0.4), ("collapsed_below", 0.1), ("trained_above", 0.46)]
)
@pytest.mark.parametrize("direction", ["above", "below"])
def test_a_mean_is_bounded_from_its_reference(reference: str, landmark: float, direction: str) -> None:
    bound, side = (
        claim("mean_bound", direction=direction, value=0.05, reference=reference),
        1 if direction == "above" else -1,
    )
    for beyond, wanted in (
        (side * (ALONE + BIT), Outcome.SUPPORTED),
        (side * (ALONE - BIT), Outcome.INCONCLUSIVE),
        (-side * (ALONE - BIT), Outcome.INCONCLUSIVE),
        (-side * (ALONE + BIT), Outcome.REFUTED),
    ):
        assert outcome(bound, {"cell": around(landmark + 0.05 + beyond, bounded=False)}) is wanted


def test_the_sampling_of_a_reference_widens_the_bound() -> None:
    """The mean of five varies by .001 / 5; a base measured to +-.02 adds .0004, a limit of a quarter of it 1/16."""
    measured = Landmarks(base=0.4, collapsed_below=0.1, trained_above=0.46, base_se=0.02)
    runs = {"cell": around(0.5, bounded=False)}
    for reference, variance in (("zero", 0.0), ("base", 4e-4), ("trained_above", 4e-4), ("collapsed_below", 4e-4 / 16)):
        bound = claim("mean_bound", direction="above", value=0.01, reference=reference)
        fit = contrast_of(bound, runs, measured)
        assert fit.se**2 == pytest.approx(0.0002 + variance)
        # Satterthwaite with a variance that is known: 4 x (total / own)^2
        assert fit.df == pytest.approx(4 * (1 + variance / 0.0002) ** 2)


def test_responses_without_a_logarithm_are_told_before_their_lack_of_spread() -> None:
    zeros = {"a": cell([0.0] * 5, bounded=False), "b": cell([0.0] * 5, bounded=False)}
    ratio = claim("min_effect", margin=0.2, scale="log_ratio")
    assert found(ratio, zeros).reason is Reason.OFF_SCALE
    assert rule(ratio, zeros, fixed(0.05, 0.05, 5), LANDMARKS).estimates == ()


def test_a_ratio_beyond_numbers_is_left_out() -> None:
    far = {"a": cell([1e300, 2e300, 3e300, 1e300, 2e300], bounded=False), "b": around(1e-300, bounded=False)}
    far["b"] = cell([1e-300, 2e-300, 3e-300, 1e-300, 2e-300], bounded=False)
    ratio = claim("min_effect", margin=0.2, scale="log_ratio")
    names = [size.name for size in rule(ratio, far, fixed(0.05, 0.05, 5), LANDMARKS).effect_sizes]
    assert "ratio of geometric means" not in names


def test_a_bound_is_reported_from_its_reference() -> None:
    bound = claim("mean_bound", direction="above", value=0.02, reference="base")
    (estimate,) = figures(bound, {"cell": around(0.5)}).estimates
    assert estimate.name == in_words(bound) == "mean of GRPO r=8 - base"
    assert (estimate.value, estimate.low, estimate.high) == pytest.approx((0.1, 0.1 - ALONE, 0.1 + ALONE))


def test_without_the_bases_accuracy_no_bound_counts_from_it() -> None:
    bound = claim("mean_bound", direction="above", value=0.02, reference="base")
    said = found(bound, {"cell": around(0.5)}, where=Landmarks())
    assert (said.outcome, said.reason) == (Outcome.INCONCLUSIVE, Reason.NO_INFORMATION)
    assert rule(bound, {"cell": around(0.5)}, fixed(0.05, 0.05, 5), Landmarks()) == Ruling("")
    with pytest.raises(ValueError, match="claim: nobody knows base"):
        regions(bound, Landmarks())
    from_zero = claim("mean_bound", direction="above", value=0.3)
    assert found(from_zero, {"cell": around(0.5)}, where=Landmarks()).outcome is Outcome.SUPPORTED


@pytest.mark.parametrize(
    ("kind", "fields", "means", "how"),
    [
        ("min_effect", {"margin": 0.2}, {"a": 0.55, "b": 0.5}, Refutation.TOO_SMALL),
        ("min_effect", {"margin": 0.2}, {"a": 0.4, "b": 0.5}, Refutation.WRONG_SIGN),
        ("interaction", {"margin": 0.3}, {"a": 0.55, "b": 0.5, "c": 0.5, "d": 0.5}, Refutation.TOO_SMALL),
        ("non_superiority", {"margin": 0.1}, {"a": 0.7, "b": 0.5}, Refutation.TOO_LARGE),
        ("non_inferiority", {"margin": 0.1}, {"a": 0.3, "b": 0.5}, Refutation.TOO_LARGE),
        ("equivalence", {"low": -0.1, "high": 0.1}, {"a": 0.7, "b": 0.5}, Refutation.TOO_LARGE),
        ("mean_bound", {"direction": "below", "value": 0.2}, {"cell": 0.5}, Refutation.OTHER_SIDE),
    ],
)
def test_a_refutation_says_in_which_way(
    kind: str, fields: Mapping[str, Any], means: Mapping[str, float], how: Refutation
) -> None:
    said = found(claim(kind, **fields), arms(**means))
    assert (said.outcome, said.how, said.settled) == (Outcome.REFUTED, how, True)


def test_refuting_is_held_to_its_own_level() -> None:
    runs, prediction = arms(a=0.45 - HALF_WIDTH - BIT, b=0.5), claim("non_inferiority", margin=0.05)
    assert outcome(prediction, runs, 0.05) is Outcome.REFUTED
    assert outcome(prediction, runs, 0.025) is Outcome.INCONCLUSIVE


def test_supporting_is_held_to_its_own_level() -> None:
    runs, prediction = arms(a=0.45 + HALF_WIDTH + BIT, b=0.5), claim("non_inferiority", margin=0.05)
    assert find(prediction, runs, fixed(0.05, 0.05), LANDMARKS).outcome is Outcome.SUPPORTED
    assert find(prediction, runs, fixed(0.025, 0.05), LANDMARKS).outcome is Outcome.INCONCLUSIVE


def test_interaction_is_the_difference_of_the_drops() -> None:
    runs, prediction = arms(a=0.7, b=0.2, c=0.6, d=0.5), claim("interaction", margin=0.2)
    assert figures(prediction, runs).estimates[0].value == pytest.approx(0.4)  # (.7 - .2) - (.6 - .5)
    assert outcome(prediction, runs) is Outcome.SUPPORTED
    swapped = {"a": runs["c"], "b": runs["d"], "c": runs["a"], "d": runs["b"]}
    assert outcome(prediction, swapped) is Outcome.REFUTED


def test_an_identical_arm_never_shows_an_effect() -> None:
    assert outcome(claim("min_effect", margin=0.02), arms(a=0.5, b=0.5)) is Outcome.INCONCLUSIVE


def test_the_estimate_carries_both_levels() -> None:
    estimate = figures(claim("non_inferiority", margin=0.05), arms(a=0.5, b=0.4), 0.025).estimates[0]
    assert (estimate.value, estimate.low, estimate.high) == pytest.approx((0.1, 0.1 - HALF_WIDTH, 0.1 + HALF_WIDTH))
    assert (estimate.refute_low, estimate.refute_high) == pytest.approx((0.1 - WIDER, 0.1 + WIDER))
    assert (estimate.name, estimate.unit, estimate.n_runs) == ("GRPO r=8 - GRPO r=128", "accuracy", 10)
    both = figures(claim("equivalence", low=-0.1, high=0.1), arms(a=0.5, b=0.4)).estimates[0]
    assert (both.refute_low, both.refute_high) == pytest.approx((0.1 - WIDER, 0.1 + WIDER))  # half of .05 a side


def test_a_mixed_cell_decides_nothing_but_is_reported() -> None:
    mixed = cell([0.02, 0.02, 0.02, 0.02, 0.6], [C, C, C, C, T])
    prediction, runs = claim("min_effect", margin=0.05), {"a": around(0.9), "b": mixed}
    said = found(prediction, runs)
    assert (said.outcome, said.reason) == (Outcome.INCONCLUSIVE, Reason.MIXED_CELLS)
    assert said.why == "collapsed and other runs side by side at b (4 of 5 collapsed)"
    assert figures(prediction, runs).estimates[0].value == pytest.approx(0.9 - 0.136)
    collapsed = cell([0.02, 0.02, 0.02, 0.02, 0.02], [C] * 5)
    assert outcome(prediction, {"a": around(0.9), "b": collapsed}) is Outcome.SUPPORTED


def test_an_arm_without_runs_is_untested() -> None:
    prediction, runs = claim("min_effect", margin=0.05), {"a": around(0.9), "b": cell([])}
    said = found(prediction, runs)
    assert (said.outcome, said.reason, said.why) == (Outcome.UNTESTED, Reason.NO_RUNS, "no runs at b")
    assert figures(prediction, runs) == Ruling("")


@pytest.mark.parametrize(
    ("mean", "wanted", "reason"),
    [
        (0.9, Outcome.SUPPORTED, Reason.IN_SUPPORT),
        (0.35, Outcome.INCONCLUSIVE, Reason.MISSING_RUNS),
        (0.1, Outcome.REFUTED, Reason.IN_REFUTE),
    ],
)
def test_a_missing_run_leaves_only_what_survives_both_worst_cases(mean: float, wanted: Outcome, reason: Reason) -> None:
    # One of six missing in a, mean m: (5 m + 0)/6 at worst for support, (5 m + 1)/6 against refutation, with
    # s = 1 x sqrt(1/6) at most .41 and t(.95, df 4) = 2.13. m = .9: .75 - 2.13 x .37/2.45 = .43 > .1 + b's .05 mean;
    # m = .1 against a = .9 in b: .25 + .33 - .9 < -.1. m = .35: with the run at 0 the limit falls to -.03.
    prediction = claim("min_effect", margin=0.1, refute_below=-0.1)
    runs = {"a": around(mean, planned=6), "b": around(0.9 if mean < 0.2 else 0.05)}
    said = found(prediction, runs)
    assert (said.outcome, said.reason) == (wanted, reason)
    assert figures(prediction, runs).detail.endswith("1 of 11 planned runs missing")


@pytest.mark.parametrize("fields", [{"scale": "raw"}, {"scale": "log_ratio"}])
def test_what_a_missing_run_gives_on_an_unbounded_scale_is_anybodys_guess(fields: dict[str, str]) -> None:
    prediction = claim("min_effect", margin=0.5, measure="stable_rank", **fields)
    whole = {"a": around(90.0, bounded=False), "b": around(2.0, bounded=False)}
    assert outcome(prediction, whole) is Outcome.SUPPORTED
    said = found(prediction, whole | {"a": around(90.0, planned=6, bounded=False)})
    assert (said.outcome, said.reason) == (Outcome.INCONCLUSIVE, Reason.MISSING_RUNS)


def test_a_share_on_a_ratio_scale_has_no_least_value_for_a_missing_run() -> None:
    prediction = claim("min_effect", margin=0.1, scale="log_ratio")
    said = found(prediction, {"a": around(0.9, planned=6), "b": around(0.2)})
    assert (said.outcome, said.reason) == (Outcome.INCONCLUSIVE, Reason.MISSING_RUNS)


def test_one_run_in_an_arm_gives_no_interval() -> None:
    prediction, runs = claim("min_effect", margin=0.1), {"a": around(0.9), "b": cell([0.1], planned=1)}
    said, estimate = found(prediction, runs), figures(prediction, runs).estimates[0]
    assert (said.outcome, said.reason) == (Outcome.INCONCLUSIVE, Reason.STRADDLES)
    assert (estimate.low, estimate.high) == (None, None)


# Scales.


def test_on_the_log_scale_a_ratio_of_geometric_means_is_compared() -> None:
    # Geometric means 4 and 2: ratio 2, log 2 = .6931; s^2 of the logs is 2.5 x .01^2 in both, df 8, t(.95) = 1.859548.
    spread = (-0.02, -0.01, 0.0, 0.01, 0.02)
    runs = {n: cell([g * math.exp(d) for d in spread], bounded=False) for n, g in (("a", 4.0), ("b", 2.0))}
    half = 1.859548 * math.sqrt(2 * 2.5e-4 / 5)
    for margin, wanted in (
        (math.log(2) - half - BIT, Outcome.SUPPORTED),
        (math.log(2) - half + BIT, Outcome.INCONCLUSIVE),
        (math.log(2) + half - BIT, Outcome.INCONCLUSIVE),
        (math.log(2) + half + BIT, Outcome.REFUTED),
    ):
        prediction = claim("min_effect", margin=margin, scale="log_ratio", measure="stable_rank")
        assert outcome(prediction, runs) is wanted
    ruling = figures(claim("min_effect", margin=0.5, scale="log_ratio", measure="stable_rank"), runs)
    assert ruling.estimates[0].unit == "log ratio"
    ratio = ruling.effect_sizes[0]
    assert (ratio.name, ratio.value) == ("ratio of geometric means", pytest.approx(2.0))


@pytest.mark.parametrize("value", [0.0, -1.0])
def test_a_response_without_a_logarithm_decides_nothing(value: float) -> None:
    runs = {"a": around(3.0, bounded=False), "b": cell([value, 1.0, 1.1, 1.2, 1.3], bounded=False)}
    said = found(claim("min_effect", margin=0.1, scale="log_ratio", measure="norm"), runs)
    assert (said.outcome, said.reason) == (Outcome.INCONCLUSIVE, Reason.OFF_SCALE)
    assert said.why == "a response at b is not positive"
    assert figures(claim("min_effect", margin=0.1, scale="log_ratio", measure="norm"), runs) == Ruling("")


def test_on_the_logit_scale_zero_and_one_have_a_place() -> None:
    # N = 99: log((k + .5) / (99 - k + .5)): k = 99 gives log 199 = 5.2933, k = 0 its negative. The floor of the
    # variance is p(1-p)/N over (p(1-p))^2 with p = 1/101: 101^2 / (100 x 99) = 1.0304; se^2 = 2 x 1.0304 / 5, df 8.
    runs = {"a": cell([1.0] * 5, n_items=99), "b": cell([0.0] * 5, n_items=99)}
    estimate = figures(claim("min_effect", margin=1, scale="logit"), runs).estimates[0]
    half = 1.859548 * math.sqrt(2 * 101**2 / (100 * 99) / 5)
    wanted = 2 * math.log(199)
    assert (estimate.value, estimate.low, estimate.high) == pytest.approx((wanted, wanted - half, wanted + half))
    assert estimate.unit == "logit"


# Runs that were selected by what became of them.


def picked(
    values: list[float], label: RunLabel, others: int = 0, planned: int | None = None, **more: Any
) -> CellSample:
    """The runs of this label among `planned`, of which `others` bear another."""
    n = len(values)
    return cell(
        values,
        [label] * n,
        planned=n + others if planned is None else planned,
        selected=True,
        others=tuple(range(n, n + others)),
        **more,
    )


def by_label(**more: Any) -> Contrast:
    dead, alive = ({"rank": 64, "where": label} for label in ("collapsed", "trained"))
    return claim("non_superiority", a=dead, b=alive, margin=0.1, **more)


def test_arms_selected_by_label_are_compared_however_many_there_are() -> None:
    runs = {"a": picked([0.02, 0.03, 0.04], C, others=5), "b": picked([0.6, 0.61, 0.62, 0.63, 0.64], T, others=3)}
    assert outcome(by_label(), runs) is Outcome.SUPPORTED
    assert figures(by_label(), runs).estimates[0].n_runs == 8
    assert figures(by_label(), runs).estimates[0].name == "GRPO r=64 (collapsed runs) - GRPO r=64 (trained runs)"
    assert "missing" not in figures(by_label(), runs).detail


def test_a_run_without_a_result_might_have_borne_either_label() -> None:
    runs = {
        "a": picked([0.02, 0.03, 0.04], C, others=4, planned=8),
        "b": picked([0.6, 0.61, 0.62, 0.63], T, others=3, planned=8),
    }
    said = found(by_label(), runs)
    assert (said.outcome, said.reason) == (Outcome.INCONCLUSIVE, Reason.MISSING_RUNS)


def test_one_run_of_a_label_is_too_few_and_none_of_any_is_untested() -> None:
    some, one = picked([0.6, 0.61, 0.62], T, others=1), picked([0.02], C, others=3)
    said = found(by_label(), {"a": one, "b": some})
    assert (said.outcome, said.reason) == (Outcome.INCONCLUSIVE, Reason.TOO_FEW)
    assert said.why == "too few runs of the label at a (1)"
    none = picked([], C, others=4)
    assert found(by_label(), {"a": none, "b": some}).outcome is Outcome.INCONCLUSIVE
    said = found(by_label(), {"a": none, "b": picked([], T, others=4)})
    assert (said.outcome, said.reason) == (Outcome.UNTESTED, Reason.TOO_FEW)
    assert figures(by_label(), {"a": none, "b": some}) == Ruling("")


# Runs that do not vary.


def test_identical_runs_of_an_unknown_sampling_variance_decide_nothing() -> None:
    prediction = claim("min_effect", margin=0.1, measure="stable_rank")
    # .1 has no exact value: the variance of [.1, .1, .1] is 3e-34, not 0.
    runs = {"a": cell([5.1] * 5, bounded=False), "b": cell([0.1] * 5, bounded=False)}
    said = found(prediction, runs)
    assert (said.outcome, said.reason) == (Outcome.INCONCLUSIVE, Reason.NO_SPREAD)
    estimate = figures(prediction, runs).estimates[0]
    assert (estimate.value, estimate.low, estimate.high) == (pytest.approx(5.0), None, None)
    assert outcome(prediction, {**runs, "b": around(0.1, bounded=False)}) is Outcome.SUPPORTED


def test_identical_accuracies_have_the_variance_of_sampling_problems() -> None:
    # N = 98, all right and all wrong: se^2 = 2 x (.0099 / 98) / 5, t(.95, df 8) = 1.859548: the limit is .988.
    runs = {"a": cell([1.0] * 5, n_items=98), "b": cell([0.0] * 5, n_items=98)}
    low = 1 - 1.859548 * math.sqrt(2 * 0.0099 / 98 / 5)
    assert outcome(claim("min_effect", margin=low - 1e-4), runs) is Outcome.SUPPORTED
    assert outcome(claim("min_effect", margin=low + 1e-4), runs) is Outcome.INCONCLUSIVE


# Effect sizes.


def test_hedges_g_matches_its_formula() -> None:
    # d = .1 / sqrt(.001), times 1 - 3 / (4 x 8 - 1) (Hedges 1981).
    effects = figures(claim("min_effect", margin=0.05), arms(a=0.5, b=0.4)).effect_sizes
    assert [(e.name, e.value) for e in effects] == [
        ("Hedges g (a - b)", pytest.approx(0.1 / math.sqrt(0.001) * (1 - 3 / 31)))
    ]


def test_hedges_g_is_withheld_where_a_spread_is_below_item_sampling() -> None:
    tight = cell([0.5, 0.5, 0.5, 0.501, 0.5], n_items=200)
    assert figures(claim("min_effect", margin=0.05), {"a": tight, "b": around(0.4)}).effect_sizes == ()


def test_hedges_g_is_withheld_where_it_says_only_that_runs_hardly_differ() -> None:
    assert figures(claim("min_effect", margin=0.05), arms(a=0.9, b=0.1)).effect_sizes == ()


# Error rates at the boundary, where either verdict is wrong.


@pytest.mark.parametrize(("sd_a", "sd_b"), [(0.03, 0.03), (0.01, 0.05)])
@pytest.mark.parametrize("kind", ["non_inferiority", "non_superiority"])
def test_each_verdict_is_wrong_at_most_alpha_at_the_boundary(kind: str, sd_a: float, sd_b: float) -> None:
    """True difference = the margin, n = 5: each verdict at a rate within alpha and Monte Carlo error."""
    rng, repeats, prediction = np.random.default_rng(11), 3000, claim(kind, margin=0.05)
    difference = -0.05 if kind == "non_inferiority" else 0.05
    a = rng.normal(0.5 + difference, sd_a, (repeats, 5))  # (n_repeats, n_runs)
    b = rng.normal(0.5, sd_b, (repeats, 5))
    outcomes = [outcome(prediction, {"a": cell([*x]), "b": cell([*y])}) for x, y in zip(a, b, strict=True)]
    for wrong in (Outcome.SUPPORTED, Outcome.REFUTED):
        rate = outcomes.count(wrong) / repeats
        assert 0.02 < rate <= 0.05 + 3 * math.sqrt(0.05 * 0.95 / repeats)  # and not by never deciding


def test_equivalence_is_wrong_at_most_alpha_at_its_edge() -> None:
    rng, repeats, prediction = np.random.default_rng(12), 3000, claim("equivalence", low=-0.1, high=0.1)
    a, b = rng.normal(0.6, 0.03, (repeats, 5)), rng.normal(0.5, 0.03, (repeats, 5))
    outcomes = [outcome(prediction, {"a": cell([*x]), "b": cell([*y])}) for x, y in zip(a, b, strict=True)]
    slack = 3 * math.sqrt(0.05 * 0.95 / repeats)
    assert 0.03 < outcomes.count(Outcome.SUPPORTED) / repeats <= 0.05 + slack
    assert 0.01 < outcomes.count(Outcome.REFUTED) / repeats <= 0.025 + slack  # half of the level for each side
