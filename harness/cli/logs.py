"""`harness logs`: what a run, or a base, prints while it is at work."""

import os
import time
from collections.abc import Iterator
from pathlib import Path

import click

from harness.cli.jobs import in_reach, job_named, jobs_in
from harness.cli.names import run_names
from harness.cli.session import Session, output_options, pass_session
from harness.record.commands import working
from harness.record.ending import State
from harness.record.foreign import ordinary
from harness.record.job import JobDirectory
from harness.record.layout import Store
from harness.spec.secrets import without_secrets

EVERY = 0.5
"""Seconds between looks with --follow."""
PRINTABLE = bytes(byte if (byte >= 32 and byte != 127) or byte in b"\t\n" else ord("?") for byte in range(256))
"""Every byte as it may be shown."""
ENDED = (State.COMMITTED, State.FAILED, State.CANCELLED)


@click.command()
@click.argument("run", shell_complete=run_names)
@click.option("-f", "--follow", is_flag=True, help="Go on as it grows, into later attempts, until the run is over.")
@click.option("--attempt", type=click.IntRange(min=1), metavar="N", help="Of this attempt (default: the last).")
@output_options
@pass_session
def command(session: Session, run: str, follow: bool, attempt: int | None) -> int:
    """Show the log of RUN (a run or a base: an id, or how one begins or ends)."""
    job = job_named(jobs_in(session.store), run)
    if follow:
        if session.json or attempt:
            raise click.UsageError("--follow goes with neither --json nor --attempt. Leave one out.")
        for text in followed(session.store, job):
            click.echo(text, nl=False)
        click.echo(_ended(job), err=True)
        return 0
    attempts = job.attempts()
    if attempt is not None and not 1 <= attempt <= len(attempts):
        raise click.ClickException(
            f"{job.id} has {len(attempts)} attempts, none of number {attempt}. Name one of them."
        )
    if not attempts:
        raise click.ClickException(f"{job.id}: {_not_begun(session, job)}")
    shown = attempts[(attempt or len(attempts)) - 1]
    text = _read(shown / "log.txt", 0)[0].decode("utf-8", "replace")
    said = {"id": job.id, "attempt": int(shown.name), "state": str(job.state()), "log": text}
    session.emit(said, text.rstrip("\n") or f"{job.id}: attempt {int(shown.name)} has printed nothing", as_is=True)
    return 0


def followed(store: Store, job: JobDirectory) -> Iterator[bytes]:
    """Yield what a job prints, attempt after attempt, until it is over."""
    number = max(1, len(job.attempts()))
    read = 0
    while True:
        over = job.state() in ENDED or _abandoned(store, job)
        attempts = job.attempts()
        if number <= len(attempts):
            text, read = _read(attempts[number - 1] / "log.txt", read, whole=over or number < len(attempts))
            yield text
            if number < len(attempts):
                number, read = number + 1, 0
                yield f"--- attempt {number}\n".encode()
                continue
        if over:
            return
        time.sleep(EVERY)


def _read(log: Path, start: int, *, whole: bool = True) -> tuple[bytes, int]:
    """Return a log from a byte on as it may be shown, and the byte after; only whole lines of one that still grows.

    Without secrets, and without the signs by which a text could command the terminal that shows it.
    """
    try:
        with os.fdopen(ordinary(log), "rb") as file:
            file.seek(start)
            said = file.read()
    except OSError:  # none yet, or none of ours
        return b"", start
    said = said if whole else said[: said.rfind(b"\n") + 1]
    clean = without_secrets(said.decode("utf-8", "surrogateescape")).encode("utf-8", "surrogateescape")
    return clean.translate(PRINTABLE), start + len(said)


def _abandoned(store: Store, job: JobDirectory) -> bool:
    """Return whether a job is at rest and nobody is there who would go on with it."""
    at_rest = job.state() in (State.NEW, State.INTERRUPTED)
    return at_rest and job.handle() is None and not working(store)


def _ended(job: JobDirectory) -> str:
    end = job.last_exit()
    why = f": {end.reason}: {end.message}" if end is not None and end.message else ""
    return f"{job.id} is {job.state()}{why}"


def _not_begun(session: Session, job: JobDirectory) -> str:
    said = job.handle()
    if said is None:
        return "has not begun, so it has no log yet. `harness status` shows what is at work."
    logs = sorted({str(one.log) for one in in_reach(session, [job]).values()})
    where = f" What the engine prints: {', '.join(logs)}." if logs else ""
    return f"is with {said['engine']} as {said['handle']}, and has not begun.{where}"
