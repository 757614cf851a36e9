import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from scipy.special import stdtrit  # pyright: ignore[reportMissingTypeStubs] - scipy ships none

from harness.decide import CellSample, Landmarks
from harness.decide.cliff import Samples, excess, fieller, find, futile, rule, total_drop
from harness.decide.contrasts import contrast
from harness.decide.ruling import Finding, Ruling
from harness.decide.terms import Look, Terms, fixed
from harness.record.verdict import Outcome, Reason, Refutation, RunLabel
from harness.spec.prediction import Cliff

C, T = RunLabel.COLLAPSED, RunLabel.TRAINED
RANKS = (8, 16, 32, 64, 128, 256)
SHAPE = np.array([-0.04, -0.02, 0.0, 0.02, 0.04]) / math.sqrt(0.001)
"""Five runs with mean 0 and variance 1."""


def claim(**fields: Any) -> Cliff:
    given = {
        "id": "cliff",
        "statement": "One doubling carries most of the drop.",
        "role": "auxiliary",
        "rationale": "Chosen for the test alone.",
        "kind": "cliff",
        "ranks": RANKS,
        "share": 0.8,
        "min_total_drop": 0.1,
        "location": (64, 128),
    }
    return Cliff.model_validate({**given, **fields})


def cell(values: list[float], labels: list[RunLabel] | None = None, planned: int = 5) -> CellSample:
    return CellSample(np.array(values), tuple(labels or [T] * len(values)), 10**5, planned)


def found(prediction: Cliff, samples: Samples, refute_alpha: float = 0.05) -> Finding:
    return find(prediction, samples, fixed(0.05, refute_alpha, 5), Landmarks())


def figures(prediction: Cliff, samples: Samples) -> Ruling:
    return rule(prediction, samples, fixed(0.05, 0.05, 5), Landmarks())


def limits(gap: int, cells: Sequence[CellSample], alpha: float) -> tuple[float, float]:
    """Fieller's limits, which are there."""
    low, high = fieller(gap, cells, alpha, fixed(alpha, alpha, 5))
    assert low is not None and high is not None
    return low, high


def at(*means: float, sd: float = 0.02) -> dict[str, CellSample]:
    return {f"r={rank}": cell((m + sd * SHAPE).tolist()) for rank, m in zip(RANKS, means, strict=True)}


STEP = at(0.6, 0.6, 0.6, 0.6, 0.1, 0.1)
LINEAR = at(0.6, 0.5, 0.4, 0.3, 0.2, 0.1)
FLAT = at(0.6, 0.6, 0.6, 0.6, 0.6, 0.6)
EARLY = at(0.6, 0.6, 0.1, 0.1, 0.1, 0.1)


def test_the_contrasts_are_what_they_say() -> None:
    means = np.array([0.9, 0.8, 0.5, 0.1])  # drop .8; second gap .3; .3 - .25 x .8 = .1
    assert total_drop(4) @ means == pytest.approx(0.8)
    assert excess(1, 0.25, 4) @ means == pytest.approx(0.1)
    assert [excess(j, 0.5, 4).sum() for j in range(3)] == pytest.approx([0, 0, 0])


def test_the_gaps_share_the_whole_drop() -> None:
    means = np.array([0.9, 0.8, 0.5, 0.1])
    assert sum(excess(j, 1 / 3, 4) @ means for j in range(3)) == pytest.approx(0)  # sum of gaps = D = 3 x D / 3


@pytest.mark.parametrize("location", [(64, 128), None])
@pytest.mark.parametrize(
    ("runs", "outcome", "how"),
    [(STEP, Outcome.SUPPORTED, None), (LINEAR, Outcome.REFUTED, Refutation.TOO_GRADUAL),
     (FLAT, Outcome.REFUTED, Refutation.TOO_SMALL)],
)  # fmt: skip
def test_a_step_a_slope_and_a_plain(
    runs: dict[str, CellSample], outcome: Outcome, how: Refutation | None, location: tuple[int, int] | None
) -> None:
    said = found(claim(location=location), runs)
    assert (said.outcome, said.how, said.settled) == (outcome, how, True)


def test_a_declared_location_is_the_only_one_that_counts() -> None:
    assert found(claim(), EARLY).outcome is Outcome.REFUTED
    assert found(claim(location=None), EARLY).outcome is Outcome.SUPPORTED
    assert "steepest step, r=16 to r=32" in figures(claim(location=None), EARLY).detail


def test_a_drop_below_the_least_is_not_a_cliff_however_sharp() -> None:
    assert found(claim(min_total_drop=0.6), STEP).outcome is Outcome.REFUTED
    assert found(claim(min_total_drop=0.5), STEP).outcome is Outcome.INCONCLUSIVE


