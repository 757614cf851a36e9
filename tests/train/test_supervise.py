"""Every way in which an attempt ends, with real supervisors and small trainers: reason, state, what is left."""

import errno
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from harness.record.attempt import STALE, alive
from harness.record.ending import Exit, Reason
from harness.record.job import Attempt, JobDirectory, State
from harness.spec.resources import Resources
from harness.train.side_by_side import side_by_side
from harness.train.start import fresh
from harness.train.supervise import FAILED, LOST_CLAIM, OK, RESERVE, STOPPED, supervise

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="looks processes up in /proc")
PATIENCE = 60.0
CGROUP = Path("/sys/fs/cgroup/memory")

PRELUDE = """
import ctypes, os, signal, subprocess, sys, time
from pathlib import Path
from harness.record.atomic import write_json
from harness.record.attempt import COMPLETE
from harness.record.ending import Exit, Reason
from harness.record.job import Attempt

attempt = Attempt.opened(Path(sys.argv[1]))

def begun():
    (attempt.path / "begun").touch()

def over(reason, message="", status=0):
    write_json(attempt.path / "outcome.json", Exit(reason, message).as_json())
    sys.exit(status)

def done():
    write_json(attempt.stage / "result.json", {"attempt": attempt.number})
    over(Reason.OK)

def checkpoint(step, whole=True):
    folder = attempt.scratch / f"checkpoint-{step}"
    folder.mkdir(parents=True)
    if whole:
        (folder / COMPLETE).touch()

def stop(*_):
    checkpoint(7)
    over(Reason.PREEMPTED, "stopped as asked after update 7 of 9, with a checkpoint", 75)

"""
STAY = "(attempt.stage / 'half.parquet').touch()\nbegun()\ntime.sleep(600)\n"
ON_GO = "begun()\nwhile not (attempt.path / 'go').exists(): time.sleep(0.01)\n"
HEED = "signal.signal(signal.SIGTERM, stop)\n" + STAY
MAY = Resources(resume="allowed", checkpoint_every=1)


@dataclass
class Bench:
    """Jobs of a test's own, and supervisors of them, each a process of its own."""

    root: Path
    started: list[int] = field(default_factory=list[int])

    def job(self, name: str = "some-run", resources: Resources | None = None) -> JobDirectory:
        job = JobDirectory(self.root / name)
        job.create({"id": name, "identity": {"seed": 1}})
        if resources is not None:
            job.give(resources)
        return job

    def start(self, script: str, *jobs: JobDirectory, before: Callable[[], None] = lambda: None) -> int:
        """Start a supervisor of trainers that run a script; return its pid."""
        pid = os.fork()
        if pid == 0:
            status = 99
            try:
                os.setsid()
                before()
                begin = fresh(lambda attempt: [sys.executable, "-c", PRELUDE + script, str(attempt.path)])
                paths = [job.path for job in jobs]
                status = supervise(paths[0], begin) if len(paths) == 1 else side_by_side(paths, begin)
            finally:
                os._exit(status)
        self.started.append(pid)
        return pid

    def end(self, pid: int) -> int:
        """Wait for a supervisor; return its exit status."""
        deadline = time.monotonic() + PATIENCE
        while True:
            ended, status = os.waitpid(pid, os.WNOHANG)
            if ended:
                self.started.remove(pid)
                return os.waitstatus_to_exitcode(status)
            assert time.monotonic() < deadline, "the supervisor never left"
            time.sleep(0.01)

    def run(self, script: str, job: JobDirectory, **more: Any) -> int:
        """Supervise a script to its end; return the exit status."""
        return self.end(self.start(script, job, **more))


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    bench = Bench(tmp_path)
    yield bench
    for pid in bench.started:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)


def wait(until: Callable[[], Any]) -> Any:
    """Wait until something holds, and return it."""
    deadline = time.monotonic() + PATIENCE
    while not (found := until()):
        assert time.monotonic() < deadline, "it never came about"
        time.sleep(0.02)
    return found


def begun(job: JobDirectory, number: int = 1) -> Path:
    """Wait until an attempt's trainer is at work; return the attempt's folder."""
    attempt = job.path / "attempts" / f"{number:04d}"
    wait((attempt / "begun").exists)
    return attempt


