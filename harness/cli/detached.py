"""A command that goes on without its terminal: the same line, in a session of its own, printing into a file.

It returns once the command is at work, or has ended before, with what it said. Nothing hangs on the process that was
left: it can be killed, and the same line typed again on any machine that sees the store goes on from there.
"""

import os
import shlex
import socket
import subprocess
import sys
import time

import click

from harness.cli.session import Session
from harness.record.commands import Command, working

PATIENCE = 600.0
"""Seconds until the command is left although it has not begun to execute: it may be fetching a model."""
LOOK = 0.2


def leave_at_work(session: Session) -> int:
    """Start this command again without --detach and without a terminal; return 0 once it is at work."""
    line = [word for word in session.typed if word != "--detach"]
    session.store.make()
    session.store.commands.mkdir(parents=True, exist_ok=True)
    log = session.store.commands / f"left-{time.strftime('%Y%m%d-%H%M%S')}-{os.urandom(3).hex()}.log"
    with log.open("ab") as file:
        left = subprocess.Popen(
            [sys.executable, "-P", "-m", "harness", *line],
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    found = _begun(session, left)
    if found is None and left.poll() is not None:
        click.echo(log.read_text(encoding="utf-8", errors="replace"), nl=False, err=left.returncode != 0)
        return left.returncode
    said = {"pid": left.pid, "log": str(log), "line": shlex.join(["harness", *line])}
    follow = "`harness status` shows where it is, `harness cancel --all` ends it"
    session.emit(said, f"at work in the background as process {left.pid}, printing into {log}\n{follow}")
    return 0


def _begun(session: Session, left: "subprocess.Popen[bytes]") -> Command | None:
    """Wait until the command executes runs, or is over; return it where it does."""
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline and left.poll() is None:
        if found := [one for one in working(session.store) if (one.host, one.pid) == (socket.gethostname(), left.pid)]:
            return found[0]
        time.sleep(LOOK)
    return None
