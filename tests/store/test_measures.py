"""Measures: views from strangers' SQL, and the shipped ones against plain Python on rows made by hand."""

from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING, Any

import pytest

from harness.plan import PlannedRun
from harness.record.job import JobDirectory
from harness.spec import DeclarationError
from harness.spec.measure import Grain
from harness.spec.shelf import Shelf
from harness.store import MeasureError, base_responses, item_responses, query, refresh, responses

if TYPE_CHECKING:
    from tests.conftest import Made


def told(made: "Made", sql: str, name: str = "mine") -> list[str]:
    """Return the lines told about a measure, none if it can be used."""
    file = made.declare(f"analysis/{name}.sql", sql)
    try:
        refresh(made.store, [file])
    except MeasureError as error:
        return error.lines
    return []


def test_a_view_of_ones_own_answers_for_runs(made: "Made", runs: list[PlannedRun]) -> None:
    for i, run in enumerate(runs[:3]):
        made.run(run, 0.5, final_update_norm=i)
    assert told(made, "-- one row per run\nSELECT run_id, final_update_norm AS value FROM run;") == []
    asked = [runs[2].id, runs[0].id, runs[5].id]
    found = responses(made.store, "mine", asked)
    assert {run_id: said.value for run_id, said in found.items()} == {runs[0].id: 0.0, runs[2].id: 2.0}


def test_a_run_without_a_value_has_no_response(made: "Made", runs: list[PlannedRun]) -> None:
    made.run(runs[0], 0.5, first_update_norm=None)
    made.run(runs[1], 0.5, first_update_norm=0.125)
    refresh(made.store, [Shelf(None, {}).path("analysis", "first_update_norm")])
    assert set(responses(made.store, "first_update_norm", [run.id for run in runs])) == {runs[1].id}


@pytest.mark.parametrize("columns", ["run_id", "run_id, 'much' AS value", "seed AS value"])
def test_a_view_that_cannot_answer_names_its_file(made: "Made", runs: list[PlannedRun], columns: str) -> None:
    made.run(runs[0], 0.5)
    assert told(made, f"-- one row per run\nSELECT {columns} FROM run") == []
    with pytest.raises(MeasureError, match=r"^analysis/mine\.sql:1 SQL: "):
        responses(made.store, "mine", [runs[0].id])


@pytest.mark.parametrize(
    "sql",
    [
        "-- two\nSELECT 1; SELECT 2",
        "-- none",
        "-- other\nCREATE TABLE t (a INTEGER)",
        "-- other\nDELETE FROM run",
        "-- other\nCOPY run TO '/tmp/never-written.csv'",
        "-- other\nATTACH '/tmp/never-made.duckdb'",
        "-- other\nINSTALL httpfs",
        "-- other\nSET threads = 8",
        "-- other\nPRAGMA database_list",
        "-- other\nSELECT run_id FROM run; DROP TABLE run",
    ],
)
def test_anything_but_one_select_is_refused(made: "Made", sql: str) -> None:
    (line,) = told(made, sql)
    assert line == "analysis/mine.sql:1 SQL: not exactly one SELECT. Remove everything else."
    assert not made.store.index.exists()
    assert not Path("/tmp/never-written.csv").exists()
    assert not Path("/tmp/never-made.duckdb").exists()


@pytest.mark.parametrize(
    "sql",
    [
        "-- a file\nSELECT * FROM read_csv('/etc/passwd')",
        "-- a file\nSELECT * FROM read_parquet('/etc/passwd')",
        "-- a file\nSELECT * FROM '/etc/passwd'",
        "-- a file\nSELECT content AS value FROM read_text('/etc/passwd')",
        "-- files\nSELECT * FROM glob('/etc/*')",
    ],
)
def test_what_is_outside_the_index_cannot_be_read(made: "Made", sql: str) -> None:
    (line,) = told(made, sql)
    assert line.startswith(("analysis/mine.sql:1 SQL: Permission Error", "analysis/mine.sql:1 SQL: Catalog Error"))


def test_a_statement_that_is_broken_names_its_file(made: "Made") -> None:
    (line,) = told(made, "-- one row per run\nSELEC run_id FROM run")
    assert line.startswith("analysis/mine.sql:1 SQL: Parser Error")
    (line,) = told(made, "-- one row per run\nSELECT norm FROM run")
    assert line.startswith("analysis/mine.sql:1 SQL: Binder Error")
    assert line.endswith("Mend the statement.")