def child(pid: int) -> int:
    """Return a process's only child."""
    (found,) = children(pid)
    return found


def children(pid: int) -> list[int]:
    return [int(n) for n in os.listdir("/proc") if n.isdigit() and parent(int(n)) == pid]


def parent(pid: int) -> int:
    try:
        return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
    except (FileNotFoundError, ProcessLookupError):
        return 0


def exists(pid: int) -> bool:
    """Return whether a process is there and no mere zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def ended(job: JobDirectory) -> Exit:
    end = job.last_exit()
    assert end is not None
    return end


def is_clean(job: JobDirectory, *also: str) -> None:
    """Check that a job without a result has left nothing but its record."""
    left = {path.name for path in job.path.iterdir()}
    assert left == {"spec.json", "attempts", *also}
    assert not any((attempt / "reserve").exists() for attempt in job.attempts())
    assert not any(alive(attempt) for attempt in job.attempts())


def test_a_finished_job_is_committed_and_nothing_is_left_beside_it(bench: Bench) -> None:
    job = bench.job()
    assert bench.run("checkpoint(3)\ndone()", job) == OK
    assert job.state() is State.COMMITTED
    assert ended(job) == Exit(Reason.OK, "")
    assert {path.name for path in job.path.iterdir()} == {"spec.json", "attempts", "result"}
    (attempt,) = job.attempts()
    assert {path.name for path in attempt.iterdir()} == {
        *("beat", "claim.json", "exit.json", "lock", "log.txt", "outcome.json", "timing.json")
    }
    assert json.loads(job.verified("result.json").read_text()) == {"attempt": 1}
    timing = json.loads((attempt / "timing.json").read_text())
    assert timing["cpu_seconds"] > 0
    assert timing["peak_bytes"] > 1e6


@pytest.mark.parametrize(
    ("script", "status", "reason", "message", "state"),
    [
        ("over(Reason.USER_ERROR, 'ValueError: no', 1)", FAILED, Reason.USER_ERROR, "ValueError: no", State.FAILED),
        ("over(Reason.NAN, 'reward is nan', 1)", FAILED, Reason.NAN, "reward is nan", State.FAILED),
        ("over(Reason.OOM_DEVICE, 'no', 1)", FAILED, Reason.OOM_DEVICE, "no", State.FAILED),
        (
            "print('one', flush=True)\nprint('the last words\\n', file=sys.stderr, flush=True)\nos._exit(3)",
            *(FAILED, Reason.USER_ERROR, "its process ended with status 3: the last words", State.FAILED),
        ),
        ("os._exit(3)", FAILED, Reason.USER_ERROR, "its process ended with status 3: without a word", State.FAILED),
        ("os._exit(0)", FAILED, Reason.USER_ERROR, "its process ended with status 0: without a word", State.FAILED),
        (
            "raise RuntimeError('x')",
            FAILED,
            Reason.USER_ERROR,
            "its process ended with status 1: RuntimeError: x",
            State.FAILED,
        ),
        (
            "os.kill(os.getpid(), signal.SIGKILL)",
            *(STOPPED, Reason.KILLED, "its process was ended by SIGKILL", State.INTERRUPTED),
        ),
        ("ctypes.string_at(0)", STOPPED, Reason.KILLED, "its process was ended by SIGSEGV", State.INTERRUPTED),
    ],
)
def test_how_a_trainer_ends_is_told(
    bench: Bench, script: str, status: int, reason: Reason, message: str, state: State
) -> None:
    job = bench.job()
    before = "(attempt.stage / 'half').touch()\n"
    assert bench.run(before + script, job) == status
    assert ended(job) == Exit(reason, message)
    assert job.state() is state
    is_clean(job)


def test_a_trainer_that_cannot_be_started_is_told(bench: Bench) -> None:
    job = bench.job()
    pid = os.fork()
    if pid == 0:
        os._exit(supervise(job.path, fresh(lambda _: ["/no/such/python"])))
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == STOPPED
    assert ended(job).reason is Reason.KILLED
    assert "its trainer could not be started: [Errno 2] No such file or directory: '/no/such/python'" in str(ended(job))
    is_clean(job)


def test_damaged_resources_are_told(bench: Bench) -> None:
    job = bench.job()
    (job.path / "resources.json").write_text("{")
    assert bench.run("done()", job) == FAILED
    assert ended(job).reason is Reason.USER_ERROR
    assert "resources.json: damaged" in ended(job).message
    is_clean(job, "resources.json")


def test_more_memory_than_was_declared_is_told(bench: Bench) -> None:
    job = bench.job(resources=Resources(memory_gib=0.15))
    # in a process of the trainer's, out of its group and session: all of a run's processes count
    big = "x = bytearray(2**28); import time; time.sleep(600)"
    hog = f"subprocess.run([sys.executable, '-c', {big!r}], start_new_session=True)"
    assert bench.run(hog, job) == FAILED
    end = ended(job)
    assert end.reason is Reason.OOM_HOST
    assert re.fullmatch(r"held 0\.\d\d GiB of memory, more than the 0\.15 declared", end.message)
    assert job.state() is State.FAILED
    is_clean(job, "resources.json")


@pytest.fixture
def cgroup() -> Iterator[Path]:
    """Return a memory cgroup of the test's own, of 600 MiB: a supervisor forked from here holds torch's."""
    folder = CGROUP / f"harness-test-{os.getpid()}"
    try:
        folder.mkdir()
    except OSError as error:
        pytest.skip(f"no memory cgroup can be made here: {error}")
    (folder / "memory.limit_in_bytes").write_text(str(600 * 2**20))
    yield folder
    folder.rmdir()


def test_a_trainer_that_the_system_kills_for_want_of_memory_is_told(bench: Bench, cgroup: Path) -> None:
    job = bench.job()

    def inside() -> None:
        (cgroup / "cgroup.procs").write_text(str(os.getpid()))

    assert bench.run("x = [bytearray(2**20) for _ in range(2000)]\ndone()", job, before=inside) == FAILED
    assert ended(job) == Exit(Reason.OOM_HOST, "the system killed it for want of memory (SIGKILL)")
    is_clean(job)


def test_a_time_limit_is_told(bench: Bench) -> None:
    job = bench.job(resources=Resources(minutes=0.03))
    assert bench.run(STAY, job) == STOPPED
    assert ended(job) == Exit(Reason.TIMEOUT, "took longer than the 0.03 minutes declared")
    assert job.state() is State.FAILED
    is_clean(job, "resources.json")


def test_at_its_time_limit_a_run_that_may_resume_leaves_a_checkpoint(bench: Bench) -> None:
    job = bench.job(resources=MAY.model_copy(update={"minutes": 0.05}))
    assert bench.run(HEED, job) == STOPPED
    assert ended(job) == Exit(Reason.TIMEOUT, "took longer than the 0.05 minutes declared", 7)
    assert job.checkpoint() == (7, job.attempts()[0] / "trainer" / "checkpoint-7")
    is_clean(job, "resources.json")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_an_engine_that_wants_its_machine_back_gets_it_at_once(bench: Bench, number: signal.Signals) -> None:
    job = bench.job()
    pid = bench.start(STAY, job)
    begun(job)
    os.kill(pid, number)
    assert bench.end(pid) == STOPPED
    assert ended(job) == Exit(Reason.PREEMPTED, f"it was asked to end, by its engine or by hand ({number.name})")
    assert job.state() is State.INTERRUPTED
    is_clean(job)


def test_a_preempted_run_that_may_resume_leaves_a_checkpoint(bench: Bench) -> None:
    job = bench.job(resources=MAY)
    pid = bench.start(HEED, job)
    begun(job)
    os.kill(pid, signal.SIGTERM)
    assert bench.end(pid) == STOPPED
    assert ended(job) == Exit(Reason.PREEMPTED, "it was asked to end, by its engine or by hand (SIGTERM)", 7)
    is_clean(job, "resources.json")


def test_near_the_engines_limit_a_run_that_may_resume_stops_with_a_checkpoint(bench: Bench) -> None:
    job = bench.job(resources=MAY)
    pid = bench.start(HEED, job)
    begun(job)
    os.kill(pid, signal.SIGUSR2)
    assert bench.end(pid) == STOPPED
    assert ended(job) == Exit(Reason.TIMEOUT, "its engine's time limit was near (SIGUSR2)", 7)


def test_near_the_engines_limit_any_other_run_uses_the_time_that_it_has_left(bench: Bench) -> None:
    job = bench.job()
    pid = bench.start(ON_GO + "done()", job)
    attempt = begun(job)
    os.kill(pid, signal.SIGUSR2)
    time.sleep(1.5)  # longer than between two looks
    assert job.state() is State.RUNNING
    (attempt / "go").touch()
    assert bench.end(pid) == OK
    assert job.state() is State.COMMITTED


def test_what_is_stopped_after_the_warning_ran_out_of_time(bench: Bench) -> None:
    job = bench.job()
    pid = bench.start(STAY, job)
    begun(job)
    os.kill(pid, signal.SIGUSR2)
    time.sleep(0.3)
    os.kill(pid, signal.SIGTERM)
    assert bench.end(pid) == STOPPED
    assert ended(job) == Exit(Reason.TIMEOUT, "its engine's time limit was near (SIGUSR2)")
    assert job.state() is State.FAILED


def test_a_warning_long_before_the_declared_time_is_a_preemption(bench: Bench) -> None:
    job = bench.job(resources=MAY.model_copy(update={"minutes": 30.0}))
    pid = bench.start(HEED, job)
    begun(job)
    os.kill(pid, signal.SIGUSR2)  # as `PreemptParameters=send_user_signal` has SLURM send it
    assert bench.end(pid) == STOPPED
    assert ended(job) == Exit(Reason.PREEMPTED, "it was asked to end, by its engine or by hand (SIGUSR2)", 7)
    assert job.state() is State.INTERRUPTED


def test_an_engine_that_tells_every_process_has_preempted_the_run(bench: Bench) -> None:
    """Ray sends SIGTERM to all descendants at once, so the trainer may be dead before its supervisor has looked."""
    job = bench.job()
    pid = bench.start(STAY, job)
    begun(job)
    os.kill(pid, signal.SIGSTOP)  # so that it looks when both signals have come
    (trainer,) = children(pid)
    os.kill(trainer, signal.SIGTERM)
    os.kill(pid, signal.SIGTERM)
    os.kill(pid, signal.SIGCONT)
    assert bench.end(pid) == STOPPED
    assert ended(job) == Exit(Reason.PREEMPTED, "it was asked to end, by its engine or by hand (SIGTERM)")


def test_a_trainer_that_alone_is_told_to_end_was_killed(bench: Bench) -> None:
    job = bench.job()
    pid = bench.start(STAY, job)
    begun(job)
    (trainer,) = children(pid)
    os.kill(trainer, signal.SIGTERM)
    assert bench.end(pid) == STOPPED
    assert ended(job) == Exit(Reason.KILLED, "its process was ended by SIGTERM")


def test_a_job_that_was_called_off_does_not_begin(bench: Bench) -> None:
    job = bench.job()
    job.call_off()
    assert bench.run("begun()\ndone()", job) == STOPPED
    assert ended(job) == Exit(Reason.CANCELLED, "called off before it began")
    assert job.state() is State.CANCELLED
    is_clean(job, "CANCEL")
    assert not (job.attempts()[0] / "begun").exists()
    job.call_on(float("inf"))
    assert bench.run("done()", job) == OK


def test_a_job_that_is_called_off_stops(bench: Bench) -> None:
    job = bench.job()
    pid = bench.start(STAY, job)
    begun(job)
    job.call_off()
    assert bench.end(pid) == STOPPED
    assert ended(job) == Exit(Reason.CANCELLED, "called off")
    assert job.state() is State.CANCELLED
    is_clean(job, "CANCEL")


def elsewhere(attempt: Path) -> None:
    """Make an attempt one of another machine that has not been heard of for too long."""
    claim = json.loads((attempt / "claim.json").read_text())
    (attempt / "claim.json").write_text(json.dumps({**claim, "machine": "another-host another-boot"}))
    for name in ("claim.json", "beat"):
        then = (attempt / name).stat().st_mtime - 2 * STALE
        os.utime(attempt / name, (then, then))


@pytest.mark.parametrize("resources", [Resources(), MAY])
def test_a_supervisor_that_slept_while_another_took_over_leaves_and_harms_nothing(
    bench: Bench, resources: Resources
) -> None:
    job = bench.job(resources=resources)
    asleep = bench.start(STAY, job)
    old = begun(job)
    os.kill(asleep, signal.SIGSTOP)
    elsewhere(old)
    newer = bench.start(STAY, job)
    begun(job, 2)
    os.kill(asleep, signal.SIGCONT)
    assert bench.end(asleep) == LOST_CLAIM
    said = Exit.read(json.loads((old / "exit.json").read_text()))
    assert said == Exit(Reason.LOST_CLAIM, "a newer attempt holds the claim")
    assert not (job.path / ".stage-0001").exists()
    assert (job.path / ".stage-0002" / "half.parquet").exists()
    assert job.state() is State.RUNNING
    assert child(newer) > 0
    os.kill(newer, signal.SIGTERM)
    assert bench.end(newer) == STOPPED
    assert ended(job).reason is Reason.PREEMPTED


def test_a_supervisor_that_wakes_after_anothers_commit_leaves_the_result_alone(bench: Bench) -> None:
    job = bench.job(resources=MAY)
    asleep = bench.start(
        "begun()\nwhile not (attempt.path / 'go').exists(): time.sleep(0.01)\ncheckpoint(3)\ndone()", job
    )
    old = begun(job)
    os.kill(asleep, signal.SIGSTOP)
    elsewhere(old)
    assert bench.run("done()", job) == OK
    (old / "go").touch()  # only now is the trainer finished, its supervisor still asleep
    wait((old / "outcome.json").exists)
    os.kill(asleep, signal.SIGCONT)
    assert bench.end(asleep) == LOST_CLAIM
    assert json.loads(job.verified("result.json").read_text()) == {"attempt": 2}
    assert {path.name for path in job.path.iterdir()} == {"spec.json", "resources.json", "attempts", "result"}
    assert not (old / "trainer").exists()


def test_a_trainer_that_takes_too_long_to_leave_is_killed(bench: Bench) -> None:
    job = bench.job(resources=MAY.model_copy(update={"grace_seconds": 1.0}))
    pid = bench.start("signal.signal(signal.SIGTERM, lambda *_: begun())\ncheckpoint(2)\n" + STAY, job)
    attempt = begun(job)
    trainer = child(pid)
    (attempt / "begun").unlink()
    asked = time.monotonic()
    os.kill(pid, signal.SIGTERM)
    begun(job)  # it was asked
    assert bench.end(pid) == STOPPED
    assert time.monotonic() - asked >= 1.0
    assert not exists(trainer)
    assert ended(job) == Exit(Reason.PREEMPTED, "it was asked to end, by its engine or by hand (SIGTERM)", 2)


def test_a_killed_supervisor_takes_its_trainer_with_it_and_only_then_is_the_claim_free(bench: Bench) -> None:
    job = bench.job()
    pid = bench.start("signal.signal(signal.SIGTERM, signal.SIG_IGN)\n" + STAY, job)
    attempt = begun(job)
    trainer = child(pid)
    os.kill(trainer, signal.SIGSTOP)  # a stopped process still dies of SIGKILL
    os.kill(pid, signal.SIGKILL)
    assert bench.end(pid) == -signal.SIGKILL
    while exists(trainer):  # what is at work is never without a claim
        assert alive(attempt) or not exists(trainer)
    wait(lambda: not alive(attempt))
    assert job.state() is State.INTERRUPTED
    assert bench.run("done()", job) == OK


def test_a_trainer_whose_supervisor_is_gone_before_it_looks_does_not_begin(tmp_path: Path) -> None:
    job = JobDirectory(tmp_path / "some-run")
    job.create({"id": "some-run", "identity": {"seed": 1}})
    attempt = job.claim({})
    assert attempt is not None
    (gone := subprocess.Popen(["true"])).wait()
    environment = {**os.environ, "HARNESS_SUPERVISOR": str(gone.pid), "PYTHONPATH": ":".join(sys.path)}
    command = [sys.executable, "-m", "harness.train", "--trainer", str(attempt.path)]
    assert subprocess.run(command, env=environment, check=False).returncode == 1
    assert {path.name for path in attempt.path.iterdir()} == {"claim.json", "lock"}


FAKETIME = next(iter(sorted(Path("/usr/lib").glob("*/faketime/libfaketime.so.1"))), None)
SUPERVISE = """
import os, select, sys, time
del os.environ["LD_PRELOAD"]  # of the trainer, whose clock nobody asks
time.sleep = lambda seconds: select.select([], [], [], seconds)  # which under libfaketime is no valid argument
from pathlib import Path
from harness.train.start import fresh
from harness.train.supervise import supervise
sys.exit(supervise(Path(sys.argv[1]), fresh(lambda attempt: [sys.executable, "-c", sys.argv[2], str(attempt.path)])))
"""


def skewed(job: JobDirectory, script: str, clock: str) -> "subprocess.Popen[bytes]":
    """Start a supervisor on a host whose clock is off, the file server's being right."""
    faked = {"LD_PRELOAD": str(FAKETIME), "FAKETIME": clock, "FAKETIME_DONT_FAKE_MONOTONIC": "1"}
    faked |= {"NO_FAKE_STAT": "1"}  # files are dated by the file server
    environment = {**os.environ, **faked, "PYTHONPATH": ":".join(sys.path)}
    return subprocess.Popen([sys.executable, "-c", SUPERVISE, str(job.path), PRELUDE + script], env=environment)


