"""Commands about jobs at work: their logs, calling them off, what engines say of them, leaving a command alone."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from harness.cli.logs import Reading
from harness.execute import Standing, Unreachable
from harness.plan import PlannedRun
from harness.record.ending import Reason
from harness.record.job import Attempt, JobDirectory, State

if TYPE_CHECKING:
    from tests.conftest import Act, Made, Scripted

Call = Callable[..., Any]
Acting = Callable[["Act"], "Scripted"]


class Faraway:
    """An engine that holds handles, and may not answer."""

    name = "slurm far"
    lasting = True
    interval = 0.0
    log = Path("far/engine.log")

    def __init__(self) -> None:
        self.standing: Mapping[str, Standing] = {}
        self.answers = True
        self.cancelled: list[str] = []

    def submit(self, jobs: Sequence[Path]) -> list[str]:
        raise AssertionError(f"nobody submits {jobs} here")

    def poll(self, handles: Sequence[str]) -> dict[str, Standing]:
        if not self.answers:
            raise Unreachable("nobody answers")
        return {handle: self.standing.get(handle, "gone") for handle in handles}

    def cancel(self, handles: Sequence[str]) -> None:
        self.cancelled += handles

    def close(self) -> None:
        """Hold nothing."""


@pytest.fixture
def runs(made: "Made") -> list[JobDirectory]:
    """Return the jobs of the claim's runs, created and not begun."""
    bench = made.bench()
    planned: Sequence[PlannedRun] = bench.plan(bench.hypotheses(["live"]), ["llama"]).runs
    jobs = [bench.run_job(run) for run in planned]
    for job, run in zip(jobs, planned, strict=True):
        job.create({"id": run.id, "identity": run.identity})
    return jobs


@pytest.fixture
def faraway(monkeypatch: pytest.MonkeyPatch) -> Faraway:
    """Return the engine that handles of `slurm far` are asked of."""
    engine = Faraway()

    def reachable(named: set[str], *_: object) -> dict[str, Faraway]:
        return {name: engine for name in named if name == engine.name}

    monkeypatch.setattr("harness.cli.jobs.reachable", reachable)
    return engine


def claimed(job: JobDirectory, log: str = "") -> Attempt:
    attempt = job.claim({"engine": "test"})
    assert attempt is not None
    (attempt.path / "log.txt").write_text(log)
    return attempt


def test_the_log_of_the_last_attempt_or_of_the_one_asked_for(harness: Call, runs: list[JobDirectory]) -> None:
    claimed(runs[0], "update 1 of 20\n").exit(Reason.KILLED)
    claimed(runs[0], "update 1 of 20\nupdate 2 of 20\n").exit(Reason.PREEMPTED)
    assert harness("logs", runs[0].id).out == "update 1 of 20\nupdate 2 of 20\n"
    assert harness("logs", runs[0].id, "--attempt", "1").out == "update 1 of 20\n"
    said = harness("logs", runs[0].id, "--json").json
    assert (said["attempt"], said["state"]) == (2, "interrupted")
    wrong = harness("logs", runs[0].id, "--attempt", "3")
    assert (wrong.code, wrong.err) == (2, f"{runs[0].id} has 2 attempts, none of number 3. Name one of them.\n")


def test_a_log_cannot_command_the_terminal(harness: Call, runs: list[JobDirectory]) -> None:
    claimed(runs[0], "\x1b]0;owned\x07\x1b[2Jtext\n").exit(Reason.KILLED)
    assert harness("logs", runs[0].id).out == "?]0;owned??[2Jtext\n"


def test_a_run_that_has_not_begun_says_who_has_it(harness: Call, runs: list[JobDirectory], faraway: Faraway) -> None:
    nobody = harness("logs", runs[0].id)
    assert nobody.code == 2
    assert "has not begun, so it has no log yet" in nobody.err
    runs[0].handed_over(faraway.name, "17_4", 0)
    said = harness("logs", runs[0].id)
    assert "is with slurm far as 17_4, and has not begun. What the engine prints: far/engine.log." in said.err


