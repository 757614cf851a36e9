"""Tables of finished runs: what they must say, what they may not, and what a verdict on one is worth."""

import random
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from harness.campaign.adopted import Adoption, adopt_table, verdict_on_table
from harness.campaign.bench import Bench
from harness.campaign.pilot import pilot_seeds
from harness.campaign.tables import contents
from harness.record.adopted import adopted, adopted_names
from harness.record.atomic import IntegrityError
from harness.record.verdict import Outcome, Reason, Verdict
from harness.spec import DeclarationError

if TYPE_CHECKING:
    from tests.conftest import Made

Row = Mapping[str, Any]
STATED = {"n_items": 500, "base_accuracy": 0.4}


def write(made: "Made", rows: Iterable[Row], name: str = "table.csv") -> Path:
    rows = list(rows)
    lines = [",".join(rows[0]), *(",".join(str(value) for value in row.values()) for row in rows)]
    file = made.root / name
    file.write_text("\n".join(lines) + "\n")
    return file


def adopt(bench: Bench, file: Path, name: str = "live") -> Adoption:
    return adopt_table(bench, name, bench.hypotheses([name])[name], file, None)


def decided(bench: Bench, table: str = "table", name: str = "live") -> Verdict:
    found = adopted(bench.store, table)
    assert found is not None
    return verdict_on_table(bench, name, bench.hypotheses([name])[name], found)


def living(accuracy: float = 0.5, seeds: int = 6) -> list[Row]:
    return [{"rank": r, "seed": s, "accuracy": accuracy + s / 1000, **STATED} for r in (8, 16) for s in range(seeds)]


def test_a_table_adopted_after_registration_is_decided_as_our_own_runs_are(made: "Made") -> None:
    bench = made.bench()
    bench.register_shelf()
    said = adopt(bench, write(made, living()))
    assert (said.runs, said.other_runs, said.registered) == ({"grpo-lora-r8": 6, "grpo-lora-r16": 6}, 0, True)
    verdict = decided(bench)
    assert (verdict.outcome, verdict.registered.confirmatory) == (Outcome.SUPPORTED, True)
    assert (verdict.base, verdict.base_accuracy) == ("table", 0.4)
    assert verdict.registered.held[0].startswith("results from elsewhere: table.csv, 12 rows")
    assert decided(bench) == verdict
    assert len(list(made.store.verdicts.glob("*/*table*"))) == 1


def test_unregistered_or_registered_later_it_is_suggestive_at_most(made: "Made") -> None:
    bench = made.bench()
    assert not adopt(bench, write(made, living())).registered
    assert decided(bench).registered.deviations == ("never registered",)
    bench.register_shelf()
    verdict = decided(bench)
    assert verdict.registered.deviations == ("the table was adopted before the registration",)
    assert verdict.outcome is Outcome.SUGGESTIVE_FOR  # none of six: p = 1/64 at each rank, q = 1/32


def test_numbers_without_seeds_test_nothing(made: "Made") -> None:
    """Rank 64 at three batch sizes as a paper reports them: 73.1, 8.7 and 6.0 % (the abstract under test)."""
    bench = made.bench()
    bench.register_shelf()
    file = write(
        made, [{"rank": 64, "batch_size": b, "accuracy": a} for b, a in ((32, 0.731), (128, 0.087), (256, 0.06))]
    )
    said = adopt(bench, file, "rank-collapse")
    assert said.said.ignored == ("batch_size",)
    verdict = decided(bench, name="rank-collapse")
    assert verdict.outcome is Outcome.UNTESTED
    assert {p.outcome for p in verdict.predictions} == {Outcome.UNTESTED}
    assert {p.reason for p in verdict.predictions} == {Reason.NO_INFORMATION}
    assert (
        "no column seed" in verdict.predictions[0].detail and "no column base_accuracy" in verdict.predictions[0].detail
    )
    assert all(not p.estimates for p in verdict.predictions)


