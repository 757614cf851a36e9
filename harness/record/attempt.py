"""One attempt at a job: an exclusive claim, a fencing token, and signs of life.

    attempts/0001/   mkdir decides who has it; holds
        claim.json      who claimed it: host, machine, process, engine, devices
        lock            held for life by the supervisor and its trainer
        beat            written by the supervisor: its age, by the file server's clock, is the age of the last sign
        progress.json   what the trainer says: phase, step, reward
        log.txt         what supervisor and trainer print
        outcome.json    how the trainer ended, as it said itself
        timing.json     what it used
        exit.json       how the attempt ended; missing: it was killed
        trainer/        the trainer's checkpoints, each with a COMPLETE marker once it is whole

An attempt is over when it left exit.json, when its lock is free (same machine), or when its last sign of life is older
than `STALE` seconds (another machine). Only then can the next be claimed.
"""

import fcntl
import os
import re
import socket
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.record.atomic import read_json, sha256, sync, write_json
from harness.record.clock import file_time, machine
from harness.record.ending import Exit, Reason
from harness.record.scrubbed import scrub
from harness.spec.secrets import without_secrets

STALE = 300.0
"""Seconds without a sign of life after which an attempt on another machine counts as dead (NFS caches up to 60)."""
NUMBER = re.compile(r"(?!0000)[0-9]{4}|[1-9][0-9]{4,8}")
"""Names of the folders of attempts."""
COMPLETE = "COMPLETE"
"""Name of the marker in a checkpoint that was written to its end."""


@dataclass(frozen=True, slots=True)
class Attempt:
    """A claimed attempt, alive as long as a process holds the lock."""

    job: Path
    """The job's folder."""
    number: int
    lock: int = -1
    """Descriptor of the lock; below zero where another process holds it."""

    @staticmethod
    def opened(path: Path) -> "Attempt":
        """Return the attempt in a folder `JOB/attempts/NNNN`, for a process that works under another's claim."""
        return Attempt(path.parent.parent, int(path.name))

    @property
    def path(self) -> Path:
        """The attempt's folder."""
        return self.job / "attempts" / f"{self.number:04d}"

    @property
    def stage(self) -> Path:
        """The folder that becomes the result; made on first use."""
        folder = self.job / f".stage-{self.number:04d}"
        folder.mkdir(exist_ok=True)
        return folder

    @property
    def scratch(self) -> Path:
        """Where the trainer keeps checkpoints."""
        return self.path / "trainer"

    @property
    def newest(self) -> bool:
        """Whether no newer attempt has been claimed, so that this one may go on."""
        return newest(self.job / "attempts") == self.number

    def beat(self) -> None:
        """Give a sign of life: a byte, because some file servers take the time of a touch from the host's clock."""
        file = os.open(self.path / "beat", os.O_WRONLY | os.O_CREAT, 0o644)
        try:
            os.write(file, b".")
        finally:
            os.close(file)

    def tell(self, said: Mapping[str, Any]) -> None:
        """Say where the work is."""
        write_json(self.path / "progress.json", said)

    def commit(self) -> bool:
        """Make the stage the result; return False where a newer attempt or another commit was first.

        Raises:
            OSError: neither was, and the disk or its server would not; the stage is there as it was.
        """
        files = sorted(p for p in self.stage.rglob("*") if p.is_file())
        listed = {str(p.relative_to(self.stage)): {"sha256": sha256(p), "bytes": p.stat().st_size} for p in files}
        write_json(self.stage / "manifest.json", {"job": self.job.name, "attempt": self.number, "files": listed})
        for file in files:
            sync(file)
        sync(self.stage)
        if not self.newest:
            return False
        try:
            self.stage.rename(self.job / "result")
        except OSError:  # the result exists: another commit was first, or a server repeated a rename that had succeeded
            if not (self.job / "result").is_dir():  # a full disk, a server that hangs up
                raise
            return committed_by(self.job) == self.number
        sync(self.job)
        return True

    def exit(self, reason: Reason, message: str = "", checkpoint: int | None = None) -> None:
        """Say how the attempt ended, and let go of the claim; secrets are taken out of what is said, and of the log."""
        scrub(self.path / "log.txt")
        write_json(self.path / "exit.json", Exit(reason, without_secrets(message), checkpoint).as_json())
        if self.lock >= 0:
            os.close(self.lock)


