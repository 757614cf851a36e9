"""Executing jobs until each is committed or has said why not.

The job directories alone say what became of a job; the engine only says whether it still has it. An engine that does
not answer is waited for, and nothing is taken for gone meanwhile. Jobs that another command has claimed are waited for.
The driver keeps no state of its own: handles lie beside the jobs, so it can be killed and started again anywhere the
store is visible.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from harness.campaign.policy import Losses
from harness.execute import Executor, Refused, Standing, Unreachable
from harness.record.atomic import read_json
from harness.record.ending import Exit, Reason
from harness.record.job import JobDirectory, State
from harness.record.process import driver

CALLED_OFF = Exit(Reason.CANCELLED, "called off")
LEAST = 0.02
"""Seconds between looks at least, while jobs are open."""


@dataclass(slots=True)
class Progress:
    """Where a set of jobs stands, for whoever watches."""

    what: str
    """`bases` or `runs`."""
    planned: int
    done: int
    """Committed, those of earlier commands included."""
    executed: int = 0
    """Committed by this command."""
    failed: dict[str, str] = field(default_factory=dict[str, str])
    """Job id: why it will give no result in this command."""
    running: dict[str, dict[str, Any]] = field(default_factory=dict[str, dict[str, Any]])
    """Job id: what it last said of its work."""
    queued: int = 0
    """With the engine, not begun."""
    repeated: int = 0
    """Attempts that were lost and are made again."""
    trouble: str = ""
    """What the engine says that keeps this command waiting."""
    seconds: float = 0.0
    """Since this command began executing."""

    def remaining_seconds(self) -> float | None:
        """Return the time that the rest would take at the pace so far, or None before anything was finished."""
        left = self.planned - self.done - len(self.failed)
        return self.seconds / self.executed * left if self.executed else None


Watch = Callable[[Progress], None]


@dataclass(slots=True)
class _Open:
    """A job without a result yet, as this command sees it."""

    job: JobDirectory
    handle: str | None = None
    """What the engine calls it; None while it is to be handed over, or in another command's hands."""
    before: int = 0
    """Attempts that there were when it was handed over."""
    taken_up: bool = False
    """Whether an earlier command handed it over, which may have died before the engine had it."""
    losses: Losses = field(default_factory=Losses)


class Execution:
    """One command's execution of a set of jobs on one engine."""

    def __init__(self, what: str, jobs: Sequence[JobDirectory], executor: Executor):
        self._executor = executor
        self._began = time.monotonic()
        states = [(job, job.state()) for job in jobs]
        self._open = [_Open(job) for job, state in states if state is not State.COMMITTED]
        self.progress = Progress(what, planned=len(jobs), done=len(jobs) - len(self._open))
        for one in list(self._open):
            self._take_up(one)

    def run(self, watch: Watch) -> Progress:
        """Execute; call `watch` after every look; return where everything ended."""
        while self._open:
            self._hand_over()
            self._look()
            self.progress.seconds = time.monotonic() - self._began
            watch(self.progress)
            if self._open:
                time.sleep(max(LEAST, self._executor.interval))
        return self.progress

    def _take_up(self, one: _Open) -> None:
        """Take up a job that this engine was given by an earlier command, and that may still be with it."""
        if one.job.called_off:
            self._fail(one, one.losses.told(CALLED_OFF))
            return
        if not self._executor.lasting:
            return
        said = one.job.handle()
        if said is not None and said.get("engine") == self._executor.name:
            at_work = one.job.state() is State.RUNNING
            over = len(one.job.attempts()) - at_work  # how those ended is no word of the engine's on this command
            one.handle, one.before, one.taken_up = said["handle"], over, True

    def _hand_over(self) -> None:
        """Give the engine what nobody has."""
        for one in [one for one in self._open if one.handle is None and one.job.called_off]:
            self._fail(one, one.losses.told(CALLED_OFF))
        held = (State.RUNNING, State.COMMITTED)  # by another command
        free = [one for one in self._open if one.handle is None and one.job.state() not in held]
        self.progress.trouble = ""
        if not free:
            return
        before = [len(one.job.attempts()) for one in free]
        try:
            handles = self._executor.submit([one.job.path for one in free])
        except Unreachable as error:
            self.progress.trouble = str(error)
            return
        except Refused as error:
            for one in free:
                self._fail(one, str(error))
            return
        for one, handle, count in zip(free, handles, before, strict=True):
            one.handle, one.before = handle, count
            if self._executor.lasting:  # a driver that dies just before this line leaves a job that finds a claim
                one.job.handed_over(self._executor.name, handle, count)

    def _look(self) -> None:
        """Ask the engine, then the job directories, where every open job stands."""
        standing = self._standing()
        self.progress.running = {}
        self.progress.queued = 0
        for one in list(self._open):
            where = standing.get(one.handle, "gone") if one.handle is not None else "gone"
            if where == "queued":
                self.progress.queued += 1
            if where == "gone" or self._executor.lasting:
                self._settle(one, where)
            if one in self._open and where == "running":
                self.progress.running[one.job.id] = one.job.progress()

    def _standing(self) -> dict[str, Standing]:
        handles = list(dict.fromkeys(one.handle for one in self._open if one.handle is not None))
        try:
            found = self._executor.poll(handles)
        except Unreachable as error:
            self.progress.trouble = str(error)
            return dict.fromkeys(handles, "queued")
        return found

    def _settle(self, one: _Open, where: Standing) -> None:
        """Draw the consequence of what a job's directory says, once its engine has let go of it."""
        state = one.job.state()
        if state is State.COMMITTED:
            self._open.remove(one)
            self.progress.done += 1
            self.progress.executed += one.handle is not None and _ours(one.job)
        elif where == "gone" and state is State.RUNNING:  # another command's, or a worker that the engine lost sight of
            self.progress.running[one.job.id] = one.job.progress()
        elif where == "gone" and one.handle is not None:
            self._lost(one)

    def _lost(self, one: _Open) -> None:
        """Repeat a job whose attempt ended without a result, or give it up with its reason."""
        began = len(one.job.attempts()) > one.before
        known, one.taken_up = one.taken_up, False
        if known and not began and not one.job.called_off:  # the engine never had it, or has forgotten it
            one.handle = None
            return
        end = (one.job.last_exit() if began else None) or Exit(Reason.KILLED, "" if began else self._unbegun())
        end = CALLED_OFF if one.job.called_off else end
        one.handle = None
        if one.losses.repeat(end):
            self.progress.repeated += 1
            return
        log = f" (see {one.job.attempts()[-1] / 'log.txt'})" if end.reason is Reason.USER_ERROR else ""
        self._fail(one, one.losses.told(end) + log)

    def _unbegun(self) -> str:
        return f"its process ended before it began; see {self._executor.log}"

    def _fail(self, one: _Open, why: str) -> None:
        self._open.remove(one)
        self.progress.failed[one.job.id] = why


def execute(what: str, jobs: Sequence[JobDirectory], executor: Executor, watch: Watch) -> Progress:
    """Execute what is not committed; call `watch` after every look; return where everything ended."""
    return Execution(what, jobs, executor).run(watch)


def _ours(job: JobDirectory) -> bool:
    """Return whether the attempt that committed was not another command's on this machine."""
    attempts: list[Path] = job.attempts()
    claim: dict[str, Any] = read_json(attempts[-1] / "claim.json") or {} if attempts else {}
    return claim.get("driver") in (None, driver())
