import itertools
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats  # pyright: ignore[reportMissingTypeStubs] - scipy ships none

from harness.decide import CellSample, Landmarks
from harness.decide.counts import Count, exceptions, find, limits, mean_bounds, out_of_reach, rule, rule_counts
from harness.decide.exact import clopper_pearson
from harness.decide.ruling import Finding, Ruling
from harness.decide.terms import Look, Terms, fixed
from harness.record.verdict import Estimate, Outcome, Reason, Refutation, RunLabel
from harness.spec import Arms
from harness.spec.prediction import CollapseProbability

RANKS = (8, 16, 32, 64, 128, 256)


LANDMARKS = Landmarks(base=0.4, collapsed_below=0.1, trained_above=0.5)


def claim(
    direction: str = "below", probability: float = 0.5, cells: int = 2, event: str = "collapsed", **more: str
) -> CollapseProbability:
    return CollapseProbability.model_validate(
        {
            "id": "claim",
            "statement": "Runs collapse less often than not.",
            "role": "primary",
            "rationale": "Chosen for the test alone.",
            "kind": "collapse_probability",
            "event": event,
            "direction": direction,
            "probability": probability,
            "among": Arms(rank=RANKS[:cells]),
            **more,
        }
    )


def decided(prediction: CollapseProbability, counts: Sequence[Count], refute_alpha: float = 0.05) -> Outcome:
    return rule_counts(prediction, counts, fixed(0.05, refute_alpha)).outcome


def found(
    prediction: CollapseProbability,
    runs: Mapping[str, CellSample],
    refute_alpha: float = 0.05,
    landmarks: Landmarks = LANDMARKS,
) -> Finding:
    return find(prediction, runs, fixed(0.05, refute_alpha), landmarks)


def figures(prediction: CollapseProbability, runs: Mapping[str, CellSample], refute_alpha: float = 0.05) -> Ruling:
    return rule(prediction, runs, fixed(0.05, refute_alpha), LANDMARKS)


def cell(events: int, runs: int, planned: int = 5, event: RunLabel = RunLabel.COLLAPSED) -> CellSample:
    other = RunLabel.TRAINED if event is RunLabel.COLLAPSED else RunLabel.COLLAPSED
    labels = (event,) * events + (other,) * (runs - events)
    return CellSample(np.array([0.02 if x is RunLabel.COLLAPSED else 0.6 for x in labels]), labels, 200, planned)


def samples(*counts: Count, planned: int = 5) -> dict[str, CellSample]:
    return {f"r={rank}": cell(*count, planned) for rank, count in zip(RANKS, counts, strict=False)}


def pooled_mass(probabilities: list[float], runs: int) -> NDArray[np.float64]:
    """Return P(k events in all), (n_cells x runs + 1,), by convolving one Bernoulli after the other."""
    mass = np.ones(1)
    for p in probabilities:
        for _ in range(runs):
            mass = np.convolve(mass, [1 - p, p])
    return mass


@pytest.mark.parametrize("n", [1, 3, 5, 8, 14, 59])
def test_unanimous_bounds_match_the_closed_form(n: int) -> None:
    # P(n of n) = p^n = alpha gives alpha^(1/n); 0 of n mirrors it.
    assert clopper_pearson(n, n, 0.05) == pytest.approx((0.05 ** (1 / n), 1.0))
    assert clopper_pearson(0, n, 0.05) == pytest.approx((0.0, 1 - 0.05 ** (1 / n)))


def test_unanimous_bounds_have_the_tabled_digits() -> None:
    # alpha^(1/n) by hand: .05^(1/5) = exp(-2.99573/5) = exp(-.599146) = .5493; .05^(1/14) = exp(-.213981) = .8074.
    assert round(clopper_pearson(5, 5, 0.05)[0], 3) == 0.549
    assert round(clopper_pearson(14, 14, 0.05)[0], 3) == 0.807


@pytest.mark.parametrize(("events", "runs"), [(1, 5), (4, 5), (3, 11), (7, 8)])
def test_bounds_leave_exactly_alpha_in_the_binomial_tail(events: int, runs: int) -> None:
    low, high = clopper_pearson(events, runs, 0.05)
    assert pooled_mass([low], runs)[events:].sum() == pytest.approx(0.05)
    assert pooled_mass([high], runs)[: events + 1].sum() == pytest.approx(0.05)


