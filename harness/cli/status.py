"""`harness status`: what the records say now; reads job directories, so it answers while anything runs."""

import sys
import time
from collections import Counter
from typing import Any

import click

from harness.cli.session import Session, output_options, pass_session
from harness.publish.terminal import drawn_over
from harness.record.job import JobDirectory, State
from harness.record.layout import Store
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
        said = _looked(session.store)
        if watch and not session.json and drawn_over(sys.stdout):
            click.clear()
        session.emit(said, _text(said))
        if not watch:
            return 0
        time.sleep(EVERY)


def _looked(store: Store) -> dict[str, Any]:
    said: dict[str, Any] = {"store": str(store.root)}
    for what, folder in (("bases", store.bases), ("runs", store.runs)):
        jobs = [JobDirectory(path) for path in sorted(folder.glob("*")) if (path / "spec.json").exists()]
        states = {job.id: job.state() for job in jobs}
        counts = Counter(states.values())
        said[what] = {str(state): counts[state] for state in State}
        said[f"{what}_running"] = {job.id: job.progress() for job in jobs if states[job.id] is State.RUNNING}
        said[f"{what}_failed"] = {
            job.id: end.message
            for job in jobs
            if states[job.id] is State.FAILED and (end := job.last_exit()) is not None
        }
    said["verdicts"] = [[v.hypothesis, v.protocol, v.base, str(v.outcome)] for v in latest(store)]
    return said


def _text(said: dict[str, Any]) -> str:
    lines = [f"store {said['store']}"]
    for what in ("bases", "runs"):
        counts = ", ".join(f"{count} {state}" for state, count in said[what].items() if count)
        lines.append(f"{what}: {counts or 'none'}")
        for job, beat in said[f"{what}_running"].items():
            step = f"step {beat['step']} of {beat['steps']}" if beat.get("steps") else ""
            reward = f"reward {beat['reward']:.2f}" if beat.get("reward") is not None else ""
            lines.append(f"  {job}  {beat.get('phase', 'starting')} {step} {reward}".rstrip())
        lines += [f"  {job}  failed: {message}" for job, message in said[f"{what}_failed"].items()]
    lines += [
        f"verdict: {name} {outcome} (protocol {protocol}, base {base})"
        for name, protocol, base, outcome in said["verdicts"]
    ]
    return "\n".join(lines)
