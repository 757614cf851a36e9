"""Simulated worlds: what is drawn has the means, probabilities and labels that the world says."""

import json
import math
from statistics import NormalDist
from typing import Any

import numpy as np
import pytest
from pydantic import TypeAdapter

from harness.decide import Landmarks
from harness.decide.diagnosis import truth
from harness.decide.diagnosis.alternatives import bimodal, declared, null, others, pilot, smooth
from harness.decide.diagnosis.edges import edges, refute_edge, support_edge
from harness.decide.diagnosis.truth import Truth
from harness.decide.diagnosis.worlds import Behaviour, World, chances, draw, draw_units, sample
from harness.record.verdict import RunLabel
from harness.spec import Cell, Given, Hypothesis, Prediction
from harness.spec.adapter import Lora, Proportional
from harness.spec.arms import Arm
from harness.spec.design import Bases

SCALING = Proportional()
GIVEN = Given(SCALING, 64)
LANDMARKS = Landmarks(base=0.4, collapsed_below=0.1, trained_above=0.46)
READ: TypeAdapter[Prediction] = TypeAdapter(Prediction)
COMMON = {"id": "it", "statement": "It is what we predict.", "role": "primary", "rationale": "For the test alone."}
COUNT = {"kind": "collapse_probability", "event": "collapsed", "direction": "below", "probability": 0.5}
A, B = {"rank": 8}, {"rank": 128}


def cell(rank: int, algorithm: Any = "grpo") -> Cell:
    return Cell(algorithm=algorithm, adapter=Lora(rank=rank, scaling=SCALING))


def read(**fields: Any) -> Prediction:
    return READ.validate_json(json.dumps({**COMMON, **fields}))


def world(ranks: dict[int, Behaviour], n_items: int = 500, **fields: Any) -> World:
    cells = dict(zip(map(cell, ranks), ranks.values(), strict=True))
    return World("declared", cells, LANDMARKS, n_items, GIVEN, **fields)


def test_accuracies_have_the_mean_and_the_two_variances_that_they_are_made_of() -> None:
    here = world({8: Behaviour(0.6, 0.05)})
    values = draw(here, 20_000, np.random.default_rng(1))[cell(8)].accuracies
    # Var = sd^2 + E[p(1 - p)] / N = .0025 + (.24 - .0025) / 500 = .002975
    assert values.mean() == pytest.approx(0.6, abs=4 * math.sqrt(0.002975 / 20_000))
    assert values.var() == pytest.approx(0.002975, rel=0.04)


def test_a_mean_near_the_bounds_stays_what_it_is() -> None:
    here = world({8: Behaviour(0.02, 0.05)})
    values = draw(here, 20_000, np.random.default_rng(2))[cell(8)].accuracies
    assert values.min() >= 0
    assert values.mean() == pytest.approx(0.02, abs=4 * values.std() / 20_000**0.5)


@pytest.mark.parametrize("n_items", [10, 500])
def test_collapsed_runs_stay_below_the_limit_and_come_as_often_as_said(n_items: int) -> None:
    here = world({8: Behaviour(0.6, 0.02, collapse=0.3)}, n_items)
    drawn = draw(here, 10_000, np.random.default_rng(3))[cell(8)]
    share = drawn.labels.count(RunLabel.COLLAPSED) / 10_000
    assert share == pytest.approx(0.3, abs=4 * math.sqrt(0.21 / 10_000))
    assert truth.probability(here, cell(8), "collapsed") == pytest.approx(0.3, abs=0.001)


def test_the_chances_of_accuracies_are_those_of_a_binomial_and_of_the_draws() -> None:
    fixed = chances(Behaviour(0.6, 0.0), 20, 0.1)
    assert fixed == pytest.approx([math.comb(20, k) * 0.6**k * 0.4 ** (20 - k) for k in range(21)], abs=1e-12)
    mixed = chances(Behaviour(0.6, 0.1, collapse=0.25), 20, 0.1)
    assert mixed.sum() == pytest.approx(1)
    here = world({8: Behaviour(0.6, 0.1, collapse=0.25)}, 20)
    values = draw(here, 40_000, np.random.default_rng(4))[cell(8)].accuracies
    drawn = np.bincount(np.rint(values * 20).astype(int), minlength=21) / 40_000
    assert drawn == pytest.approx(mixed, abs=4 * 0.5 / 40_000**0.5)