@pytest.mark.skipif(FAKETIME is None, reason="libfaketime is not installed (apt-get install faketime)")
@pytest.mark.parametrize("clocks", [("+1h", "-1h"), ("-1h", "+1h")])
def test_hosts_whose_clocks_are_hours_apart_keep_to_one_claim(bench: Bench, clocks: tuple[str, str]) -> None:
    job = bench.job(resources=Resources(minutes=30))
    first = skewed(job, ON_GO + "done()", clocks[0])
    attempt = begun(job)
    elsewhere(attempt)
    wait(lambda: (attempt / "beat").stat().st_mtime > time.time() - 60)  # its next sign of life
    assert skewed(job, "done()", clocks[1]).wait(PATIENCE) == LOST_CLAIM  # it sees a fresh sign of life
    assert job.state() is State.RUNNING
    (attempt / "go").touch()
    assert first.wait(PATIENCE) == OK
    assert [path.name for path in job.attempts()] == ["0001"]


@pytest.mark.skipif(FAKETIME is None, reason="libfaketime is not installed (apt-get install faketime)")
def test_a_time_limit_is_no_matter_of_a_hosts_clock(bench: Bench) -> None:
    job = bench.job(resources=Resources(minutes=0.03))
    assert skewed(job, STAY, "+1h").wait(PATIENCE) == STOPPED
    assert ended(job).reason is Reason.TIMEOUT
    assert json.loads((job.attempts()[0] / "timing.json").read_text())["wall_seconds"] > 1.8


