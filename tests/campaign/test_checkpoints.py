"""Arms that start from another checkpoint of the base, and bases that stand for a family where claims combine them."""

from typing import TYPE_CHECKING

import pytest

from harness.campaign.looks import due
from harness.campaign.verdicts import made_subjects, subject_name, subjects, verdict_on
from harness.plan import PlannedRun
from harness.record.verdict import Outcome, Verdict
from harness.source.seeds import CONFIRM
from harness.spec import DeclarationError

if TYPE_CHECKING:
    from tests.conftest import Made

COLD = """
title: From a cold base nothing launches
claim: From a checkpoint that knows nothing yet, rank 8 ends as low as rank 128 does from the base.
source: a claim of the tests
design: {seeds: 6, looks: [6]}
predictions:
  - {id: never-launches, kind: collapse_probability, role: primary, statement: From the cold base no run is trained.,
     rationale: Below one half a user who repeats it sees no gain., event: trained, direction: below,
     probability: 0.5, among: {rank: [8], checkpoint: [cold]}}
  - {id: warm-trains, kind: collapse_probability, role: primary, statement: From the base itself runs are trained.,
     rationale: Above one half a user who repeats it sees a gain., event: trained, direction: above,
     probability: 0.5, among: {rank: [8]}}
"""
FAMILIES = """
title: Better bases, smaller gaps
claim: Within a family and a budget, the gap between rank 8 and rank 128 goes with the base's own accuracy.
source: a claim of the tests
design: {seeds: 2, bases: {families: 2, budgets: 1, seeds: 4}}
predictions:
  - {id: goes-with, kind: association, role: primary, statement: The gap rises with the base's accuracy.,
     rationale: Two points for one standard deviation are worth a choice of base., x: base_accuracy,
     direction: positive, strata: [family, budget], margin: 0.02, a: {rank: 8}, b: {rank: 128}}
"""


def with_checkpoints(made: "Made") -> None:
    """Give both bases a cold checkpoint and four replicates."""
    points = ", ".join(f"early-{i}: {{steps: 50, seed: {10 + i}, replicate: true}}" for i in range(1, 5))
    there = f", checkpoints: &points {{cold: {{steps: 5}}, {points}}}"
    text = made.protocol_text.replace("seed: 1}}", f"seed: 1}}{there}}}", 1)
    made.declare("runs/bench.yaml", text.replace("pretraining: *made}", "pretraining: *made, checkpoints: *points}"))


def decided(made: "Made", name: str, models: tuple[str, ...], base: float, cold: float, ends: float) -> Verdict:
    bench = made.bench()
    bench.register_shelf()
    hypotheses, bases = bench.hypotheses([name]), bench.planned_bases(models)
    while (now := due(bench, hypotheses, bases)) is not None:
        for planned in now.runs.bases:
            made.base(planned, cold if planned.name.endswith("@cold") else base)
        for run in now.runs.runs:
            made.run(run, cold if run.cell.checkpoint else ends)
    ((subject,),) = (made_subjects(bench, hypothesis, bases) for hypothesis in hypotheses.values())
    return verdict_on(bench, name, hypotheses[name], subject)


def test_runs_from_a_checkpoint_are_labelled_relative_to_it(made: "Made") -> None:
    """At .05 a run from a base at .4 has collapsed; from a base at .05 it has merely gained nothing."""
    with_checkpoints(made)
    made.declare("hypotheses/cold.yaml", COLD)
    verdict = decided(made, "cold", (), base=0.4, cold=0.05, ends=0.5)
    assert verdict.outcome is Outcome.SUPPORTED
    assert (verdict.base, verdict.planned_runs, verdict.used_runs) == ("llama", 12, 12)
    cells = {cell.name: cell.labels for cell in verdict.cells}
    assert cells["grpo-lora-r8-from-cold"] == {"collapsed": 0, "degraded": 0, "no gain": 6, "trained": 0}
    assert cells["grpo-lora-r8"]["trained"] == 6
    assert verdict.base_accuracy == 0.4  # what the verdict is about, and what its bounds count from


def test_a_run_from_a_checkpoint_is_the_run_of_that_base(made: "Made") -> None:
    """So that hypotheses that are tested on the checkpoint itself share it."""
    with_checkpoints(made)
    made.declare("hypotheses/cold.yaml", COLD)
    bench = made.bench()
    hypotheses = bench.hypotheses(["cold", "live"])
    from_arm = {run.id for run in bench.plan(hypotheses, ["llama"]).runs if run.cell.checkpoint}
    of_base = {run.id for run in bench.plan({"live": hypotheses["live"]}, ["llama@cold"]).runs if run.cell.rank == 8}
    assert len(from_arm) == 6
    assert from_arm == of_base
    plain = bench.plan({"live": hypotheses["live"]}, ["llama"])
    assert not {run.id for run in plain.runs} & of_base


