"""A job's directory: the contract between whoever wants a result and whoever computes it.

    JOB/spec.json            created once, never changed: identity, and beside it what is not identity
    JOB/attempts/0001/       an exclusive claim and fencing token; holds claim.json, hb.json, log.txt, exit.json
    JOB/.stage-0001/         what the attempt has made so far
    JOB/result/              the stage, renamed: the commit; manifest.json holds the checksum of every other file

Any process may be killed at any moment. An attempt is over when it left exit.json, when the lock that its process
holds for life is free (same host), or when its heartbeat is older than `STALE` seconds (another host). Only then can
the next attempt be claimed, and the rename of two stages into one result has exactly one winner.
"""

import fcntl
import os
import socket
import time
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

from harness.record.atomic import IntegrityError, create_json, read_json, sha256, sync, write_json
from harness.record.foreign import manifest_of, reading, spec_of
from harness.record.scrubbed import scrub
from harness.spec.secrets import without_secrets

STALE = 300.0
"""Seconds without a heartbeat after which an attempt on another host counts as dead (NFS caches up to 60)."""


class State(StrEnum):
    """Where a job stands."""

    NEW = "new"
    """No attempt yet."""
    RUNNING = "running"
    """A live attempt holds the claim."""
    INTERRUPTED = "interrupted"
    """The last attempt was killed, cancelled, or lost its host; it can be repeated."""
    FAILED = "failed"
    """The last attempt ended with an error of its own."""
    COMMITTED = "committed"
    """The result is there, whole."""


@dataclass(frozen=True, slots=True)
class Exit:
    """How an attempt ended, as it said itself."""

    reason: str
    """`ok`, `error`, `cancelled`, `lost_claim`."""
    message: str


@dataclass(frozen=True, slots=True)
class JobDirectory:
    """One job's directory; its name is the job's id."""

    path: Path

    @property
    def id(self) -> str:
        """The job's id."""
        return self.path.name

    @property
    def result(self) -> Path:
        """The committed result's folder."""
        return self.path / "result"

    def create(self, spec: Mapping[str, Any]) -> None:
        """Write spec.json; raise ValueError where the job exists with another identity."""
        if not create_json(self.path / "spec.json", spec) and self.spec()["identity"] != spec["identity"]:
            raise ValueError(f"{self.path}: spec.json holds another identity under this id. Move the folder away.")

    def spec(self) -> dict[str, Any]:
        """Return spec.json."""
        spec = spec_of(self.path)
        if spec is None:
            raise FileNotFoundError(f"{self.path}: no spec.json, so this is no job directory.")
        return spec

    def attempts(self) -> list[Path]:
        """Return the attempts' folders, oldest first."""
        folder = self.path / "attempts"
        return sorted(p for p in folder.iterdir() if p.name.isdigit()) if folder.is_dir() else []

    def state(self) -> State:
        """Return where the job stands now."""
        if (self.result / "manifest.json").is_file():
            return State.COMMITTED
        attempts = self.attempts()
        if not attempts:
            return State.NEW
        if alive(attempts[-1]):
            return State.RUNNING
        end = self.last_exit()
        return State.FAILED if end is not None and end.reason == "error" else State.INTERRUPTED

    def last_exit(self) -> Exit | None:
        """Return how the last attempt said that it ended, or None if it said nothing."""
        attempts = self.attempts()
        said = read_json(attempts[-1] / "exit.json") if attempts else None
        with reading(attempts[-1] if attempts else self.path):
            return Exit(str(said["reason"]), str(said["message"])) if said else None

    def heartbeat(self) -> dict[str, Any]:
        """Return the last attempt's last heartbeat (step, steps, reward, ...), empty if there is none."""
        attempts = self.attempts()
        return (read_json(attempts[-1] / "hb.json") if attempts else None) or {}

    def manifest(self) -> dict[str, Any] | None:
        """Return the committed manifest, or None."""
        return manifest_of(self.result)

    def verified(self, name: str) -> Path:
        """Return a file of the result, whose bytes are those that were committed; raise IntegrityError otherwise."""
        manifest, file = self.manifest(), self.result / name
        if manifest is None or name not in manifest["files"]:
            raise IntegrityError(f"{file}: not in the result's manifest. Remove {self.path} and run it again.")
        if not file.is_file() or sha256(file) != manifest["files"][name]["sha256"]:
            what = "changed since" if file.is_file() else "gone since"
            raise IntegrityError(
                f"{file}: {what} it was committed. Restore it, or remove {self.path} and run it again."
            )
        return file

    def began(self) -> float:
        """Return when the first attempt was claimed, seconds since the epoch; claims are written once."""
        return min((attempt / "claim.json").stat().st_mtime for attempt in self.attempts())

    def claim(self, about: Mapping[str, Any]) -> "Attempt | None":
        """Claim the next attempt, or return None where the job is committed or somebody else's claim is alive."""
        attempts = self.attempts()
        if self.state() in (State.COMMITTED, State.RUNNING):
            return None
        number = int(attempts[-1].name) + 1 if attempts else 1
        folder = self.path / "attempts"
        partial = folder / f".claim-{os.getpid()}-{time.monotonic_ns()}"
        partial.mkdir(parents=True)
        lock = os.open(partial / "lock", os.O_RDWR | os.O_CREAT, 0o644)
        fcntl.flock(lock, fcntl.LOCK_EX)  # before the claim is visible, so that it never looks dead
        write_json(partial / "claim.json", {"host": socket.gethostname(), "pid": os.getpid(), **about})
        try:
            partial.rename(folder / f"{number:04d}")
        except OSError:  # the folder exists: another claimer was first
            os.close(lock)
            for file in partial.iterdir():
                file.unlink()
            partial.rmdir()
            return None
        return Attempt(self, number, lock)