def test_what_a_trainer_leaves_behind_is_killed(bench: Bench) -> None:
    job = bench.job()
    # one in the trainer's group, one in a session of its own, whose parent is gone before it
    script = (
        "one = subprocess.Popen(['sleep', '600'])\n"
        "two = subprocess.Popen([sys.executable, '-c', 'import subprocess, sys; print(subprocess.Popen([\"sleep\", "
        '"600"], stdout=subprocess.DEVNULL, start_new_session=True).pid)\'], stdout=subprocess.PIPE)\n'
        "(attempt.path / 'pids').write_text(f'{one.pid} {two.communicate()[0].decode()}')\n"
        "done()\n"
    )
    assert bench.run(script, job) == OK
    pids = [int(pid) for pid in (job.attempts()[0] / "pids").read_text().split()]
    assert len(pids) == 2
    assert not any(map(exists, pids))


@pytest.mark.parametrize("whole", [(3,), (3, 6)])
def test_the_newest_whole_checkpoint_of_all_attempts_is_gone_on_from(bench: Bench, whole: Sequence[int]) -> None:
    job = bench.job(resources=MAY)
    assert bench.run("".join(f"checkpoint({n})\n" for n in whole) + "os.kill(os.getpid(), 9)", job) == STOPPED
    assert bench.run("checkpoint(9, whole=False)\nos.kill(os.getpid(), 9)", job) == STOPPED
    assert ended(job).checkpoint == max(whole)
    found = job.checkpoint()
    assert found is not None
    assert (found[0], found[1].parents[1].name) == (max(whole), "0001")
    assert list(job.path.glob("attempts/*/trainer/checkpoint-*")) == [found[1]]  # nobody goes on from the others
    assert bench.run("over(Reason.USER_ERROR, 'no', 1)", job) == FAILED
    assert ended(job).checkpoint == max(whole)
    assert bench.run("done()", job) == OK
    assert job.checkpoint() is None
    assert not list(job.path.glob("attempts/*/trainer"))