@pytest.mark.parametrize("seed", range(20))
def test_three_seeds_a_rank_without_an_effect_are_never_a_collapse(made: "Made", seed: int) -> None:
    noise = random.Random(seed)
    rows = [
        {"algorithm": a, "rank": r, "seed": s, "accuracy": min(1, max(0, noise.gauss(0.5, 0.03))), **STATED}
        for a, ranks in (("grpo", (8, 16, 32, 64, 128, 256)), ("sft", (8, 128)))
        for r in ranks
        for s in range(3)
    ]
    bench = made.bench()
    bench.register(bench.hypotheses(["rank-collapse"]))
    adopt(bench, write(made, rows), "rank-collapse")
    verdict = decided(bench, name="rank-collapse")
    assert verdict.outcome is Outcome.INCONCLUSIVE  # of five planned, two are missing: nothing is shown, no collapse is
    by_id = {p.id: p for p in verdict.predictions}
    assert by_id["high-ranks-collapse"].outcome is not Outcome.SUPPORTED
    assert by_id["one-doubling"].outcome is not Outcome.SUPPORTED
    assert by_id["grpo-drop-exceeds-sft-drop"].outcome is not Outcome.SUPPORTED
    assert all(cell.labels["collapsed"] == 0 for cell in verdict.cells)


def test_rows_a_problem_are_gathered_into_runs(made: "Made") -> None:
    rows = [
        {"rank": r, "seed": s, "problem": p, "correct": (p + s) % 2, "samples": 1, "base_accuracy": 0.4}
        for r in (8, 16)
        for s in range(6)
        for p in range(50)
    ]
    bench = made.bench()
    bench.register_shelf()
    said = adopt(bench, write(made, rows))
    assert said.runs == {"grpo-lora-r8": 6, "grpo-lora-r16": 6}
    verdict = decided(bench)
    assert (verdict.n_items, verdict.cells[0].mean) == (50, 0.5)
    assert verdict.outcome is Outcome.SUPPORTED


def test_a_seed_used_twice_counts_once_and_costs_the_label(made: "Made") -> None:
    bench = made.bench()
    bench.register_shelf()
    adopt(bench, write(made, [*living(seeds=5), {"rank": 8, "seed": 0, "accuracy": 0.5, **STATED}]))
    verdict = decided(bench)
    assert "1 results at grpo-lora-r8 bear a seed that another has" in verdict.registered.deviations
    assert verdict.cells[0].n_runs == 5


def test_seeds_of_the_pilot_cost_the_label(made: "Made") -> None:
    bench = made.bench()
    bench.register_shelf()
    known = sorted(pilot_seeds(bench.protocol))[0]
    rows = living()
    rows[0] = {**rows[0], "seed": known}
    adopt(bench, write(made, rows))
    assert decided(bench).registered.deviations == ("1 results bear seeds of the pilot",)


def test_fewer_runs_than_planned_are_missing_and_cost_no_label(made: "Made") -> None:
    """None of four of six: with two collapses among the missing the upper bound at 2/6 would be .729."""
    bench = made.bench()
    bench.register_shelf()
    adopt(bench, write(made, living(seeds=4)))
    verdict = decided(bench)
    assert verdict.registered.confirmatory
    assert (verdict.outcome, verdict.predictions[0].reason) == (Outcome.INCONCLUSIVE, Reason.MISSING_RUNS)


def test_more_runs_than_planned_cost_the_label_and_no_order_of_rows_chooses_those_that_count(made: "Made") -> None:
    bench = made.bench()
    bench.register_shelf()
    rows = living(seeds=9)
    adopt(bench, write(made, rows))
    adopt(bench, write(made, rows[::-1], "turned.csv"))
    verdict, turned = decided(bench), decided(bench, "turned")
    assert "9 runs at grpo-lora-r8 where 6 are planned; 6 of them count" in verdict.registered.deviations
    assert verdict.cells[0].n_runs == 6
    assert turned.cells == verdict.cells


BOUND = """
title: Rank 8 trains
claim: Under GRPO at the protocol's recipe, rank 8 is above its base.
source: a claim of the tests
design: {seeds: 8, looks: [3, 5, 8]}
predictions:
  - {id: above, kind: mean_bound, role: primary, statement: Rank 8 gains more than two points.,
     rationale: Two points are worth a training., direction: above, value: 0.02, reference: base, cell: {rank: 8}}
"""


