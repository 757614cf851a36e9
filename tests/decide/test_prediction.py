"""Every kind is decided, look by look, and what it says of itself agrees with what it decided."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
from pydantic import TypeAdapter

from harness.decide import CellSample, Landmarks, Results, course, decide, rules_of
from harness.decide.associations import Unit
from harness.decide.prediction import assumptions, at_floor, seen
from harness.decide.ruling import Finding
from harness.decide.spending import nominal_levels
from harness.decide.terms import Terms
from harness.record.verdict import Outcome, PredictionVerdict, Reason, Refutation, RunLabel
from harness.spec import Hypothesis
from harness.spec.prediction import Prediction

READ: TypeAdapter[Prediction] = TypeAdapter(Prediction)
COMMON = {"id": "claim", "statement": "It is what we predict.", "role": "primary", "rationale": "For the test alone."}
A, B, C, D = ({"rank": 8}, {"rank": 128}, {"rank": 8, "algorithm": "sft"}, {"rank": 128, "algorithm": "sft"})
COLLAPSE = {"kind": "collapse_probability", "event": "collapsed", "direction": "below", "probability": 0.5}
EFFECT: dict[str, Any] = {"kind": "min_effect", "a": A, "b": B, "margin": 0.1}
KINDS: dict[str, dict[str, Any]] = {
    "> 10 points": EFFECT,
    "> 0.1 (log ratio)": {**EFFECT, "scale": "log_ratio"},
    "> 0.1": {**EFFECT, "measure": "final_reward"},
    "> -5 points": {"kind": "non_inferiority", "a": A, "b": B, "margin": 0.05},
    "< 5 points": {"kind": "non_superiority", "a": A, "b": B, "margin": 0.05},
    "> -5 points and < 10 points": {"kind": "equivalence", "a": A, "b": B, "low": -0.05, "high": 0.1},
    "> 20 points": {"kind": "interaction", "a": A, "b": B, "c": C, "d": D, "margin": 0.2},
    "> 50 points": {"kind": "mean_bound", "cell": A, "direction": "above", "value": 0.5},
    "< 2 points from base": {"kind": "mean_bound", "cell": A, "direction": "below", "value": 0.02, "reference": "base"},
    "each P < 0.5": {**COLLAPSE, "among": {"rank": [8, 16]}},
    "mean P < 0.5": {**COLLAPSE, "among": {"rank": [8, 16]}, "quantifier": "mean_over_cells"},
    "no exception, mean P < 0.5": {**COLLAPSE, "among": {"rank": [8, 16]}, "quantifier": "always"},
    "P < 0.5": {**COLLAPSE, "among": {"rank": [8]}},
    "P > 0.5": {**COLLAPSE, "among": {"rank": [8]}, "direction": "above"},
    "share > 0.8, total drop > 10 points": {"kind": "cliff", "ranks": [8, 16, 32], "share": 0.8, "min_total_drop": 0.1},
    "< 0.7": {"kind": "custom", "estimand": "mine:median", "among": {"rank": [8]}, "direction": "below", "value": 0.7},
    "slope > 5 points": {
        "kind": "association", "x": "depth", "a": A, "b": B, "direction": "positive", "strata": [], "margin": 0.05,
    },
}  # fmt: skip
LANDMARKS = Landmarks(base=0.4, collapsed_below=0.1, trained_above=0.46)
SHAPE = np.array([-0.02, 0.01, 0.0, -0.01, 0.02, 0.015, -0.015, 0.0])


def hypothesis(*predictions: Mapping[str, Any], **design: Any) -> Hypothesis:
    said = [{**COMMON, "id": f"p{i}", **fields} for i, fields in enumerate(predictions)]
    given = {"title": "abc", "claim": "What is predicted.", "source": "a test", "predictions": said}
    return Hypothesis.model_validate({**given, "design": {"seeds": 5, **design}}, strict=False)


def cell(mean: float, runs: int = 5, planned: int | None = None, spread: float = 1.0) -> CellSample:
    values = mean + spread * np.resize(SHAPE, runs)
    return CellSample(values, (RunLabel.TRAINED,) * runs, n_items=10**5, planned=planned or runs)


def median(arms: Mapping[str, np.ndarray[Any, np.dtype[np.float64]]], alpha: float) -> tuple[float, float, float]:
    middle = float(np.median(arms["r=8"]))
    return middle, middle - (1 - alpha) * 0.1, middle + (1 - alpha) * 0.1


def results(prediction: Prediction, means: Mapping[str, float] | None = None, reached: int = 5) -> Results:
    names = list(prediction.arms())
    given = means or {name: 0.9 - 0.2 * i for i, name in enumerate(names)}
    units = tuple(
        Unit(f"base {i}", f"family {i}", "small", 10.0, float(i), cell(0.5 + 0.1 * i), cell(0.4)) for i in range(5)
    )
    samples = {} if prediction.kind == "association" else {n: cell(given[n], reached, planned=8) for n in names}
    return Results(samples, reached, LANDMARKS, units, median)


@pytest.mark.parametrize("needs", KINDS)
def test_every_kind_is_decided_and_says_what_it_needs(needs: str) -> None:
    design = {"bases": {"families": 5}} if KINDS[needs]["kind"] == "association" else {}
    declared = hypothesis(KINDS[needs], **design)
    (prediction,) = declared.predictions
    said, runs = decide(declared, prediction, results(prediction)), results(prediction)
    assert (said.needs, said.kind, said.id, said.role) == (needs, KINDS[needs]["kind"], "p0", "primary")
    assert [c.name for c in said.cells] == list(runs.samples)
    assert said.estimates and said.detail and said.assumptions
    assert said.outcome is not Outcome.UNTESTED
    again = Results(dict(list(runs.samples.items())[::-1]), 5, LANDMARKS, runs.units[::-1], median)
    assert said.model_dump_json() == decide(declared, prediction, again).model_dump_json()


@pytest.mark.parametrize("needs", KINDS)
@pytest.mark.parametrize("role", ["primary", "exploratory"])
def test_p_is_at_most_its_level_exactly_where_it_was_decided(needs: str, role: str) -> None:
    rng = np.random.default_rng(len(needs))
    design = {"bases": {"families": 5}} if KINDS[needs]["kind"] == "association" else {"looks": [3, 5, 8]}
    first = {**KINDS[needs], "role": role}
    declared = hypothesis(first, {**EFFECT, "role": "primary"}, **{"seeds": 8, **design})
    prediction, outcomes = declared.predictions[0], set[Outcome]()
    for _ in range(6):
        names = list(prediction.arms())
        drawn = {name: float(rng.uniform(0.2, 0.9)) for name in names}
        said = decide(declared, prediction, results(prediction, drawn, reached=8))
        assert ((said.p_support or 1.0) <= said.alpha) is (said.outcome is Outcome.SUPPORTED), said
        assert ((said.p_refute or 1.0) <= said.refute_alpha) is (said.outcome is Outcome.REFUTED), said
        outcomes.add(said.outcome)
    assert outcomes <= {Outcome.SUPPORTED, Outcome.REFUTED, Outcome.INCONCLUSIVE}


def trained(*values: float) -> CellSample:
    labels = tuple(LANDMARKS.label(value) or RunLabel.NO_GAIN for value in values)
    return CellSample(np.array(values), labels, 500, len(values))


def test_a_counterexample_leaves_no_p_of_support() -> None:
    # 1 of 22: P(X <= 1 | 22, .2) = .048 would support "on average below .2", and the one run refutes "never".
    never = {**COLLAPSE, "event": "trained", "probability": 0.2, "among": {"rank": [8]}, "quantifier": "always"}
    declared = hypothesis(never, seeds=22)
    runs = Results({"r=8": trained(*[0.3] * 21, 0.55)}, 22, LANDMARKS)
    said = decide(declared, declared.predictions[0], runs)
    assert (said.outcome, said.how, said.p_support) == (Outcome.REFUTED, Refutation.COUNTEREXAMPLE, None)
    assert said.p_refute is not None and said.p_refute <= 0.05


def test_a_pooled_p_does_not_stop_at_generous_levels() -> None:
    # 9 of 10: P(X >= 9 | 10, .5) = 11/1024 = .01074.
    declared = hypothesis(KINDS["each P < 0.5"])
    cells = {
        name: CellSample(np.array([0.01] * 4 + [last]), (RunLabel.COLLAPSED,) * 4 + (label,), 500, 5)
        for name, last, label in (("r=8", 0.3, RunLabel.DEGRADED), ("r=16", 0.01, RunLabel.COLLAPSED))
    }
    said = decide(declared, declared.predictions[0], Results(cells, 5, LANDMARKS))
    assert said.outcome is Outcome.REFUTED
    assert said.p_refute == pytest.approx(11 / 1024, rel=1e-3)


def test_the_outcome_and_levels_come_through() -> None:
    declared = hypothesis(EFFECT, EFFECT)
    said = decide(declared, declared.predictions[0], Results({"a": cell(0.5), "b": cell(0.2)}, 5))
    assert (said.outcome, said.reason) == (Outcome.SUPPORTED, Reason.IN_SUPPORT)
    assert (said.alpha, said.refute_alpha, said.role) == (0.05, 0.025, "primary")
    assert said.effect_sizes[0].name == "Hedges g (a - b)"


def test_samples_must_be_those_of_the_arms() -> None:
    declared = hypothesis(EFFECT)
    with pytest.raises(ValueError, match=r"samples of \['a', 'x'\], arms \['a', 'b'\]"):
        decide(declared, declared.predictions[0], Results({"a": cell(0.9), "x": cell(0.2)}, 5))


def test_a_custom_prediction_needs_its_function() -> None:
    declared = hypothesis(KINDS["< 0.7"])
    with pytest.raises(ValueError, match="p0: mine:median was not loaded"):
        decide(declared, declared.predictions[0], Results({"r=8": cell(0.5)}, 5))


def test_where_an_assumption_fails_no_number_of_runs_is_promised() -> None:
    declared = hypothesis(EFFECT)
    labels = (RunLabel.COLLAPSED, *[RunLabel.TRAINED] * 4)
    mixed = CellSample(np.array([0.01, 0.5, 0.5, 0.5, 0.5]), labels, 10**5, 5)
    said = decide(declared, declared.predictions[0], Results({"a": cell(0.7), "b": mixed}, 5))
    assert (said.reason, said.runs_to_resolve) == (Reason.MIXED_CELLS, None)
    assert said.failed_assumptions == (str(Reason.MIXED_CELLS),)
    near = decide(declared, declared.predictions[0], Results({"a": cell(0.61), "b": cell(0.5)}, 5))
    assert near.outcome is Outcome.INCONCLUSIVE
    assert (near.runs_to_resolve or 0) > 0


def test_runs_picked_by_their_label_are_said_to_be_an_association() -> None:
    picked = READ.validate_python({**COMMON, **EFFECT, "a": {"rank": 8, "where": "trained"}}, strict=False)
    assert "not an effect of a treatment" in assumptions(picked)


# Looks.


def looked(first: float, later: float, reached: int, planned: int = 8, **design: Any) -> tuple[Finding, Terms]:
    """Take min_effect > .1 over two arms whose difference is `first` in three runs and `later` in all others."""
    declared = hypothesis(EFFECT, **{"seeds": planned, "looks": [3, 5, planned], **design})
    (prediction,) = declared.predictions
    spread = np.array([-0.01, 0.0, 0.01, -0.01, 0.01, 0.0, 0.01, -0.01])[:reached]
    a = 0.3 + np.array([first] * 3 + [later] * 5)[:reached] + spread
    labels = (RunLabel.TRAINED,) * reached
    samples = {
        "a": CellSample(a, labels, 10**5, planned),
        "b": CellSample(0.3 + spread[::-1], labels, 10**5, planned),
    }
    return course(prediction, Results(samples, reached), rules_of(declared, prediction))


@pytest.mark.parametrize(("first", "outcome"), [(0.3, Outcome.SUPPORTED), (-0.1, Outcome.REFUTED)])
def test_the_first_look_that_settles_stands_whatever_came_later(first: float, outcome: Outcome) -> None:
    for later in (first, -first / 2, 0.1):
        for reached in (3, 4, 5, 7, 8):
            found, terms = looked(first, later, reached)
            assert (found.outcome, found.settled, terms.look.number) == (outcome, True, 1)


def test_later_data_change_not_a_byte() -> None:
    declared = hypothesis(EFFECT, seeds=8, looks=[3, 8])
    (prediction,) = declared.predictions
    said = set[str]()
    for reached, later in ((3, 0.0), (5, 0.0), (8, 0.0), (8, 0.3), (8, -0.2)):
        values = {n: m + np.resize(SHAPE, reached) for n, m in (("a", 0.6), ("b", 0.2))}
        values["a"][3:] += later
        runs = {n: CellSample(v, (RunLabel.TRAINED,) * reached, 10**5, 8) for n, v in values.items()}
        said.add(decide(declared, prediction, Results(runs, reached, LANDMARKS)).model_dump_json())
    assert len(said) == 1
    (verdict,) = (PredictionVerdict.model_validate_json(text) for text in said)
    assert (verdict.look, verdict.looks, verdict.cells[0].n_runs) == (1, (3, 8), 3)


def test_what_is_open_goes_on_to_the_next_look_and_is_over_at_the_last() -> None:
    # A difference of .1 is the margin itself: no look decides, and with futility off none gives up.
    for reached, number, settled in ((2, 1, False), (3, 1, False), (5, 2, False), (7, 2, False), (8, 3, True)):
        found, terms = looked(0.1, 0.1, reached, futility=0.0)
        assert (found.outcome, terms.look.number, found.settled) == (Outcome.INCONCLUSIVE, number, settled)
    assert looked(0.1, 0.1, 2, futility=0.0)[0].reason is Reason.MISSING_RUNS
    assert looked(0.1, 0.3, 5, futility=0.0)[0].outcome is Outcome.INCONCLUSIVE  # .18 +- .11 a run: too wide
    assert looked(0.25, 0.25, 5, futility=0.0)[1].look.number == 1


def test_at_the_margin_no_further_run_is_spent() -> None:
    found, terms = looked(0.1, 0.3, 8, futility=0.3)
    assert (found.outcome, found.reason, found.settled) == (Outcome.INCONCLUSIVE, Reason.FUTILITY, True)
    assert terms.look.number == 1


def test_the_last_look_is_never_futile() -> None:
    found, terms = looked(0.1, 0.1, 8, futility=0.99, looks=[8])
    assert (found.reason, found.settled, terms.look.number) == (Reason.STRADDLES, True, 1)


def test_each_look_has_its_own_level() -> None:
    declared = hypothesis(EFFECT, seeds=8)
    rules = rules_of(declared, declared.predictions[0])
    assert rules.sizes == (3, 5, 8)
    levels = nominal_levels(0.05, (3, 5, 8))
    assert [rules.terms(k).look.nominal(0.05) for k in (1, 2, 3)] == list(levels)
    for k, level in enumerate(levels, 1):
        found, terms = _at(0.1 + 0.05, k, rules_of(declared, declared.predictions[0]).terms(k))
        assert terms.low(found, 0.05) == found.low(level)
        assert "look " + str(k) + " of 3" in terms.in_words(0.05)


def _at(difference: float, number: int, terms: Terms):
    from harness.decide.contrasts import contrast

    runs = (3, 5, 8)[number - 1]
    return contrast((1.0, -1.0), [cell(0.3 + difference, runs), cell(0.3, runs)]), terms


def test_a_prediction_may_have_looks_of_its_own() -> None:
    declared = hypothesis({**EFFECT, "looks": [4, 8]}, EFFECT, seeds=8)
    assert [rules_of(declared, p).sizes for p in declared.predictions] == [(4, 8), (3, 5, 8)]


def test_a_look_sees_the_same_seeds_of_every_arm() -> None:
    declared = hypothesis(EFFECT, seeds=8, looks=[3, 8])
    (prediction,) = declared.predictions
    late = cell(0.6, 8)
    few = CellSample(np.array([0.3, 0.31]), (RunLabel.TRAINED,) * 2, 10**5, 8, seeds=(0, 2))
    found, terms = course(prediction, Results({"a": late, "b": few}, 5), rules_of(declared, prediction))
    arms = seen(Results({"a": late, "b": few}, 5), terms)
    assert {n: (s.n_runs, s.planned, s.missing) for n, s in arms.items()} == {"a": (3, 3, 0), "b": (2, 3, 1)}
    assert (found.reason, found.settled) == (Reason.MISSING_RUNS, False)


def test_counts_have_one_look_and_are_curtailed() -> None:
    # Eight planned at .5: up to one collapse supports (9/256); seven without any leave at most one.
    declared = hypothesis({**COLLAPSE, "among": {"rank": [8]}}, seeds=8)
    (prediction,) = declared.predictions
    rules = rules_of(declared, prediction)
    assert rules.sizes == (8,)
    for alive, outcome in ((6, Outcome.INCONCLUSIVE), (7, Outcome.SUPPORTED)):
        runs = CellSample(np.full(alive, 0.5), (RunLabel.TRAINED,) * alive, 500, 8)
        found, terms = course(prediction, Results({"r=8": runs}, alive), rules)
        assert (found.outcome, found.settled, terms.look.runs) == (outcome, alive == 7, 8)
        assert terms.alpha == terms.look.nominal(terms.alpha) == 0.05


def test_without_a_plan_limits_hold_at_every_look() -> None:
    declared = hypothesis(EFFECT, seeds=8, sequential="always_valid")
    (prediction,) = declared.predictions
    assert rules_of(declared, prediction).sizes == (3, 4, 5, 6, 7, 8)
    # Edge of 3 runs an arm: 4.7976 se at df 4 (see the closed form in test_sequential), against t(.95, 4) = 2.132.
    spread = np.array([-0.01, 0.0, 0.01])
    se = 0.01 * (2 / 3) ** 0.5
    for beyond, outcome in ((4.80, Outcome.SUPPORTED), (4.79, Outcome.INCONCLUSIVE)):
        labels = (RunLabel.TRAINED,) * 3
        arms = {
            "a": CellSample(0.4 + beyond * se + spread, labels, 10**9, 8),
            "b": CellSample(0.3 + spread, labels, 10**9, 8),
        }
        found, _ = course(prediction, Results(arms, 3), rules_of(declared, prediction))
        assert found.outcome is outcome


def test_an_estimand_of_ones_own_is_not_looked_at_without_a_plan() -> None:
    declared = hypothesis(KINDS["< 0.7"], seeds=8, sequential="always_valid")
    assert rules_of(declared, declared.predictions[0]).sizes == (8,)
    planned = hypothesis(KINDS["< 0.7"], seeds=8)
    assert rules_of(planned, planned.predictions[0]).sizes == (3, 5, 8)


def test_looking_three_times_is_wrong_no_more_often_than_once() -> None:
    """Two arms whose true difference is the margin, looks at 3, 5 and 8: each verdict at most alpha, at any look."""
    declared = hypothesis(EFFECT, seeds=8)
    (prediction,) = declared.predictions
    rules, rng, repeats = rules_of(declared, prediction), np.random.default_rng(21), 1500
    outcomes: list[Outcome] = []
    labels = (RunLabel.TRAINED,) * 8
    for _ in range(repeats):
        a, b = rng.normal(0.6, 0.03, 8), rng.normal(0.5, 0.03, 8)
        arms = {"a": CellSample(a, labels, 10**5, 8), "b": CellSample(b, labels, 10**5, 8)}
        outcomes.append(course(prediction, Results(arms, 8), rules)[0].outcome)
    for wrong in (Outcome.SUPPORTED, Outcome.REFUTED):
        rate = outcomes.count(wrong) / repeats
        assert 0.02 < rate <= 0.05 + 3 * (0.05 * 0.95 / repeats) ** 0.5


def test_a_base_at_the_floor_decides_nothing_whatever_the_runs_show() -> None:
    assert at_floor(0.036, 500).startswith("base accuracy 0.036")  # five item errors at 18 of 500 are .043
    assert at_floor(0.056, 500) == ""  # and .052 at 28
    declared = hypothesis(KINDS["> 10 points"])
    (prediction,) = declared.predictions
    runs = {"a": cell(0.9), "b": cell(0.2)}
    assert decide(declared, prediction, Results(runs, 5)).outcome is Outcome.SUPPORTED
    said = decide(declared, prediction, Results(runs, 5, floor=at_floor(0.0, 500)))
    assert (said.outcome, said.reason, said.p_support, said.settled) == (
        Outcome.INCONCLUSIVE,
        Reason.AT_FLOOR,
        None,
        True,
    )


def test_what_came_at_once_is_decided_once_at_its_looks_own_level() -> None:
    """Five runs an arm of a plan of (3, 5, 8): the three that a first look would take decide, all five do not."""
    declared = hypothesis(KINDS["> 10 points"], seeds=8, looks=(3, 5, 8))
    (prediction,) = declared.predictions
    high = CellSample(np.array([0.9, 0.91, 0.92, 0.3, 0.31]), (RunLabel.TRAINED,) * 5, 10**5, 8)
    low = CellSample(np.array([0.2, 0.21, 0.22, 0.2, 0.21]), (RunLabel.TRAINED,) * 5, 10**5, 8)
    by_looks, first = course(prediction, Results({"a": high, "b": low}, 5), rules_of(declared, prediction))
    at_once, terms = course(prediction, Results({"a": high, "b": low}, 5, once=True), rules_of(declared, prediction))
    assert (by_looks.outcome, first.look.number) == (Outcome.SUPPORTED, 1)
    assert (at_once.outcome, terms.look.number, at_once.settled) == (Outcome.INCONCLUSIVE, 2, True)
    short = course(prediction, Results({"a": high.first(4, 8), "b": low}, 4, once=True), rules_of(declared, prediction))
    assert (short[0].reason, short[1].look.runs) == (Reason.MISSING_RUNS, 5)


def test_a_mixture_that_no_look_had_to_see_is_still_known() -> None:
    declared = hypothesis(KINDS["> 10 points"], seeds=5, looks=(3, 5))
    (prediction,) = declared.predictions
    labels = (*(RunLabel.TRAINED,) * 4, RunLabel.COLLAPSED)
    high = CellSample(np.array([0.9, 0.91, 0.92, 0.9, 0.01]), labels, 10**5, 5)
    runs = Results({"a": high, "b": cell(0.2)}, 5)
    assert course(prediction, runs, rules_of(declared, prediction))[0].reason is Reason.MIXED_CELLS
    seen_so_far = Results({"a": high.first(3, 5), "b": cell(0.2)}, 3)
    assert course(prediction, seen_so_far, rules_of(declared, prediction))[0].outcome is Outcome.SUPPORTED
