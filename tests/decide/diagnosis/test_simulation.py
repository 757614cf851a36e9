"""Operating characteristics against closed forms: binomial tails, Welch's power, the levels on the edges."""

import json
import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from statsmodels.stats.power import TTestIndPower  # pyright: ignore[reportMissingTypeStubs] - it ships none

from harness.decide import Landmarks
from harness.decide.diagnosis.alternatives import declared
from harness.decide.diagnosis.characteristics import Characteristics, Diagnosis, Rate
from harness.decide.diagnosis.designs import claim_in, mistakes, smallest_design, with_futility, with_seeds
from harness.decide.diagnosis.edges import edges
from harness.decide.diagnosis.simulation import diagnose
from harness.decide.diagnosis.truth import Truth
from harness.decide.diagnosis.worlds import World
from harness.publish.diagnosis import Sought, as_json, reading, tables, warning
from harness.spec import Given, Hypothesis
from harness.spec.adapter import Proportional

LANDMARKS = Landmarks(base=0.4, collapsed_below=0.1, trained_above=0.46)
COMMON = {"statement": "It is what we predict.", "rationale": "For the test alone."}
COUNT = {"kind": "collapse_probability", "event": "collapsed", "probability": 0.5}
ABOVE = {"id": "dies", "role": "primary", **COUNT, "direction": "above", "among": {"rank": [128]}}
BELOW = {"id": "lives", "role": "primary", **COUNT, "direction": "below", "among": {"rank": [8]}}


def hypothesis(
    predictions: Sequence[dict[str, Any]], expected: Sequence[dict[str, Any]], sd: float = 0.02, **fields: Any
) -> Hypothesis:
    said = {
        "title": "A claim",
        "claim": "A claim of these tests.",
        "source": "these tests",
        "design": {"seeds": 5},
        "model": {"base": 0.4, "sd": sd, "expected": expected, "slope": 0.0},
        "predictions": [{**COMMON, **p} for p in predictions],
        **fields,
    }
    return Hypothesis.model_validate_json(json.dumps(said))


def world(said: Hypothesis, n_items: int = 200) -> World:
    return declared(said, LANDMARKS, n_items, Given(Proportional(), 64), 0.12)


def dying(p: float, seeds: int = 5, **design: Any) -> Hypothesis:
    expected = [{"among": {"rank": [128]}, "mean": 0.5, "collapse": p}]
    return hypothesis([ABOVE], expected, design={"seeds": seeds, **design})


def run(said: Hypothesis, sims: int = 400, seed: int = 1, where: World | None = None) -> Diagnosis:
    return diagnose(said, where or world(said), sims, np.random.default_rng(seed))


def test_five_of_five_come_as_often_as_p_to_the_fifth() -> None:
    said = run(dying(0.8), 2_000)
    # Supported by 5/5 only: .8^5 = .328; refuted by 0/5 only: .2^5 = .0003 (bounds .549 and .451)
    assert said.claim.supported.value == pytest.approx(0.8**5, abs=4 * said.claim.supported.se)
    assert said.claim.refuted.value == pytest.approx(0.2**5, abs=4 * said.claim.refuted.se)
    assert said.claim.truth == Truth(supports=True, refutes=False)
    assert said.claim.correct == said.claim.supported


@pytest.mark.parametrize("p", [0.3, 0.8])
def test_eight_runs_decide_three_ways(p: float) -> None:
    said = run(dying(p, 8), 2_000).claim
    # 7 of 8 bound P above .529 and 1 of 8 below .471; 6 of 8 only above .400
    chance = [math.comb(8, k) * p**k * (1 - p) ** (8 - k) for k in range(9)]
    ways = {"supported": sum(chance[7:]), "refuted": sum(chance[:2]), "open": sum(chance[2:7])}
    for way, expected in ways.items():
        rate: Rate = getattr(said, way)
        assert rate.value == pytest.approx(expected, abs=4 * rate.se), way
    assert said.wrong == (said.refuted if p > 0.5 else said.supported)


