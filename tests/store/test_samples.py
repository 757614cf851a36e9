"""Samples: which runs, problems and bases have a value, and in which order."""

from typing import TYPE_CHECKING, Any

import pytest

from harness.plan import PlannedRun
from harness.store import IntegrityError, MeasureError, base_responses, item_responses, refresh, responses

if TYPE_CHECKING:
    from tests.conftest import Made

ITEMS = """-- one row per (run, problem); a share, 0 to 1
SELECT run_id, problem, correct / samples AS value FROM evaluation JOIN run USING (run_id) WHERE split = 'evaluation'
"""


def measured(made: "Made", sql: str) -> None:
    refresh(made.store, [made.declare("analysis/mine.sql", sql)])


def scores(*correct: int, first: int = 0) -> dict[str, list[dict[str, Any]]]:
    """Return evaluation rows of these many right answers of four, in reverse order of the problems."""
    rows = [
        {"step": 20, "split": "evaluation", "problem": i, "samples": 4, "correct": n, "greedy_correct": n > 2}
        for i, n in enumerate(correct, first)
    ]
    return {"evaluation": rows[::-1]}


def test_items_come_in_the_order_of_the_problems(made: "Made", runs: list[PlannedRun]) -> None:
    made.run(runs[0], 0.5, scores(4, 1, 0))
    made.run(runs[1], 0.5, scores(0, 2, 4))
    measured(made, ITEMS)
    items = item_responses(made.store, "mine", [runs[1].id, runs[0].id, runs[2].id])
    assert {run_id: values.tolist() for run_id, values in items.items()} == {
        runs[0].id: [1.0, 0.25, 0.0],
        runs[1].id: [0.0, 0.5, 1.0],
    }
    assert item_responses(made.store, "mine", []) == {}


def test_a_run_responds_with_the_mean_over_its_problems(made: "Made", runs: list[PlannedRun]) -> None:
    made.run(runs[0], 0.5, scores(4, 1, 0))
    measured(made, ITEMS)
    assert responses(made.store, "mine", [runs[0].id])[runs[0].id].value == pytest.approx(1.25 / 3)


@pytest.mark.parametrize("other", [scores(4, 4), scores(4, 4, 4, first=1), scores(4, 4, 4, 4)])
def test_runs_on_other_problems_do_not_pair(made: "Made", runs: list[PlannedRun], other: dict[str, Any]) -> None:
    made.run(runs[0], 0.5, scores(4, 1, 0))
    made.run(runs[1], 0.5, other)
    measured(made, ITEMS)
    for ask in (item_responses, responses):
        with pytest.raises(
            IntegrityError, match=r"-r\d+-\w+: mine has \d problems here and other ones, \d, in llama64-"
        ):
            ask(made.store, "mine", [runs[0].id, runs[1].id])
    assert set(item_responses(made.store, "mine", [runs[1].id])) == {runs[1].id}  # alone it is fine


@pytest.mark.parametrize("none", ["NULL", "'nan'", "'inf'", "'-inf'"])
def test_no_value_is_missing_and_never_zero(made: "Made", runs: list[PlannedRun], none: str) -> None:
    made.run(runs[0], 0.5, scores(4, 1, 0))
    made.run(runs[1], 0.5, scores(4, 3, 0))
    value = f"CASE WHEN correct = 3 THEN {none}::DOUBLE ELSE correct / samples END AS value"
    measured(made, ITEMS.replace("correct / samples AS value", value))
    asked = [run.id for run in runs]
    assert set(item_responses(made.store, "mine", asked)) == {runs[0].id}
    assert set(responses(made.store, "mine", asked)) == {runs[0].id}
    single = f"SELECT run_id, CASE WHEN run_id = '{runs[1].id}' THEN {none}::DOUBLE ELSE 0 END AS value FROM run"
    measured(made, f"-- one row per run; nothing\n{single}")
    found = responses(made.store, "mine", asked)
    assert {run_id: said.value for run_id, said in found.items()} == {runs[0].id: 0.0}  # zero is a value
    measured(made, f"-- one row per base; nothing\nSELECT base_id, {none}::DOUBLE AS value FROM base")
    assert base_responses(made.store, "mine", [runs[0].base.id]) == {}


def test_bases_answer_for_themselves(made: "Made") -> None:
    bench = made.bench()
    llama, qwen = bench.plan(bench.hypotheses(["live"]), ["llama", "qwen"]).bases
    made.base(llama, 0.4)
    made.base(qwen, 0.3)
    measured(made, "-- one row per base; a share, 0 to 1\nSELECT base_id, accuracy AS value FROM base")
    assert base_responses(made.store, "mine", [llama.id]) == {llama.id: 0.4}
    assert base_responses(made.store, "mine", [qwen.id, llama.id, "none"]) == {llama.id: 0.4, qwen.id: 0.3}


@pytest.mark.parametrize(
    ("key", "grain", "told"),
    [("run_id", "run", "per run"), ("run_id, problem", "(run, problem)", r"per \(run, problem\)")],
)
def test_several_values_for_one_are_no_value(
    made: "Made", runs: list[PlannedRun], key: str, grain: str, told: str
) -> None:
    made.run(runs[0], 0.5, {"evaluation": scores(4, 1)["evaluation"] * 2})
    measured(made, f"-- one row per {grain}; 0 to 1\nSELECT {key}, 0.5 AS value FROM evaluation WHERE step = 20")
    with pytest.raises(MeasureError, match=rf"analysis/mine\.sql:1 SQL: several values for .*{told}\."):
        responses(made.store, "mine", [runs[0].id])


def test_a_view_without_the_columns_of_its_grain_names_its_file(made: "Made", runs: list[PlannedRun]) -> None:
    made.run(runs[0], 0.5)
    measured(made, "-- one row per run; a norm\nSELECT run_id, final_update_norm AS value FROM run")
    for ask in (item_responses, base_responses):
        with pytest.raises(MeasureError, match=r"^analysis/mine\.sql:1 SQL: .* Mend the statement\."):
            ask(made.store, "mine", [runs[0].id])
