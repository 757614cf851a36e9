"""The supervisor of one attempt: a thin process that claims, watches, and says how it ended, whatever the trainer does.

The trainer, which imports torch, is another process: one that dies of a segmentation fault, or is killed for want of
memory, cannot say so itself. The supervisor gives signs of life, and stops the trainer when a newer attempt holds the
claim, when a user calls the job off, at its time or memory limit, or when the engine asks (SIGTERM: the machine is
wanted back; SIGUSR2: the engine's time limit is near). It alone commits. Nothing here knows torch.

A run that may resume is asked to stop, and has the grace of its resources to write a checkpoint; others are killed at
once, for they begin again anyway.
"""

import os
import re
import shutil
import signal
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from multiprocessing.connection import wait
from pathlib import Path
from typing import Any

from harness.record.atomic import read_json, write_json
from harness.record.ending import Exit, Reason, of_system
from harness.record.job import Attempt, JobDirectory
from harness.record.process import adopt_orphans, family, memory, oom_kills
from harness.spec.resources import Resources
from harness.spec.secrets import without_secrets
from harness.train.claimed import claimed_by

BEAT = 1.0
"""Seconds between signs of life in the first minutes, when somebody may be watching a short run."""
SLOW_BEAT = 15.0
"""Seconds between signs of life of a run that has lasted longer than `SHORT`."""
SHORT = 300.0
LOOK = 1.0
"""Seconds between looks at limits, at the newest claim and at whether the job was called off."""
EARLY = 60.0
"""Seconds by which SLURM may send its warning too early."""
MOMENT = 0.2
"""Seconds between a signal to a trainer and the same to its supervisor, at most, where an engine tells both."""
RESERVE = 65536
"""Bytes kept on the disk for an attempt's last words."""
PATIENCE = 10.0
"""Seconds that killed processes may take to be gone."""
EXIT_CODE = re.compile(r"^ *exitcode *: -(\d+) ", re.MULTILINE)
"""How torch's launcher, which `accelerate launch` calls, tells that a signal ended one of its processes."""
GIB = 2**30
OK, FAILED, STOPPED, LOST_CLAIM = 0, 1, 75, 77
"""Exit statuses of a supervisor: committed; the job's own error; stopped or killed; somebody else has it."""

HEEDED = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR2)
"""Signals that a supervisor takes for a wish of its engine."""

Start = Callable[[Attempt, Resources], int]
"""Starts the trainer as the leader of a process group of its own; returns its pid."""


@dataclass
class _Stop:
    """Why the trainer is being stopped, and until when it may take its leave."""

    reason: Reason
    message: str
    kill_at: float


