"""`harness runs`: list, show, exclude."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from harness.plan import PlannedRun
from harness.record.exclusion import excluded

if TYPE_CHECKING:
    from tests.conftest import Made

Call = Callable[..., Any]
REASON = "its host ran out of memory"


@pytest.fixture
def runs(made: "Made") -> list[PlannedRun]:
    """Return three runs: committed, failed, new."""
    bench = made.bench()
    found = list(bench.plan(bench.hypotheses(["live"]), ["llama"]).runs[:3])
    made.run(found[0], 0.5)
    for run in found[1:]:
        bench.run_job(run).create({"id": run.id, "identity": run.identity})
    made.fail(bench.run_job(found[1]).path, "no")
    return found


def test_list_tells_what_each_run_is_and_where_it_stands(harness: Call, made: "Made", runs: list[PlannedRun]) -> None:
    harness("runs", "exclude", runs[0].id, "--reason", REASON)
    said = {run["id"]: run for run in harness("runs", "list", "--json").json}
    assert said[runs[0].id] == {
        "id": runs[0].id,
        "cell": runs[0].cell.slug(),
        "seed": runs[0].identity["seed"],
        "base": runs[0].base.id,
        "state": "committed",
        "excluded": REASON,
    }
    assert [said[run.id]["state"] for run in runs] == ["committed", "failed", "new"]
    assert [said[run.id]["excluded"] for run in runs] == [REASON, None, None]
    lines = {line.split()[0]: line for line in harness("runs", "list").out.splitlines()}
    assert lines[runs[0].id].endswith(f"  committed  excluded: {REASON}")
    assert lines[runs[1].id].endswith("  failed")
    assert sorted(lines) == sorted(run.id for run in runs)


def test_list_names_runs_that_could_not_be_declared_any_more(
    harness: Call, made: "Made", runs: list[PlannedRun]
) -> None:
    odd = {**runs[0].identity, "cell": {**runs[0].identity["cell"], "adapter": {"method": "hra", "rank": 7}}}
    made.bench().run_job(runs[0]).path.with_name("odd").mkdir()
    spec = {"id": "odd", "identity": odd}
    (made.bench().run_job(runs[0]).path.with_name("odd") / "spec.json").write_text(json.dumps(spec))
    said = {run["id"]: run["cell"] for run in harness("runs", "list", "--json").json}
    assert said["odd"] == "grpo-hra (refused since)"
    assert said[runs[0].id] == runs[0].cell.slug()


def test_an_empty_store_has_no_runs(harness: Call, made: "Made") -> None:
    assert harness("runs", "list", "--json").json == []
    assert harness("runs", "list").out == f"no runs in {made.store.runs}\n"


def test_show_tells_identity_facts_and_files(harness: Call, runs: list[PlannedRun]) -> None:
    said = harness("runs", "show", runs[0].id[-12:], "--json").json
    assert said["id"] == runs[0].id
    assert said["identity"] == runs[0].identity
    assert said["facts"]["accuracy"] == 0.5
    assert sorted(said["files"]) == ["evaluation.parquet", "result.json", "steps.parquet"]
    lines = harness("runs", "show", runs[0].id).out.splitlines()
    assert f"  base_id: {runs[0].base.id}" in lines
    assert "      rank: 8" in lines
    assert "  accuracy: 0.5" in lines
    assert any(line.startswith("  result.json  ") for line in lines)
    assert not any(line.startswith("excluded") for line in lines)


def test_show_tells_where_the_events_of_trackers_are(harness: Call, made: "Made", runs: list[PlannedRun]) -> None:
    assert harness("runs", "show", runs[0].id, "--json").json["events"] == []
    (made.store.runs / runs[0].id / "attempts" / "0001" / "events").mkdir()
    assert harness("runs", "show", runs[0].id, "--json").json["events"] == ["attempts/0001/events"]
    assert "events: ['attempts/0001/events']" in harness("runs", "show", runs[0].id).out.splitlines()


def test_a_protocol_with_a_tracker_says_so_beside_each_run_and_in_show(
    harness: Call, made: "Made", acting: Callable[..., Any]
) -> None:
    field = "max_completion_length: 5"
    made.declare("runs/bench.yaml", made.protocol_text.replace(field, f"{field}, report_to: [tensorboard, mlflow]"))

    def act(path: Path, _: int) -> None:
        made.finish(path, 0.5)

    acting(act)
    assert harness("run", "live").code == 0
    assert {path.name for path in made.store.runs.glob("*/trackers.json")} == {"trackers.json"}
    said = [json.loads((path / "trackers.json").read_text()) for path in made.store.runs.iterdir()]
    assert said == [["tensorboard", "mlflow"]] * 12
    assert not list(made.store.bases.glob("*/trackers.json"))
    assert not any("report_to" in path.read_text() for path in made.store.root.rglob("*.json"))
    shown = harness("show", "bench").out.splitlines()
    assert "# grpo: reports to tensorboard, mlflow, which is in no run's identity" in shown
    assert [line for line in shown if line.startswith("#   report_to")] == ["#   report_to: none"]  # of sft
    made.declare("runs/bench.yaml", made.protocol_text)
    done = harness("run", "live")
    assert done.code == 0  # the same runs: nothing is left to do


def test_show_of_a_run_without_a_result_has_no_facts(harness: Call, runs: list[PlannedRun]) -> None:
    said = harness("runs", "show", runs[2].id, "--json").json
    assert (said["state"], said["facts"], said["files"]) == ("new", None, {})


def test_show_of_a_result_that_was_tampered_with_exits_3(harness: Call, made: "Made", runs: list[PlannedRun]) -> None:
    (made.store.runs / runs[0].id / "result" / "result.json").write_text('{"accuracy": 1.0}')
    said = harness("runs", "show", runs[0].id)
    assert (said.code, said.out) == (3, "")
    assert "result.json: changed since it was committed" in said.err


def test_an_exclusion_stays_with_its_first_reason(harness: Call, made: "Made", runs: list[PlannedRun]) -> None:
    first = harness("runs", "exclude", runs[1].id[-12:], "--reason", REASON)
    assert (first.code, first.out, first.err) == (0, f"{runs[1].id}  excluded: {REASON}\n", "")
    again = harness("runs", "exclude", runs[1].id, "--reason", "another one altogether")
    assert again.out == first.out
    assert again.err == f"{runs[1].id} was excluded before; the first reason stays\n"
    assert excluded(made.store) == {runs[1].id: REASON}


def test_mistakes_exit_2_and_exclude_nothing(harness: Call, made: "Made", runs: list[PlannedRun]) -> None:
    mistakes = {
        "has fewer than 10 characters": ["exclude", runs[0].id, "--reason", "bad"],
        "no run has this name: nothing-like-it": ["exclude", "nothing-like-it", "--reason", REASON],
        "3 runs have this name: llama64": ["exclude", "llama64", "--reason", REASON],
        "Missing option '--reason'": ["exclude", runs[0].id],
        "no run has this name: ../runs": ["show", "../runs"],
    }
    for told, arguments in mistakes.items():
        said = harness("runs", *arguments)
        assert (said.code, said.out) == (2, ""), told
        assert told in said.err
        assert "Traceback" not in said.err
    assert excluded(made.store) == {}
