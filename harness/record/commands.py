"""Commands that are executing runs of a store right now, as they say themselves: who, where, what, since when.

    commands/HOST-PID.json      held locked for as long as the command executes; touched at every look
    commands/HOST-PID.log       what a command that was left alone printed

Nothing rests on these files but what people are told: who executes what is decided by the claims of the jobs.
"""

import fcntl
import os
import socket
import time
from collections.abc import Generator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.record.atomic import read_json, write_json
from harness.record.attempt import STALE
from harness.record.clock import file_time, machine
from harness.record.foreign import MALFORMED
from harness.record.layout import Store

LOOKS = 100
"""Times that a command tries to lock its file while somebody looks at it."""


@dataclass(frozen=True, slots=True)
class Command:
    """A command at work."""

    host: str
    pid: int
    line: str
    """What was typed, as far as it may be told."""
    began: float
    """Seconds since the epoch, by the file server's clock."""
    file: Path


@contextmanager
def at_work(store: Store, line: str) -> Generator[Path]:
    """Say that this command executes runs of a store, for as long as the context lasts; yield the file to touch."""
    store.commands.mkdir(parents=True, exist_ok=True)
    file = store.commands / f"{socket.gethostname()}-{os.getpid()}.json"
    file.with_suffix(".end").unlink(missing_ok=True)  # of one that was killed, and had this number
    said = {"host": socket.gethostname(), "machine": machine(), "pid": os.getpid(), "line": line}
    write_json(file, {**said, "began": file_time(store.commands)})
    lock = os.open(file, os.O_RDWR)  # NFS locks exclusively only what is open for writing
    with suppress(OSError):  # a file system without locks
        _hold(lock)
    try:
        yield file
    finally:
        file.with_suffix(".end").unlink(missing_ok=True)
        file.unlink(missing_ok=True)
        os.close(lock)


def _hold(lock: int) -> None:
    """Lock a file that others lock for a moment at a time, to see whether it is held."""
    for _ in range(LOOKS):
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except BlockingIOError:
            time.sleep(0.01)


def working(store: Store) -> list[Command]:
    """Return the commands that execute runs of a store, the first to begin first."""
    found: list[Command] = []
    for file in store.commands.glob("*.json"):
        with suppress(*MALFORMED, OSError):  # it has just ended, or is no file of ours, and nothing rests on it
            said: dict[str, Any] = read_json(file) or {}
            if _alive(file, said):
                found.append(
                    Command(str(said["host"]), int(said["pid"]), str(said["line"]), float(said["began"]), file)
                )
    return sorted(found, key=lambda one: one.began)


def end(command: Command) -> None:
    """Have a command end at its next look, whatever it was still going to execute."""
    command.file.with_suffix(".end").touch()


def ended(file: Path) -> bool:
    """Return whether the command of this file is to end."""
    return file.with_suffix(".end").exists()


def _alive(file: Path, said: dict[str, Any]) -> bool:
    if said["machine"] != machine():
        return file_time(file.parent) - file.stat().st_mtime < STALE
    lock = os.open(file, os.O_RDONLY)
    try:
        fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return file_time(file.parent) - file.stat().st_mtime < STALE
    finally:
        os.close(lock)
    return False
