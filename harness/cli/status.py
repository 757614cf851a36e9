"""`harness status`: what the records say now, and what engines say of jobs that were handed to them.

Reads job directories, so it answers while anything runs. An engine that does not answer is told as such: what it has
may well go on.
"""

import sys
import time
from collections import Counter
from collections.abc import Iterator
from typing import Any

import click

from harness.campaign.reconcile import standing
from harness.cli.jobs import in_reach, jobs_in
from harness.cli.session import Session, output_options, pass_session
from harness.publish.terminal import drawn_over
from harness.record.commands import working
from harness.record.job import JobDirectory, State
from harness.record.verdict_files import latest

EVERY = 2.0
"""Seconds between looks with --watch."""


@click.command()
@click.option("--watch", is_flag=True, help="Look again every two seconds.")
@output_options
@pass_session
def command(session: Session, watch: bool) -> int:
    """Show how many bases and runs are done, at work, interrupted or failed, and the stored verdicts."""
    while True:
        said = _looked(session)
        if watch and not session.json and drawn_over(sys.stdout):
            click.clear()
        session.emit(said, "\n".join(_lines(said)))
        if not watch:
            return 0
        time.sleep(EVERY)


def _looked(session: Session) -> dict[str, Any]:
    store = session.store
    said: dict[str, Any] = {"store": str(store.root)}
    said["commands"] = [{"host": c.host, "pid": c.pid, "line": c.line, "began": c.began} for c in working(store)]
    jobs = jobs_in(store)
    for what, folder in (("bases", store.bases), ("runs", store.runs)):
        said |= _counted(what, [job for job in jobs if job.path.parent == folder])
    said["engines"] = standing(jobs, in_reach(session, jobs))
    said["verdicts"] = [[v.hypothesis, v.protocol, v.base, str(v.outcome)] for v in latest(store)]
    return said


def _counted(what: str, jobs: list[JobDirectory]) -> dict[str, Any]:
    states = {job.id: job.state() for job in jobs}
    counts = Counter(states.values())
    ends = {job.id: job.last_exit() for job in jobs if states[job.id] is State.FAILED}
    return {
        what: {str(state): counts[state] for state in State},
        f"{what}_running": {job.id: job.progress() for job in jobs if states[job.id] is State.RUNNING},
        f"{what}_failed": {job: f"{end.reason}: {end.message}" for job, end in ends.items() if end is not None},
    }


def _lines(said: dict[str, Any]) -> Iterator[str]:
    yield f"store {said['store']}"
    for one in said["commands"]:
        yield f"at work: {one['line']} (process {one['pid']} on {one['host']})"
    for what in ("bases", "runs"):
        counts = ", ".join(f"{count} {state}" for state, count in said[what].items() if count)
        yield f"{what}: {counts or 'none'}"
        for job, beat in said[f"{what}_running"].items():
            step = f"step {beat['step']} of {beat['steps']}" if beat.get("steps") else ""
            reward = f"reward {beat['reward']:.2f}" if beat.get("reward") is not None else ""
            yield f"  {job}  {beat.get('phase', 'starting')} {step} {reward}".rstrip()
        yield from (f"  {job}  failed: {message}" for job, message in said[f"{what}_failed"].items())
    if said["engines"]:
        counts = Counter(map(str, said["engines"].values()))
        yield "engine: " + ", ".join(f"{count} {where}" for where, count in sorted(counts.items()))
    for name, protocol, base, outcome in said["verdicts"]:
        yield f"verdict: {name} {outcome} (protocol {protocol}, base {base})"
