"""Which seeds are wanted next, and when nothing more is: results made by hand, look by look."""

from collections import Counter
from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest

from harness.campaign.bench import Bench
from harness.campaign.looks import due
from harness.campaign.verdicts import verdict_on
from harness.plan import PlannedRun
from harness.record.verdict import Outcome, Reason, Verdict
from harness.record.verdict_files import latest
from harness.spec import DeclarationError

if TYPE_CHECKING:
    from tests.conftest import Made

CLAIM = """
title: Rank 64 keeps up
claim: Under GRPO at the protocol's recipe, rank 64 loses less than 10 points against rank 8.
source: a claim of the tests
design: {seeds: 8, looks: [3, 5, 8]}
predictions:
  - {id: keeps-up, kind: non_inferiority, role: primary, statement: Rank 64 loses less than 10 points.,
     rationale: Ten points are what a user would notice., margin: 0.1, a: {rank: 64}, b: {rank: 8}}
"""
COUNT = """
  - {id: lives, kind: collapse_probability, role: auxiliary, statement: Rank 16 lives more often than not.,
     rationale: Below one half a user keeps the policy., event: collapsed, direction: below, probability: 0.5,
     among: {rank: [16]}}
"""
Accuracy = Callable[[PlannedRun], float | None]


def wide(run: PlannedRun) -> float:
    """Return a difference of two points with a between-run spread of about five: ten points are never cleared."""
    return 0.5 - 0.08 * (run.cell.rank == 64) + (-0.06, 0.06, -0.03, 0.03)[run.index % 4]


def near(run: PlannedRun) -> float:
    """Return no difference, with a spread of one point between neighbouring seeds."""
    return 0.5 + 0.01 * (run.index % 2)


def executed(made: "Made", bench: Bench, accuracy: Accuracy, name: str = "keeps") -> list[int]:
    """Make the runs of one look after the other as they fall due; return how many each look took."""
    bench.register_shelf()
    taken: list[int] = []
    hypotheses, bases = bench.hypotheses([name]), bench.planned_bases(())
    while (now := due(bench, hypotheses, bases)) is not None:
        for base in now.runs.bases:
            made.base(base)
        new = [run for run in now.runs.runs if bench.run_job(run).manifest() is None]
        assert new, f"look {now.look} wants nothing new"
        for run in new:
            value = accuracy(run)
            if value is None:
                bench.failed[run.id] = "it failed"
            else:
                made.run(run, value)
        taken.append(len(new))
    return taken


def decided(bench: Bench, name: str = "keeps") -> Verdict:
    return verdict_on(bench, name, bench.hypotheses([name])[name], bench.planned_bases(()))


def test_a_clear_case_stops_at_the_first_look(made: "Made") -> None:
    made.declare("hypotheses/keeps.yaml", CLAIM)
    assert executed(made, made.bench(), near) == [6]
    verdict = decided(made.bench())
    (said,) = verdict.predictions
    assert (verdict.outcome, said.look, said.looks, said.settled) == (Outcome.SUPPORTED, 1, (3, 5, 8), True)
    assert Counter(run.reason for run in verdict.missing) == {"not executed": 10}


def test_a_hopeless_case_stops_for_futility(made: "Made") -> None:
    made.declare("hypotheses/keeps.yaml", CLAIM)
    executed(made, made.bench(), wide)
    (said,) = decided(made.bench()).predictions
    assert (said.outcome, said.reason) == (Outcome.INCONCLUSIVE, Reason.FUTILITY)
    assert said.look < 3
    assert said.runs_to_resolve is not None and said.runs_to_resolve > 3


def test_without_futility_it_goes_to_the_last_look_in_balance(made: "Made") -> None:
    made.declare("hypotheses/keeps.yaml", CLAIM.replace("[3, 5, 8]", "[3, 5, 8], futility: 0"))
    assert executed(made, made.bench(), wide) == [6, 4, 6]  # three, five and eight runs in each of two arms
    (said,) = decided(made.bench()).predictions
    assert (said.outcome, said.reason, said.look) == (Outcome.INCONCLUSIVE, Reason.STRADDLES, 3)


def test_every_look_is_a_stored_verdict(made: "Made") -> None:
    made.declare("hypotheses/keeps.yaml", CLAIM.replace("[3, 5, 8]", "[3, 5, 8], futility: 0"))
    executed(made, made.bench(), wide)
    assert len(list(made.store.verdicts.glob("*/*.json"))) == 3
    assert [verdict.predictions[0].look for verdict in latest(made.store)] == [3]