@dataclass(frozen=True, slots=True)
class Attempt:
    """A claimed attempt, alive as long as its process holds the lock."""

    job: JobDirectory
    number: int
    lock: int

    @property
    def path(self) -> Path:
        """The attempt's folder."""
        return self.job.path / "attempts" / f"{self.number:04d}"

    @property
    def stage(self) -> Path:
        """The folder that becomes the result; made on first use."""
        folder = self.job.path / f".stage-{self.number:04d}"
        folder.mkdir(exist_ok=True)
        return folder

    def beat(self, said: Mapping[str, Any]) -> None:
        """Write a heartbeat."""
        write_json(self.path / "hb.json", said)

    def commit(self) -> bool:
        """Make the stage the result; return False where a newer attempt or another commit was first."""
        files = sorted(p for p in self.stage.rglob("*") if p.is_file())
        listed = {str(p.relative_to(self.stage)): {"sha256": sha256(p), "bytes": p.stat().st_size} for p in files}
        write_json(self.stage / "manifest.json", {"job": self.job.id, "attempt": self.number, "files": listed})
        for file in files:
            sync(file)
        sync(self.stage)
        if self.job.attempts()[-1] != self.path:
            return False
        try:
            self.stage.rename(self.job.result)
        except OSError:  # the result exists: another commit was first
            return False
        sync(self.job.path)
        return True

    def exit(self, reason: str, message: str = "") -> None:
        """Say how the attempt ended, and let go of the claim; secrets are taken out of what is said, and of the log."""
        scrub(self.path / "log.txt")
        write_json(self.path / "exit.json", {"reason": reason, "message": without_secrets(message)})
        os.close(self.lock)


def alive(attempt: Path) -> bool:
    """Return whether the process that claimed `attempt` may still be at work."""
    if (attempt / "exit.json").exists():
        return False
    claim: dict[str, Any] = read_json(attempt / "claim.json") or {}
    if claim.get("host") == socket.gethostname():
        return _locked(attempt / "lock")
    probe = attempt / f".now-{os.getpid()}"
    probe.touch()  # the file server's clock, not this host's
    now = probe.stat().st_mtime
    probe.unlink()
    beat = attempt / "hb.json"
    return now - (beat if beat.exists() else attempt / "claim.json").stat().st_mtime < STALE


def _locked(path: Path) -> bool:
    lock = os.open(path, os.O_RDONLY)  # enough to ask, so that a store that one may only read can be looked at
    try:
        fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(lock)
    return False