def test_problems_are_shared_by_all_runs_and_keep_the_mean() -> None:
    here = world({8: Behaviour(0.6, 0.0), 16: Behaviour(0.6, 0.0)}, 200)
    rng = np.random.default_rng(5)
    means: list[float] = []
    between: list[float] = []
    for _ in range(200):
        drawn = draw(here, 20, rng, by_item=True)
        first, second = (drawn[cell(rank)].items for rank in (8, 16))
        assert first is not None and second is not None
        assert drawn[cell(8)].accuracies == pytest.approx(first.mean(axis=1))
        means.append(float(first.mean()))
        between.append(float(np.corrcoef(first.mean(axis=0), second.mean(axis=0))[0, 1]))
    assert np.mean(means) == pytest.approx(0.6, abs=4 * float(np.std(means)) / 200**0.5)
    assert np.mean(between) > 0.5  # an easy problem is easy for both


def test_the_same_seed_draws_the_same_runs() -> None:
    here = world({8: Behaviour(0.6, 0.05, 0.2)})
    first, again, other = (draw(here, 9, np.random.default_rng(s))[cell(8)].accuracies.tolist() for s in (7, 7, 8))
    assert first == again != other


def test_an_arm_that_selects_by_label_gets_those_runs() -> None:
    here = world({8: Behaviour(0.6, 0.02, 0.5)})
    drawn = draw(here, 30, np.random.default_rng(6))
    every, dead = (sample(here, drawn, cell(8), "accuracy", where) for where in (None, "collapsed"))
    assert every.n_runs == every.planned == dead.planned == 30
    assert dead.selected and not every.selected
    assert set(dead.labels) == {RunLabel.COLLAPSED}
    assert dead.seeds == tuple(i for i, label in enumerate(every.labels) if label == "collapsed")


def test_a_measure_without_bounds_has_no_item_noise_and_knows_no_collapse() -> None:
    here = world({8: Behaviour(7.0, 0.5, 0.9)})
    found = sample(here, draw(here, 5_000, np.random.default_rng(6)), cell(8), "stable_rank")
    assert not found.bounded
    assert found.values.mean() == pytest.approx(7, abs=4 * 0.5 / 5_000**0.5)
    assert found.values.std() == pytest.approx(0.5, rel=0.05)


SLOPE = {"kind": "association", "x": "stable_rank", "a": A, "b": B, "margin": 0.05}


def test_bases_have_the_slope_within_strata_and_a_drift_over_budgets() -> None:
    prediction = read(**SLOPE, direction="positive", strata=["family", "budget"])
    here = world({}, slope=0.1, sd=0.0)
    assert prediction.kind == "association"
    units = draw_units(prediction, here, Bases(families=3, budgets=2, seeds=4), 3, np.random.default_rng(1))
    assert len(units) == 24
    for family, budget in {(u.family, u.budget) for u in units}:
        those = [u for u in units if (u.family, u.budget) == (family, budget)]
        x, gap = np.array([u.x for u in those], float), np.array([u.gap for u in those], float)
        assert np.polyfit(x, gap, 1)[0] == pytest.approx(0.1)  # without noise the gap is a line in x
    by_budget = [np.mean([u.gap or 0.0 for u in units if u.budget == b]) for b in ("0", "1")]
    assert by_budget[1] != pytest.approx(by_budget[0])


ABOVE_BASE = {"kind": "mean_bound", "cell": A, "direction": "above", "reference": "base"}


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({**COUNT, "among": {"rank": [8, 128]}}, Truth(False, True)),  # P = 0 and 1: not each is below one half
        ({**COUNT, "among": {"rank": [8]}}, Truth(True, False)),
        ({**COUNT, "among": {"rank": [8, 128]}, "quantifier": "mean_over_cells"}, Truth(False, False)),  # mean 1/2
        ({**COUNT, "among": {"rank": [8]}, "quantifier": "always"}, Truth(True, False)),
        ({"kind": "min_effect", "a": A, "b": B, "margin": 0.3}, Truth(True, False)),  # .60 - .01 = .59
        ({"kind": "min_effect", "a": A, "b": B, "margin": 0.7, "refute_below": 0.5}, Truth(False, False)),
        ({"kind": "min_effect", "a": A, "b": B, "margin": 0.7}, Truth(False, True)),
        ({"kind": "non_inferiority", "a": B, "b": A, "margin": 0.3}, Truth(False, True)),
        ({"kind": "equivalence", "a": A, "b": B, "low": -0.1, "high": 0.1}, Truth(False, True)),
        ({**ABOVE_BASE, "value": 0.1}, Truth(True, False)),
        ({"kind": "cliff", "ranks": [8, 16, 128], "share": 0.8, "min_total_drop": 0.1}, Truth(True, False)),
        ({"kind": "cliff", "ranks": [8, 16, 128], "share": 0.99, "min_total_drop": 0.1}, Truth(False, True)),
    ],
)  # fmt: skip
def test_the_truth_is_that_of_the_worlds_own_means(fields: dict[str, Any], expected: Truth) -> None:
    cells = {8: Behaviour(0.6, 0.02), 16: Behaviour(0.58, 0.02), 128: Behaviour(0.6, 0.02, 1.0)}
    assert truth.truth(read(**fields), world(cells)) == expected


