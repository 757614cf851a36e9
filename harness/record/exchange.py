"""An exchange: where workers that do not share the driver's file system find jobs, claim them and deliver results.

    EXCHANGE/{bases,runs}/ID/spec.json, resources.json   what a job directory has of these names, put there by a driver
    EXCHANGE/{bases,runs}/ID/files/*                     the files of a base that exists, where its worker cannot fetch
    EXCHANGE/{bases,runs}/ID/attempts/0001.json          the claim: created on condition, so that one worker has it
    EXCHANGE/{bases,runs}/ID/attempts/0001.beat          what the attempt last said, overwritten at intervals
    EXCHANGE/{bases,runs}/ID/attempts/0001.log           what it printed, the end of it
    EXCHANGE/{bases,runs}/ID/attempts/0001.exit.json     how it ended, after its result; missing: it was killed
    EXCHANGE/{bases,runs}/ID/data/0001/*                 its result's files; without COMMIT they are nothing
    EXCHANGE/{bases,runs}/ID/checkpoints/0001/N/*        its checkpoint after N updates, COMPLETE last
    EXCHANGE/{bases,runs}/ID/COMMIT                      the result's manifest, created on condition: the commit
    EXCHANGE/{bases,runs}/ID/CANCEL                      a user called it off
    EXCHANGE/data/rows/*                                 rows of published sets, by their hash

It is the contract of `record.job` with two changes: what a rename decides there, a conditional create decides here, and
nobody holds a lock, so that only silence tells of a death. Silence is measured between two times of the server.
"""

import json
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, cast

from harness.record.atomic import IntegrityError, sha256
from harness.record.attempt import COMPLETE
from harness.record.foreign import MALFORMED, plain
from harness.record.look import Look
from harness.record.objects import Objects, Unfit

BEAT = 60.0
"""Seconds between signs of life of a worker at an exchange."""
SILENCE = 300.0
"""Seconds without one after which an attempt counts as dead."""
NAME = re.compile(r"(bases|runs)/[A-Za-z0-9][A-Za-z0-9._-]{0,199}")


