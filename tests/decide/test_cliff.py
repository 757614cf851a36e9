import math
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from scipy.special import stdtrit  # pyright: ignore[reportMissingTypeStubs] - scipy ships none

from harness.decide import CellSample, contrast
from harness.decide.cliff import cliff, excess, fieller, rule_cliff, total_drop
from harness.record.verdict import Outcome, Reason, RunLabel
from harness.spec import Cliff

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
    [(STEP, Outcome.SUPPORTED, "share of"), (LINEAR, Outcome.REFUTED, "the drop is too gradual"),
     (FLAT, Outcome.REFUTED, "the total drop is too small")],
)  # fmt: skip
def test_a_step_a_slope_and_a_plain(
    runs: dict[str, CellSample], outcome: Outcome, how: str, location: tuple[int, int] | None
) -> None:
    ruling = cliff(claim(location=location), runs, 0.05)
    assert ruling.outcome is outcome
    assert ruling.detail.startswith(how)


def test_a_declared_location_is_the_only_one_that_counts() -> None:
    assert cliff(claim(), EARLY, 0.05).outcome is Outcome.REFUTED
    assert cliff(claim(location=None), EARLY, 0.05).outcome is Outcome.SUPPORTED
    assert "steepest step, r=16 to r=32" in cliff(claim(location=None), EARLY, 0.05).detail


def test_a_drop_below_the_least_is_not_a_cliff_however_sharp() -> None:
    assert cliff(claim(min_total_drop=0.6), STEP, 0.05).outcome is Outcome.REFUTED
    assert cliff(claim(min_total_drop=0.5), STEP, 0.05).outcome is Outcome.INCONCLUSIVE


def test_the_detail_gives_share_drop_and_needs() -> None:
    ruling = cliff(claim(), STEP, 0.05)
    share, drop = ruling.estimates
    assert (share.value, drop.value) == pytest.approx((1.0, 0.5))
    assert ruling.detail == (
        f"share of the drop, r=64 to r=128: 1.000 [{share.low:.3f}, {share.high:.3f}], needs > 0.8; "
        f"total drop from r=8 to r=256: 0.500 [{drop.low:.3f}, {drop.high:.3f}], needs > 0.1"
    )


def test_the_share_agrees_with_the_contrast_at_every_share() -> None:
    cells = list(at(0.62, 0.6, 0.55, 0.5, 0.15, 0.1, sd=0.05).values())
    low, high = fieller(3, cells, 0.05)
    assert low is not None and high is not None
    for share in np.linspace(0.3, 1.3, 41):
        fit = contrast(excess(3, float(share), 6), cells)
        assert (fit.low(0.05) > 0) is bool(share < low)
        assert (fit.high(0.05) < 0) is bool(share > high)


def test_both_ends_solve_fiellers_quadratic() -> None:
    # At the contrast's df for that share, the end is a root of (g - L D)^2 = t^2 Var(g - L D), with g the gap's drop;
    # means are independent with s^2 / n = .0025 / 5. Gap 0 shares its first rank with D: cov(g, D) = .0005.
    cells = list(at(0.6, 0.35, 0.3, 0.25, 0.2, 0.1, sd=0.05).values())
    for end in fieller(0, cells, 0.05):
        assert end is not None
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
    ruling = cliff(claim(), FLAT, 0.05)
    share = ruling.estimates[0]
    assert (share.value, share.low, share.high) == (None, None, None)
    rising = cliff(claim(), at(0.1, 0.1, 0.1, 0.1, 0.6, 0.6), 0.05)
    assert rising.outcome is Outcome.REFUTED
    assert (rising.estimates[0].value, rising.estimates[0].low) == (None, None)