def test_all_runs_are_decided_at_once_whatever_the_order_of_rows(made: "Made") -> None:
    """Sorted from the best, the first three would show what all eight do not; decided by looks, they would count."""
    made.declare("hypotheses/above.yaml", BOUND)
    bench = made.bench()
    bench.register_shelf()
    accuracies = (0.52, 0.51, 0.5, 0.45, 0.4, 0.38, 0.37, 0.36)
    rows = [{"rank": 8, "seed": s, "accuracy": a, **STATED} for s, a in enumerate(accuracies)]
    adopt(bench, write(made, rows), "above")
    adopt(bench, write(made, rows[::-1], "turned.csv"), "above")
    first, turned = decided(bench, name="above"), decided(bench, "turned", "above")
    (said,) = first.predictions
    assert (said.outcome, said.look, said.estimates[0].n_runs) == (Outcome.INCONCLUSIVE, 3, 8)
    assert (turned.predictions, turned.outcome) == (first.predictions, first.outcome)


def test_a_mixture_anywhere_in_the_table_fails_the_assumption(made: "Made") -> None:
    made.declare("hypotheses/above.yaml", BOUND)
    bench = made.bench()
    bench.register_shelf()
    accuracies = (0.51, 0.5, 0.52, 0.5, 0.51, 0.5, 0.5, 0.01)
    adopt(
        bench, write(made, [{"rank": 8, "seed": s, "accuracy": a, **STATED} for s, a in enumerate(accuracies)]), "above"
    )
    assert decided(bench, name="above").predictions[0].reason is Reason.MIXED_CELLS


def test_the_same_results_under_another_name_are_as_old_as_the_first(made: "Made") -> None:
    bench = made.bench()
    adopt(bench, write(made, living()))
    bench.register_shelf()
    said = adopt(bench, write(made, living()[::-1], "again.csv"))
    assert not said.registered
    assert decided(bench, "again").registered.deviations == ("the table was adopted before the registration",)


def test_factors_left_out_follow_the_recipe_and_others_are_other_cells(made: "Made") -> None:
    rows = [{**row, "scaling": "constant", "alpha": 32.0} for row in living()]
    with pytest.raises(
        DeclarationError, match="no row is a run of a cell that live needs: grpo-lora-r8, grpo-lora-r16"
    ):
        adopt(made.bench(), write(made, rows))
    same = [{**row, "scaling": "proportional", "factor": 2.0, "algorithm": "grpo"} for row in living()]
    assert adopt(made.bench(), write(made, same)).runs["grpo-lora-r8"] == 6


@pytest.mark.parametrize(
    ("rows", "told"),
    [
        ([{"seed": 1, "accuracy": 0.5}], "there is no column rank"),
        ([{"rank": 8, "seed": 1}], "there is no column accuracy or correct"),
        ([{"rank": 8, "accuracy": 1.5}], "row 1: its accuracy is not between 0 and 1"),
        ([{"rank": 8, "accuracy": "high"}], "row 1: its accuracy is not between 0 and 1"),
        ([{"rank": 0, "accuracy": 0.5}], "row 1 adapter.rank: 0 names no cell"),
        ([{"rank": 8, "accuracy": 0.5, "algorithm": "ppo"}], "row 1 algorithm: 'ppo' names no cell"),
        ([{"rank": 8, "accuracy": 0.5, "base_accuracy": b} for b in (0.1, 0.2)], "base_accuracy is not one number"),
        ([{"rank": 8, "accuracy": 0.5, "base_accuracy": 35}], "base_accuracy 35 is not between 0 and 1"),
        ([{"rank": 8, "accuracy": 0.5, "final_reward": 1.7}], "row 1: final_reward 1.7 is not between 0 and 1"),
        ([{"rank": 8, "accuracy": 0.5, "alpha": 16}], "row 1 alpha: 16 names no cell without the policy"),
        ([{"rank": 8, "accuracy": 0.5, "learning_rate_scale": 0}], "row 1 learning_rate_scale: 0 names no cell"),
        (
            [{"rank": 8, "seed": 1, "problem": 7, "accuracy": a} for a in (0, 1)],
            "row 2: problem 7 of grpo-lora-r8 seed 1 stands in an earlier row",
        ),
        ([{"rank": 8, "accuracy": 0.5, "n_items": 0}], "n_items 0 is no number of problems"),
        (
            [{"rank": 8, "seed": s, "problem": s, "accuracy": 0.5} for s in (1, 2)],
            "runs were scored on different problems",
        ),
    ],
)
def test_what_cannot_be_read_as_runs_is_refused(made: "Made", rows: list[Row], told: str) -> None:
    with pytest.raises(DeclarationError, match=told):
        adopt(made.bench(), write(made, rows))
    assert adopted_names(made.store) == []