def test_of_a_job_that_may_not_resume_no_checkpoint_is_kept(bench: Bench) -> None:
    job = bench.job()
    assert bench.run("checkpoint(3)\nos._exit(3)", job) == FAILED
    assert ended(job).checkpoint is None
    assert not (job.attempts()[0] / "trainer").exists()


@pytest.fixture
def small(tmp_path: Path) -> Iterator[Path]:
    """Return a folder on a file system of one MiB."""
    folder = tmp_path / "small"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(folder)], capture_output=True, check=False
    )
    if mounted.returncode != 0:
        pytest.skip(f"no small file system can be mounted here: {mounted.stderr.decode().strip()}")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


def test_a_disk_that_the_run_fills_is_told(small: Path) -> None:
    bench = Bench(small)
    job = bench.job()
    fill = "with (attempt.stage / 'weights').open('wb', 0) as file:\n    while True: file.write(bytes(4096))\n"
    assert bench.run(fill, job) == FAILED
    full = "its process ended with status 1 on a full disk: without a word"  # nor was there room for one
    assert ended(job) == Exit(Reason.NO_SPACE, full)
    is_clean(job)
    assert bench.run("done()", job) == OK  # now that there is room again


def test_a_result_that_cannot_be_committed_for_want_of_room_is_told(small: Path) -> None:
    bench = Bench(small)
    job = bench.job()
    fill = (
        "write_json(attempt.path / 'outcome.json', Exit(Reason.OK, '').as_json())\n"
        "with (attempt.stage / 'weights').open('wb', 0) as file:\n"
        "    try:\n        while True: file.write(bytes(4096))\n    except OSError: pass\n"
    )
    assert bench.run(fill, job) == FAILED
    assert ended(job) == Exit(
        Reason.NO_SPACE, f"OSError: [Errno 28] No space left on device: '{job.path}/.stage-0001/manifest.json'"
    )
    is_clean(job)
    assert job.manifest() is None
    assert bench.run("done()", job) == OK