def test_no_runs_bound_nothing() -> None:
    assert clopper_pearson(0, 0, 0.05) == (0.0, 1.0)


@pytest.mark.parametrize(
    ("runs", "at_most"),
    [(5, 0), (8, 1), (11, 2), (14, 3)],  # P(X <= k | n, .5) <= .05: 1/32, 9/256, 67/2048, 470/16384; k + 1 exceeds it
)
def test_below_one_half_is_supported_up_to_the_binomial_count(runs: int, at_most: int) -> None:
    outcomes = [decided(claim(cells=1), [(k, runs)]) for k in range(runs + 1)]
    assert outcomes.count(Outcome.SUPPORTED) == at_most + 1
    assert outcomes.count(Outcome.REFUTED) == at_most + 1
    assert outcomes[0] is Outcome.SUPPORTED


def test_three_seeds_decide_nothing_about_one_half() -> None:
    assert {decided(claim(cells=1), [(k, 3)]) for k in range(4)} == {Outcome.INCONCLUSIVE}


def test_support_needs_every_cell() -> None:
    assert decided(claim(), [(0, 5), (0, 5)]) is Outcome.SUPPORTED
    assert decided(claim(), [(0, 5), (1, 5)]) is Outcome.INCONCLUSIVE


def test_refutation_is_of_the_mean_over_cells() -> None:
    # 8 of 10: P(X >= 8 | 10, .5) = 56/1024 = .0547 > .05; 9 of 10: 11/1024 = .0107.
    assert decided(claim(), [(3, 5), (5, 5)]) is Outcome.INCONCLUSIVE
    assert decided(claim(), [(4, 5), (5, 5)]) is Outcome.REFUTED
    assert decided(claim(), [(4, 5), (5, 5)], 0.01) is Outcome.INCONCLUSIVE


@pytest.mark.parametrize("counts", [[(k, 5), (j, 5)] for k in range(6) for j in range(6)])
def test_swapping_event_and_direction_changes_nothing(counts: list[Count]) -> None:
    mirrored = [(n - k, n) for k, n in counts]
    assert decided(claim("above", 0.6), counts) is decided(claim("below", 0.4), mirrored)


def test_a_pooled_limit_ends_where_unequal_cells_could_break_it() -> None:
    # One event in 20: N m + 1 = 1 only at m = 0, so the binomial tail bounds the true one for no m at all.
    assert mean_bounds([(1, 5), (0, 5), (0, 5), (0, 5)], 0.05)[0] == 0
    assert mean_bounds([(4, 5), (5, 5), (5, 5), (5, 5)], 0.05)[1] == 1
    assert mean_bounds([(1, 20)], 0.05)[0] == pytest.approx(1 - 0.95 ** (1 / 20))
    # 9 of 10 at .05: the limit .606 is below 8/10, so it stands; at .5 it would be .838, beyond (9 - 1) / 10.
    assert mean_bounds([(4, 5), (5, 5)], 0.05)[0] == clopper_pearson(9, 10, 0.05)[0]
    assert mean_bounds([(4, 5), (5, 5)], 0.5)[0] == 0.8 < clopper_pearson(9, 10, 0.5)[0]
    assert mean_bounds([(1, 5), (0, 5)], 0.5)[1] == pytest.approx(0.2)


@pytest.mark.parametrize("events", range(11))
def test_a_more_generous_level_never_loses_a_limit(events: int) -> None:
    counts = [(min(events, 5), 5), (max(events - 5, 0), 5)]
    limits = [mean_bounds(counts, alpha) for alpha in (1e-6, 0.001, 0.01, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5)]
    assert limits == sorted(limits, key=lambda pair: (pair[0], -pair[1]))
    assert [high for _, high in limits] == sorted((high for _, high in limits), reverse=True)


