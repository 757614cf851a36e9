"""`harness cancel`: have runs stopped where they are at work, and not begun where they wait."""

import click

from harness.campaign.reconcile import OVER, call_off
from harness.cli.jobs import in_reach, job_named, jobs_in
from harness.cli.names import run_names
from harness.cli.session import Session, output_options, pass_session
from harness.record.commands import end, working


@click.command()
@click.argument("runs", nargs=-1, metavar="[RUN...]", shell_complete=run_names)
@click.option("--all", "every", is_flag=True, help="Every run and base of the store that is not over.")
@output_options
@pass_session
def command(session: Session, runs: tuple[str, ...], every: bool) -> int:
    """Call RUNs off (ids, or how they begin or end), whoever executes them, on whatever engine.

    With --all the commands end, too, that execute runs of the store. Nothing is lost: a later command that needs runs
    executes them.
    """
    if bool(runs) == every:
        raise click.UsageError("name the runs to call off, or say --all.")
    known = jobs_in(session.store)
    named = [job for job in known if job.state() not in OVER] if every else [job_named(known, run) for run in runs]
    commands = working(session.store) if every else []
    for one in commands:
        end(one)  # before its jobs are called off, or it would make more of them
    told = call_off(named, in_reach(session, named))
    lines = [f"{job} {said}" for job, said in told.items()]
    lines += [f"process {one.pid} on {one.host} ends: {one.line}" for one in commands]
    said = {"jobs": told, "commands": [one.line for one in commands]}
    session.emit(said, "\n".join(lines) or "nothing is at work, and nothing waits")
    return 0