def test_a_whole_stage_that_could_not_become_the_result_is_kept_until_there_is_one(bench: Bench) -> None:
    job = bench.job()

    def refuse() -> None:
        def full(self: Path, _: Path) -> None:
            raise OSError(errno.EDQUOT, os.strerror(errno.EDQUOT), str(self))

        pytest.MonkeyPatch().setattr(Path, "rename", full)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(JobDirectory, "claim", claim_then(refuse))
        assert bench.run("done()", job) == FAILED
    assert ended(job) == Exit(
        Reason.NO_SPACE, f"OSError: [Errno {errno.EDQUOT}] Disk quota exceeded: '{job.path}/.stage-0001'"
    )
    assert {path.name for path in (job.path / ".stage-0001").iterdir()} == {"manifest.json", "result.json"}
    assert bench.run("done()", job) == OK
    assert {path.name for path in job.path.iterdir()} == {"spec.json", "attempts", "result"}


def claim_then(act: Callable[[], None]) -> Callable[[JobDirectory, dict[str, Any]], Attempt | None]:
    """Return a way to claim a job that does something afterwards."""
    claim = JobDirectory.claim

    def claiming(job: JobDirectory, about: dict[str, Any]) -> Attempt | None:
        attempt = claim(job, about)
        act()
        return attempt

    return claiming