def claim(job: Path, number: int, about: Mapping[str, Any]) -> Attempt | None:
    """Claim attempt `number` of a job, or return None where somebody else was first.

    Raises:
        OSError: nobody was, and the disk or its server would not.
    """
    folder = job / "attempts"
    partial = folder / f".claim-{os.getpid()}-{os.urandom(4).hex()}"
    partial.mkdir(parents=True)
    lock = os.open(partial / "lock", os.O_RDWR | os.O_CREAT, 0o644)
    with suppress(OSError):  # a file system without locks
        fcntl.flock(lock, fcntl.LOCK_EX)  # before the claim is visible, so that it never looks dead
    said = {"host": socket.gethostname(), "machine": machine(), "pid": os.getpid(), **about}
    write_json(partial / "claim.json", said)
    try:
        partial.rename(folder / f"{number:04d}")
    except OSError:  # the folder exists: another claimer was first
        os.close(lock)
        for file in partial.iterdir():
            file.unlink()
        partial.rmdir()
        if not (folder / f"{number:04d}").is_dir():  # a full disk, a server that hangs up
            raise
        return None
    return Attempt(job, number, lock)


def numbers(folder: Path) -> list[int]:
    """Return the numbers of the attempts in `JOB/attempts`, in order."""
    try:
        with os.scandir(folder) as found:
            names = (e.name for e in found if NUMBER.fullmatch(e.name) and e.is_dir(follow_symlinks=False))
            return sorted(map(int, names))
    except (FileNotFoundError, NotADirectoryError):
        return []


def newest(folder: Path) -> int:
    """Return the number of the newest attempt in `JOB/attempts`, 0 where there is none."""
    return max(numbers(folder), default=0)


def alive(attempt: Path) -> bool:
    """Return whether the process that claimed `attempt` may still be at work."""
    if (attempt / "exit.json").exists():
        return False
    claimed: dict[str, Any] = read_json(attempt / "claim.json") or {}
    if claimed.get("machine") == machine() and (attempt / "lock").is_file():
        return _locked(attempt / "lock")
    return silent_for(attempt) < STALE


def silent_for(attempt: Path) -> float:
    """Return the seconds since an attempt's last sign of life, by the file server's clock."""
    last = _modified(attempt / "beat") or _modified(attempt / "claim.json")
    try:
        return file_time(attempt) - last
    except OSError:  # a store that one may only read: nothing runs in it, or its hosts' clocks are all there is
        return time.time() - last


def checkpoints(job: Path) -> dict[int, Path]:
    """Return the whole checkpoints of all attempts at a job, by the updates made before them.

    Where two attempts have one, that of the newer stands.
    """
    found: dict[int, Path] = {}
    for marker in sorted(job.glob(f"attempts/*/trainer/checkpoint-*/{COMPLETE}")):
        number = marker.parent.name.rpartition("-")[2]
        if number.isdigit():
            found[int(number)] = marker.parent
    return found


def committed_by(job: Path) -> int | None:
    """Return the number of the attempt whose result was committed, or None."""
    manifest: dict[str, Any] = read_json(job / "result" / "manifest.json") or {}
    return manifest.get("attempt")


def _modified(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except FileNotFoundError:
        return 0.0


def _locked(path: Path) -> bool:
    lock = os.open(path, os.O_RDONLY)  # enough to ask, so that a store that one may only read can be looked at
    try:
        fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:  # a file system without locks: the last sign of life decides, as between machines
        return silent_for(path.parent) < STALE
    finally:
        os.close(lock)
    return False