@dataclass(frozen=True)
class ExchangedJob:
    """One job at an exchange, by its kind and id."""

    objects: Objects
    name: str
    """`runs/ID` or `bases/ID`."""
    silence: float = field(default=SILENCE, compare=False)

    def __post_init__(self) -> None:
        if not NAME.fullmatch(self.name) or ".." in self.name:
            raise Unfit(f"{self.name!r}: no job of an exchange; it would be runs/ID or bases/ID.")

    @cached_property
    def url(self) -> str:
        """Where it is, for messages."""
        return f"{self.objects.url}/{self.name}"

    def look(self) -> Look:
        """List what there is of it: one request for a thousand objects."""
        return Look(self.objects.entries(self.name))

    def read(self, key: str) -> dict[str, Any] | None:
        """Return what an object of JSON holds, or None where there is none.

        Raises:
            IntegrityError: it holds no JSON object.
        """
        content = self.objects.read(self._at(key))
        try:
            return None if content is None else dict(json.loads(content))
        except (TypeError, RecursionError, ValueError) as error:
            raise IntegrityError(f"{self.url}/{key}: damaged ({error}). Remove {self.url} and repeat.") from None

    def offer(self, spec: Mapping[str, Any], resources: Mapping[str, Any]) -> None:
        """Put a job there, or what its attempts are given from now on.

        Raises:
            Unfit: another job is there under this id.
        """
        if not self.objects.create(self._at("spec.json"), _bytes(spec)):
            there = self.read("spec.json")
            if there is None or there.get("identity") != spec["identity"]:
                rule = "holds another identity under this id"
                raise Unfit(f"{self.url}/spec.json: {rule}. Name another prefix, or remove it there.")
        if self.read("resources.json") != resources:
            self.objects.put(self._at("resources.json"), _bytes(resources))

    def claim(self, about: Mapping[str, Any], once: str | None = None) -> int | None:
        """Claim the next attempt; return None where the job is committed, called off, or somebody else's.

        Whoever repeats a claim, because nobody answered, gives the same `once` again: it may have been made.
        """
        look = self.look()
        if once is not None and look.newest:
            newest = self.objects.read(self._at(f"attempts/{look.newest:04d}.json"))
            if newest is not None and once.encode() in newest:
                return look.newest
        if look.committed or look.called_off or self.alive(look, look.newest):
            return None
        number = look.newest + 1
        said = _bytes({**about, "once": once or os.urandom(16).hex()})  # no two claims are the same bytes
        return number if self.objects.create(self._at(f"attempts/{number:04d}.json"), said) else None

    def alive(self, look: Look, number: int) -> bool:
        """Return whether the worker that claimed an attempt may still be at work."""
        if number == 0 or look.ended(number):
            return False
        return self.objects.now() - look.heard(number) < self.silence

    def beat(self, number: int, said: Mapping[str, Any]) -> None:
        """Give a sign of life, with what the attempt last said of its work."""
        self.objects.put(self._at(f"attempts/{number:04d}.beat"), _bytes(said))

    def exit(self, number: int, said: Mapping[str, Any]) -> None:
        """Say how an attempt ended."""
        self.objects.put(self._at(f"attempts/{number:04d}.exit.json"), _bytes(said))

    def note(self, number: int, claim: Mapping[str, Any], end: Mapping[str, Any]) -> None:
        """Say of an attempt made elsewhere that it was made, so that numbers are counted on from it."""
        if self.objects.create(self._at(f"attempts/{number:04d}.json"), _bytes(claim)):
            self.exit(number, end)

    def log(self, number: int, content: bytes) -> None:
        """Put what an attempt printed."""
        self.objects.put(self._at(f"attempts/{number:04d}.log"), content)

    def keep(self, number: int, updates: int, folder: Path) -> None:
        """Put a whole checkpoint there; its marker last.

        Raises:
            FileNotFoundError: it was removed meanwhile, whole or in part.
        """
        at, files = f"checkpoints/{number:04d}/{updates}", _files(folder)
        for file in files:
            if file != folder / COMPLETE:
                self.objects.upload(file, self._at(f"{at}/{file.relative_to(folder)}"))
        if folder / COMPLETE not in files or _files(folder) != files:
            raise FileNotFoundError(f"{folder}: removed while it was being put at {self.url}")
        self.objects.put(self._at(f"{at}/COMPLETE"), b"")

    def clear(self) -> None:
        """Remove all checkpoints, their markers first."""
        found = [key for key in self.look().entries if key.startswith("checkpoints/")]
        for key in sorted(found, key=lambda key: not key.endswith("/COMPLETE")):
            self.objects.remove(self._at(key))

    def deliver(self, number: int, result: Path) -> bool:
        """Put a result there, then commit it; return False where a newer attempt or another commit was first."""
        manifest: dict[str, Any] = json.loads((result / "manifest.json").read_text(encoding="utf-8"))
        self._upload(manifest, result)
        if self.look().newest != number:
            return False
        return self.objects.create(self._at("COMMIT"), _bytes(manifest))

    def publish(self, result: Path) -> None:
        """Put a result there that a driver's own store has committed.

        Raises:
            Unfit: another result of the job is there.
        """
        manifest: dict[str, Any] = json.loads((result / "manifest.json").read_text(encoding="utf-8"))
        there = self.manifest()
        if there is None:
            self._upload(manifest, result)
            there = manifest if self.objects.create(self._at("COMMIT"), _bytes(manifest)) else self.manifest()
        if there is None or there["files"] != manifest["files"]:
            raise Unfit(f"{self.url}: holds another result than {result}. Name another prefix, or remove it there.")

    def _upload(self, manifest: Mapping[str, Any], result: Path) -> None:
        for name in manifest["files"]:
            self.objects.upload(result / name, self._at(f"data/{manifest['attempt']:04d}/{name}"))

    def manifest(self) -> dict[str, Any] | None:
        """Return the committed manifest, or None.

        Raises:
            IntegrityError: it is none of this job, or names files outside of it.
        """
        said = self.read("COMMIT")
        if said is None:
            return None
        try:
            for name, about in said["files"].items():
                plain(name)
                if not re.fullmatch("[0-9a-f]{64}", about["sha256"]):
                    raise ValueError("no checksum")
            if said["job"] != self.name.partition("/")[2] or not isinstance(said["attempt"], int):
                raise ValueError("another job's")
        except MALFORMED:
            raise IntegrityError(f"{self.url}/COMMIT: is not the manifest of this job. {self._remedy}") from None
        return said

    def fetch(self, manifest: Mapping[str, Any], folder: Path) -> None:
        """Download a committed result into an empty folder, its manifest last.

        Raises:
            IntegrityError: an object is gone, or its bytes are not those that were committed.
        """
        at = f"data/{manifest['attempt']:04d}"
        for name, said in manifest["files"].items():
            target = folder / name
            target.parent.mkdir(parents=True, exist_ok=True)
            self._download(f"{at}/{name}", target, said["sha256"])
        (folder / "manifest.json").write_text(json.dumps(manifest, indent=1, ensure_ascii=False) + "\n", "utf-8")

    def fetch_checkpoint(self, look: Look, at: str, folder: Path) -> None:
        """Download a checkpoint, its marker last."""
        names = [key.removeprefix(f"{at}/") for key in look.entries if key.startswith(f"{at}/")]
        for name in sorted(filter(_inside, names), key=lambda name: name == "COMPLETE"):
            target = folder / name
            target.parent.mkdir(parents=True, exist_ok=True)
            self.objects.download(self._at(f"{at}/{name}"), target)

    def call_off(self) -> None:
        """Have the job stopped where it runs, within a beat of its worker."""
        self.objects.put(self._at("CANCEL"), b"")

    def call_on(self) -> None:
        """Take back that it was called off."""
        self.objects.remove(self._at("CANCEL"))

    def offer_files(self, folder: Path, names: list[str]) -> None:
        """Put the files of a base that exists there, with their checksums last."""
        listed = {name: sha256(folder / name) for name in names}
        if self.read("files/SHA256.json") == listed:
            return
        for name in names:
            self.objects.upload(folder / name, self._at(f"files/{name}"))
        self.objects.put(self._at("files/SHA256.json"), _bytes(listed))

    def fetch_files(self, folder: Path) -> bool:
        """Download the files of a base that exists; return whether there are any.

        Raises:
            IntegrityError: one is gone, or is not what was put there.
        """
        listed: dict[str, str] = self.read("files/SHA256.json") or {}
        folder.mkdir(parents=True)
        for name in filter(_inside, listed):
            self._download(f"files/{name}", folder / name, listed[name])
        return bool(listed)

    def _download(self, key: str, target: Path, wanted: str) -> None:
        for _ in range(2):  # once more, for bytes that were damaged on the way
            try:
                self.objects.download(self._at(key), target)
            except FileNotFoundError:
                raise IntegrityError(f"{self.url}/{key}: gone since it was committed. {self._remedy}") from None
            if sha256(target) == wanted:
                return
        raise IntegrityError(f"{self.url}/{key}: not the bytes that were committed. {self._remedy}")

    @property
    def _remedy(self) -> str:
        return f"Remove {self.url} there and run it again."

    def _at(self, key: str) -> str:
        return f"{self.name}/{key}"


def named(text: str) -> tuple[str, str]:
    """Return the exchange and the name of a job's URL `EXCHANGE/runs/ID`; raise Unfit where it is none."""
    url, _, job = text.rstrip("/").rpartition("/")
    url, _, kind = url.rpartition("/")
    if not NAME.fullmatch(f"{kind}/{job}"):
        raise Unfit(f"{text if '@' not in text else 'URL'}: is no job of an exchange, EXCHANGE/runs/ID or /bases/ID.")
    return url, f"{kind}/{job}"


def hashes(said: Any) -> Iterator[str]:
    """Return every SHA-256 that an identity names as such."""
    if isinstance(said, dict):
        for key, value in cast("dict[str, Any]", said).items():
            if key == "sha256" and isinstance(value, str) and len(value) == 64 and value.isalnum():
                yield value
            yield from hashes(value)
    elif isinstance(said, list):
        for value in cast("list[Any]", said):
            yield from hashes(value)


def _files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


def _inside(name: str) -> bool:
    parts = Path(name).parts
    return bool(parts) and not Path(name).is_absolute() and ".." not in parts


def _bytes(value: Any) -> bytes:
    return (json.dumps(value, indent=1, ensure_ascii=False, allow_nan=False) + "\n").encode("utf-8")
