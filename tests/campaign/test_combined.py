"""One verdict over several independent bases: associations through the whole campaign, on results made by hand."""

from typing import TYPE_CHECKING

import pytest

from harness.campaign.looks import due
from harness.campaign.verdicts import verdict_on
from harness.plan import PlannedRun
from harness.record.verdict import Outcome, Reason, Verdict
from harness.spec import DeclarationError

if TYPE_CHECKING:
    from tests.conftest import Made

CLAIM = """
title: Better bases, smaller gaps
claim: Within a family, the gap between rank 8 and rank 128 goes with the base's own accuracy.
source: a claim of the tests
design: {seeds: 2, bases: {families: 2, budgets: 1, seeds: 4}}
predictions:
  - {id: goes-with, kind: association, role: primary, statement: The gap rises with the base's accuracy.,
     rationale: Two points for one standard deviation are worth a choice of base., x: base_accuracy,
     direction: positive, strata: [family], margin: 0.02, a: {rank: 8}, b: {rank: 128}}
"""

OFFSET = {"llama": 0.0, "qwen": 0.01, "olmo": 0.02}
"""By how much a family's bases, and their gaps, lie above those of the first."""
ARCHITECTURE = {"llama": "llama", "qwen": "qwen3", "olmo": "olmo2"}


def families(made: "Made", seeds: int = 4, names: tuple[str, ...] = ("llama", "qwen")) -> None:
    """Declare `seeds` bases of each family."""
    recipe = (
        "{architecture: %s, hidden_size: 64, layers: 2, heads: 4, intermediate_size: 128, pretraining: "
        "{steps: 100, batch_size: 32, learning_rate: 1.0e-3, seed: %d}}"
    )
    bases = [f"  {name}{i}: {recipe % (ARCHITECTURE[name], i)}" for name in names for i in range(1, seeds + 1)]
    head, rest = made.protocol_text.split("bases:\n")
    listed = ", ".join(base.split(":")[0].strip() for base in bases)
    rest = rest[rest.index("default_bases") :].replace("[llama]", f"[{listed}]")
    made.declare("runs/bench.yaml", head + "bases:\n" + "\n".join(bases) + "\n" + rest)
    made.declare("hypotheses/live.yaml", made.claim_text)


def number(run: PlannedRun) -> int:
    return int(run.base.name[-1])


def filled(made: "Made", slope: float) -> Verdict:
    """Make bases of accuracies .30 to .42 by seed and gaps that rise by `slope` a seed; then decide."""
    bench = made.bench()
    bench.register_shelf()
    hypotheses, bases = bench.hypotheses(["goes"]), bench.planned_bases(())
    while (now := due(bench, hypotheses, bases)) is not None:
        for base in now.runs.bases:
            made.base(base, 0.26 + 0.04 * int(base.name[-1]) + OFFSET[base.name[:-1]])
        for run in now.runs.runs:
            gap = 0.1 + slope * number(run) + OFFSET[run.base.name[:-1]] + 0.001 * run.index
            made.run(run, round(0.3 + gap * (run.cell.rank == 8), 3))
    return verdict_on(bench, "goes", hypotheses["goes"], bases)


def test_a_clean_association_is_supported_at_its_exact_p(made: "Made") -> None:
    families(made)
    made.declare("hypotheses/goes.yaml", CLAIM)
    verdict = filled(made, 0.05)
    (said,) = verdict.predictions
    assert verdict.outcome is Outcome.SUPPORTED
    assert verdict.base == "llama1+llama2+llama3+llama4+qwen1+qwen2+qwen3+qwen4"
    assert said.attainable_p == pytest.approx(1 / 576)  # 4! x 4! orders
    assert said.estimates[0].n_runs == 8
    # .05 for one step of .04 in x, whose SD over 1..4 is sqrt(5/3) steps pooled within families
    assert said.estimates[0].value == pytest.approx(0.05 * (5 / 3) ** 0.5, rel=0.02)
    assert verdict.planned_runs == 8 * 2 * 2
    assert {effect.name for effect in said.effect_sizes} >= {"partial correlation"}