def test_the_first_line_states_the_grain(made: "Made") -> None:
    (line,) = told(made, "SELECT run_id FROM run -- one row per run")
    assert "the first line is no comment. State grain and unit" in line


def test_a_view_cannot_take_the_name_of_a_table(made: "Made") -> None:
    (line,) = told(made, "-- one row per run\nSELECT 1", name="run")
    assert line.startswith("analysis/run.sql:1 SQL: Catalog Error")


def test_the_mistakes_of_all_files_are_told_at_once(made: "Made") -> None:
    files = [
        made.declare("analysis/one.sql", "SELEC"),
        made.declare("analysis/two.sql", "-- fine\nSELECT run_id FROM run"),
        made.declare("analysis/three.sql", "-- two\nSELECT 1; SELECT 2"),
    ]
    with pytest.raises(DeclarationError) as caught:
        refresh(made.store, files)
    assert [line.split(":")[0] for line in caught.value.lines] == ["analysis/one.sql"] * 2 + ["analysis/three.sql"]


EVALUATION: list[dict[str, Any]] = [
    # run of 12 updates: the last evaluation counts, other steps and the validation split do not
    {"step": 12, "split": "evaluation", "problem": 0, "samples": 4, "correct": 4, "greedy_correct": True},
    {"step": 12, "split": "evaluation", "problem": 1, "samples": 4, "correct": 1, "greedy_correct": False},
    {"step": 12, "split": "evaluation", "problem": 2, "samples": 4, "correct": 0, "greedy_correct": True},
    {"step": 6, "split": "evaluation", "problem": 0, "samples": 4, "correct": 0, "greedy_correct": False},
    {"step": 12, "split": "validation", "problem": 0, "samples": 4, "correct": 0, "greedy_correct": False},
]
STEPS: list[dict[str, Any]] = [
    {"step": i, "loss": 1.0, "reward": i / 100, "frac_reward_zero_std": (i % 4) / 4} for i in range(1, 13)
]
SPECTRUM: list[dict[str, Any]] = [
    {"step": 12, "target": "update", "module": name, "source": "factors", "stable_rank": value}
    for name, value in (("q", 1.5), ("k", 2.0), ("v", 4.0))
]


@pytest.fixture
def by_hand(made: "Made", runs: list[PlannedRun]) -> str:
    """Commit one run with the rows above, and an SFT-like one without rewards and with an update that is zero."""
    grpo, sft = (JobDirectory(made.store.runs / run.id) for run in runs[:2])
    for job, run in ((grpo, runs[0]), (sft, runs[1])):
        job.create({"id": job.id, "identity": run.identity})
    facts: dict[str, Any] = {
        "updates": 12,
        "first_update_norm": 0.5,
        "final_update_norm": 3.0,
        "adapter": {"multipliers": [2.0], "trainable_parameters": 10, "trainable_share": 0.01},
        "base_weights": "w",
        "base_weights_after": "w",
        "first_rollouts": None,
        "software": {},
        "trainer": {},
    }
    made.commit(grpo, facts, {"evaluation": EVALUATION, "steps": STEPS, "spectrum": SPECTRUM})
    without = [{name: row[name] for name in ("step", "loss")} for row in STEPS]
    zero = [*SPECTRUM[1:], {**SPECTRUM[0], "stable_rank": None}]
    made.commit(sft, facts, {"evaluation": EVALUATION, "steps": without, "spectrum": zero})
    shelf = Shelf(None, {})
    refresh(made.store, [shelf.path("analysis", name) for name in shelf.names("analysis")])
    return grpo.id


EXPECTED = {
    "accuracy": (4 + 1 + 0) / 12,
    "greedy_accuracy": 2 / 3,
    "final_reward": fmean(i / 100 for i in range(3, 13)),
    "groups_without_gradient": fmean((i % 4) / 4 for i in range(3, 13)),
    "first_update_norm": 0.5,
    "stable_rank": (1.5 + 2.0 + 4.0) / 3,
    "accuracy_items": (4 / 4 + 1 / 4 + 0 / 4) / 3,
    "peak_reward": fmean(i / 100 for i in range(3, 13)),  # rewards rise, so the last ten are the best
    "reward_at": fmean(i / 100 for i in range(8, 13)),
}
NONE_FOR_SFT = {"final_reward", "groups_without_gradient", "stable_rank", "peak_reward", "reward_at"}