def test_the_condition_is_needed() -> None:
    # Mean c = 1 - .95^(1/20): 20 equal runs show an event with probability .05, but one run at 20 c and 19 at 0 with
    # 20 c = .0512. Without the condition one event would refute "below c" at a rate above .05.
    c = 1 - 0.95 ** (1 / 20)
    assert pooled_mass([c], 20)[1:].sum() == pytest.approx(0.05)
    assert 20 * c > 0.0512
    assert decided(claim("below", c * 0.999, cells=4), [(1, 5), (0, 5), (0, 5), (0, 5)]) is not Outcome.REFUTED


def test_estimates_are_one_a_cell_and_the_mean() -> None:
    ruling = figures(claim(cells=3), samples((0, 5), (0, 5), (1, 5)), refute_alpha=0.025)
    assert [e.name for e in ruling.estimates] == [
        "P(collapsed) r=8",
        "P(collapsed) r=16",
        "P(collapsed) r=32",
        "P(collapsed) mean over 3 cells",
    ]
    first, pooled = ruling.estimates[0], ruling.estimates[-1]
    assert (first.low, first.high) == pytest.approx((0.0, 1 - 0.05**0.2))
    assert (first.refute_low, first.refute_high) == pytest.approx((0.0, 1 - 0.025**0.2))
    assert (pooled.value, pooled.n_runs, pooled.low) == (pytest.approx(1 / 15), 15, 0)
    assert ruling.detail.startswith("collapsed 0/5 at each of r=8, r=16; 1/5 at r=32")


def test_trained_is_counted_where_trained_is_claimed() -> None:
    runs = {"r=8": cell(5, 5, event=RunLabel.TRAINED)}
    assert found(claim("above", cells=1, event="trained"), runs).outcome is Outcome.SUPPORTED
    assert found(claim("above", cells=1), runs).outcome is Outcome.REFUTED


def test_without_any_run_it_is_untested() -> None:
    said = found(claim(), samples((0, 0), (0, 0)))
    assert (said.outcome, said.reason, said.why) == (Outcome.UNTESTED, Reason.NO_RUNS, "no runs at r=8, r=16")
    assert figures(claim(), samples((0, 0), (0, 0))).estimates[-1].value is None


def test_a_missing_run_that_could_change_it_leaves_it_open() -> None:
    said = found(claim(), samples((0, 5), (0, 4)))
    assert (said.outcome, said.reason, said.settled) == (Outcome.INCONCLUSIVE, Reason.MISSING_RUNS, False)
    assert figures(claim(), samples((0, 5), (0, 4))).detail.endswith("1 of 10 planned runs missing")


def test_missing_runs_that_cannot_change_it_do_not() -> None:
    # 14 planned, 11 without a collapse: 3 of 14 is still supported (470/16384 = .029), so curtailment may stop here.
    said = found(claim(cells=1), samples((0, 11), planned=14))
    assert (said.outcome, said.reason, said.settled) == (Outcome.SUPPORTED, Reason.IN_SUPPORT, True)
    against = found(claim(), samples((5, 5), (4, 4)))
    assert (against.outcome, against.reason, against.how) == (
        Outcome.REFUTED,
        Reason.IN_REFUTE,
        Refutation.OTHER_SIDE,
    )


def test_missing_runs_do_not_take_the_blame_for_a_straddle() -> None:
    said = found(claim(cells=1), samples((2, 4)))
    assert (said.outcome, said.reason, said.settled) == (Outcome.INCONCLUSIVE, Reason.STRADDLES, True)


# Quantifiers.


def test_on_average_over_cells_only_the_pooled_count_counts() -> None:
    # 2 of 10: P(X <= 2 | 10, .5) = 56/1024 = .0547 > .05; 1 of 10: 11/1024 = .0107, wherever the one is.
    mean = claim(quantifier="mean_over_cells")
    assert decided(mean, [(1, 5), (0, 5)]) is Outcome.SUPPORTED
    assert decided(mean, [(2, 5), (0, 5)]) is decided(mean, [(1, 5), (1, 5)]) is Outcome.INCONCLUSIVE
    assert decided(mean, [(5, 5), (4, 5)]) is Outcome.REFUTED
    assert decided(claim(), [(1, 5), (0, 5)]) is Outcome.INCONCLUSIVE  # which is a claim about each cell