def test_a_mean_counts_collapses_and_a_selection_does_not() -> None:
    here = world({8: Behaviour(0.6, 0.0, 0.25)})
    arms = {"a": Arm(rank=8), "b": Arm(rank=8, where="trained")}
    # Collapsed runs answer a tenth of the limit .1: .75 x .6 + .25 x .01 = .4525
    assert truth.mean(here, arms["a"], "accuracy") == pytest.approx(0.4525, abs=1e-6)
    assert truth.mean(here, arms["b"], "accuracy") == pytest.approx(0.6, abs=1e-6)


def test_probabilities_of_labels_count_the_spread() -> None:
    here = world({8: Behaviour(0.46, 0.02)})
    # Normal about the limit itself: half of the runs, less the share that falls on .46 exactly, are above it.
    total = math.sqrt(0.02**2 + 0.46 * 0.54 / 500)
    on_limit = 2 * NormalDist().cdf(0.001 / total) - 1
    assert truth.probability(here, cell(8), "trained") == pytest.approx(0.5 - on_limit / 2, abs=0.01)


RANKS = {
    "title": "A claim", "claim": "A claim of these tests.", "source": "these tests", "design": {"seeds": 5},
    "model": {"base": 0.4, "sd": 0.02, "expected": [
        {"among": {"rank": [8]}, "mean": 0.6}, {"among": {"rank": [32]}, "mean": 0.5, "sd": 0.03},
        {"among": {"rank": [128]}, "mean": 0.2, "collapse": 1.0},
        {"among": {"rank": [8], "algorithm": ["sft"]}, "mean": 0.5},
    ]},
    "predictions": [
        {**COMMON, **COUNT, "among": {"rank": [8, 32, 128]}},
        {**COMMON, "id": "gap", "kind": "min_effect", "a": {"rank": 8, "algorithm": "sft"}, "b": A, "margin": 0.05},
    ],
}  # fmt: skip


def claim(**fields: Any) -> Hypothesis:
    return Hypothesis.model_validate_json(json.dumps({**RANKS, **fields}))


def test_the_declared_world_is_the_model_and_without_one_all_are_healthy() -> None:
    here = declared(claim(), LANDMARKS, 500, GIVEN, 0.12)
    assert here.name == "declared"
    assert here.cells[cell(32)] == Behaviour(0.5, 0.03)
    assert here.cells[cell(128)] == Behaviour(0.2, 0.02, 1.0)
    without = declared(claim(model=None), LANDMARKS, 500, GIVEN, 0.12)
    assert without.name == "healthy"
    assert {b.mean for b in without.cells.values()} == {0.52}


def test_the_other_worlds_change_what_their_names_say() -> None:
    here = declared(claim(), LANDMARKS, 500, GIVEN, 0.12)
    assert [w.name for w in others(claim(), here)] == ["null", "smooth", "bimodal", "pilot"]
    assert set(null(here).cells.values()) == {Behaviour(0.6, 0.02)}
    even = smooth(here).cells
    assert [even[cell(r)].mean for r in (8, 32, 128)] == pytest.approx([0.6, 0.4, 0.2])  # 3, 5 and 7 in log2
    assert even[cell(32)].collapse == pytest.approx(0.5)  # the middle of the logistic
    assert even[cell(8)].collapse < 0.02 < 0.98 < even[cell(128)].collapse
    assert even[cell(8, "sft")] == Behaviour(0.5, 0.02)  # one rank: nothing to change over
    assert bimodal(here).cells[cell(8)].collapse == pytest.approx(0.2)
    assert bimodal(here).cells[cell(128)].collapse == 1
    seen = pilot(here).cells
    assert [seen[cell(r)].mean for r in (8, 32)] == pytest.approx([1.22 * 0.4, 1.03 * 0.4])
    assert (seen[cell(128)].collapse, seen[cell(8)].collapse) == (1, 0)