def test_the_detail_gives_share_drop_and_needs() -> None:
    ruling = figures(claim(), STEP)
    share, drop = ruling.estimates
    assert (share.value, drop.value) == pytest.approx((1.0, 0.5))
    assert ruling.detail == (
        f"share of the drop, r=64 to r=128: 1.000 [{share.low:.3f}, {share.high:.3f}], needs > 0.8; "
        f"total drop from r=8 to r=256: 0.500 [{drop.low:.3f}, {drop.high:.3f}], needs > 0.1"
    )


def test_the_share_agrees_with_the_contrast_at_every_share() -> None:
    cells = list(at(0.62, 0.6, 0.55, 0.5, 0.15, 0.1, sd=0.05).values())
    low, high = limits(3, cells, 0.05)
    for share in np.linspace(0.3, 1.3, 41):
        fit = contrast(excess(3, float(share), 6), cells)
        assert (fit.low(0.05) > 0) is bool(share < low)
        assert (fit.high(0.05) < 0) is bool(share > high)


def test_both_ends_solve_fiellers_quadratic() -> None:
    # At the contrast's df for that share, the end is a root of (g - L D)^2 = t^2 Var(g - L D), with g the gap's drop;
    # means are independent with s^2 / n = .0025 / 5. Gap 0 shares its first rank with D: cov(g, D) = .0005.
    cells = list(at(0.6, 0.35, 0.3, 0.25, 0.2, 0.1, sd=0.05).values())
    for end in limits(0, cells, 0.05):
        df = contrast(excess(0, end, 6), cells).df
        t2 = float(stdtrit(df, 0.95)) ** 2
        g, drop, v = 0.25, 0.5, 0.0005
        roots = np.roots([drop**2 - t2 * 2 * v, -2 * (g * drop - t2 * v), g**2 - t2 * 2 * v])
        assert min(abs(roots - end)) < 1e-9


def test_degrees_of_freedom_at_a_share_are_satterthwaites() -> None:
    # Gap 0 at share L weighs the ranks (1 - L, -1, 0, .., L); with equal s^2 / n the df are 4 (sum w^2)^2 / sum w^4.
    w = np.array([0.5, -1.0, 0.5])
    assert contrast(excess(0, 0.5, 6), list(LINEAR.values())).df == pytest.approx(4 * (w**2).sum() ** 2 / (w**4).sum())


def test_without_a_drop_the_share_is_unbounded() -> None:
    share = figures(claim(), FLAT).estimates[0]
    assert (share.value, share.low, share.high) == (None, None, None)
    rising = at(0.1, 0.1, 0.1, 0.1, 0.6, 0.6)
    assert found(claim(), rising).outcome is Outcome.REFUTED
    share = figures(claim(), rising).estimates[0]
    assert (share.value, share.low) == (None, None)


def test_each_way_to_refute_gets_half_the_level() -> None:
    # Upper limit of the drop, df 8: t(.95) = 1.8595 and t(.975) = 2.3060, se = sqrt(2 x .0004 / 5) = .012649.
    # At min_total_drop = .5 + 2.0 x .012649 the limit at refute_alpha is inside, the one at half of it is not.
    near = claim(min_total_drop=0.5 + 2.0 * 0.0126491)
    assert found(near, STEP, 0.05).outcome is Outcome.INCONCLUSIVE
    assert found(near, STEP, 0.10).outcome is Outcome.REFUTED


PARTIAL = at(0.6, 0.6, 0.5, 0.5, 0.2, 0.1)
"""The step from 64 to 128 carries .3 of .5, a share of .6."""


def test_an_undeclared_location_pays_for_its_five_gaps() -> None:
    cells = list(PARTIAL.values())
    alone, among_five = limits(3, cells, 0.05)[0], limits(3, cells, 0.01)[0]
    assert among_five < alone
    between = (alone + among_five) / 2
    assert found(claim(share=between), PARTIAL).outcome is Outcome.SUPPORTED
    assert found(claim(share=between, location=None), PARTIAL).outcome is Outcome.INCONCLUSIVE
    shown = figures(claim(share=between, location=None), PARTIAL)
    assert shown.estimates[0].low == pytest.approx(among_five)
    assert (shown.runs_to_resolve or 0) > 0  # at the level of one gap it would be none


def test_too_gradual_is_held_to_half_the_level() -> None:
    cells = list(PARTIAL.values())
    whole, half = limits(3, cells, 0.05)[1], limits(3, cells, 0.025)[1]
    assert whole < half
    between = claim(share=(whole + half) / 2)
    assert found(between, PARTIAL, 0.05).outcome is Outcome.INCONCLUSIVE
    assert found(between, PARTIAL, 0.10).how is Refutation.TOO_GRADUAL


def test_a_mixed_cell_decides_nothing_but_is_reported() -> None:
    mixed = STEP | {"r=128": cell([0.6, 0.02, 0.02, 0.02, 0.02], [T, C, C, C, C])}
    said = found(claim(), mixed)
    assert (said.outcome, said.reason) == (Outcome.INCONCLUSIVE, Reason.MIXED_CELLS)
    assert "r=128 (4 of 5 collapsed)" in said.why
    assert len(figures(claim(), mixed).estimates) == 2