def test_eighteen_runs_over_six_cells_show_a_mean_below_a_fifth() -> None:
    # 0 of 18: 1 - .05^(1/18) = .153. To refute: 8 of 18, since P(X >= 8 | 18, .2) = .0163, and 7: .0513.
    rare = claim("below", 0.2, cells=6, event="trained", quantifier="mean_over_cells")
    none = [(0, 3)] * 6
    assert decided(rare, none) is Outcome.SUPPORTED
    assert mean_bounds(none, 0.05)[1] == pytest.approx(1 - 0.05 ** (1 / 18))
    assert decided(rare, [(1, 3), (1, 3), (1, 3), (1, 3), (2, 3), (1, 3)]) is Outcome.INCONCLUSIVE
    assert decided(rare, [(1, 3), (1, 3), (1, 3), (1, 3), (2, 3), (2, 3)]) is Outcome.REFUTED


def test_one_cell_may_refute_a_claim_about_each_at_its_share_of_the_level() -> None:
    # 5 of 5 at .05 / 2: .025^(1/5) = .478 < .5; 6 of 6: .025^(1/6) = .541. The mean of (6, 0) is one half.
    each, any_cell = claim(), claim(refute_by="any_cell")
    assert decided(any_cell, [(5, 5), (0, 5)]) is Outcome.INCONCLUSIVE
    assert decided(any_cell, [(6, 6), (0, 6)]) is Outcome.REFUTED
    assert decided(each, [(6, 6), (0, 6)]) is Outcome.INCONCLUSIVE
    assert decided(any_cell, [(6, 6), (0, 6)], refute_alpha=0.025) is Outcome.INCONCLUSIVE
    assert decided(any_cell, [(0, 6), (0, 6)]) is Outcome.SUPPORTED


def clears(prediction: CollapseProbability, estimate: Estimate) -> tuple[bool, bool]:
    """Return whether an estimate's limits lie on the claimed side of one half, and on the other at the other level."""
    low, high, refute_low, refute_high = (
        float(limit if limit is not None else math.nan)
        for limit in (estimate.low, estimate.high, estimate.refute_low, estimate.refute_high)
    )
    return (high < 0.5, refute_low > 0.5) if prediction.direction == "below" else (low > 0.5, refute_high < 0.5)


@pytest.mark.parametrize("direction", ["below", "above"])
@pytest.mark.parametrize(
    "how", [{}, {"refute_by": "any_cell"}, {"quantifier": "mean_over_cells"}, {"quantifier": "always"}]
)
def test_limits_say_what_decided(direction: str, how: dict[str, Any]) -> None:
    """A claim comes out as the limits of its estimates lie, whatever the counts of two cells of eight runs.

    Of 8 the tail of 7 at one half is 9/256 = .035: enough at .05, not at half of it.
    """
    prediction = claim(direction, **how)
    decisions: set[Outcome] = set()
    for events in itertools.product(range(9), repeat=2):
        runs = {f"r={rank}": cell(k, 8, 8) for rank, k in zip(RANKS, events, strict=False)}
        outcome = decided(prediction, [(k, 8) for k in events])
        *cells, pooled = [clears(prediction, each) for each in figures(prediction, runs).estimates]
        each_cell, any_cell = prediction.quantifier == "each_cell", prediction.refute_by == "any_cell"
        supported = all(claimed for claimed, _ in cells) if each_cell else pooled[0]
        refuted = any(against for _, against in cells) if any_cell else pooled[1]
        assert outcome is (Outcome.SUPPORTED if supported else Outcome.REFUTED if refuted else Outcome.INCONCLUSIVE), (
            events
        )
        decisions.add(outcome)
    assert decisions == {Outcome.SUPPORTED, Outcome.REFUTED, Outcome.INCONCLUSIVE}


def test_a_cell_of_several_that_may_refute_has_the_limits_of_its_share() -> None:
    # 5 of 5 at .05: .549, above one half; at .05 / 5 = .01: .398, which decides.
    runs = samples((5, 5), *[(0, 5)] * 4)
    prediction = claim(cells=5, refute_by="any_cell")
    first, *_, pooled = figures(prediction, runs).estimates
    assert found(prediction, runs).outcome is Outcome.INCONCLUSIVE
    assert first.low == pytest.approx(0.05**0.2)
    assert first.refute_low == pytest.approx(0.01**0.2)
    assert (pooled.refute_low, pooled.refute_high) == (pooled.low, pooled.high)  # the mean may not refute