@dataclass
class Supervision:
    """One attempt under supervision."""

    job: JobDirectory
    attempt: Attempt
    start: Start
    _resources: Resources = field(default_factory=Resources)
    _began: float = 0.0
    _stop: _Stop | None = None
    _told: list[int] = field(default_factory=list[int])
    """Signals that came, in order."""

    def run(self) -> int:
        """Start the trainer, watch it to its end, and return the exit status."""
        try:
            end = self._attempted()
        except (OSError, ValueError) as error:  # a full disk; resources.json damaged
            end = Exit(of_system(error), f"{type(error).__name__}: {error}")
        return self._over(end)

    def _attempted(self) -> Exit:
        """Return how the attempt ended, its result committed if it has one, with no process of it left."""
        self._began = began = time.monotonic()
        killed_before = oom_kills()
        self._resources = self.job.resources()
        with (self.attempt.path / "reserve").open("wb") as file:
            file.write(b"\0" * RESERVE)
        if self.job.called_off:
            return Exit(Reason.CANCELLED, "called off before it began")
        wake = _listen(self._told)
        self.attempt.beat()
        others = set(family(os.getpid()))
        adopt_orphans()
        try:
            pid = self.start(self.attempt, self._resources)
        except OSError as error:
            return Exit(Reason.KILLED, f"its trainer could not be started: {error}")
        try:
            status, used = self._watch(pid, wake, began)
        finally:
            _kill_group(pid)
            _sweep(others)
        self._write_timing(began, used)
        said = read_json(self.attempt.path / "outcome.json")
        return self._ending(status, said, killed_before)

    def _watch(self, pid: int, wake: int, began: float) -> tuple[int, Any]:
        """Wait for the trainer; return its wait status and what it used."""
        beaten = looked = time.monotonic()
        while True:
            ended, status, used = os.wait4(pid, os.WNOHANG)
            if ended:
                return status, used
            now = time.monotonic()
            if now - beaten >= (BEAT if now - began < SHORT else SLOW_BEAT):
                with suppress(OSError):  # a full disk, a server that hangs up: the run may still fit
                    self.attempt.beat()
                beaten = now
            if now - looked >= LOOK or self._told:
                self._look(pid, now - began)
                looked = now
            if self._stop is not None and now >= self._stop.kill_at:
                _kill_group(pid)
            wait([wake], 0.05 if self._stop else min(LOOK, BEAT))
            with suppress(BlockingIOError):
                os.read(wake, 4096)

    def _look(self, pid: int, seconds: float) -> None:
        """Stop the trainer where there is a reason to, the gravest first."""
        if self._stop is not None and self._stop.reason is not Reason.PREEMPTED:
            return
        with suppress(OSError):
            if not self.attempt.newest:
                return self._halt(pid, Reason.LOST_CLAIM, "a newer attempt holds the claim", at_once=True)
            if self.job.called_off:
                return self._halt(pid, Reason.CANCELLED, "called off")
        limits = self._resources
        if limits.memory_gib is not None and (held := memory(family(pid)) or 0) > limits.memory_gib * GIB:
            said = f"held {held / GIB:.2f} GiB of memory, more than the {limits.memory_gib:g} declared"
            return self._halt(pid, Reason.OOM_HOST, said, at_once=True)
        if limits.minutes is not None and seconds > 60 * limits.minutes:
            return self._halt(pid, Reason.TIMEOUT, f"took longer than the {limits.minutes:g} minutes declared")
        wish = self._wish(seconds)
        if wish is not None and (self._stop is None or wish.reason is not self._stop.reason):
            return self._halt(pid, wish.reason, wish.message)
        return None

    def _wish(self, seconds: float) -> Exit | None:
        """Return what signals ask for after so many seconds; a run that begins again anyway may use its last ones.

        A warning that comes long before the time that was declared tells of a preemption: sites can have it sent then.
        """
        warned, minutes = signal.SIGUSR2 in self._told, self._resources.minutes
        others = [signal.Signals(number).name for number in self._told if number != signal.SIGUSR2]
        if warned and (others or self._resources.resume == "allowed"):
            if minutes is not None and seconds < 60 * minutes - EARLY:
                return Exit(Reason.PREEMPTED, "it was asked to end, by its engine or by hand (SIGUSR2)")
            return Exit(Reason.TIMEOUT, "its engine's time limit was near (SIGUSR2)")
        return (
            Exit(Reason.PREEMPTED, f"it was asked to end, by its engine or by hand ({others[0]})") if others else None
        )

    def _halt(self, pid: int, reason: Reason, message: str, *, at_once: bool = False) -> None:
        patient = self._resources.resume == "allowed" and not at_once
        earlier = self._stop.kill_at if self._stop else float("inf")
        grace = self._resources.grace_seconds if patient else 0.0
        self._stop = _Stop(reason, message, min(earlier, time.monotonic() + grace))
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGTERM if patient else signal.SIGKILL)

    def _ending(self, status: int, said: Any, killed_before: int | None) -> Exit:
        """Return how the trainer ended, by what it said and by how its process ended; commit what it finished."""
        told = Exit.read(said) if said is not None else None
        code = os.waitstatus_to_exitcode(status)
        if code == 0 and told is not None and told.reason is Reason.OK:
            committed = self.attempt.commit()
            return Exit(Reason.OK if committed else Reason.LOST_CLAIM, "" if committed else "another was first")
        if self._stop is not None:
            return Exit(self._stop.reason, self._stop.message)
        if code == -signal.SIGTERM and (wish := self._told_too()) is not None:
            return wish
        if told is not None and told.reason is not Reason.OK:
            return told
        by = -code if code < 0 else _signal_of_rank(self.attempt.path) if self._resources.processes > 1 else 0
        if by == signal.SIGKILL and (oom_kills() or 0) > (killed_before or 0):
            return Exit(Reason.OOM_HOST, "the system killed it for want of memory (SIGKILL)")
        if by:
            which = "its process" if code < 0 else "one of its processes"
            return Exit(Reason.KILLED, f"{which} was ended by {signal.Signals(by).name}")
        said = _last_line(self.attempt.path)
        if shutil.disk_usage(self.attempt.path).free < RESERVE:
            return Exit(Reason.NO_SPACE, f"its process ended with status {code} on a full disk: {said}")
        return Exit(Reason.USER_ERROR, f"its process ended with status {code}: {said}")

    def _told_too(self) -> Exit | None:
        """Return what this process was asked, a moment after its trainer was: some engines tell every process."""
        time.sleep(MOMENT)
        return self._wish(time.monotonic() - self._began)

    def _over(self, end: Exit) -> int:
        """Say how the attempt ended, and clear away what nobody needs any more.

        A whole stage that could not be committed is kept, with its manifest, until another attempt has committed.
        """
        (self.attempt.path / "reserve").unlink(missing_ok=True)
        if end.reason is Reason.OK:
            for stage in self.job.path.glob(".stage-*"):  # only now, when no late rename of theirs can win any more
                shutil.rmtree(stage, ignore_errors=True)
            for attempt in self.job.attempts():
                shutil.rmtree(attempt / "trainer", ignore_errors=True)
        elif end.reason is Reason.LOST_CLAIM or not (self.attempt.stage / "manifest.json").is_file():
            shutil.rmtree(self.attempt.stage, ignore_errors=True)
        if self._resources.resume == "never" or self.job.manifest() is not None:
            shutil.rmtree(self.attempt.scratch, ignore_errors=True)
        newest = self.job.checkpoint()
        if self.attempt.newest:
            for folder in self.job.path.glob("attempts/*/trainer/checkpoint-*"):
                if newest is None or folder != newest[1]:  # older, or half written: nobody goes on from there
                    shutil.rmtree(folder, ignore_errors=True)
        try:
            self.attempt.exit(end.reason, end.message, newest[0] if newest else None)
        except OSError as error:
            said = f"{self.attempt.path}: {end.reason}: {end.message} (not written: {error})"
            print(without_secrets(said), file=sys.stderr)
        statuses = {Reason.OK: OK, Reason.LOST_CLAIM: LOST_CLAIM}
        stopped = end.reason in (Reason.PREEMPTED, Reason.TIMEOUT, Reason.CANCELLED, Reason.KILLED)
        return statuses.get(end.reason, STOPPED if stopped else FAILED)

    def _write_timing(self, began: float, used: Any) -> None:
        """Write what the attempt used: what the trainer said beside what the system counted."""
        unit = 1 if sys.platform == "darwin" else 1024  # of ru_maxrss
        said: Any = read_json(self.attempt.path / "outcome.json") or {}
        counted = {
            "cpu_seconds": used.ru_utime + used.ru_stime,
            "wall_seconds": time.monotonic() - began,
            "peak_bytes": used.ru_maxrss * unit,
        }
        with suppress(OSError):  # a full disk
            write_json(self.attempt.path / "timing.json", {**said.get("spent", {}), **counted})