def test_runs_are_counted_as_looks_spend_them() -> None:
    said = run(dying(0.8, 10, looks=[5, 10]), 2_000)
    # 5 of 5 decide, 9 of 10, and their mirror images; 2 and 3 of 5 leave nothing to decide, so ten run after 1 or 4.
    on = 5 * 0.8**4 * 0.2 + 5 * 0.8 * 0.2**4
    assert said.planned == 10
    assert said.runs == pytest.approx(5 + 5 * on, abs=4 * said.runs_se)
    assert said.runs_se == pytest.approx(5 * math.sqrt(on * (1 - on) / 2_000), rel=0.05)
    assert said.claim.seeds == said.runs
    supported = 0.8**5 + 5 * 0.8**4 * 0.2 * 0.8**5
    assert said.claim.supported.value == pytest.approx(supported, abs=4 * said.claim.supported.se)


def test_shared_cells_are_counted_once_and_the_most_demanding_prediction_rules() -> None:
    expected = [{"among": {"rank": [8]}, "mean": 0.8}, {"among": {"rank": [128]}, "mean": 0.3}]
    gap = {"id": "gap", "role": "auxiliary", "kind": "min_effect", "a": {"rank": 8}, "b": {"rank": 128}, "margin": 0.1}
    said = run(hypothesis([BELOW, gap], expected))
    by_id = {c.id: c for c in said.predictions}
    assert said.planned == 10
    assert (by_id["lives"].seeds, by_id["gap"].seeds) == (5, 3)
    assert said.runs == 8  # five at rank 8, three at rank 128


@pytest.mark.parametrize(("distance", "n"), [(1.0, 8), (1.5, 6), (2.0, 5)])
def test_the_power_of_a_fixed_number_of_runs_is_that_of_the_t_test(distance: float, n: int) -> None:
    gap = {"id": "gap", "role": "primary", "kind": "min_effect", "a": {"rank": 8}, "b": {"rank": 128}}
    gap |= {"measure": "stable_rank", "margin": 1.0}
    expected = [{"among": {"rank": [8]}, "mean": 4 + distance}, {"among": {"rank": [128]}, "mean": 3.0}]
    said = run(hypothesis([gap], expected, sd=1.0, design={"seeds": n, "looks": [n]}), 2_000)
    power = float(TTestIndPower().power(distance, n, 0.05, alternative="larger"))  # pyright: ignore[reportUnknownMemberType, reportUnknownArgumentType]
    # Equal spreads: Welch's t has the pooled one's power but for its fewer degrees of freedom, .01 or .02 at these n.
    assert said.claim.supported.value == pytest.approx(power - 0.01, abs=4 * said.claim.supported.se + 0.01)
    coverage = said.predictions[0].coverage
    assert coverage is not None
    assert coverage.value == pytest.approx(0.9, abs=4 * coverage.se + 0.005)


def test_the_same_seed_gives_the_same_diagnosis_and_another_does_not() -> None:
    said = dying(0.8)
    assert run(said, 60, 3) == run(said, 60, 3)
    assert run(said, 60, 3) != run(said, 60, 4)


A, B = {"rank": 8}, {"rank": 16}
EDGED: list[dict[str, Any]] = [
    {**COUNT, "direction": "below", "among": {"rank": [8, 16, 64]}},
    {**COUNT, "direction": "above", "among": {"rank": [128, 256]}},
    {**COUNT, "direction": "below", "among": {"rank": [8, 16]}, "quantifier": "mean_over_cells"},
    {"kind": "min_effect", "a": A, "b": {"rank": 64}, "margin": 0.05, "refute_below": 0.02},
    {"kind": "min_effect", "a": A, "b": B, "margin": 0.05, "generalise_to": "items", "looks": [5]},
    {"kind": "non_inferiority", "a": B, "b": A, "margin": 0.05},
    {"kind": "equivalence", "a": A, "b": B, "low": -0.06, "high": 0.06},
    {"kind": "cliff", "ranks": [8, 16, 64, 128], "share": 0.6, "min_total_drop": 0.1},
]  # fmt: skip
EXPECTED = [
    {"among": {"rank": [8, 16]}, "mean": 0.6},
    {"among": {"rank": [64]}, "mean": 0.5},
    {"among": {"rank": [128, 256]}, "mean": 0.2, "collapse": 1.0},
]