def test_the_other_way_it_is_refuted(made: "Made") -> None:
    families(made)
    made.declare("hypotheses/goes.yaml", CLAIM)
    verdict = filled(made, -0.02)
    assert verdict.outcome is Outcome.REFUTED
    assert verdict.predictions[0].how == "wrong sign"


def test_a_missing_base_leaves_it_open(made: "Made") -> None:
    families(made)
    made.declare("hypotheses/goes.yaml", CLAIM)
    filled(made, 0.05)
    bench = made.bench()
    three = bench.planned_bases([base.name for base in bench.planned_bases(())][:-1])
    verdict = verdict_on(bench, "goes", bench.hypotheses(["goes"])["goes"], three)
    assert verdict.predictions[0].reason is Reason.MISSING_RUNS


def test_bases_without_an_x_leave_it_open_and_are_counted(made: "Made") -> None:
    """Accuracies of the second family are .31, .35, .39 and .43."""
    families(made)
    sql = "SELECT base_id, CASE WHEN architecture = 'llama' OR accuracy < 0.37 THEN accuracy END AS value FROM base"
    made.declare("analysis/mine.sql", f"-- one row per base; accuracy, where it is known\n{sql}\n")
    made.declare("hypotheses/goes.yaml", CLAIM.replace("x: base_accuracy", "x: mine"))
    verdict = filled(made, 0.05)
    assert verdict.outcome is Outcome.INCONCLUSIVE
    assert verdict.predictions[0].reason is Reason.MISSING_RUNS
    assert [note for note in verdict.registered.notes if "value" in note] == ["mine: no value for 2 of 8 bases"]


def test_one_base_a_family_across_three_families_is_refused_with_what_would_do(made: "Made") -> None:
    text = CLAIM.replace("{families: 2, budgets: 1, seeds: 4}", "{families: 3}").replace("[family]", "[]")
    made.declare("hypotheses/goes.yaml", text)
    with pytest.raises(DeclarationError) as caught:
        made.bench().hypotheses(["goes"])
    said = str(caught.value)
    assert "smallest one-sided permutation p across families is 0.167 with 3 families" in said
    assert "it takes 4 families (p 0.042). Set design.bases.families to 4 or more." in said


def test_asked_for_as_exploratory_it_says_underpowered_by_design(made: "Made") -> None:
    """Three families agree perfectly, and still no more than p = 1/6 can come of them."""
    families(made, names=("llama", "qwen", "olmo"))
    across = """  - {id: across, kind: association, role: exploratory, statement: Across families the gap rises too.,
     rationale: Two points for one standard deviation are worth a choice of base., x: base_accuracy,
     direction: positive, strata: [], margin: 0.02, a: {rank: 8}, b: {rank: 128}}
"""
    made.declare("hypotheses/goes.yaml", CLAIM.replace("families: 2", "families: 3") + across)
    verdict = filled(made, 0.05)
    said = verdict.predictions[1]
    assert (said.outcome, said.reason) == (Outcome.INCONCLUSIVE, Reason.UNDERPOWERED)
    assert said.attainable_p == pytest.approx(1 / 6)
    assert str(said.reason) == "underpowered by design"
    assert verdict.outcome is Outcome.SUPPORTED  # within families, which is what was claimed


def test_other_bases_than_the_design_combines_are_refused(made: "Made") -> None:
    families(made)
    made.declare("hypotheses/goes.yaml", CLAIM)
    bench = made.bench()
    claims, bases = bench.hypotheses(["goes"]), bench.planned_bases(())
    bench.check_bases(claims, bases)
    with pytest.raises(
        DeclarationError, match=r"asks for 2 families x 1 budgets x 4 seeds, and .* are 2 x 1 x 3 or 4\."
    ):
        bench.check_bases(claims, bases[:-1])
    with pytest.raises(DeclarationError, match="are 1 x 1 x 4"):
        bench.check_bases(claims, bases[:4])