def supervise(folder: Path, start: Start, about: Mapping[str, Any] | None = None) -> int:
    """Execute the job in `folder` unless it is committed or claimed; return the exit status of the process."""
    job = JobDirectory(folder)
    attempt = job.claim({**claimed_by(), **(about or {})})
    if attempt is None:
        return LOST_CLAIM
    return Supervision(job, attempt, start).run()


def _listen(told: list[int]) -> int:
    """Have signals append to `told` and wake whoever waits on the descriptor that is returned."""
    read, write = os.pipe()
    os.set_blocking(read, False)
    os.set_blocking(write, False)
    signal.set_wakeup_fd(write, warn_on_full_buffer=False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    for number in HEEDED:
        signal.signal(number, lambda n, _: told.append(n))
    return read


def _last_line(attempt: Path) -> str:
    """Return the last line of an attempt's log, which of a traceback is the error."""
    try:
        lines = (attempt / "log.txt").read_text(encoding="utf-8", errors="replace").split("\n")
    except OSError:
        lines = []
    return next((line.strip()[:500] for line in reversed(lines) if line.strip()), "without a word")


def _kill_group(pid: int) -> None:
    with suppress(ProcessLookupError, PermissionError):  # nobody left; macOS says the latter of zombies
        os.killpg(pid, signal.SIGKILL)


def _sweep(others: set[int]) -> None:
    """Kill what a trainer left behind, whatever its group: processes of a launcher's, daemons; see them go."""
    deadline = time.monotonic() + PATIENCE
    while (left := [pid for pid in family(os.getpid()) if pid not in others]) and time.monotonic() < deadline:
        for pid in left:
            with suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)
        for pid in left:
            with suppress(ChildProcessError):  # not a child of this process yet
                os.waitpid(pid, os.WNOHANG)
        time.sleep(0.01)


def _signal_of_rank(attempt: Path) -> int:
    """Return the signal that ended one of a launcher's processes by what the launcher logged, 0 where none did."""
    try:
        said = (attempt / "log.txt").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return 0
    found = EXIT_CODE.findall(said)
    return int(found[-1]) if found else 0
