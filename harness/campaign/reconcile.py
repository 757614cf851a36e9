"""What engines say of the jobs of a store, and calling jobs off: both for commands that execute nothing themselves.

Jobs that a command executes on its own machine are known by their claims alone. Jobs that were handed to an engine
which outlives commands have a handle beside them, and while one has no result its engine is asked.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal

from harness.execute import Executor, Standing, Unreachable
from harness.record.ending import State
from harness.record.job import JobDirectory

Found = Standing | Literal["unreachable"]
Handles = dict[str, list[str]]
"""Ids of jobs by their handle."""
Reach = Mapping[str, Executor]
"""Executors by what kept handles call them."""
OVER = (State.COMMITTED, State.FAILED, State.CANCELLED)


def standing(jobs: Iterable[JobDirectory], reach: Reach) -> dict[str, Found]:
    """Return where the engines have those of the jobs that were handed to one and are not over, by id.

    An engine that does not answer, or is not among those in reach, is `unreachable`: nothing is known then.
    """
    return _where(_handed_over(jobs), reach)


def call_off(jobs: Sequence[JobDirectory], reach: Reach) -> dict[str, str]:
    """Call jobs off, and have engines drop those that wait; return what is to be told of each, by id.

    A handle that stands for several jobs is dropped only where all of them are called off.
    """
    handed_over = _handed_over(jobs)
    where = _where(handed_over, reach)
    told: dict[str, str] = {}
    for job in jobs:
        state = job.state()
        if state in OVER:
            told[job.id] = f"is {state} already"
        else:
            job.call_off()
            told[job.id] = "is at work, and stops within seconds" if state is State.RUNNING else "will not begin"
    for job in jobs:
        said = job.handle()
        if job.id not in where or said is None:
            continue
        silent = where[job.id] == "unreachable"
        if where[job.id] == "queued" and _nobody_else(job, said):
            try:
                reach[said["engine"]].cancel([said["handle"]])
            except Unreachable:
                silent = True
        if silent:
            told[job.id] += f"; {said['engine']} does not answer, and may begin it only to see that it was called off"
    _where(handed_over, reach)  # workers behind an exchange hear of it by the look of whoever asks there
    return told


def _handed_over(jobs: Iterable[JobDirectory]) -> dict[str, Handles]:
    """Return the jobs that were handed to an engine and are not over, by what the engine calls them, by engine."""
    found: defaultdict[str, Handles] = defaultdict(dict)
    for job in jobs:
        if job.state() not in OVER and (said := job.handle()) is not None:
            found[said["engine"]].setdefault(said["handle"], []).append(job.id)
    return found


def _where(handed_over: Mapping[str, Handles], reach: Reach) -> dict[str, Found]:
    found: dict[str, Found] = {}
    for engine, handles in handed_over.items():
        told = _asked(reach.get(engine), list(handles))
        found |= {job: told[handle] for handle, ids in handles.items() for job in ids}
    return found


def _nobody_else(job: JobDirectory, said: Mapping[str, Any]) -> bool:
    """Return whether every job that shares a job's handle is over, or called off too."""
    beside = (JobDirectory(path.parent) for path in job.path.parent.glob("*/handle.json"))
    shared = (one for one in beside if (other := one.handle()) and other["handle"] == said["handle"])
    return all(one.called_off or one.state() in OVER for one in shared)


def _asked(executor: Executor | None, handles: list[str]) -> dict[str, Found]:
    if executor is None:
        return dict.fromkeys(handles, "unreachable")
    try:
        return dict(executor.poll(handles))
    except Unreachable:
        return dict.fromkeys(handles, "unreachable")