def test_each_way_to_refute_gets_half_the_level() -> None:
    # Upper limit of the drop, df 8: t(.95) = 1.8595 and t(.975) = 2.3060, se = sqrt(2 x .0004 / 5) = .012649.
    # At min_total_drop = .5 + 2.0 x .012649 the limit at refute_alpha is inside, the one at half of it is not.
    near = claim(min_total_drop=0.5 + 2.0 * 0.0126491)
    assert cliff(near, STEP, 0.05).outcome is Outcome.INCONCLUSIVE
    assert cliff(near, STEP, 0.10).outcome is Outcome.REFUTED


PARTIAL = at(0.6, 0.6, 0.5, 0.5, 0.2, 0.1)
"""The step from 64 to 128 carries .3 of .5, a share of .6."""


def test_an_undeclared_location_pays_for_its_five_gaps() -> None:
    cells = list(PARTIAL.values())
    alone, among_five = fieller(3, cells, 0.05)[0], fieller(3, cells, 0.01)[0]
    assert alone is not None and among_five is not None and among_five < alone
    between = (alone + among_five) / 2
    assert cliff(claim(share=between), PARTIAL, 0.05).outcome is Outcome.SUPPORTED
    assert cliff(claim(share=between, location=None), PARTIAL, 0.05).outcome is Outcome.INCONCLUSIVE


def test_too_gradual_is_held_to_half_the_level() -> None:
    cells = list(PARTIAL.values())
    whole, half = fieller(3, cells, 0.05)[1], fieller(3, cells, 0.025)[1]
    assert whole is not None and half is not None and whole < half
    between = claim(share=(whole + half) / 2)
    assert cliff(between, PARTIAL, 0.05).outcome is Outcome.INCONCLUSIVE
    assert cliff(between, PARTIAL, 0.10).detail.startswith("the drop is too gradual")


def test_a_mixed_cell_decides_nothing_but_is_reported() -> None:
    mixed = STEP | {"r=128": cell([0.6, 0.02, 0.02, 0.02, 0.02], [T, C, C, C, C])}
    ruling = cliff(claim(), mixed, 0.05)
    assert (ruling.outcome, ruling.reason) == (Outcome.INCONCLUSIVE, Reason.MIXED_CELLS)
    assert "r=128 (4 of 5 collapsed)" in ruling.detail
    assert len(ruling.estimates) == 2


def test_a_rank_without_runs_is_untested() -> None:
    ruling = cliff(claim(), STEP | {"r=32": cell([])}, 0.05)
    assert (ruling.outcome, ruling.reason, ruling.detail) == (Outcome.UNTESTED, Reason.NO_RUNS, "no runs at r=32")


def test_a_missing_run_at_the_gap_leaves_it_open_and_one_off_the_contrast_does_not() -> None:
    at_gap = cliff(claim(), STEP | {"r=64": cell(STEP["r=64"].values.tolist()[:4])}, 0.05)
    assert (at_gap.outcome, at_gap.reason) == (Outcome.INCONCLUSIVE, Reason.MISSING_RUNS)
    elsewhere = cliff(claim(), STEP | {"r=16": cell(STEP["r=16"].values.tolist()[:4])}, 0.05)
    assert elsewhere.outcome is Outcome.SUPPORTED
    assert elsewhere.detail.endswith("1 of 30 planned runs missing")


def test_one_run_at_a_rank_gives_no_interval() -> None:
    ruling = cliff(claim(), STEP | {"r=128": cell([0.1], planned=1)}, 0.05)
    assert (ruling.outcome, ruling.reason) == (Outcome.INCONCLUSIVE, Reason.STRADDLES)
    assert (ruling.estimates[0].low, ruling.estimates[0].high) == (None, None)


def rates(prediction: Cliff, means: list[float], sd: float, repeats: int) -> dict[Outcome, float]:
    """Return how often five runs a rank, normal around `means`, come to each outcome."""
    rng = np.random.default_rng(5)
    runs = rng.normal(np.array(means)[:, None], sd, (repeats, len(means), 5))  # (n_repeats, n_ranks, n_runs)
    outcomes = [rule_cliff(prediction, [cell(x.tolist()) for x in world], 0.05)[0] for world in runs]
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