def test_a_rank_without_runs_is_untested() -> None:
    said = found(claim(), STEP | {"r=32": cell([])})
    assert (said.outcome, said.reason, said.why) == (Outcome.UNTESTED, Reason.NO_RUNS, "no runs at r=32")
    assert figures(claim(), STEP | {"r=32": cell([])}) == Ruling("")


def test_a_missing_run_at_the_gap_leaves_it_open_and_one_off_the_contrast_does_not() -> None:
    at_gap = found(claim(), STEP | {"r=64": cell(STEP["r=64"].values.tolist()[:4])})
    assert (at_gap.outcome, at_gap.reason) == (Outcome.INCONCLUSIVE, Reason.MISSING_RUNS)
    elsewhere = STEP | {"r=16": cell(STEP["r=16"].values.tolist()[:4])}
    assert found(claim(), elsewhere).outcome is Outcome.SUPPORTED
    assert figures(claim(), elsewhere).detail.endswith("1 of 30 planned runs missing")


def test_one_run_at_a_rank_gives_no_interval() -> None:
    runs = STEP | {"r=128": cell([0.1], planned=1)}
    said, share = found(claim(), runs), figures(claim(), runs).estimates[0]
    assert (said.outcome, said.reason) == (Outcome.INCONCLUSIVE, Reason.STRADDLES)
    assert (share.low, share.high) == (None, None)


def still(*values: float) -> dict[str, CellSample]:
    """Ranks whose five runs are alike, on a scale whose sampling variance nobody knows."""
    cells = [CellSample(np.full(5, v), (T,) * 5, 500, 5, bounded=False) for v in values]
    return {f"r={rank}": sample for rank, sample in zip(RANKS, cells, strict=True)}


def test_identical_runs_on_an_unbounded_scale_are_no_certainty() -> None:
    runs = still(9, 9, 9, 9, 1, 1)
    assert found(claim(measure="stable_rank"), runs).reason is Reason.NO_SPREAD
    spread = np.array([8.9, 9.0, 9.1, 9.0, 9.0])  # at a rank that the contrast of the declared gap does not weigh
    runs["r=16"] = CellSample(spread, (T,) * 5, 500, 5, bounded=False)
    assert found(claim(measure="stable_rank"), runs).reason is Reason.STRADDLES


def test_futility_stops_where_no_gap_is_likely_to_be_decided() -> None:
    # Exactly at share .8 with both sides at stake the chance is small (.14 at most for one contrast, as for a margin);
    # the step itself is all but decided.
    at_first = Terms(0.05, 0.05, Look(1, (5, 8)))
    middling = at(0.6, 0.6, 0.6, 0.6, 0.2, 0.1, sd=0.03)
    assert futile(claim(min_total_drop=0.5), middling, at_first, Landmarks(), 0.5)
    assert not futile(claim(), STEP, at_first, Landmarks(), 0.9)
    assert not futile(claim(min_total_drop=0.5), middling, Terms(0.05, 0.05, Look(2, (5, 8))), Landmarks(), 0.99)


def rates(prediction: Cliff, means: list[float], sd: float, repeats: int) -> dict[Outcome, float]:
    """Return how often five runs a rank, normal around `means`, come to each outcome."""
    rng = np.random.default_rng(5)
    runs = rng.normal(np.array(means)[:, None], sd, (repeats, len(means), 5))  # (n_repeats, n_ranks, n_runs)
    worlds = ({f"r={r}": cell(x.tolist()) for r, x in zip(RANKS, world, strict=True)} for world in runs)
    outcomes = [found(prediction, world).outcome for world in worlds]
    return {outcome: outcomes.count(outcome) / repeats for outcome in Outcome}


REPEATS = 3000
LEVEL = 0.05 + 3 * math.sqrt(0.05 * 0.95 / REPEATS)


@pytest.mark.parametrize("location", [(64, 128), None])
def test_at_the_declared_share_each_verdict_is_wrong_at_most_alpha(location: tuple[int, int] | None) -> None:
    means = [0.70, 0.68, 0.65, 0.65, 0.25, 0.20]  # drop .5, the gap .4: a share of exactly .8
    assert [a - b for a, b in pairwise(means)][3] == pytest.approx(0.8 * 0.5)
    seen = rates(claim(location=location), means, 0.03, REPEATS)
    assert seen[Outcome.SUPPORTED] <= LEVEL
    assert 0.01 < seen[Outcome.REFUTED] <= LEVEL  # held to half the level, and it does refute


def test_at_the_least_drop_each_verdict_is_wrong_at_most_alpha() -> None:
    seen = rates(claim(share=0.3), [0.6, 0.6, 0.6, 0.6, 0.5, 0.5], 0.02, REPEATS)  # drop .1 = min_total_drop, share 1
    assert 0.02 < seen[Outcome.SUPPORTED] <= LEVEL
    assert seen[Outcome.REFUTED] <= LEVEL
