"""What the file system under a store keeps of the promises that records rest on: tried there, never guessed.

A claim is a lock that its process holds for life, asked for by another process; a record appears by a hard link or a
rename; ages are judged by the clock that stamps files. Where locks do not work the store still does: an attempt is then
known to be over by its exit or by the age of its last sign of life alone, minutes later than a lock would tell.

Not tried: whether a lock is seen by another host. A network file system says in its mount options when it is not.
"""

import os
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

MOUNTS = Path("/proc/mounts")
SECONDS = 10.0
"""How long another process may take to ask for a lock."""
AHEAD = 2.0
"""Seconds by which the clocks of this host and of the files may differ unremarked; runs last minutes."""
HOST_ONLY = ("nolock", "local_lock=all", "local_lock=flock", "localflock")
"""Mount options of NFS and Lustre by which a lock holds on one host only."""
ASK = """
import fcntl, sys
try:
    fcntl.flock(open(sys.argv[1], 'r+'), fcntl.LOCK_EX | fcntl.LOCK_NB)
except BlockingIOError:
    print("refused")
except OSError as error:
    print(error.strerror)
else:
    print("granted")
"""


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that was looked at."""

    name: str
    ok: bool | None
    """None where nothing depends on it."""
    said: str


@dataclass(frozen=True, slots=True)
class Mount:
    """What a folder lies on."""

    kind: str
    point: str
    options: tuple[str, ...]


def existing(path: Path) -> Path:
    """Return the nearest folder that exists, from a path upwards."""
    return next(folder for folder in (path.absolute(), *path.absolute().parents) if folder.is_dir())


def file_checks(store: Path) -> Iterator[Check]:
    """Yield what was tried where a store is, or would be."""
    yield writable(store)
    yield _kind(store)
    yield _locking(store)
    yield _clock(store)
    yield _permissions(store)


def writable(store: Path) -> Check:
    """Try what records rest on: a file, a hard link, and a rename that never replaces a folder with something in it."""
    try:
        with tempfile.TemporaryDirectory(prefix=".doctor-", dir=existing(store)) as name:
            broken = _broken(Path(name))
    except OSError as error:
        return Check("store", False, f"{store}: {error.strerror}. Choose another --store.")
    if broken:
        return Check("store", False, f"{store}: {broken}. Choose a --store on another disk.")
    return Check("store", True, f"{store}: takes files, links and renames")


def _broken(folder: Path) -> str:
    """Return which promise is not kept in a folder of the test's own; empty where all are."""
    (folder / "a").write_text("a")
    os.link(folder / "a", folder / "b")
    try:
        os.link(folder / "a", folder / "b")
    except FileExistsError:
        pass
    else:
        return "a link replaces a file that is there, so two could make one record"
    for stage in ("first", "second"):
        (folder / stage).mkdir()
        (folder / stage / "held").write_text(stage)
    os.rename(folder / "first", folder / "result")
    try:
        os.rename(folder / "second", folder / "result")
    except OSError:
        return (
            "" if (folder / "result" / "held").read_text() == "first" else "a rename that fails changes what is there"
        )
    return "a rename replaces a folder that is there, so two could commit one result"


def mount_of(folder: Path) -> Mount | None:
    """Return what a folder lies on, or None where the system does not say."""
    try:
        lines = MOUNTS.read_text(errors="replace").splitlines()
    except OSError:
        return None
    here, found = Path(os.path.realpath(folder)), None
    for line in lines:
        fields = line.split()
        if len(fields) < 4:
            continue
        point = fields[1].replace("\\040", " ").replace("\\011", "\t").replace("\\134", "\\")
        if here.is_relative_to(point) and (found is None or len(point) >= len(found.point)):
            found = Mount(fields[2], point, tuple(fields[3].split(",")))
    return found


def _kind(store: Path) -> Check:
    mount = mount_of(existing(store))
    if mount is None:
        return Check("disk", None, "its kind is not known here")
    lasting = "; what is in memory is gone when the machine restarts" if mount.kind in ("tmpfs", "ramfs") else ""
    return Check("disk", None, f"{mount.kind}, mounted at {mount.point}{lasting}")