@pytest.mark.parametrize("fields", EDGED)
def test_on_an_edge_a_verdict_is_wrong_no_more_often_than_its_level(fields: dict[str, Any]) -> None:
    said = hypothesis([{"id": "it", "role": "primary", **fields}], EXPECTED)
    for edge in edges(said.predictions, world(said)):
        claim = run(said, 400, 2, edge).claim
        assert claim.truth == Truth(supports=False, refutes=False)
        assert claim.wrong.events == max(claim.supported.events, claim.refuted.events)
        assert claim.wrong.value <= 0.05 + 3 * math.sqrt(0.05 * 0.95 / 400), edge.name
        assert claim.correct == claim.open


def test_an_association_on_its_edge_is_wrong_no_more_often_than_its_level() -> None:
    slope = {"id": "it", "role": "primary", "kind": "association", "x": "stable_rank", "a": A, "b": B, "margin": 0.05}
    slope |= {"direction": "positive", "strata": ["family", "budget"]}
    bases = {"families": 2, "budgets": 2, "seeds": 4}
    said = hypothesis([slope], EXPECTED, design={"seeds": 3, "bases": bases})
    (edge,) = edges(said.predictions, world(said))
    found = run(said, 120, 2, edge)
    assert found.claim.wrong.value <= 0.05 + 3 * math.sqrt(0.05 * 0.95 / 120)
    assert (found.runs, found.planned) == (96, 96)  # 16 bases x 2 arms x 3 seeds, with a single look
    steep = run(said, 40, 2, replace(edge, slope=0.2))
    assert steep.claim.supported.value > 0.9  # 7.5 deviations of the noise beyond the margin


def test_from_the_floor_no_power_is_promised() -> None:
    """Every run collapses, as predicted; on a base at .4 that is shown by five of five, on one at .01 by nothing."""
    said = dying(1.0)
    above = world(said)
    low = replace(above, landmarks=Landmarks(0.01, 0.0025, 0.02))
    assert run(said, sims=10, where=above).claim.supported.value == 1.0
    assert run(said, sims=10, where=low).claim.supported.value == 0.0


def test_inside_the_indifference_zone_no_verdict_is_wrong() -> None:
    zone = {"id": "it", "role": "primary", "kind": "min_effect", "a": A, "b": {"rank": 64}}
    said = run(hypothesis([{**zone, "margin": 0.2, "refute_below": 0.0}], EXPECTED))
    assert said.claim.truth == Truth(supports=False, refutes=False)  # .6 - .5 = .1, five deviations from either edge
    assert (said.claim.wrong.events, said.claim.correct.value) == (0, 1)


def test_the_claim_is_what_its_primary_predictions_come_to() -> None:
    expected = [{"among": {"rank": [8]}, "mean": 0.5, "collapse": 0.2}]
    expected.append({"among": {"rank": [128]}, "mean": 0.5, "collapse": 0.8})
    every, one = (run(hypothesis([ABOVE, BELOW], expected, combine=how), 2_000).claim for how in ("all", "any"))
    both = 0.8**10  # 5/5 of one and 0/5 of the other
    assert every.supported.value == pytest.approx(both, abs=4 * every.supported.se)
    # A disjunction supports each at alpha / 2 = .025, which 5/5 does not reach (.025^(1/5) = .478)
    assert one.supported.events == 0


def test_a_prediction_that_assumes_one_mode_stays_open_where_there_are_two() -> None:
    gap = {"id": "gap", "role": "primary", "kind": "min_effect", "a": A, "b": B, "margin": 0.05}
    expected = [{"among": {"rank": [8]}, "mean": 0.6, "collapse": 0.4}, {"among": {"rank": [16]}, "mean": 0.5}]
    said = run(hypothesis([gap], expected, design={"seeds": 5, "looks": [5]})).predictions[0]
    # The cell is mixed unless all five runs are alike: 1 - .6^5 - .4^5 = .912
    assert said.open.value >= 0.912 - 4 * said.open.se
    assert said.coverage is not None
    assert said.coverage.of == pytest.approx(400 * 0.088, abs=4 * math.sqrt(400 * 0.088 * 0.912))


