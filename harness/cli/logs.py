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
KNOWN = 4096
"""Bytes of what was shown last, by which the place is found again in a file that was replaced."""
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
        has = "1 attempt" if len(attempts) == 1 else f"{len(attempts)} attempts"
        raise click.ClickException(f"{job.id} has {has}, none of number {attempt}. Name one of them.")
    if not attempts:
        raise click.ClickException(f"{job.id}: {_not_begun(session, job)}")
    shown = attempts[(attempt or len(attempts)) - 1]
    text = Reading(shown / "log.txt").more(whole=True).decode("utf-8", "replace")
    said = {"id": job.id, "attempt": int(shown.name), "state": str(job.state()), "log": text}
    session.emit(said, text.rstrip("\n") or f"{job.id}: attempt {int(shown.name)} has printed nothing", as_is=True)
    return 0


def followed(store: Store, job: JobDirectory) -> Iterator[bytes]:
    """Yield what a job prints, attempt after attempt, until it is over."""
    number = max(1, len(job.attempts()))
    reading: Reading | None = None
    while True:
        over = job.state() in ENDED or _abandoned(store, job)
        attempts = job.attempts()
        if number <= len(attempts):
            reading = reading or Reading(attempts[number - 1] / "log.txt")
            yield reading.more(whole=over or number < len(attempts))
            if number < len(attempts):
                number, reading = number + 1, None
                yield f"--- attempt {number}\n".encode()
                continue
        if over:
            return
        time.sleep(EVERY)


class Reading:
    """A log as it may be shown, bit by bit: without secrets, and without signs that could command the terminal.

    The file may be replaced while it is read, by one that begins later, as the end of a log that an exchange has, or
    that secrets were taken out of. Then it goes on after what was shown last.
    """

    def __init__(self, log: Path):
        self._log = log
        self._read = 0
        """The byte to go on from."""
        self._before, self._shown = b"", b""
        """The last bytes before it, and what they are without secrets."""

    def more(self, *, whole: bool) -> bytes:
        """Return what there is beyond what was returned before; only whole lines of a log that still grows."""
        try:
            with os.fdopen(ordinary(self._log), "rb") as file:
                file.seek(max(0, self._read - len(self._before)))
                if file.read(len(self._before)) != self._before:
                    file.seek(0)
                    self._read = self._place(file.read())
                    file.seek(self._read)
                said = file.read()
        except OSError:  # none yet, or none of ours
            return b""
        said = said if whole else said[: said.rfind(b"\n") + 1]
        clean = without_secrets(said.decode("utf-8", "surrogateescape")).encode("utf-8", "surrogateescape")
        self._read += len(said)
        self._before = (self._before + said)[-KNOWN:]
        self._shown = (self._shown + clean)[-KNOWN:]
        return clean.translate(PRINTABLE)

    def _place(self, content: bytes) -> int:
        """Return the byte of another file's content that follows what was shown last; 0 where nothing of that is left.

        A secret was taken out of the content, or it was not.
        """
        for known in (self._before, self._shown):
            at = content.rfind(known) if len(known) == KNOWN else content.find(known)  # all of it, or how it began
            if at >= 0:
                self._before = known
                return at + len(known)
        lines = self._shown.splitlines(keepends=True)
        left = (b"".join(lines[number:]) for number in range(len(lines)))
        self._before = next((part for part in left if content.startswith(part)), b"")
        return len(self._before)


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
