"""Tuned arms: each gets the rate that validation chooses, from runs that no verdict uses."""

from typing import TYPE_CHECKING, Any

import pytest

from harness.campaign.adopted import adopt_table
from harness.campaign.foreseen import foreseen
from harness.campaign.looks import due
from harness.campaign.tuning import tuned_on
from harness.campaign.verdicts import verdict_on
from harness.plan import PlannedRun
from harness.publish.card import card
from harness.record.exclusion import exclude
from harness.record.verdict import Outcome, Verdict
from harness.source.seeds import CONFIRM, TUNE
from harness.spec import DeclarationError

if TYPE_CHECKING:
    from tests.conftest import Made

CLAIM = """
title: At their own best rates the ranks are alike
claim: Each at its own best learning rate, rank 128 is within five points of rank 8.
source: a claim of the tests
design: {seeds: 3, looks: [3], tuning: {learning_rate_scales: [0.1, 0.32, 1.0], seeds: 2}}
predictions:
  - {id: alike, kind: equivalence, role: primary, statement: The ranks are within five points of each other.,
     rationale: Five points are two standard deviations of a healthy cell., low: -0.05, high: 0.05,
     a: {rank: 128, tuned: true}, b: {rank: 8, tuned: true}}
"""
BEST = {8: 1.0, 128: 0.32}
"""The rate, as a multiple of the protocol's, at which each rank scores best."""


def score(run: PlannedRun) -> float:
    """Return a validation accuracy that is .5 at the rank's best rate and .3 elsewhere."""
    assert run.cell.rank is not None
    return 0.5 if run.cell.learning_rate_scale == BEST[run.cell.rank] else 0.3


def validated(run: PlannedRun) -> dict[str, Any]:
    """Return evaluation rows of both splits: .2 on the evaluation problems, `score` on the validation problems."""
    (last,) = run.identity["validate_at"]
    parts = (("evaluation", 0.2), ("validation", score(run)))
    return {
        "evaluation": [
            {"step": last, "split": split, "problem": i, "samples": 100, "correct": round(100 * share)}
            for split, share in parts
            for i in range(10)
        ]
    }


def filled(made: "Made", *lost: str) -> tuple[list[str], Verdict]:
    """Execute what comes due but for runs whose cell is in `lost`; return the blocks in order, and the verdict."""
    bench = made.bench()
    bench.register_shelf()
    hypotheses, bases = bench.hypotheses(["alike"]), bench.planned_bases(())
    order: list[str] = []
    while (now := due(bench, hypotheses, bases)) is not None:
        order += dict.fromkeys(run.block for run in now.runs.runs)
        for base in now.runs.bases:
            made.base(base)
        for run in now.runs.runs:
            if run.cell.slug() in lost:
                bench.failed[run.id] = "lost on purpose"
            elif run.block == TUNE:
                made.run(run, 0.2, validated(run))
            else:
                made.run(run, 0.45 + 0.004 * run.index)
    return order, verdict_on(bench, "alike", hypotheses["alike"], bases)


def test_tuning_comes_first_and_each_arm_gets_its_own_best_rate(made: "Made") -> None:
    made.declare("hypotheses/alike.yaml", CLAIM)
    order, verdict = filled(made)
    assert order == [TUNE, TUNE, CONFIRM]
    assert verdict.outcome is Outcome.SUPPORTED
    assert {said.arm: said.learning_rate_scale for said in verdict.tuned} == {"grpo-lora-r128": 0.32, "grpo-lora-r8": 1}
    assert {cell.name for cell in verdict.cells} == {"grpo-lora-r128-lrx0.32", "grpo-lora-r8"}
    assert verdict.planned_runs == 6  # what tunes is no part of what decides
    text = card(verdict)
    assert "grpo-lora-r128: rate x0.32, by validation accuracy (x0.1 .30, x0.32 .50, x1 .30 in one run)" in text
    assert "grpo-lora-r8: rate x1, at the edge of the list, by validation accuracy" in text


def test_tuning_runs_are_scored_on_validation_problems_with_seeds_of_their_own(made: "Made") -> None:
    made.declare("hypotheses/alike.yaml", CLAIM)
    bench = made.bench()
    hypotheses = bench.hypotheses(["alike"])
    runs = foreseen(bench, hypotheses, ["llama"]).runs
    tune, own = [r for r in runs if r.block == TUNE], [r for r in runs if r.block == CONFIRM]
    assert (len(tune), len(own)) == (2 * 3 * 2, 2 * 3)
    assert all(run.identity["validate_at"] == [20] for run in tune)
    assert not {run.identity["seed"] for run in tune} & {run.identity["seed"] for run in own}