def test_last_words_that_cannot_be_written_are_printed_without_secrets(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("SOME_API_KEY", "opensesame-123456")
    job = bench.job()

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(Attempt, "exit", full)
    assert bench.run("raise ValueError('no such key: opensesame-123456')", job) == FAILED
    said = capfd.readouterr().err
    assert "ValueError: no such key: [SOME_API_KEY] (not written: [Errno 28]" in said
    assert "opensesame" not in said


def test_on_a_disk_that_somebody_else_filled_the_reason_is_told(small: Path) -> None:
    bench = Bench(small)
    job = bench.job()
    fill = (
        "try:\n    with (attempt.job / '../other').open('wb') as file:\n"
        "        while True: file.write(bytes(4096)); file.flush()\n"
        "except OSError:\n    os._exit(3)\n"
    )
    assert bench.run(fill, job) == FAILED
    assert ended(job).message == "its process ended with status 3 on a full disk: without a word"
    assert (small / "other").stat().st_size + RESERVE > 0.8 * 2**20
    with (small / "other").open("ab", 0) as file, suppress(OSError):
        while True:
            file.write(bytes(512))
    assert bench.run("begun()\ndone()", job) not in (OK, LOST_CLAIM)  # one that finds no room does not begin
    assert job.state() is not State.COMMITTED
    assert not list(job.path.glob("attempts/*/begun"))
    (small / "other").unlink()
    assert bench.run("done()", job) == OK
    assert {path.name for path in job.path.iterdir()} == {"spec.json", "attempts", "result"}


def test_a_copied_folder_is_told_and_harms_nothing(bench: Bench) -> None:
    job = bench.job()
    copy = JobDirectory(bench.root / "a-copy")
    shutil.copytree(job.path, copy.path)
    spec = "from harness.record.job import JobDirectory\nJobDirectory(attempt.job).spec()\ndone()"
    assert bench.run(spec, copy) == FAILED
    assert ended(copy).reason is Reason.USER_ERROR
    assert "spec.json: is that of 'some-run': the folder was copied or renamed." in ended(copy).message
    assert job.state() is State.NEW
    assert bench.run(spec, job) == OK
    shutil.copytree(job.path, bench.root / "another-copy")
    assert bench.run(spec, JobDirectory(bench.root / "another-copy")) == LOST_CLAIM
    assert json.loads(job.verified("result.json").read_text()) == {"attempt": 1}


def test_of_several_side_by_side_one_is_killed_and_the_others_finish(bench: Bench) -> None:
    jobs = [bench.job(f"run-{n}") for n in range(3)]
    pid = bench.start(ON_GO + "done()", *jobs)
    attempts = [begun(job) for job in jobs]
    supervisor = json.loads((attempts[1] / "claim.json").read_text())["pid"]
    assert parent(supervisor) == pid
    os.kill(supervisor, signal.SIGKILL)
    wait(lambda: jobs[1].state() is State.INTERRUPTED)
    for attempt in attempts:
        (attempt / "go").touch()
    assert bench.end(pid) == signal.SIGKILL
    assert [job.state() for job in jobs] == [State.COMMITTED, State.INTERRUPTED, State.COMMITTED]


def test_a_child_that_was_there_before_is_none_of_the_jobs(bench: Bench) -> None:
    """What a site's setup left at work is a child of the worker, which has replaced the shell."""

    def before() -> None:
        os.posix_spawn("/bin/true", ["true"], {})

    jobs = [bench.job(f"run-{n}") for n in range(2)]
    assert bench.end(bench.start("time.sleep(0.3); done()", *jobs, before=before)) == 0
    assert [job.state() for job in jobs] == [State.COMMITTED] * 2


def test_signals_are_passed_on_to_all_side_by_side(bench: Bench) -> None:
    jobs = [bench.job(f"run-{n}", MAY) for n in range(3)]
    pid = bench.start(HEED, *jobs)
    for job in jobs:
        begun(job)
    os.kill(pid, signal.SIGUSR2)
    assert bench.end(pid) == STOPPED
    assert [(ended(job).reason, ended(job).checkpoint) for job in jobs] == [(Reason.TIMEOUT, 7)] * 3


def test_the_worst_end_side_by_side_is_the_status(bench: Bench) -> None:
    jobs = [bench.job(f"run-{n}") for n in range(2)]
    assert bench.end(bench.start("done() if attempt.job.name == 'run-0' else os._exit(3)", *jobs)) == FAILED
    assert [job.state() for job in jobs] == [State.COMMITTED, State.FAILED]