def test_what_is_settled_asks_for_nothing_and_later_runs_change_nothing(made: "Made") -> None:
    """The count goes to its eighth seed; the contrast was decided on three, and seeds that say otherwise come late."""
    made.declare("hypotheses/keeps.yaml", CLAIM + COUNT)
    assert executed(made, made.bench(), near) == [9, 2, 3]
    first = decided(made.bench()).predictions[0]
    assert (first.outcome, first.look) == (Outcome.SUPPORTED, 1)
    bench = made.bench()
    for run in bench.plan(bench.hypotheses(["keeps"]), ["llama"]).runs:
        made.run(run, 0.1 if run.cell.rank == 64 else 0.9)  # those that are there stay as they are
    again = decided(made.bench()).predictions[0]
    assert (again.outcome, again.look, again.estimates) == (first.outcome, first.look, first.estimates)


_HEAD = CLAIM.split("predictions:")[0].replace("seeds: 8, looks: [3, 5, 8]", "seeds: 10, looks: [5, 10]")
COUNTED = _HEAD + "predictions:" + COUNT.replace("auxiliary", "primary")


@pytest.mark.parametrize(
    ("collapsed", "taken", "outcome"),
    [
        (0, [5], Outcome.SUPPORTED),
        (1, [5, 5], Outcome.SUPPORTED),
        (2, [5], Outcome.INCONCLUSIVE),  # of ten at best two, at worst seven
        (4, [5, 5], Outcome.INCONCLUSIVE),  # nine of ten would have refuted
        (5, [5], Outcome.REFUTED),
        (9, [5], Outcome.REFUTED),
    ],
)
def test_a_count_goes_on_only_while_its_last_look_could_decide(
    made: "Made", collapsed: int, taken: list[int], outcome: Outcome
) -> None:
    made.declare("hypotheses/keeps.yaml", COUNTED)
    assert executed(made, made.bench(), lambda run: 0.01 if run.index < collapsed else 0.5) == taken
    assert decided(made.bench()).outcome is outcome


@pytest.mark.parametrize(
    ("looks", "region"), [("seeds: 5, looks: [3, 4, 5]", "support"), ("seeds: 6, looks: [4, 6]", "refute")]
)
def test_looks_that_leave_a_region_to_no_outcome_are_refused(made: "Made", looks: str, region: str) -> None:
    """Unanimous runs have 1/32 and 1/64 at one half; the last look has .0278 and, for one of two, .0134."""
    text = COUNTED.replace("seeds: 10, looks: [5, 10]", looks)
    if region == "refute":
        text += (
            COUNT.replace("auxiliary", "primary").replace("id: lives", "id: too").replace("[16]", "[8]").lstrip("\n")
        )
    made.declare("hypotheses/keeps.yaml", text)
    with pytest.raises(
        DeclarationError, match=rf"not even unanimous runs reach the {region} region\. Plan fewer looks"
    ):
        made.bench().hypotheses(["keeps"])


def test_a_failed_run_counts_as_executed_and_leaves_it_open(made: "Made") -> None:
    made.declare("hypotheses/keeps.yaml", CLAIM)
    bench = made.bench()
    executed(made, bench, lambda run: None if run.index == 1 and run.cell.rank == 8 else near(run))
    (said,) = decided(bench).predictions
    assert (said.reason, said.look) == (Reason.MISSING_RUNS, 3)
    assert "1 of 16 planned runs missing" in said.detail


def test_an_always_valid_design_looks_after_every_seed(made: "Made") -> None:
    made.declare("hypotheses/keeps.yaml", CLAIM.replace("looks: [3, 5, 8]", "sequential: always_valid, futility: 0"))
    taken = executed(made, made.bench(), near)
    assert taken[0] == 6 and set(taken[1:]) <= {2}
    (said,) = decided(made.bench()).predictions
    assert said.outcome is Outcome.SUPPORTED
    assert said.looks == (3, 4, 5, 6, 7, 8)


def test_two_claims_share_their_runs_and_stop_each_for_itself(made: "Made") -> None:
    made.declare("hypotheses/keeps.yaml", CLAIM)
    made.declare("hypotheses/loses.yaml", CLAIM.replace("non_inferiority", "min_effect").replace("futility: 0.3", ""))
    bench = made.bench()
    bench.register_shelf()
    now = due(bench, bench.hypotheses(["keeps", "loses"]), bench.planned_bases(()))
    assert now is not None
    assert (len(now.runs.runs), now.look, now.looks) == (6, 1, 3)