def test_another_number_of_seeds_keeps_the_looks_below_it() -> None:
    gap = {"id": "gap", "role": "primary", "kind": "min_effect", "a": A, "b": B, "margin": 0.05, "looks": [4, 8]}
    said = hypothesis([gap], EXPECTED, design={"seeds": 8, "looks": [3, 5, 8], "max_runs": 16})
    more, fewer = with_seeds(said, 12), with_seeds(said, 4)
    assert (more.design.looks, more.schedule(more.predictions[0])) == ((3, 5, 8, 12), (4, 8, 12))
    assert (fewer.design.looks, fewer.schedule(fewer.predictions[0])) == ((3, 4), (4,))
    assert mistakes(more) == mistakes(fewer) == []
    assert "no usable between-run variance" in mistakes(with_seeds(said, 2))[0]
    assert with_futility(said, 0.5).design == said.design.model_copy(update={"futility": 0.5})


def test_an_underpowered_claim_is_told_the_smallest_design_that_does() -> None:
    said = dying(0.93)
    # 5/5 has .93^5 = .696, 6/6 and 7/7 less; 8 runs allow one exception: .93^8 + 8 x .93^7 x .07 = .897
    found = smallest_design(said, world(said), 0.8, 400, np.random.default_rng(1))
    assert found is not None and found.seeds == 8
    assert found.power.value == pytest.approx(0.897, abs=4 * found.power.se)
    lines = reading(said, [run(said)], Sought(0.8, found, cells=1))
    assert lines[1].startswith("If the model is right, the claim is supported .")
    assert lines[2].startswith("warning: a power below .8: 8 seeds a cell (8 runs) would do: power .")
    told = warning("claim", claim_in(said, world(said), 200, np.random.default_rng(0)))
    assert told.startswith("warning: claim: the power of the claim in its own model is .")
    assert told.endswith("over 200 simulations, below .8. `harness diagnose claim` names a design that would do.")


def test_a_claim_with_enough_power_or_beyond_any_is_told_so() -> None:
    sure, never = dying(1.0), dying(0.6)
    assert warning("claim", claim_in(sure, world(sure), 50, np.random.default_rng(0))) == ""
    assert smallest_design(never, world(never), 0.99, 60, np.random.default_rng(0)) is None
    text = Sought(0.99, None, 1).text
    assert text == "no design of up to 40 seeds a cell reaches a power of .99"
    assert "is not true in its own model" in reading(dying(0.3), [run(dying(0.3), 50)])[2]


def test_wrong_verdicts_beyond_their_level_are_a_warning() -> None:
    said, n = dying(1.0), 400
    outcome = Characteristics("dies", "primary", Truth(True, False), Rate(300, n), Rate(100, n), Rate(0, n), None, 5)
    claim = Characteristics("claim", "primary", Truth(True, False), Rate(400, n), Rate(0, n), Rate(0, n), None, 5)
    lines = reading(said, [Diagnosis("declared", "", (outcome,), claim, 5, 0, 5)])
    assert lines[0] == "warning: wrong verdicts more often than the level: dies in declared .25 ± .02."


def test_tables_and_plain_values_say_the_same() -> None:
    said = dying(1.0)
    found = [run(said, 50), *(run(said, 50, 1, edge) for edge in edges(said.predictions, world(said)))]
    text = tables(found)
    assert "declared: what the model of the declaration believes; 5.0 ± 0.0 of 5 runs" in text
    assert "\n  dies           support  1.00 ± .02" in text
    assert "\n  dies, support  neither" in text
    narrow = tables(found, 60)
    assert max(map(len, narrow.splitlines())) <= 60
    assert set(narrow.split()) == set(text.split())
    plain = as_json(found[0])
    assert plain["runs"] == {"mean": 5, "se": 0, "planned": 5}
    assert plain["predictions"][0]["supported"]["value"] == 1
    assert plain["claim"]["coverage"] is None
    assert json.loads(json.dumps(plain)) == plain


def test_a_rate_has_a_standard_error_also_at_zero() -> None:
    assert (Rate(0, 98).value, Rate(49, 98).value) == (0, 0.5)
    assert Rate(0, 98).se == pytest.approx(math.sqrt(0.01 * 0.99 / 98))
