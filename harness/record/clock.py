"""The clock of the file system that a store lies on, and which machine this is.

Hosts disagree about the time, so ages and orders of files are judged by the clock that stamps them all: the file
server's. Two processes are on one machine if its kernel was booted once for both; equal host names prove nothing.
"""

import os
import socket
from functools import cache
from pathlib import Path

BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


def file_time(folder: Path) -> float:
    """Return the time now by the clock of the file system that `folder` lies on, seconds since the epoch.

    Raises:
        OSError: nothing can be written there.
    """
    probe = folder / f".now-{os.getpid()}-{os.urandom(4).hex()}"
    probe.touch(exist_ok=False)
    try:
        return probe.stat().st_mtime
    finally:
        probe.unlink()


@cache
def machine() -> str:
    """Return what names this machine since it was booted: its host name, and the kernel's boot id if it has one."""
    boot = BOOT_ID.read_text().strip() if BOOT_ID.is_file() else "boot-unknown"
    return f"{socket.gethostname()} {boot}"
