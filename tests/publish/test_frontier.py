"""A frontier as text and as a figure, from searches written by hand."""

from pathlib import Path

import pytest

from harness.campaign.aligned import aligned
from harness.campaign.frontier import Frontier, FrontierArm, Searched, Tried
from harness.decide import Landmarks
from harness.decide.bisection import End, Ladder, Trial, threshold
from harness.publish.frontier import frontier_table, norms, rates
from harness.publish.frontier_figure import draw
from harness.publish.width import WIDTH
from harness.spec.adapter import Constant, Proportional, Scaling

LADDER = Ladder(per_octave=2, lowest=-8, highest=8, seeds=3)
TWO_R, AT_32 = Proportional(), Constant(policy="constant", alpha=32)


def searched(rank: int, scaling: Scaling, last_alive: int, norm: float) -> Searched:
    """Return an arm that lived up to a rung and collapsed from the next, with this first norm at the rate itself."""
    outcomes = [(last_alive, False), (last_alive + 1, True)] * 3
    trials = [Trial(rung, i // 2, collapsed) for i, (rung, collapsed) in enumerate(outcomes)]
    tried = tuple(Tried(f"r{rank}-{scaling.policy}-{i}", trial, norm) for i, trial in enumerate(trials))
    line = (1.0, norm)
    return Searched(FrontierArm(rank, scaling), End.RESOLVED, tried, threshold(LADDER, trials), line)


def never(rank: int) -> Searched:
    tried = tuple(Tried(f"r{rank}-{i}", Trial(8, i, False if i else None), None) for i in range(3))
    return Searched(FrontierArm(rank, AT_32), End.NEVER, tried, None, None)


def frontier(*arms: Searched) -> Frontier:
    landmarks = Landmarks(0.36, 0.09, 0.39)
    return Frontier("tiny", "llama", landmarks, 1e-3, LADDER, arms, runs=6 * len(arms), grid=51 * len(arms))


@pytest.fixture
def whole() -> Frontier:
    """Return four arms whose norms meet at one value, an octave apart in the rate, and one that never collapses."""
    return frontier(
        searched(8, TWO_R, 4, -2.0), searched(32, TWO_R, 2, -1.0), searched(128, TWO_R, 0, 0.0),
        searched(8, AT_32, 2, -1.0), never(128),
    )  # fmt: skip


def test_rates_and_norms_are_in_their_own_units(whole: Frontier) -> None:
    rate, norm = rates(whole, whole.searched[0]), norms(whole.searched[0])
    assert rate is not None
    assert norm is not None
    # between x4 and x5.66 of 1e-3, so 2^2.25 x 1e-3; the norm is 2^-2 at the protocol's rate and rises with it
    assert rate[0] == pytest.approx(1e-3 * 2**2.25, rel=1e-3)
    assert rate[1] < 1e-3 * 2**2.25 < rate[2]
    assert norm == pytest.approx(tuple(250 * value for value in rate))
    assert rates(whole, whole.searched[-1]) is None
    assert norms(whole.searched[-1]) is None


def test_the_table_says_what_was_found_and_what_was_not(whole: Frontier) -> None:
    text = frontier_table(whole, aligned(whole))
    lines = text.splitlines()
    assert max(map(len, lines)) <= WIDTH
    assert lines[0] == "collapse frontier  protocol tiny  base llama  exploratory, nothing registered"
    assert lines[1] == "collapsed  accuracy below .090, of a base at .360"
    assert lines[2] == "rates      6.25e-05 to 0.016, 17 of them, 2 an octave; at most 3 seeds a rate"
    row = next(line for line in lines if line.startswith("alpha = 2r") and " 8 " in line)
    assert "0.00476 [0.00" in row
    assert "1.19 [" in row
    assert row.endswith("   6  resolved")
    censored = [line for line in lines if "128" in line and "every rank" in line]
    assert censored[0].split("128", 1)[1].split() == ["n/a", "n/a", "3", "no", "collapse"]
    assert censored[1].endswith("0/2 at 16, 1 without a result")
    assert "0/3 at 4, 3/3 at 5.657" in text
    assert "runs       30 used, 12 % of the 255 of the full grid (17 rates x 3 seeds an arm)" in lines
    assert "1 of 5 arms have no critical rate among these and are in no spread" in text
    told = (
        "The norm of the first update lines these arms up better than the learning rate; one value is compatible with"
    )
    assert told in text


@pytest.mark.parametrize(("width", "parts"), [(60, 3), (80, 2)])
def test_a_narrow_table_has_every_number_in_columns(whole: Frontier, width: int, parts: int) -> None:
    lines = frontier_table(whole, aligned(whole), width).splitlines()
    assert max(map(len, lines)) <= width
    narrow, full = " ".join(lines).split(), frontier_table(whole, aligned(whole)).split()
    assert set(narrow) == set(full)  # names stand once more beside each part
    heads = [i for i, line in enumerate(lines) if line.startswith("scaling ")]
    assert len(heads) == parts
    for head in heads:
        ends = lines[head].index("rank") + len("rank")
        assert [line[:ends].split()[-1] for line in lines[head + 1 : head + 6]] == ["8", "32", "128", "8", "128"]


def test_the_reading_says_no_more_than_the_intervals_do() -> None:
    by_rate = frontier(*(searched(rank, TWO_R, 2, rank / 16) for rank in (8, 32, 128)))
    text = frontier_table(by_rate, aligned(by_rate))
    assert "The learning rate lines these arms up better than the norm of the first update; one value is" in text
    wide = frontier(searched(8, TWO_R, 2, 0.0), searched(32, TWO_R, 3, -0.5), searched(128, TWO_R, 2, 0.25))
    assert "Neither the rate nor the norm" in frontier_table(wide, aligned(wide))
    apart = frontier(searched(8, TWO_R, 6, 0.0), searched(32, TWO_R, 1, 0.5), searched(128, TWO_R, -4, 3.0))
    assert "though no single value fits all of them" in " ".join(frontier_table(apart, aligned(apart)).split())
    two = frontier(searched(8, TWO_R, 2, 0.0), searched(32, TWO_R, 3, -0.5))
    assert "Fewer than three arms" in frontier_table(two, aligned(two))


@pytest.mark.parametrize("suffix", [".png", ".svg", ".pdf"])
def test_the_same_frontier_is_the_same_figure(whole: Frontier, tmp_path: Path, suffix: str) -> None:
    one, other = tmp_path / f"one{suffix}", tmp_path / f"other{suffix}"
    draw(whole, one)
    draw(whole, other)
    assert one.read_bytes() == other.read_bytes()
    draw(frontier(*whole.searched[:2]), other)
    assert one.read_bytes() != other.read_bytes()


def test_a_frontier_of_censored_arms_alone_can_be_drawn(tmp_path: Path) -> None:
    alone = frontier(never(8), never(128))
    draw(alone, tmp_path / "none.svg")
    assert (tmp_path / "none.svg").stat().st_size > 1000
