"""An index in the making: one builder at a time on a machine, in a file of its own, which outlives a builder killed.

Whoever builds holds the lock of the store's index; others wait, and find little left to do. A builder works in a hidden
file beside the index, batch by batch in transactions, so that a killed one's file holds what it had taken whole; the
next builder on the same machine, holding the lock, goes on in it. Files of other machines, where the lock may not
reach, and of before a restart are left alone and removed after an hour. Where the lock cannot be had (a file system
without locks, a holder that is stopped) a builder goes on without it, in a file that nobody else goes on in.
"""

import fcntl
import hashlib
import os
import socket
import time
import uuid
from collections.abc import Generator
from contextlib import contextmanager, suppress
from pathlib import Path

LEFT_BEHIND = 3600.0
"""Seconds after which an index in the making that nobody writes to belongs to nobody."""
WAIT = 60.0
"""Seconds that a builder waits for another's end."""
_BOOT = Path("/proc/sys/kernel/random/boot_id")


def machine() -> str:
    """Return what tells this machine, since its last start, from all others, whatever they are called."""
    boot = _BOOT.read_text() if _BOOT.is_file() else str(uuid.getnode())
    return hashlib.sha256(f"{socket.gethostname()} {boot}".encode()).hexdigest()[:12]


@contextmanager
def building(index: Path) -> Generator[bool]:
    """Hold the lock of an index while building it; yields whether it could be had."""
    index.parent.mkdir(parents=True, exist_ok=True)
    handle = os.open(index.with_name(".index.lock"), os.O_RDWR | os.O_CREAT, 0o644)
    try:
        yield _locked(handle)
    finally:
        os.close(handle)


def _locked(handle: int) -> bool:
    until = time.monotonic() + WAIT
    while True:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
        except BlockingIOError:
            if time.monotonic() > until:
                return False
            time.sleep(0.02)
        except OSError:  # this file system has no locks
            return False


def new_file(index: Path, *, anew: bool, locked: bool) -> Path:
    """Return a name that no other builder takes, of this machine or another."""
    how = "apart" if not locked else "anew" if anew else "copy"
    return index.with_name(f".index-{how}-{machine()}-{os.getpid()}-{os.urandom(4).hex()}.duckdb")


def left_behind(index: Path, *, anew: bool) -> list[Path]:
    """Return what killed builders of this machine left (`anew`: only what was built from nothing); needs the lock."""
    kinds = ("anew",) if anew else ("anew", "copy")
    return [path for how in kinds for path in sorted(index.parent.glob(f".index-{how}-{machine()}-*.duckdb"))]


def sweep(index: Path, kept: Path | None, *, locked: bool) -> None:
    """Remove what killed builders left: with the lock, all of this machine but `kept`; of others after an hour."""
    own = f"-{machine()}-" if locked else None
    for left in index.parent.glob(".index-*"):
        with suppress(FileNotFoundError):  # its builder has just finished
            mine = own is not None and own in left.name and not left.name.startswith(".index-apart-")
            if kept is not None and left.name.startswith(kept.name):
                continue
            if mine or time.time() - left.stat().st_mtime > LEFT_BEHIND:
                left.unlink()


def discard(path: Path) -> None:
    """Remove a database with its log, if they are there."""
    for file in (path, log_of(path)):
        file.unlink(missing_ok=True)


def log_of(path: Path) -> Path:
    """Return where DuckDB keeps what is committed and not yet in the file itself."""
    return path.with_name(path.name + ".wal")
