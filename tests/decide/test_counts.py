import itertools

import numpy as np
import pytest
from numpy.typing import NDArray

from harness.decide import CellSample
from harness.decide.counts import Count, clopper_pearson, collapse_probability, mean_bounds, rule_counts
from harness.record.verdict import Outcome, Reason, RunLabel
from harness.spec import Arms, CollapseProbability

RANKS = (8, 16, 32, 64, 128, 256)


def claim(
    direction: str = "below", probability: float = 0.5, cells: int = 2, event: str = "collapsed"
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
        }
    )


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
    outcomes = [rule_counts(claim(cells=1), [(k, runs)], 0.05) for k in range(runs + 1)]
    assert outcomes.count(Outcome.SUPPORTED) == at_most + 1
    assert outcomes.count(Outcome.REFUTED) == at_most + 1
    assert outcomes[0] is Outcome.SUPPORTED


def test_three_seeds_decide_nothing_about_one_half() -> None:
    assert {rule_counts(claim(cells=1), [(k, 3)], 0.05) for k in range(4)} == {Outcome.INCONCLUSIVE}


def test_support_needs_every_cell() -> None:
    assert rule_counts(claim(), [(0, 5), (0, 5)], 0.05) is Outcome.SUPPORTED
    assert rule_counts(claim(), [(0, 5), (1, 5)], 0.05) is Outcome.INCONCLUSIVE


def test_refutation_is_of_the_mean_over_cells() -> None:
    # 8 of 10: P(X >= 8 | 10, .5) = 56/1024 = .0547 > .05; 9 of 10: 11/1024 = .0107.
    assert rule_counts(claim(), [(3, 5), (5, 5)], 0.05) is Outcome.INCONCLUSIVE
    assert rule_counts(claim(), [(4, 5), (5, 5)], 0.05) is Outcome.REFUTED
    assert rule_counts(claim(), [(4, 5), (5, 5)], 0.01) is Outcome.INCONCLUSIVE


@pytest.mark.parametrize("counts", [[(k, 5), (j, 5)] for k in range(6) for j in range(6)])
def test_swapping_event_and_direction_changes_nothing(counts: list[Count]) -> None:
    mirrored = [(n - k, n) for k, n in counts]
    assert rule_counts(claim("above", 0.6), counts, 0.05) is rule_counts(claim("below", 0.4), mirrored, 0.05)


def test_a_pooled_limit_is_not_given_where_unequal_cells_break_it() -> None:
    # One event in 20: N L + 1 = 20 (1 - .95^(1/20)) + 1 = 1.051 > 1, so the binomial tail need not bound the true one.
    assert mean_bounds([(1, 5), (0, 5), (0, 5), (0, 5)], 0.05)[0] is None
    assert mean_bounds([(4, 5), (5, 5), (5, 5), (5, 5)], 0.05)[1] is None
    assert mean_bounds([(1, 20)], 0.05)[0] == pytest.approx(1 - 0.95 ** (1 / 20))


def test_the_condition_is_needed() -> None:
    # Mean c = 1 - .95^(1/20): 20 equal runs show an event with probability .05, but one run at 20 c and 19 at 0 with
    # 20 c = .0512. Without the condition one event would refute "below c" at a rate above .05.
    c = 1 - 0.95 ** (1 / 20)
    assert pooled_mass([c], 20)[1:].sum() == pytest.approx(0.05)
    assert 20 * c > 0.0512
    assert (
        rule_counts(claim("below", c * 0.999, cells=4), [(1, 5), (0, 5), (0, 5), (0, 5)], 0.05) is not Outcome.REFUTED
    )


def test_estimates_are_one_a_cell_and_the_mean() -> None:
    ruling = collapse_probability(claim(cells=3), samples((0, 5), (0, 5), (1, 5)), refute_alpha=0.025)
    assert [e.name for e in ruling.estimates] == [
        "P(collapsed) r=8",
        "P(collapsed) r=16",
        "P(collapsed) r=32",
        "P(collapsed) mean over 3 cells",
    ]
    first, pooled = ruling.estimates[0], ruling.estimates[-1]
    assert (first.low, first.high) == pytest.approx((0.0, 1 - 0.05**0.2))
    assert (first.refute_low, first.refute_high) == pytest.approx((0.0, 1 - 0.025**0.2))
    assert (pooled.value, pooled.n_runs, pooled.low) == (pytest.approx(1 / 15), 15, None)
    assert ruling.detail.startswith("collapsed 0/5 at each of r=8, r=16; 1/5 at r=32")