def test_every_shipped_measure_gives_what_python_gives(made: "Made", by_hand: str, runs: list[PlannedRun]) -> None:
    shelf = Shelf(None, {})
    spectral = {name for name in shelf.names("analysis") if "FROM spectrum" in shelf.path("analysis", name).read_text()}
    own = {"base_accuracy", "hard_accuracy"}  # which have tests of their own below
    assert {*shelf.names("analysis")} - spectral == EXPECTED.keys() - {"stable_rank"} | own
    for name, value in EXPECTED.items():
        found = responses(made.store, name, [run.id for run in runs])
        assert found[by_hand].value == pytest.approx(value), name
        assert (runs[1].id in found) == (name not in NONE_FOR_SFT), name


KEY = {
    Grain.RUN: "run_id",
    Grain.ITEM: "(run_id, problem)",
    Grain.STEP: "(run_id, step)",
    Grain.BASE: "base_id",
}


@pytest.mark.parametrize("name", [*EXPECTED, "base_accuracy"])
def test_every_shipped_measure_has_one_row_a_grain(made: "Made", by_hand: str, name: str) -> None:
    assert by_hand
    key = KEY[Shelf(None, {}).measures()[name].grain]
    columns, rows = query(made.store, f'SELECT count(*), count(DISTINCT {key}) FROM "{name}"')
    assert len(columns) == 2
    assert rows[0][0] == rows[0][1] > 0


def test_items_are_shares_of_each_problem_after_the_last_update(made: "Made", by_hand: str) -> None:
    assert item_responses(made.store, "accuracy_items", [by_hand])[by_hand].tolist() == [1.0, 0.25, 0.0]


def test_hard_problems_are_those_that_the_base_seldom_answers(made: "Made") -> None:
    bench = made.bench()
    found = bench.plan(bench.hypotheses(["live"]), ["llama"])
    scored: dict[str, Any] = {"step": 0, "split": "evaluation", "samples": 4, "greedy_correct": False}
    before = [{**scored, "problem": i, "correct": correct} for i, correct in enumerate((1, 2, 0))]
    other = [{**row, "split": "validation", "correct": 0} for row in before]
    after = [{**scored, "step": 20, "problem": i, "correct": correct} for i, correct in enumerate((3, 4, 1))]
    made.base(found.bases[0], kept={"evaluation": [*before, *other]})
    made.run(found.runs[0], 0.5, {"evaluation": after})
    refresh(made.store, [Shelf(None, {}).path("analysis", "hard_accuracy")])
    ids = [found.runs[0].id]
    assert item_responses(made.store, "hard_accuracy", ids)[ids[0]].tolist() == [0.75, 0.25]  # not the second
    assert responses(made.store, "hard_accuracy", ids)[ids[0]].value == 0.5


def test_a_base_is_measured_on_the_evaluation_split(made: "Made", by_hand: str, runs: list[PlannedRun]) -> None:
    assert by_hand
    assert base_responses(made.store, "base_accuracy", [runs[0].base.id]) == {runs[0].base.id: 0.4}


@pytest.mark.parametrize(
    ("rewards", "peak"),
    [
        ([1.0] * 10 + [0.0] * 10, 1.0),
        ([0.0] * 4 + [0.5] * 10 + [0.0] * 6, 0.5),
        ([1.0] + [0.0] * 19, 0.1),  # the first alone is no window: that would be 1
        ([0.25, 0.5, 0.75], 0.5),  # fewer than ten: all of them
        ([1.0] * 10 + [None] + [0.5] * 9, 1.0),
        ([1.0] * 5 + [None] + [1.0] * 9, None),  # no ten in a row
    ],
)
def test_the_peak_is_the_best_ten_updates_in_a_row(
    made: "Made", runs: list[PlannedRun], rewards: list[float | None], peak: float | None
) -> None:
    steps = [{"step": i, "loss": 1.0, "reward": reward} for i, reward in enumerate(rewards, 1)]
    made.run(runs[0], 0.5, {"steps": steps}, updates=len(rewards))
    refresh(made.store, [Shelf(None, {}).path("analysis", "peak_reward")])
    found = responses(made.store, "peak_reward", [runs[0].id])
    assert [said.value for said in found.values()] == ([] if peak is None else [pytest.approx(peak)])