def test_a_measure_with_a_gap_among_the_problems_has_no_value_for_that_run(made: "Made") -> None:
    rows = [
        {"rank": r, "seed": s, "problem": p, "correct": 1, "base_accuracy": 0.4, "final_reward": 0.5 if p or s else ""}
        for r in (8, 16)
        for s in range(2)
        for p in range(3)
    ]
    bench = made.bench()
    adopt(bench, write(made, rows))
    table = adopted(bench.store, "table")
    assert table is not None
    runs = contents(bench, table.rows_read(), "table").runs
    assert [("final_reward" in run.values, run.values["accuracy"]) for run in runs] == [(False, 1.0), (True, 1.0)] * 2


@pytest.mark.parametrize(
    ("name", "text", "told"),
    [
        ("table.txt", "rank\n8\n", "neither .csv nor .parquet"),
        ("table.parquet", "no parquet", "cannot be read as parquet"),
        ("table.csv", "rank,accuracy\n", "has no rows"),
        ("table.csv", "rank,rank,accuracy\n8,8,0.5\n", "a column's name stands twice"),
        ("llama.csv", "rank,accuracy\n8,0.5\n", "'llama' is a base of protocol bench"),
        ("7.csv", "rank,accuracy\n8,0.5\n", "'7' is no name"),
    ],
)
def test_files_that_are_no_tables_are_refused(made: "Made", name: str, text: str, told: str) -> None:
    (made.root / name).write_text(text)
    with pytest.raises(DeclarationError, match=told):
        adopt(made.bench(), made.root / name)


def test_the_same_table_again_changes_nothing_and_another_needs_a_name(made: "Made") -> None:
    bench = made.bench()
    adopt(bench, write(made, living()))
    first = adopted(bench.store, "table")
    adopt(bench, write(made, living()))
    assert adopted(bench.store, "table") == first
    with pytest.raises(DeclarationError, match="another table has this name"):
        adopt(bench, write(made, living(accuracy=0.01)))
    assert adopted_names(made.store) == ["table"]


def test_a_changed_record_is_no_longer_the_adopted_table(made: "Made") -> None:
    bench = made.bench()
    adopt(bench, write(made, living()))
    table = adopted(bench.store, "table")
    assert table is not None
    table.file.write_bytes(table.file.read_bytes()[:-1] + b"x")
    with pytest.raises(IntegrityError, match="not the table that was adopted"):
        decided(bench)


def test_from_the_floor_nothing_is_even_suggestive(made: "Made") -> None:
    """Unregistered, so that everything is exploratory; on a base of 0 the decline of nothing says nothing."""
    bench = made.bench()
    adopt(bench, write(made, [{**row, "base_accuracy": 0.0} for row in living(accuracy=0.0)]))
    verdict = decided(bench)
    assert verdict.outcome is Outcome.INCONCLUSIVE
    assert verdict.predictions[0].reason is Reason.AT_FLOOR
    assert verdict.predictions[0].p_support is None


def test_a_damaged_manifest_is_told(made: "Made") -> None:
    bench = made.bench()
    adopt(bench, write(made, living()))
    (made.store.adopted / "table" / "manifest.json").write_text("{}")
    with pytest.raises(IntegrityError, match="not the manifest of an adopted table"):
        adopted(bench.store, "table")