def second_lock(file: Path) -> str:
    """Return what becomes of another process that asks for the lock of a file: refused, granted, or why neither."""
    line = [sys.executable, "-I", "-S", "-c", ASK, str(file)]
    try:
        done = subprocess.run(line, capture_output=True, text=True, timeout=SECONDS, check=True)
    except subprocess.TimeoutExpired:
        return "no answer to a request for a lock"
    except (OSError, subprocess.SubprocessError) as error:
        return f"not tried ({type(error).__name__})"
    return done.stdout.strip()


def unlocked(store: Path) -> str:
    """Return why a lock does not keep a second process from a claim in a store; empty where it does.

    Raises:
        OSError: nothing can be written there.
    """
    import fcntl

    with tempfile.NamedTemporaryFile(prefix=".doctor-", dir=existing(store)) as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            return str(error.strerror)
        said = second_lock(Path(file.name))
    return {"refused": "", "granted": "two processes hold one lock at once"}.get(said, said)


COSTS = (
    "The store works without locks, but a run that was killed is taken up only some minutes later, when its last sign "
    "of life is old"
)


def lock_warning(store: Path) -> str | None:
    """Return one line for whoever starts runs where the file system cannot lock; None where it can, or is not written.

    Takes about 0.05 s.
    """
    try:
        why = unlocked(store)
    except OSError:
        return None  # what follows will say so
    return f"{store}: no locks here ({why}). {COSTS}. `harness doctor` says more." if why else None


def _locking(store: Path) -> Check:
    try:
        why = unlocked(store)
    except OSError as error:
        return Check("locks", False, f"{store}: {error.strerror}. Choose a --store on a disk with locks.")
    if why:
        return Check("locks", False, f"{store}: {why}. {COSTS}.")
    mount = mount_of(existing(store))
    if mount and (local := [option for option in mount.options if option in HOST_ONLY]):
        return Check("locks", None, f"hold between processes of one host only ({local[0]}); hosts go by signs of life")
    return Check("locks", True, "one process at a time holds a claim")


def clock_difference(folder: Path) -> float:
    """Return by how many seconds the clock that stamps files in a folder is ahead of this host's.

    Raises:
        OSError: nothing can be written there.
    """
    before = time.time()
    with tempfile.NamedTemporaryFile(prefix=".doctor-", dir=folder) as file:
        stamped, after = os.stat(file.name).st_mtime, time.time()
    if before - 0.05 <= stamped <= after:  # stamps are of the kernel's last tick
        return 0.0
    return stamped - (before + after) / 2


def _clock(store: Path) -> Check:
    try:
        ahead = clock_difference(existing(store))
    except OSError as error:
        return Check("clock", None, f"cannot be compared: {error.strerror}")
    if abs(ahead) <= AHEAD:
        return Check("clock", True, f"this host's and the files' differ by {abs(ahead):.1f} s")
    side = "ahead of" if ahead > 0 else "behind"
    told = f"the files' is {abs(ahead):.0f} s {side} this host's. Ages and orders go by the files' alone"
    return Check("clock", False, f"{told}; have the host's set right, as its logs and messages go by that")


def _permissions(store: Path) -> Check:
    """Look whether others may write into a store: whoever may can plant a false result, or take a true one away."""
    if not store.is_dir():
        return Check("access", None, "the store will be yours alone; make the folder yourself to share it")
    folders = [store, *(path for path in sorted(store.iterdir()) if path.is_dir() and not path.is_symlink())]
    try:
        modes = {folder: folder.stat().st_mode for folder in folders}
    except OSError as error:
        return Check("access", False, f"{store}: {error.strerror}")
    if open_ones := [folder for folder, mode in modes.items() if mode & stat.S_IWOTH]:
        rule = "everybody on this machine may write there, and so plant or remove results. Close it: chmod o-w"
        return Check("access", False, f"{open_ones[0]}: {rule}")
    group = "you and its group may write" if modes[store] & stat.S_IWGRP else "you alone may write"
    return Check("access", True, f"{group}{', others may read' if modes[store] & stat.S_IROTH else ''}")