def accuracies(*values: float, planned: int | None = None, n_items: int = 200) -> dict[str, CellSample]:
    labels = tuple(LANDMARKS.label(value) or RunLabel.NO_GAIN for value in values)
    return {"r=8": CellSample(np.array(values), labels, n_items, len(values) if planned is None else planned)}


def always(event: str, direction: str, cells: int = 1) -> CollapseProbability:
    return claim(direction, 0.5, cells, event, quantifier="always")


@pytest.mark.parametrize(
    ("event", "direction", "usual", "exception"),
    # Limits: collapsed below .1, trained above .5. Five runs at .05 / 5 each over 200 problems: .65 has a lower limit
    # of .564 and .01 an upper one of .049; both beyond.
    [
        ("trained", "below", 0.3, 0.65),
        ("trained", "above", 0.65, 0.3),
        ("collapsed", "below", 0.3, 0.01),
        ("collapsed", "above", 0.01, 0.3),
    ],
)
def test_one_run_refutes_always(event: str, direction: str, usual: float, exception: float) -> None:
    prediction = always(event, direction)
    assert found(prediction, accuracies(*[usual] * 5)).outcome is Outcome.SUPPORTED
    runs = accuracies(*[usual] * 4, exception)
    said = found(prediction, runs)
    assert (said.outcome, said.how, said.settled) == (Outcome.REFUTED, Refutation.COUNTEREXAMPLE, True)
    assert "; 1 shown to be exceptions" in figures(prediction, runs).detail
    early = accuracies(exception, planned=5)
    assert found(prediction, early).how is Refutation.COUNTEREXAMPLE  # whatever the other four would have given


def test_always_has_two_ways_to_fall_which_share_the_level() -> None:
    # 9 of 10: P(X >= 9 | 10, .5) = 11/1024 = .0107, at most .02 but not at most half of it.
    counts = [(4, 5), (5, 5)]
    assert decided(claim(quantifier="mean_over_cells"), counts, refute_alpha=0.02) is Outcome.REFUTED
    assert decided(claim(quantifier="always"), counts, refute_alpha=0.02) is Outcome.INCONCLUSIVE
    assert decided(claim(quantifier="always"), counts, refute_alpha=0.022) is Outcome.REFUTED
    # Of 117 of 200 the tail at one half is .0097: enough for one of five runs at .05, not at .05 / 2.
    runs = accuracies(0.3, 0.3, 0.3, 0.3, 0.585)
    assert found(always("trained", "below"), runs, refute_alpha=0.10).how is Refutation.COUNTEREXAMPLE
    assert found(always("trained", "below"), runs, refute_alpha=0.05).outcome is Outcome.INCONCLUSIVE


def test_an_exception_has_to_be_shown_to_be_one() -> None:
    # At .05 / 5 = .01 over 200 problems: P(X >= 116 | 200, .5) = .0141 and P(X >= 117) = .0097, so 117 it takes.
    prediction = always("trained", "below")
    assert float(stats.binom.sf(115, 200, 0.5)) > 0.01 >= float(stats.binom.sf(116, 200, 0.5))  # pyright: ignore[reportUnknownMemberType, reportUnknownArgumentType]
    for value, n in ((0.58, 0), (0.585, 1)):
        cells = list(accuracies(0.3, 0.3, 0.3, 0.3, value).values())
        assert exceptions(prediction, cells, fixed(0.05, 0.10), LANDMARKS) == n
    said = found(prediction, accuracies(0.3, 0.3, 0.3, 0.3, 0.58))
    assert (said.outcome, said.reason) == (Outcome.INCONCLUSIVE, Reason.STRADDLES)  # labelled trained all the same
    more = list(accuracies(0.3, 0.3, 0.3, 0.3, 0.585, planned=50).values())
    assert exceptions(prediction, more, fixed(0.05, 0.10), LANDMARKS) == 0  # which searches fifty runs