def test_trained_is_counted_where_trained_is_claimed() -> None:
    runs = {"r=8": cell(5, 5, event=RunLabel.TRAINED)}
    assert collapse_probability(claim("above", cells=1, event="trained"), runs, 0.05).outcome is Outcome.SUPPORTED
    assert collapse_probability(claim("above", cells=1), runs, 0.05).outcome is Outcome.REFUTED


def test_without_any_run_it_is_untested() -> None:
    ruling = collapse_probability(claim(), samples((0, 0), (0, 0)), 0.05)
    assert (ruling.outcome, ruling.reason) == (Outcome.UNTESTED, Reason.NO_RUNS)


def test_a_missing_run_that_could_change_it_leaves_it_open() -> None:
    ruling = collapse_probability(claim(), samples((0, 5), (0, 4)), 0.05)
    assert (ruling.outcome, ruling.reason) == (Outcome.INCONCLUSIVE, Reason.MISSING_RUNS)
    assert ruling.detail.endswith("1 of 10 planned runs missing")


def test_missing_runs_that_cannot_change_it_do_not() -> None:
    # 14 planned, 11 without a collapse: 3 of 14 is still supported (470/16384 = .029), so curtailment may stop here.
    ruling = collapse_probability(claim(cells=1), samples((0, 11), planned=14), 0.05)
    assert (ruling.outcome, ruling.reason) == (Outcome.SUPPORTED, Reason.IN_SUPPORT)
    against = collapse_probability(claim(), samples((5, 5), (4, 4)), 0.05)
    assert (against.outcome, against.reason) == (Outcome.REFUTED, Reason.IN_REFUTE)


def test_missing_runs_do_not_take_the_blame_for_a_straddle() -> None:
    ruling = collapse_probability(claim(cells=1), samples((2, 4)), 0.05)
    assert (ruling.outcome, ruling.reason) == (Outcome.INCONCLUSIVE, Reason.STRADDLES)


@pytest.mark.parametrize("direction", ["below", "above"])
def test_curtailment_agrees_with_every_completion(direction: str) -> None:
    prediction, decided = claim(direction), 0
    for (k1, n1), (k2, n2) in itertools.product([(k, n) for n in range(1, 6) for k in range(n + 1)], repeat=2):
        ruling = collapse_probability(prediction, samples((k1, n1), (k2, n2)), 0.05)
        completions = {
            rule_counts(prediction, [(k1 + i, 5), (k2 + j, 5)], 0.05) for i in range(6 - n1) for j in range(6 - n2)
        }
        assert completions == {ruling.outcome} or (len(completions) > 1 and ruling.reason is Reason.MISSING_RUNS)
        decided += ruling.outcome is not Outcome.INCONCLUSIVE
    assert decided > 4  # (0,5)x(0,5) and refutations: some are decided, so the comparison is not empty


@pytest.mark.parametrize("runs", [5, 8, 14, 30])
@pytest.mark.parametrize("limit", [0.2, 0.5, 0.8])
def test_one_cell_at_the_boundary_is_wrong_at_most_alpha(runs: int, limit: float) -> None:
    mass = pooled_mass([limit], runs)
    outcomes = [rule_counts(claim("below", limit, cells=1), [(k, runs)], 0.05) for k in range(runs + 1)]
    for wrong in (Outcome.SUPPORTED, Outcome.REFUTED):
        assert sum(m for m, outcome in zip(mass, outcomes, strict=True) if outcome is wrong) <= 0.05


def test_wrong_refutation_over_unequal_cells_is_at_most_alpha() -> None:
    """Exact enumeration: the mean over cells lies on the claim's boundary, the cells do not."""
    rng, worst = np.random.default_rng(20240501), 0.0
    for cells, runs, limit in itertools.product((2, 3, 6), (3, 5), (0.05, 0.2, 0.5, 0.8)):
        refuting = [
            rule_counts(claim("below", limit, cells), _spread(k, cells, runs), 0.05) for k in range(cells * runs + 1)
        ]
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
