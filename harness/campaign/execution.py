"""Executing jobs until each is committed or has said why not.

What is lost (killed, or its host gone) is repeated a few times; an error of the run's own is not, because the same
seed would meet it again. Jobs that another command has claimed are waited for. The driver keeps no state of its own:
kill it, start it again.
"""

import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from harness.execute import Executor
from harness.record.job import JobDirectory, State

MAX_LOST = 3
"""How often one command repeats a job that is killed from outside."""
TICK = 0.1
"""Seconds between looks."""


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
    """Job id: last heartbeat."""
    seconds: float = 0.0
    """Since this command began executing."""

    def remaining_seconds(self) -> float | None:
        """Return the time that the rest would take at the pace so far, or None before anything was finished."""
        left = self.planned - self.done - len(self.failed)
        return self.seconds / self.executed * left if self.executed else None


Watch = Callable[[Progress], None]


def execute(what: str, jobs: Sequence[JobDirectory], executor: Executor, watch: Watch) -> Progress:
    """Execute what is not committed; call `watch` about ten times a second; return where everything ended."""
    began = time.monotonic()
    open_jobs = {str(job.path): job for job in jobs if job.state() is not State.COMMITTED}
    progress = Progress(what, planned=len(jobs), done=len(jobs) - len(open_jobs))
    lost: Counter[str] = Counter()
    executor.submit([job.path for job in open_jobs.values() if job.state() is not State.RUNNING])
    while open_jobs:
        standing = executor.poll()
        for handle, job in list(open_jobs.items()):
            if standing.get(handle, "gone") != "gone":
                continue
            state = job.state()
            if state is State.COMMITTED:
                del open_jobs[handle]
                progress.done += 1
                progress.executed += handle in standing
            elif state is State.FAILED and handle in standing:
                del open_jobs[handle]
                progress.failed[job.id] = _said(job)
            elif state is not State.RUNNING:
                lost[handle] += handle in standing
                if lost[handle] > MAX_LOST:
                    del open_jobs[handle]
                    progress.failed[job.id] = _lost(job, lost[handle], executor.log)
                else:
                    executor.submit([job.path])
        working = [job for handle, job in open_jobs.items() if standing.get(handle, "gone") != "queued"]
        progress.running = {job.id: job.heartbeat() for job in working}
        progress.seconds = time.monotonic() - began
        watch(progress)
        if open_jobs:
            time.sleep(TICK)
    return progress


def _lost(job: JobDirectory, times: int, log: Path) -> str:
    if job.attempts():
        return f"killed {times} times"
    return f"its process ended before it began, {times} times; see {log}"


def _said(job: JobDirectory) -> str:
    end = job.last_exit()
    return f"{end.message} (see {job.attempts()[-1] / 'log.txt'})" if end else "ended without a word"
