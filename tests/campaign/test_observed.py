"""Runs as decisions are handed them: selected by label, with what is missing told apart from what was not selected."""

from typing import TYPE_CHECKING

from harness.campaign.observed import Observed, observed
from harness.campaign.tuning import tuned_on
from harness.plan import PlannedRun
from harness.record.exclusion import exclude
from harness.record.verdict import RunLabel
from harness.spec.arms import Arm
from harness.store import refresh

if TYPE_CHECKING:
    from tests.conftest import Made

EIGHT = Arm(rank=8)


def seen(made: "Made") -> Observed:
    bench = made.bench()
    refresh(bench.store, bench.measures())
    (base,), live = bench.planned_bases(["llama"]), bench.hypotheses(["live"])["live"]
    tuning = tuned_on(bench, "live", live, base)
    return observed(bench, live, base, bench.plan({"live": live}, ["llama"]), tuning)


def mixed(run: PlannedRun) -> float | None:
    """Return collapses at seeds 1 and 3, nothing at seed 5, and training elsewhere."""
    return None if run.index == 5 else 0.01 if run.index in (1, 3) else 0.5 + run.index / 1000


def test_a_selection_has_the_runs_of_its_label_and_says_what_is_missing(made: "Made") -> None:
    made.results(mixed)
    cell = EIGHT.cell(made.bench().protocol.given)
    collapsed = seen(made).sample(cell, "accuracy", 6, "collapsed")
    assert (collapsed.seeds, collapsed.selected) == ((1, 3), True)
    assert collapsed.labels == (RunLabel.COLLAPSED, RunLabel.COLLAPSED)
    assert collapsed.missing == 1  # seed 5 could have been one of them; seeds 0, 2 and 4 are known not to be
    everything = seen(made).sample(cell, "accuracy", 6)
    assert (everything.seeds, everything.missing, everything.selected) == ((0, 1, 2, 3, 4), 1, False)


def test_only_the_planned_seeds_are_handed_on(made: "Made") -> None:
    made.results(lambda run: 0.5 + run.index / 1000)
    cell = EIGHT.cell(made.bench().protocol.given)
    assert seen(made).sample(cell, "accuracy", 3).seeds == (0, 1, 2)


def test_an_excluded_run_is_missing_with_its_reason_and_was_executed(made: "Made") -> None:
    made.results(lambda run: 0.5 + run.index / 1000)
    bench = made.bench()
    run = next(run for run in bench.plan(bench.hypotheses(["live"]), ["llama"]).runs if run.index == 2)
    exclude(made.store, run.id, "the disk was full when it was scored")
    said = seen(made)
    assert [(r.run_id, r.reason) for r in said.missing] == [(run.id, "excluded: the disk was full when it was scored")]
    assert said.reached[run.cell] == 6
    assert said.sample(run.cell, "accuracy", 6).seeds == (0, 1, 3, 4, 5)


def test_whether_a_run_launched_is_read_from_its_reward(made: "Made") -> None:
    """Made runs log their accuracy as reward throughout: above the limit of trained (.46) they launched."""
    made.results(lambda run: 0.5 if run.cell.rank == 8 else 0.01)
    said = seen(made)
    assert {(run.cell.rank, run.launched) for run in said.runs} == {(8, True), (16, False)}
