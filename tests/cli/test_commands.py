"""Every command: what it prints, as text and as JSON, and how it exits."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from harness import __version__
from harness.cli.main import COMMANDS
from harness.record.ending import Reason
from harness.record.job import JobDirectory
from harness.record.verdict import Verdict
from harness.record.verdict_files import save
from harness.spec.shelf import Shelf

if TYPE_CHECKING:
    from harness.plan import PlannedRun
    from tests.conftest import Act, Made, Scripted

Call = Callable[..., Any]
FOUND_PROTOCOL = (
    (Path(__file__).parents[1] / "found.yaml").read_text(encoding="utf-8")
    + """
hardware: {gpu: T4, memory_gib: 15.0, flops: 65.0e12, utilisation: 0.3, bandwidth: 3.2e11, decode_utilisation: 0.4,
  prompt_tokens: 6, longest_prompt: 8, completion_tokens: 3, fixed_minutes: 1.0, source: supposed for these tests}
"""
)
Acting = Callable[["Act"], "Scripted"]
NEEDS_A_COLD_BASE = "failure-to-launch"
"""A shipped claim that the protocol of these tests cannot ask."""


def healthy(_: object) -> float:
    return 0.5


def collapsed(_: object) -> float:
    return 0.01


def once_collapsed(run: "PlannedRun") -> float:
    return 0.5 if run.index else 0.01


def not_executed(_: object) -> None:
    return None


def finished(made: "Made") -> None:
    """Register the claims and make every result that they need, all of them healthy."""
    made.bench().register_shelf()
    made.results(healthy)


def test_help_lists_every_command(call: Call) -> None:
    said = call("--help")
    assert said.code == 0
    for name, text in COMMANDS.items():
        assert f"  {name}" in said.out
        assert text.split(".")[0] in " ".join(said.out.split())
    assert call("--version").out == f"harness, version {__version__}\n"


@pytest.mark.parametrize("name", list(COMMANDS))
def test_every_command_has_help(call: Call, name: str) -> None:
    said = call(name, "--help")
    assert said.code == 0
    assert said.out.startswith(f"Usage: harness {name}")
    assert said.err == ""


def test_json_is_all_there_is_on_standard_output(harness: Call, made: "Made", acting: Acting) -> None:
    acting(lambda path, _: made.finish(path, 0.4 if path.parent.name == "bases" else 0.5))
    lines = {
        "list": ["list"],
        "show": ["show", "live"],
        "show a protocol": ["show", "bench"],
        "validate": ["validate"],
        "diagnose": ["diagnose", "live", "--sims", "10"],
        "plan": ["plan"],
        "register": ["register"],
        "pilot": ["pilot"],
        "run": ["run", "live"],
        "test": ["test", "live"],
        "test again": ["test", "live"],
        "verdict": ["verdict"],
        "status": ["status"],
        "report": ["report"],
        "runs": ["runs", "list"],
        "rebuild": ["db", "rebuild"],
        "path": ["db", "path"],
        "new": ["new", "another", "--like", "live"],
        "init": ["init", "elsewhere"],
        "completion": ["completion", "bash"],
        "schema": ["schema"],
        "query": ["db", "query", "SELECT run_id, rank FROM run ORDER BY ALL"],
    }
    said = {name: harness(*line, "--json") for name, line in lines.items()}
    for name, answer in said.items():
        assert answer.code == 0, (name, answer)
        assert answer.json is not None, name
    assert {line[0] for line in lines.values()} == set(COMMANDS) - {
        "spectra",
        "catalogue",
        "frontier",
        "doctor",
        "logs",
        "cancel",
    }  # which have files of their own
    assert said["run"].json == {"executed": 12, "planned": 12, "failed": {}}
    assert said["test"].json["executed"] == 0
    assert said["test"].json["verdicts"][0]["passed"] is True
    assert said["test"].json["verdicts"] == said["test again"].json["verdicts"] == said["verdict"].json["verdicts"]
    assert len(said["query"].json) == 12
    assert said["query"].json[0]["rank"] in (8, 16)
    before = harness("--json", "status")  # the option is understood before the command too
    assert before.json == said["status"].json


def test_list_names_what_is_in_reach_and_what_is_broken(harness: Call, made: "Made") -> None:
    made.declare("hypotheses/bad.yaml", "title: x\n")
    said = harness("list", "--json").json
    assert said["hypotheses"]["live"] == "Low ranks live"
    assert said["hypotheses"]["rank-collapse"]
    assert said["protocols"]["bench"] == "A protocol of the tests"
    assert "accuracy" in said["measures"]
    assert list(said["broken"]) == ["bad"]
    text = harness("list").out
    assert "  live" in text
    assert "broken     bad: " in text


def test_show_marks_what_was_left_to_defaults(harness: Call) -> None:
    lines = harness("show", "live").out.splitlines()
    assert "title: Low ranks live" in lines
    assert [line.split() for line in lines if line.strip().startswith("alpha:")] == [["alpha:", "0.05", "#", "default"]]
    assert "    probability: 0.5" in lines
    shown = harness("show", "live", "--json").json
    assert shown["predictions"][0]["alpha"] == 0.05


def test_plan_tells_new_from_cached_and_what_sharing_saves(harness: Call, made: "Made") -> None:
    made.declare("hypotheses/low.yaml", made.claim_text.replace("rank: [8, 16]", "rank: [8]"))
    made.bench().register_shelf()
    made.results(lambda run: 0.5 if run.index == 0 else None)
    text = harness("plan", "live", "low").out
    assert text.splitlines()[-1] == "12 runs in all on 1 bases: 10 new, 2 cached; sharing saves 6"
    said = harness("plan", "live", "low", "--json").json
    states = [run["state"] for run in said["runs"]]
    assert (states.count("new"), states.count("cached")) == (10, 2)
    assert said["bases"][0]["state"] == "committed"
    assert {tuple(run["needed_by"]) for run in said["runs"]} == {("live/live", "low/live"), ("live/live",)}


def test_plan_without_a_name_is_the_whole_catalogue_and_says_what_it_leaves_out(harness: Call, made: "Made") -> None:
    made.declare("hypotheses/odd.yaml", made.claim_text.replace("rank: [8, 16]", "rank: [8], batch: [12]"))
    said = harness("plan", "--json")
    asking = {reason.split("/")[0] for run in said.json["runs"] for reason in run["needed_by"]}
    assert asking >= {"live", "rank-collapse", "step-size"}
    assert "odd" not in asking
    assert "left out: odd (hypotheses/odd.yaml predictions[0]: under protocol bench" in said.err
    assert harness("plan", "odd").code == 2
    key = [line.split() for line in harness("plan").out.splitlines() if line.startswith("   A ")]
    assert key == [["A", min(asking)]]


def test_plan_of_bases_that_exist_needs_no_network(
    harness: Call, made: "Made", monkeypatch: pytest.MonkeyPatch
) -> None:
    def nobody(*_: object, **__: object) -> None:
        raise AssertionError("somebody was asked")

    monkeypatch.setattr("socket.socket.connect", nobody)
    text = FOUND_PROTOCOL.replace("default_bases: [llama]", "default_bases: [llama, early]")
    made.declare("runs/bench.yaml", text)
    out = harness("plan", "live").out.splitlines()
    assert out[-1] == "24 runs in all on 2 bases: 24 new, 0 cached; sharing saves 0"
    (line,) = [line for line in out if line.startswith("unresolved: ")]
    assert line.startswith(
        "unresolved: llama (lab/mini-llama@main), early (lab/mini-llama@stage1-step10): no commit yet"
    )
    (cost,) = [line for line in out if line.startswith("cost of what is new: ")]
    assert "GPU-hours on T4" in cost
    assert "to within a factor of 2" in cost
    said = harness("plan", "live", "--json").json
    assert {run["provisional"] for run in said["runs"]} == {True}
    assert all(run["gpu_hours"] > 0 and run["memory"]["fits"] for run in said["runs"])
    runs = sum(run["gpu_hours"] for run in said["runs"]) + sum(base["gpu_hours"] for base in said["bases"])
    assert said["new"]["gpu_hours"] == pytest.approx(runs)
    small = text.replace("memory_gib: 15.0", "memory_gib: 2.0")
    made.declare("runs/bench.yaml", small)
    assert "! 4 cells need more memory than the 2 GiB of T4, and cannot run there" in harness("plan", "live").out


def test_plan_tells_why_a_run_is_none_that_exists(harness: Call, made: "Made") -> None:
    runs = harness("plan", "live", "--json").json["runs"]
    eight = [run["run"] for run in runs if "-r8-" in run["run"]]
    assert harness("plan", "live", "--why", eight[1]).out.splitlines()[-1] == "  no run exists yet"
    made.bench().register_shelf()
    made.results(lambda run: 0.5 if run.id == eight[0] else None)
    said = harness("plan", "live", "--why", eight[1], "--json").json
    assert said["nearest"] == eight[0]
    assert list(said["differs_in"]) == ["seed"]
    assert "  it exists" in harness("plan", "live", "--why", eight[0]).out
    for unclear in ("llama64", "nothing-like-it"):
        assert harness("plan", "live", "--why", unclear).code == 2


def test_status_counts_states_and_says_why_runs_failed(harness: Call, made: "Made") -> None:
    empty = harness("status", "--json").json
    assert empty["runs"] == {"new": 0, "running": 0, "interrupted": 0, "cancelled": 0, "failed": 0, "committed": 0}
    assert empty["verdicts"] == []
    bench = made.bench()
    runs = bench.plan(bench.hypotheses(["live"]), ["llama"])
    made.base(runs.bases[0])
    for run in runs.runs[:4]:
        bench.run_job(run).create({"id": run.id, "identity": run.identity})
    made.finish(bench.run_job(runs.runs[0]).path, 0.5)
    made.fail(bench.run_job(runs.runs[1]).path, "ValueError: no")
    attempt = bench.run_job(runs.runs[2]).claim({})
    assert attempt is not None
    attempt.tell({"step": 7, "steps": 20, "reward": 0.25, "phase": "training"})
    said = harness("status", "--json").json
    assert said["runs"] == {"new": 1, "running": 1, "interrupted": 0, "cancelled": 0, "failed": 1, "committed": 1}
    assert said["bases"]["committed"] == 1
    assert said["runs_failed"] == {runs.runs[1].id: "user_error: ValueError: no"}
    text = harness("status").out
    assert f"  {runs.runs[2].id}  training step 7 of 20 reward 0.25\n" in text
    assert f"  {runs.runs[1].id}  failed: user_error: ValueError: no\n" in text
    attempt.exit(Reason.PREEMPTED)


def test_a_finished_test_says_so_and_a_repeated_one_prints_the_same(harness: Call, made: "Made") -> None:
    finished(made)
    first, second = harness("test", "live"), harness("test", "live")
    assert (first.code, second.code) == (0, 0)
    assert first.out == second.out
    assert first.out.startswith("live  PASS  supported")
    assert "no run executed: every prediction is settled" in first.err


def test_plan_shows_what_test_would_run_rivals_included(harness: Call) -> None:
    def claims(*options: str) -> set[str]:
        runs = harness("plan", "rank-collapse", "--json", *options).json["runs"]
        return {reason.split("/")[0] for run in runs for reason in run["needed_by"]}

    assert claims() == {"rank-collapse", "step-size"}
    assert claims("--no-rivals") == {"rank-collapse"}
    assert "left out: failure-to-launch" in harness("plan", "rank-collapse").err


def test_test_executes_what_is_missing_and_registers_first(harness: Call, made: "Made", acting: Acting) -> None:
    executor = acting(lambda path, _: made.finish(path, 0.5))
    said = harness("test", "live", "--json")
    assert said.code == 0
    assert said.json["executed"] == 12
    assert said.json["verdicts"][0]["registered"]["confirmatory"] is True
    assert len(executor.started) == 13
    assert "runs: 12 of 12 done" in said.err
    assert sorted(path.stem for path in (made.store.registrations / "bench").iterdir()) == sorted(
        ["live", *(name for name in Shelf(None, {}).names("hypotheses") if name != NEEDS_A_COLD_BASE)]
    )


def test_quiet_says_nothing_beside_the_result(harness: Call, made: "Made", acting: Acting) -> None:
    acting(lambda path, _: made.finish(path, 0.5))
    assert harness("-q", "test", "live").err == ""


@pytest.mark.parametrize(
    ("world", "gate", "heading"),
    [(healthy, 0, "PASS"), (collapsed, 10, "FAIL"), (once_collapsed, 11, "OPEN"), (not_executed, 12, "OPEN")],
    ids=["supported", "refuted", "inconclusive", "untested"],
)
def test_the_gate_tells_the_outcome_and_without_it_the_exit_is_0(
    harness: Call, made: "Made", world: "Callable[[PlannedRun], float | None]", gate: int, heading: str
) -> None:
    made.bench().register_shelf()
    made.results(world)
    assert harness("test", "live", "--no-run", "--gate").code == gate
    said = harness("test", "live", "--no-run")
    assert said.code == 0
    assert said.out.startswith(f"live  {heading}  ")


def test_the_gate_takes_the_worst_of_several(harness: Call, made: "Made") -> None:
    made.declare("hypotheses/low.yaml", made.claim_text.replace("rank: [8, 16]", "rank: [8]"))
    made.bench().register_shelf()
    made.results(lambda run: 0.01 if run.cell.rank == 8 else 0.5, "live", "low")
    said = harness("test", "live", "low", "--no-run", "--gate", "--json")
    assert [verdict["outcome"] for verdict in said.json["verdicts"]] == ["inconclusive", "refuted"]
    assert said.code == 10


def test_support_that_is_not_confirmatory_does_not_pass_the_gate(harness: Call, made: "Made") -> None:
    made.results(healthy)
    assert harness("test", "live", "--no-run", "--gate").code == 11


def test_failed_runs_exit_1_after_the_verdict(harness: Call, made: "Made", acting: Acting) -> None:
    def act(path: Path, _: int) -> None:
        kind = JobDirectory(path).spec()["identity"]["kind"]
        made.finish(path, 0.4) if kind == "base" else made.fail(path, "out of luck")

    acting(act)
    said = harness("test", "live", "--gate")
    assert said.code == 1
    assert said.out.startswith("live  OPEN  untested")
    assert said.err.count("out of luck") == 12
    acting(act)
    said = harness("run", "live", "--json")
    assert said.code == 1
    assert said.json["executed"] == 0
    assert len(said.json["failed"]) == 12


def test_a_failed_base_exits_1(harness: Call, made: "Made", acting: Acting) -> None:
    acting(lambda path, _: made.fail(path, "no base"))
    said = harness("test", "live")
    assert said.code == 1
    assert "its base failed: no base" in said.err


def test_a_failed_pilot_exits_1(harness: Call, made: "Made", acting: Acting) -> None:
    acting(lambda path, _: made.finish(path, 0.4))  # no rate gains anything
    said = harness("pilot")
    assert said.code == 1
    assert said.err.splitlines()[-1].startswith("pilot of bench: the gain at 20 steps")
    assert said.out == ""


def test_an_interruption_exits_130(harness: Call, acting: Acting) -> None:
    def interrupt(_: Path, __: int) -> None:
        raise KeyboardInterrupt

    executor = acting(interrupt)
    said = harness("test", "live")
    assert said.code == 130
    assert said.err.splitlines()[-1] == "interrupted; the same command goes on from here"
    assert executor.closed


@pytest.mark.parametrize(
    ("command", "without"),
    [(["test", "live", "--no-run"], "1 of 12 runs without a result"), (["db", "rebuild"], "12 jobs in")],
)
def test_a_result_that_was_tampered_with_exits_3_and_is_named(
    harness: Call, made: "Made", command: list[str], without: str
) -> None:
    finished(made)
    folder = min(made.store.runs.iterdir())
    with (folder / "result" / "evaluation.parquet").open("ab") as file:
        file.write(b" ")
    said = harness(*command)
    assert said.code == 3
    assert without in said.out
    assert f"{folder}/result/evaluation.parquet: changed since it was committed" in said.err
    assert "Traceback" not in said.err


def test_no_space_exits_4(harness: Call, made: "Made", monkeypatch: pytest.MonkeyPatch) -> None:
    finished(made)

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device", "somewhere")

    monkeypatch.setattr("shutil.copyfile", full)
    monkeypatch.setattr("os.replace", full)
    said = harness("db", "rebuild")
    assert said.code == 4
    assert said.err == "somewhere: No space left on device. Choose another --store, or make room.\n"


def test_verdict_says_what_is_stored(harness: Call, made: "Made", verdict: Verdict) -> None:
    assert harness("verdict").out == "no verdict is stored yet\n"
    save(made.store, verdict)
    assert harness("verdict", "claim").out.startswith("claim  PASS  supported")
    assert harness("verdict", "claim", "--json").json["verdicts"][0]["passed"] is True
    missing = harness("verdict", "other")
    assert missing.code == 2
    assert "'other' is not declared in hypotheses/." in missing.err
    assert "no verdict on live is stored. `harness test live` makes one." in harness("verdict", "live").err


def test_db_on_an_empty_store_says_how_to_make_an_index(harness: Call, made: "Made") -> None:
    said = harness("db", "query", "SELECT 1")
    assert said.code == 2
    assert "no index yet. `harness db rebuild` makes it from the records." in said.err
    assert harness("db", "rebuild").out == f"0 jobs in {made.store.index}\n"
    assert harness("db", "query", "SELECT count(*) AS n FROM run").out == "n\n0\n"
    assert harness("db", "path").out == f"{made.store.index}\n"


def test_db_query_prints_any_value_as_json(harness: Call) -> None:
    harness("db", "rebuild")
    sql = (
        "SELECT 'nan'::DOUBLE AS nan, 1.5 AS decimal, DATE '2026-01-02' AS day, NULL AS nothing, true AS yes, "
        "[1, NULL] AS list, ['inf'::DOUBLE, 0.5] AS floats, {'a': 1.5::DOUBLE, 'b': [DATE '2026-01-02']} AS struct"
    )
    said = harness("db", "query", sql, "--json")
    assert said.json == [
        {
            "nan": "nan",
            "decimal": "1.5",
            "day": "2026-01-02",
            "nothing": None,
            "yes": True,
            "list": [1, None],
            "floats": ["inf", 0.5],
            "struct": {"a": 1.5, "b": ["2026-01-02"]},
        }
    ]


@pytest.mark.parametrize(
    "sql",
    ["SELEC 1", "SELECT 1; SELECT 2", "DELETE FROM run", "SELECT * FROM read_csv('/etc/passwd')", "SET threads=4"],
)
def test_db_query_refuses_anything_but_reading(harness: Call, sql: str) -> None:
    harness("db", "rebuild")
    said = harness("db", "query", sql)
    assert said.code == 2
    assert said.out == ""
    assert len(said.err.splitlines()) == 1


@pytest.mark.parametrize("module", ["harness", "harness.cli.main"])
def test_a_module_is_the_command_line_too(module: str, tmp_path: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": ":".join(sys.path)}
    for arguments, code, told in ((["--version"], 0, ""), (["nosuch"], 2, "No such command 'nosuch'")):
        command = [sys.executable, "-m", module, *arguments]
        done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
        assert (done.returncode, told in done.stderr) == (code, True)
        assert done.stdout == ("" if code else f"harness, version {__version__}\n")
        assert "Warning" not in done.stderr