def test_a_claim_from_a_checkpoint_may_come_after_it_was_made(made: "Made") -> None:
    """What has begun is looked for on every base that is there; nothing starts from a checkpoint of a checkpoint."""
    with_checkpoints(made)
    made.declare("hypotheses/cold.yaml", COLD)
    bench = made.bench()
    for base in bench.plan(bench.hypotheses(["cold"]), ["llama"]).bases:
        made.base(base)
    made.store.runs.mkdir(exist_ok=True)
    bench.register_shelf()
    found = bench.registration("cold")
    assert found is not None
    assert found.block == CONFIRM


def test_a_base_without_the_checkpoint_is_named(made: "Made") -> None:
    made.declare("hypotheses/cold.yaml", COLD)
    with pytest.raises(DeclarationError, match="r=8 cannot run: no base has a checkpoint 'cold'"):
        made.bench().hypotheses(["cold"])
    with_checkpoints(made)
    made.declare("runs/bench.yaml", (made.root / "runs/bench.yaml").read_text().replace(", checkpoints: *points", ""))
    bench = made.bench()
    hypotheses = bench.hypotheses(["cold"])
    with pytest.raises(DeclarationError, match="base qwen has no checkpoint 'cold'"):
        bench.check_bases(hypotheses, bench.planned_bases(["qwen"]))
    bench.check_bases(hypotheses, bench.planned_bases(["llama"]))


def test_a_family_stands_for_its_replicates_where_bases_are_combined(made: "Made") -> None:
    with_checkpoints(made)
    made.declare("hypotheses/goes.yaml", FAMILIES)
    bench = made.bench()
    hypothesis = bench.hypotheses(["goes"])["goes"]
    asked = bench.planned_bases(["llama", "qwen"])
    bench.check_bases({"goes": hypothesis}, asked)
    (subject,) = subjects(bench, hypothesis, asked)
    assert [base.name for base in subject] == [f"{name}@early-{i}" for name in ("llama", "qwen") for i in range(1, 5)]
    assert len({base.id for base in subject}) == 8
    assert subject_name(subject) == "llama+qwen"
    with pytest.raises(
        DeclarationError, match=r"2 families x 1 budgets x 4 seeds, and llama@early-1, .* are 1 x 1 x 4"
    ):
        bench.check_bases({"goes": hypothesis}, bench.planned_bases(["llama"]))


def test_an_association_over_replicates_is_decided_on_all_of_them(made: "Made") -> None:
    with_checkpoints(made)
    made.declare("hypotheses/goes.yaml", FAMILIES)
    bench = made.bench()
    bench.register_shelf()
    hypotheses, asked = bench.hypotheses(["goes"]), bench.planned_bases(["llama", "qwen"])

    def number(run: PlannedRun) -> int:
        return int(run.base.name[-1])

    while (now := due(bench, hypotheses, asked)) is not None:
        for base in now.runs.bases:
            made.base(base, 0.26 + 0.04 * int(base.name[-1]))
        for run in now.runs.runs:
            made.run(run, round(0.3 + (0.1 + 0.05 * number(run)) * (run.cell.rank == 8) + 0.001 * run.index, 4))
    (subject,) = made_subjects(bench, hypotheses["goes"], asked)
    verdict = verdict_on(bench, "goes", hypotheses["goes"], subject)
    (said,) = verdict.predictions
    assert (verdict.outcome, verdict.base, verdict.planned_runs) == (Outcome.SUPPORTED, "llama+qwen", 32)
    assert said.attainable_p == pytest.approx(1 / 576)  # 4! x 4! orders within two strata


def test_an_unknown_base_is_answered_with_all_that_there_are(made: "Made") -> None:
    with_checkpoints(made)
    with pytest.raises(DeclarationError) as caught:
        made.bench().bases(["llama@clod"])
    assert "declares no base 'llama@clod'. Did you mean llama@cold?" in str(caught.value)
    assert "llama (also llama@cold, llama@early-1" in str(caught.value)


def test_bases_and_checkpoints_are_not_named_twice(made: "Made") -> None:
    with_checkpoints(made)
    made.declare("hypotheses/goes.yaml", FAMILIES.replace("a: {rank: 8}", "a: {rank: 8, checkpoint: cold}"))
    with pytest.raises(DeclarationError, match=r"an arm names a checkpoint, and design.bases names the bases"):
        made.bench().hypotheses(["goes"])