def test_following_goes_on_into_later_attempts_until_the_run_is_over(made: "Made", runs: list[JobDirectory]) -> None:
    first = claimed(runs[0], "one\n")
    command = [sys.executable, "-m", "harness", "--store", str(made.store.root), "logs", "-f", runs[0].id]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    following = subprocess.Popen(
        command, cwd=made.root, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert following.stdout is not None
    assert following.stdout.readline() == "one\n"
    with (first.path / "log.txt").open("a") as log:
        log.write("more\n")
    assert following.stdout.readline() == "more\n"
    first.exit(Reason.PREEMPTED)
    second = claimed(runs[0], "two\n")
    assert following.stdout.readline() == "--- attempt 2\n"
    assert following.stdout.readline() == "two\n"
    second.exit(Reason.USER_ERROR, "ValueError: no")
    out, err = following.communicate(timeout=60)
    assert (out, err) == ("", f"{runs[0].id} is failed: user_error: ValueError: no\n")


LINES = [f"update {number}, reward {number % 3}\n".encode() for number in range(5000)]


@pytest.mark.parametrize("window", [20_000, 5_000, 2_000])
def test_following_goes_on_where_a_log_only_keeps_its_end(window: int, tmp_path: Path) -> None:
    log, shown = tmp_path / "log.txt", b""
    reading = Reading(log)
    for number in range(0, len(LINES) + 1, 50):
        end = b"".join(LINES[:number])[-window:]
        log.write_bytes(end[end.find(b"\n") + 1 :] if len(end) == window else end)
        shown += reading.more(whole=False) + reading.more(whole=False)
    assert shown == b"".join(LINES)
    log.write_bytes(b"".join(LINES[-2:]) + b"after much that nobody saw\n")
    assert reading.more(whole=False) == b"after much that nobody saw\n"
    log.write_bytes(b"another log\n")
    assert reading.more(whole=False) == b"another log\n"


@pytest.mark.parametrize("more", [0, 300])
def test_following_goes_on_where_secrets_were_taken_out_of_a_log(
    more: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SOME_API_KEY", "opensesame-123456")
    log, said = tmp_path / "log.txt", b"the key is opensesame-123456\n" + b"".join(LINES[:more])
    log.write_bytes(said)
    reading, clean = Reading(log), said.replace(b"opensesame-123456", b"[SOME_API_KEY]")
    assert reading.more(whole=False) == clean
    log.write_bytes(clean + b"the end")
    assert reading.more(whole=False) == b""
    assert reading.more(whole=True) == b"the end"


def test_calling_off_stops_what_runs_and_what_waits_and_nothing_else(
    harness: Call, runs: list[JobDirectory], faraway: Faraway
) -> None:
    at_work = claimed(runs[0])
    claimed(runs[1]).exit(Reason.USER_ERROR, "no")
    faraway.standing = {"17_0": "queued", "18_0": "queued"}
    runs[2].handed_over(faraway.name, "17_0", 0)
    runs[3].handed_over(faraway.name, "18_0", 0)  # shares its task with the next
    runs[4].handed_over(faraway.name, "18_0", 0)
    said = harness("cancel", *(runs[i].id for i in range(4)), "--json").json["jobs"]
    assert said == {
        runs[0].id: "is at work, and stops within seconds",
        runs[1].id: "is failed already",
        runs[2].id: "will not begin",
        runs[3].id: "will not begin",
    }
    assert faraway.cancelled == ["17_0"]  # the other's neighbour is wanted
    assert [job.called_off for job in runs[:5]] == [True, False, True, True, False]
    assert [job.state() for job in (runs[0], runs[2], runs[4])] == [State.RUNNING, State.CANCELLED, State.NEW]
    assert harness("cancel", runs[4].id).out == f"{runs[4].id} will not begin\n"
    assert faraway.cancelled == ["17_0", "18_0"]
    at_work.exit(Reason.CANCELLED, "called off")
    assert runs[0].state() is State.CANCELLED


def test_an_engine_that_does_not_answer_is_told_and_not_taken_for_gone(
    harness: Call, runs: list[JobDirectory], faraway: Faraway
) -> None:
    runs[0].handed_over(faraway.name, "17_0", 0)
    runs[1].handed_over("ray http://nowhere:1", "x", 0)
    faraway.standing = {"17_0": "running"}
    assert harness("status", "--json").json["engines"] == {runs[0].id: "running", runs[1].id: "unreachable"}
    assert "engine: 1 running, 1 unreachable\n" in harness("status").out
    faraway.answers = False
    assert harness("status", "--json").json["engines"] == {runs[0].id: "unreachable", runs[1].id: "unreachable"}
    said = harness("cancel", runs[0].id)
    assert "will not begin; slurm far does not answer, and may begin it only to see that it was called off" in said.out


def test_cancel_wants_runs_or_all(harness: Call, runs: list[JobDirectory]) -> None:
    assert harness("cancel").code == 2
    assert harness("cancel", runs[0].id, "--all").code == 2
    assert harness("cancel", "--all", "--json").json["jobs"].keys() == {job.id for job in runs}
    assert harness("cancel", "--all").out == "nothing is at work, and nothing waits\n"


def test_a_later_command_executes_what_was_called_off(harness: Call, made: "Made", acting: Acting) -> None:
    bench = made.bench()
    runs = bench.plan(bench.hypotheses(["live"]), ["llama"]).runs
    first, second = bench.run_job(runs[0]), bench.run_job(runs[1])

    def act(path: Path, _: int) -> None:
        if path == first.path:  # while the first is at work, a user calls the second off
            second.call_off()
        if path == second.path:
            attempt = second.claim({})
            assert attempt is not None
            attempt.exit(Reason.CANCELLED, "called off before it began")
        else:
            made.finish(path, 0.5)

    acting(act)
    said = harness("run", "live", "--json")
    assert said.code == 1
    assert said.json["failed"] == {second.id: "cancelled: called off. Repeat the command to execute it after all."}
    acting(lambda path, _: made.finish(path, 0.5))
    assert harness("run", "live", "--json").json["executed"] == 1
    assert second.state() is State.COMMITTED


def test_cancel_all_ends_commands_that_would_go_on(harness: Call, made: "Made", acting: Acting) -> None:
    started: list[str] = []

    def act(path: Path, _: int) -> None:
        started.append(path.name)
        made.finish(path, 0.5)
        if len(started) == 3:
            assert "ends: harness test live" in harness("cancel", "--all").out

    acting(act)
    said = harness("test", "live")
    assert said.code == 130
    assert "called off by `harness cancel --all`" in said.err
    assert len(started) == 3
    acting(lambda path, _: made.finish(path, 0.5))
    assert harness("test", "live").code == 0  # goes on from there


@pytest.mark.parametrize(
    ("file", "text"),
    [
        ("handle.json", '{"engine": 5}'),
        ("handle.json", '{"engine": "slurm x", "handle": ["a"], "attempts": "z"}'),
        ("attempts/0002", "a file"),
        ("attempts/\u00b2/x", "a folder of no number"),
        ("attempts/0001/progress.json", '{"step": "x", "steps": "y", "reward": "z"}'),
    ],
)
def test_records_of_another_form_are_no_traceback(
    harness: Call, runs: list[JobDirectory], file: str, text: str
) -> None:
    attempt = claimed(runs[0])
    (runs[0].path / file).parent.mkdir(parents=True, exist_ok=True)
    (runs[0].path / file).write_text(text)
    for words in (["status"], ["logs", runs[0].id], ["cancel", runs[1].id]):
        said = harness(*words)
        assert said.code in (0, 3)
        assert said.code == 0 or "handle.json: is not what this version writes" in said.err
    attempt.exit(Reason.PREEMPTED)


def test_logs_show_no_secret_and_follow_no_link(
    harness: Call, runs: list[JobDirectory], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SOME_API_KEY", "opensesame-123456")
    attempt = claimed(runs[0], "the key is opensesame-123456\n")
    assert harness("logs", runs[0].id).out == "the key is [SOME_API_KEY]\n"
    (tmp_path / "private").write_text("somebody else's")
    (attempt.path / "log.txt").unlink()
    (attempt.path / "log.txt").symlink_to(tmp_path / "private")
    assert "somebody" not in harness("logs", runs[0].id).out
    attempt.exit(Reason.PREEMPTED)


def test_too_few_devices_are_told_before_anything_runs(
    harness: Call, made: "Made", monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("harness.campaign.engines.driver_gpus", tuple)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    made.declare("runs/bench.yaml", made.protocol_text + "resources: {gpus: 2}\n")
    said = harness("run", "live")
    assert said.code == 4
    rule = "Lower it in the protocol, or name another --executor."
    assert said.err.splitlines()[-1] == f"resources: a run wants 2 GPUs, and this machine has 0 devices. {rule}"


@pytest.mark.slow
def test_a_command_left_alone_is_shown_at_work_and_can_be_called_off(made: "Made") -> None:
    made.declare("runs/bench.yaml", made.protocol_text.replace("steps: 100", "steps: 1000000"))  # a base without end
    command = [sys.executable, "-m", "harness", "--store", str(made.store.root)]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}

    def call(*words: str) -> Any:
        done = subprocess.run(
            [*command, *words, "--json"], cwd=made.root, env=environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    left = call("run", "live", "--detach")
    deadline = time.monotonic() + 300
    while not (said := call("status"))["bases_running"]:
        assert time.monotonic() < deadline, Path(left["log"]).read_text()
    (at_work,) = said["commands"]
    assert at_work["pid"] == left["pid"]
    assert at_work["line"].endswith("run live --json")
    call("cancel", "--all")
    while call("status")["commands"]:
        assert time.monotonic() < deadline
    said = call("status")
    assert (said["bases"]["cancelled"], said["bases"]["running"]) == (1, 0)
    assert not said["commands"]
    assert "called off" in Path(left["log"]).read_text()


def test_a_file_system_without_locks_is_told_once(
    harness: Call, made: "Made", acting: Acting, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("harness.cli.campaign.lock_warning", _unlocked)
    acting(lambda path, _: made.finish(path, 0.5))
    assert harness("test", "live").err.count("no locks here") == 1


def _unlocked(root: Path) -> str:
    return f"{root}: no locks here (by a test)."


def test_a_run_that_was_interrupted_and_then_called_off_is_cancelled_and_followed_to_its_end(
    harness: Call, runs: list[JobDirectory]
) -> None:
    claimed(runs[0], "one\n").exit(Reason.PREEMPTED, "asked to end")
    assert harness("logs", "-f", runs[0].id).out == "one\n"  # nobody is there who would go on with it
    assert harness("cancel", runs[0].id).out == f"{runs[0].id} will not begin\n"
    assert runs[0].state() is State.CANCELLED
    assert harness("cancel", runs[0].id).out == f"{runs[0].id} is cancelled already\n"
    said = harness("logs", "-f", runs[0].id)
    assert (said.out, said.err) == ("one\n", f"{runs[0].id} is cancelled: preempted: asked to end\n")