KINDS: list[dict[str, Any]] = [
    {**COUNT, "among": {"rank": [8, 16]}},
    {**COUNT, "among": {"rank": [8, 16]}, "quantifier": "mean_over_cells"},
    {**COUNT, "among": {"rank": [64, 128]}, "direction": "above"},
    {**COUNT, "among": {"rank": [8, 16]}, "event": "trained", "direction": "above"},
    {"kind": "min_effect", "a": A, "b": B, "margin": 0.3, "refute_below": 0.1},
    {"kind": "min_effect", "a": A, "b": B, "margin": 0.7, "scale": "logit"},
    {"kind": "min_effect", "a": A, "b": {"rank": 16}, "margin": 0.2, "scale": "log_ratio", "measure": "stable_rank"},
    {"kind": "non_superiority", "a": {"rank": 16}, "b": A, "margin": 0.05},
    {"kind": "non_inferiority", "a": {"rank": 16}, "b": A, "margin": 0.05},
    {"kind": "equivalence", "a": {"rank": 16}, "b": A, "low": -0.05, "high": 0.05},
    {"kind": "interaction", "a": A, "b": B, "c": {"rank": 16}, "d": {"rank": 64}, "margin": 0.1},
    {"kind": "mean_bound", "cell": A, "direction": "above", "value": 0.05, "reference": "base"},
    {"kind": "cliff", "ranks": [8, 16, 64, 128], "share": 0.8, "min_total_drop": 0.1},
    {"kind": "cliff", "ranks": [8, 16, 128], "share": 0.8, "min_total_drop": 0.1, "location": [16, 128]},
    {**SLOPE, "direction": "negative", "strata": ["family"], "refute_below": 0.01},
]
CELLS = {
    8: Behaviour(0.6, 0.02),
    16: Behaviour(0.58, 0.02),
    64: Behaviour(0.57, 0.02),
    128: Behaviour(0.2, 0.02, 1.0),
}


@pytest.mark.parametrize("fields", KINDS)
def test_on_an_edge_the_truth_is_in_neither_region(fields: dict[str, Any]) -> None:
    prediction = read(**fields)
    found = edges([prediction], world(CELLS))
    assert found
    for edge in found:
        assert edge.edge_of == "it"
        assert truth.truth(prediction, edge) == Truth(False, False), edge.name


def test_each_edge_is_the_least_favourable_one() -> None:
    low = read(**COUNT, among={"rank": [8, 16]})
    one, every = support_edge(low, world(CELLS)), refute_edge(low, world(CELLS))
    assert one is not None and every is not None
    assert [one.cells[cell(r)].collapse for r in (8, 16)] == [0, 0.5]
    assert [every.cells[cell(r)].collapse for r in (8, 16)] == [0.5, 0.5]
    bend = support_edge(read(kind="cliff", ranks=[8, 16, 128], share=0.8, min_total_drop=0.1), world(CELLS))
    assert bend is not None
    # The step from 16 to 128 is .8 of the drop .6 - .01: rank 16 lies at .01 + .8 x .59 = .482
    assert bend.cells[cell(16)].mean == pytest.approx(0.482, abs=1e-6)


def test_a_selection_of_which_there_are_no_runs_has_no_truth() -> None:
    chosen = read(kind="min_effect", a={**A, "where": "trained"}, b={**A, "where": "collapsed"}, margin=0.3)
    assert truth.truth(chosen, world({8: Behaviour(0.6, 0.02)})) == Truth(False, False)
    assert truth.truth(chosen, world({8: Behaviour(0.6, 0.02, 0.5)})) == Truth(True, False)


def test_an_edge_that_no_mean_reaches_is_left_out() -> None:
    unreachable = read(kind="min_effect", a=B, b={"rank": 256}, margin=0.5)
    dead = {128: Behaviour(0.2, 0.02, 1.0), 256: Behaviour(0.2, 0.02, 1.0)}
    assert support_edge(unreachable, world(dead)) is None