def test_what_was_chosen_is_kept_and_derived_again_where_runs_change(made: "Made") -> None:
    made.declare("hypotheses/alike.yaml", CLAIM)
    filled(made)
    first, last = sorted(made.store.tunings.glob("*.json"), key=lambda file: file.stat().st_mtime_ns)
    before = first.read_bytes(), last.read_bytes()
    first.unlink()
    last.unlink()
    bench = made.bench()
    (base,) = bench.planned_bases(())
    again = tuned_on(bench, "alike", bench.hypotheses(["alike"])["alike"], base)
    assert (first.read_bytes(), last.read_bytes()) == before
    assert again.finished
    assert not again.lacking


def test_a_candidate_without_all_its_runs_is_not_taken(made: "Made") -> None:
    made.declare("hypotheses/alike.yaml", CLAIM)
    said = {each.arm: each for each in filled(made, "grpo-lora-r128-lrx0.32")[1].tuned}
    assert said["grpo-lora-r128"].learning_rate_scale == 0.1  # of the two that are left and equal, the smaller
    assert [each.runs for each in said["grpo-lora-r128"].tried] == [2, 0, 2]


def test_an_excluded_tuning_run_counts_no_more(made: "Made") -> None:
    """The best rate of rank 8 loses one of its runs: another is taken, and what was chosen before stays on file."""
    made.declare("hypotheses/alike.yaml", CLAIM)
    filled(made)
    before = sorted(made.store.tunings.glob("*.json"))
    bench = made.bench()
    (base,) = bench.planned_bases(())
    hypothesis = bench.hypotheses(["alike"])["alike"]
    runs = tuned_on(bench, "alike", hypothesis, base).runs.runs
    lost = next(run for run in runs if run.cell.rank == 8 and run.index == 1 and score(run) == 0.5)
    exclude(made.store, lost.id, "its machine was found to be faulty")
    again = tuned_on(made.bench(), "alike", hypothesis, base)
    said = {each.arm: each.learning_rate_scale for each in again.said}
    assert said["grpo-lora-r8"] != 1.0
    assert set(before) < set(made.store.tunings.glob("*.json"))


def test_a_table_of_finished_runs_has_no_tuning(made: "Made") -> None:
    made.declare("hypotheses/alike.yaml", CLAIM)
    file = made.declare("finished.csv", "rank,seed,accuracy,n_items,base_accuracy\n8,1,0.5,500,0.4\n")
    bench = made.bench()
    with pytest.raises(
        DeclarationError, match="tunes the rate of its arms before their runs, and a table has no tuning"
    ):
        adopt_table(bench, "alike", bench.hypotheses(["alike"])["alike"], file, None)


def test_without_any_candidate_nothing_is_decided_and_the_reason_is_said(made: "Made") -> None:
    made.declare("hypotheses/alike.yaml", CLAIM)
    order, verdict = filled(made, "grpo-lora-r128-lrx0.1", "grpo-lora-r128-lrx0.32", "grpo-lora-r128")
    assert order == [TUNE, TUNE]  # the other arm's finalists
    assert verdict.outcome is Outcome.UNTESTED
    assert "tuning runs without a result leave no learning rate for grpo-lora-r128" in verdict.predictions[0].detail


def test_before_its_tuning_a_claim_is_untested(made: "Made") -> None:
    made.declare("hypotheses/alike.yaml", CLAIM)
    bench = made.bench()
    bench.register_shelf()
    (base,) = bench.planned_bases(())
    made.base(base)
    verdict = verdict_on(bench, "alike", bench.hypotheses(["alike"])["alike"], (base,))
    assert verdict.outcome is Outcome.UNTESTED
    assert "0 of 6 tuning runs were executed" in verdict.predictions[0].detail


@pytest.mark.parametrize(
    ("old", "new", "rule"),
    [
        (
            ", tuning: {learning_rate_scales: [0.1, 0.32, 1.0], seeds: 2}",
            "",
            "an arm is tuned and the design says not how",
        ),
        ("tuned: true", "learning_rate_scale: 0.5", "no arm is tuned"),
        (
            "a: {rank: 128, tuned: true}",
            "a: {rank: 128, tuned: true, learning_rate_scale: 2.0}",
            "declared beside tuned",
        ),
        ("[0.1, 0.32, 1.0]", "[0.1, 1.0, 0.32]", "is not strictly increasing"),
        ("seeds: 2}", "seeds: 2, finalists: 4}", "4 of 3 candidates cannot be left"),
    ],
)
def test_mistakes_of_tuning_are_told(made: "Made", old: str, new: str, rule: str) -> None:
    made.declare("hypotheses/alike.yaml", CLAIM.replace(old, new))
    with pytest.raises(DeclarationError, match=rule):
        made.bench().hypotheses(["alike"])