def test_without_landmarks_no_run_is_an_exception() -> None:
    cells = list(accuracies(0.9).values())
    assert exceptions(always("trained", "below"), cells, fixed(0.05, 0.10), Landmarks()) == 0


def test_searching_all_runs_for_an_exception_costs_nothing() -> None:
    """Ten runs whose true accuracy is the limit itself: some exception is found in at most 5 % of the repeats."""
    rng, repeats, prediction = np.random.default_rng(3), 2000, always("trained", "below")
    hits = rng.binomial(200, 0.5, (repeats, 10)) / 200  # (n_repeats, n_runs)
    wrong = sum(
        exceptions(prediction, list(accuracies(*row).values()), fixed(0.05, 0.10), LANDMARKS) > 0 for row in hits
    )
    assert 0.01 < wrong / repeats <= 0.05


# Runs that would resolve it.


@pytest.mark.parametrize(
    ("counts", "more"),
    # 0 of 3: .05^(1/5) > .5, so 5, 2 more. 1 of 4 goes on as 2 of 8 (P(X <= 2 | 8, .5) = .145), 3 of 10 (.17), 3 of 12
    # (.073), 3 of 13 (.046): 9 more.
    [((0, 3), 2), ((1, 4), 9), ((5, 5), 0)],
)
def test_the_runs_that_resolve_a_count_are_those_of_its_proportion(counts: Count, more: int) -> None:
    assert figures(claim(cells=1), samples(counts, planned=counts[1])).runs_to_resolve == more


def test_at_one_half_no_number_of_runs_resolves_it() -> None:
    assert figures(claim(cells=1), samples((2, 4), planned=4)).runs_to_resolve is None
    assert figures(claim(), samples((0, 5), (0, 0))).runs_to_resolve is None


@pytest.mark.parametrize("refute_by", ["mean_over_cells", "any_cell"])
@pytest.mark.parametrize("direction", ["below", "above"])
def test_curtailment_agrees_with_every_completion(direction: str, refute_by: str) -> None:
    prediction, settled = claim(direction, refute_by=refute_by), 0
    for (k1, n1), (k2, n2) in itertools.product([(k, n) for n in range(1, 6) for k in range(n + 1)], repeat=2):
        said = found(prediction, samples((k1, n1), (k2, n2)), 0.1)
        completions = {
            decided(prediction, [(k1 + i, 5), (k2 + j, 5)], 0.1) for i in range(6 - n1) for j in range(6 - n2)
        }
        assert completions == {said.outcome} or (len(completions) > 1 and said.reason is Reason.MISSING_RUNS)
        settled += said.outcome is not Outcome.INCONCLUSIVE
    assert settled > 4  # (0,5)x(0,5) and refutations: some are decided, so the comparison is not empty


@pytest.mark.parametrize("runs", [5, 8, 14, 30])
@pytest.mark.parametrize("limit", [0.2, 0.5, 0.8])
def test_one_cell_at_the_boundary_is_wrong_at_most_alpha(runs: int, limit: float) -> None:
    mass = pooled_mass([limit], runs)
    outcomes = [decided(claim("below", limit, cells=1), [(k, runs)]) for k in range(runs + 1)]
    for wrong in (Outcome.SUPPORTED, Outcome.REFUTED):
        assert sum(m for m, outcome in zip(mass, outcomes, strict=True) if outcome is wrong) <= 0.05


def test_wrong_refutation_over_unequal_cells_is_at_most_alpha() -> None:
    """Exact enumeration: the mean over cells lies on the claim's boundary, the cells do not."""
    rng, worst = np.random.default_rng(20240501), 0.0
    for cells, runs, limit in itertools.product((2, 3, 6), (3, 5), (0.05, 0.2, 0.5, 0.8)):
        refuting = [decided(claim("below", limit, cells), _spread(k, cells, runs)) for k in range(cells * runs + 1)]
        refuted = np.array([outcome is Outcome.REFUTED for outcome in refuting])
        for _ in range(30):
            probabilities = _unequal(rng, cells, limit)
            assert np.mean(probabilities) == pytest.approx(limit)
            rate = float(pooled_mass(probabilities, runs)[refuted].sum())
            worst = max(worst, rate)
            assert rate <= 0.05
    assert worst > 0.03  # the level is nearly used up somewhere, so a bound that is too generous would fail above


