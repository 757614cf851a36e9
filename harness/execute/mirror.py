"""What an exchange says of a job, copied into its job directory here, in the words of `record.attempt`.

Attempts appear as folders with the claim, the last sign of life at its age by the server's clock, progress, log and
exit; a result appears by the rename of a folder whose every file was compared with its checksum. One that is damaged is
not committed: its attempt ends here with an error that names the object. An attempt made here is left alone.
"""

import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from harness.record.atomic import IntegrityError, read_json, sync, write_bytes, write_json
from harness.record.attempt import STALE
from harness.record.clock import file_time
from harness.record.ending import Exit, Reason
from harness.record.exchange import ExchangedJob, Look
from harness.record.job import JobDirectory


class Mirror:
    """One job, here and at its exchange."""

    def __init__(self, here: JobDirectory, there: ExchangedJob):
        self._here, self._there = here, there
        self._damaged = ""
        """What is wrong with the result that is there, once that was found."""
        self._heard = 0.0
        """Stamp of the sign of life that was copied last."""
        self._logged: dict[int, float] = {}
        """Attempt: stamp of the log that was copied last."""

    def refresh(self, now: float) -> None:
        """Look once, and copy what is new; `now` is the server's time."""
        look = self._there.look()
        if self._here.called_off and not look.called_off and not look.committed:
            self._there.call_off()
        try:
            ours = [number for number in look.attempts if self._attempt(number, look, now)]  # a result has attempts
            if look.committed and self._here.manifest() is None and not self._damaged:
                self._fetch()
            for number in ours:
                self._tell(number, look, now)
        except IntegrityError as error:
            self._damaged = str(error)
        if self._damaged and look.newest:
            self._folder(look.newest).mkdir(parents=True, exist_ok=True)
            write_json(self._folder(look.newest) / "exit.json", Exit(Reason.USER_ERROR, self._damaged).as_json())

    def _fetch(self) -> None:
        """Download the result and commit it here, or find what is wrong with it."""
        partial = self._here.path / f".fetch-{os.urandom(8).hex()}"
        try:
            manifest = self._there.manifest()
            if manifest is not None:
                partial.mkdir()
                self._there.fetch(manifest, partial)
                self._commit(partial)
        finally:
            shutil.rmtree(partial, ignore_errors=True)

    def _commit(self, partial: Path) -> None:
        for file in partial.rglob("*"):
            sync(file)
        sync(partial)
        try:
            partial.rename(self._here.result)
        except OSError:  # the result exists: another command fetched it, or made it
            if self._here.manifest() is None:
                raise
        sync(self._here.path)
        for left in self._here.path.glob(".fetch-*"):  # by a command that was killed, or is too late
            shutil.rmtree(left, ignore_errors=True)

    def _attempt(self, number: int, look: Look, now: float) -> bool:
        """Have a folder for an attempt at the exchange; return whether it is ours to write."""
        folder = self._folder(number)
        if not folder.is_dir():
            claim: Mapping[str, Any] = self._there.read(f"attempts/{number:04d}.json") or {}
            partial = folder.parent / f".claim-{os.urandom(8).hex()}"
            partial.mkdir(parents=True)
            write_json(partial / "claim.json", {**claim, "exchange": self._there.url})
            _date(partial / "claim.json", now - look.entries[f"attempts/{number:04d}.json"].stamp)
            try:
                partial.rename(folder)
            except OSError:  # another command was first
                shutil.rmtree(partial, ignore_errors=True)
        said: Mapping[str, Any] = read_json(folder / "claim.json") or {}
        return said.get("exchange") == self._there.url

    def _tell(self, number: int, look: Look, now: float) -> None:
        """Copy how an attempt ended, or where it is."""
        folder = self._folder(number)
        newest = number == look.newest
        if newest:
            self._copy_log(number, look)
        if look.ended(number):
            if (folder / "exit.json").exists() or (newest and look.committed and self._here.manifest() is None):
                return
            said: dict[str, Any] = self._there.read(f"attempts/{number:04d}.exit.json") or {}
            if isinstance(timing := said.pop("timing", None), dict):
                write_json(folder / "timing.json", timing)
            write_json(folder / "exit.json", Exit.read(said).as_json())
        elif newest:
            if (heard := look.heard(number)) != self._heard:
                write_json(folder / "progress.json", self._there.read(f"attempts/{number:04d}.beat") or {})
                self._heard = heard
            age = now - heard
            (folder / "beat").touch()
            _date(folder / "beat", age)
            if age >= self._there.silence:  # which is what `record.attempt` calls stale, unless it was set shorter
                _date(folder / "beat", max(age, STALE + 1))

    def _copy_log(self, number: int, look: Look) -> None:
        entry = look.entries.get(f"attempts/{number:04d}.log")
        if entry is not None and self._logged.get(number) != entry.stamp:
            content = self._there.objects.read(f"{self._there.name}/attempts/{number:04d}.log")
            if content is not None:
                write_bytes(self._folder(number) / "log.txt", content)
                self._logged[number] = entry.stamp

    def _folder(self, number: int) -> Path:
        return self._here.path / "attempts" / f"{number:04d}"


def _date(file: Path, age: float) -> None:
    """Make a file as old as something is by another server's clock."""
    stamp = file_time(file.parent) - age
    os.utime(file, (stamp, stamp))
