"""What depends on the operating system: dying with one's parent, forking after heavy imports, memory of processes.

Linux sends a signal when the parent is gone; elsewhere a worker notices when it next beats. Forking after importing
torch is sound on Linux with one thread a process; macOS forbids it for its own libraries, so there each run gets a
fresh process. Which processes a process has started, what memory they hold, and whether the system killed one for want
of it, is known on Linux only.
"""

import ctypes
import os
import signal
import socket
import sys
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

FORKS_AFTER_IMPORT = sys.platform == "linux"
"""Whether one process may import everything once and fork a process a run."""

_THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "VECLIB_MAXIMUM_THREADS")
_PR_SET_PDEATHSIG, _PR_SET_CHILD_SUBREAPER = 1, 36
_LIBC = ctypes.CDLL(None)
PROC, CGROUPS = Path("/proc"), Path("/sys/fs/cgroup")


def threads(count: int) -> dict[str, str]:
    """Return the environment that gives a process so many threads: more workers, not more threads, fill a machine."""
    return dict.fromkeys(_THREADS, str(count)) | {"TOKENIZERS_PARALLELISM": "false"}


THREADS = threads(1)
"""Environment that pins a process to one thread."""


DRIVER = "HARNESS_DRIVER"
"""The variable that tells a worker which command started it."""
SUPERVISOR = "HARNESS_SUPERVISOR"
"""The variable that tells a trainer whose it is, however many launchers are in between."""


def die_with_parent(parent: int) -> None:
    """Ask for SIGKILL when `parent` dies; exit at once where it is dead already. Linux only, else nothing."""
    if sys.platform == "linux":
        _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:  # it died before the request took effect
            os._exit(1)


def descends_from(ancestor: int) -> bool:
    """Return whether `ancestor` is this process's parent, or the parent's, and so on; yes where nobody knows."""
    pid = os.getpid()
    while sys.platform == "linux" and pid not in (0, ancestor):
        pid = _stat(pid).parent
    return pid != 0


def driver() -> str:
    """Return what a command calls itself to the workers that it starts."""
    return f"{socket.gethostname()}:{os.getpid()}"


def die_with_driver() -> None:
    """Ask for SIGKILL when the command dies that started this worker, where it did so itself.

    A worker that an engine started has another parent, whose end means nothing: the engine stops it, or a newer claim.
    """
    said = os.environ.get(DRIVER, "")
    if said == f"{socket.gethostname()}:{os.getppid()}":
        die_with_parent(os.getppid())


def adopt_orphans() -> None:
    """Become the parent of descendants whose own parent ends, so that none of them is lost sight of. Linux only."""
    if sys.platform == "linux":
        _LIBC.prctl(_PR_SET_CHILD_SUBREAPER, 1)


def go_first() -> None:
    """Have the system, where memory runs out, end this process before the one that watches it. Linux only."""
    with suppress(OSError):
        (PROC / "self/oom_score_adj").write_text("500", encoding="ascii")


def family(pid: int) -> list[int]:
    """Return a process and all its descendants, whatever groups and sessions they are in; itself only beside Linux."""
    if sys.platform != "linux":
        return [pid]
    children: dict[int, list[int]] = {}
    for one in map(_stat, _pids()):
        children.setdefault(one.parent, []).append(one.pid)
    found = [pid]
    for one in found:
        found += children.get(one, [])
    return found


def memory(pids: Iterable[int]) -> int | None:
    """Return the bytes of memory that processes hold, shared ones counted each time; None: unknown."""
    if sys.platform != "linux":
        return None
    return sum(_stat(pid).pages for pid in pids) * os.sysconf("SC_PAGE_SIZE")


def oom_kills() -> int | None:
    """Return how many processes were killed for want of memory so far: in this cgroup, else on this machine."""
    for file in (*_cgroup_counters(), PROC / "vmstat"):
        try:
            lines = file.read_text().splitlines()
        except OSError:
            continue
        for line in lines:
            name, _, count = line.partition(" ")
            if name == "oom_kill" and count.strip().isdigit():
                return int(count)
    return None


class _Process(NamedTuple):
    pid: int
    parent: int
    pages: int
    """Resident pages of memory."""


def _cgroup_counters() -> list[Path]:
    try:
        lines = (PROC / "self/cgroup").read_text().splitlines()
    except OSError:
        return []
    found: list[Path] = []
    for line in lines:
        _, controllers, place = line.split(":", 2)
        if controllers == "":
            found.append(CGROUPS / place.lstrip("/") / "memory.events")
        elif "memory" in controllers.split(","):
            found.append(CGROUPS / "memory" / place.lstrip("/") / "memory.oom_control")
    return found


def _pids() -> list[int]:
    return [int(name) for name in os.listdir(PROC) if name.isdigit()]


def _stat(pid: int) -> _Process:
    """Return what the system knows of a process; one that is gone has neither parent nor memory."""
    try:
        fields = (PROC / f"{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return _Process(pid, 0, 0)
    return _Process(pid, int(fields[1]), int(fields[21]))  # proc(5): ppid is the 4th field, rss the 24th; [0] the 3rd