def _spread(events: int, cells: int, runs: int) -> list[Count]:
    """Return a pooled count dealt over the cells."""
    return [(min(max(events - i * runs, 0), runs), runs) for i in range(cells)]


def _unequal(rng: np.random.Generator, cells: int, mean: float) -> list[float]:
    """Return cell probabilities (n_cells,) with the given mean, pulled apart by a random factor."""
    away = rng.uniform(-1, 1, cells)
    away -= away.mean()
    widest = min(np.inf if d == 0 else ((1 - mean) / d if d > 0 else -mean / d) for d in away)
    factor = float(widest) * rng.uniform()  # one for all cells, so that their mean stays
    return np.clip(mean + away * factor, 0, 1).tolist()


# Looks: five runs a cell, then ten.


def at_look(number: int, counts: Sequence[Count]) -> Finding:
    """Decide on (collapsed, runs) of each cell at a look; the claim is that collapses are below one half."""
    look = Look(number, (5, 10))
    return find(claim(cells=len(counts)), samples(*counts, planned=look.runs), Terms(0.05, 0.025, look), LANDMARKS)


@pytest.mark.parametrize(
    ("number", "counts", "outcome", "settled"),
    [
        (1, [(0, 5)], Outcome.SUPPORTED, True),
        (1, [(1, 5)], Outcome.INCONCLUSIVE, False),
        (1, [(2, 5)], Outcome.INCONCLUSIVE, True),  # at best 2 of 10, at worst 7
        (1, [(4, 5)], Outcome.INCONCLUSIVE, False),  # 9 of 10 would refute
        (2, [(1, 10)], Outcome.SUPPORTED, True),
        (2, [(2, 10)], Outcome.INCONCLUSIVE, True),
        (2, [(9, 10)], Outcome.REFUTED, True),
        (1, [(0, 5), (1, 5)], Outcome.INCONCLUSIVE, False),
        (2, [(1, 10), (1, 10)], Outcome.SUPPORTED, True),
        (1, [(0, 4)], Outcome.INCONCLUSIVE, False),  # the fifth may collapse
        (1, [(2, 4)], Outcome.INCONCLUSIVE, True),  # whatever the fifth does
    ],
)
def test_a_look_decides_or_leaves_open_or_ends(
    number: int, counts: Sequence[Count], outcome: Outcome, settled: bool
) -> None:
    found_there = at_look(number, counts)
    assert (found_there.outcome, found_there.settled) == (outcome, settled)


def test_a_region_that_no_look_can_reach_is_told() -> None:
    single = claim(cells=1)
    assert out_of_reach(single, 1, 0.05, 0.025, Look(1, (5, 10))) == ""
    assert out_of_reach(single, 1, 0.05, 0.05, Look(1, (3, 4, 5))) == "support"  # .0278 at the third, 1/32 it takes
    assert out_of_reach(single, 1, 0.05, 0.025, Look(1, (4, 6))) == "refute"


def test_searching_for_exceptions_at_every_look_costs_nothing() -> None:
    """An exception is held to a share for each run of the last look, at the first one too."""
    cells = list(accuracies(0.3, 0.3, 0.3, 0.3, 0.585).values())
    assert exceptions(always("trained", "below"), cells, fixed(0.05, 0.10), LANDMARKS) == 1
    assert exceptions(always("trained", "below"), cells, Terms(0.05, 0.10, Look(1, (5, 50))), LANDMARKS) == 0


def test_limits_at_a_look_are_wider_than_those_of_a_single_one() -> None:
    one, two = (limits([(0, 5)], 0.05, Look(1, sizes))[1] for sizes in ((5,), (5, 10)))
    assert two > one
    pooled = limits([(0, 5), (0, 5)], 0.05, Look(1, (5, 10)))[1]
    assert pooled == clopper_pearson(0, 10, Look(1, (5, 10)).of_counts(0.05, 2))[1]
