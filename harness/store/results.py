"""What a job directory holds, checked before the index takes it: whose result it is, and that it is what was committed.

The name of the folder, the id in spec.json and the job of the manifest are one, and an id ends in the hash of the
identity beside it: a folder that was copied under another name is no second run. Of the files those are read whole that
the index rests on; weights, which a bundle leaves out, are known by the checksum in the manifest alone.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from harness.record.atomic import IntegrityError, read_json, sha256
from harness.record.job import JobDirectory
from harness.record.layout import Store
from harness.record.shards import KINDS
from harness.spec.canonical import digest

FACTS = "result.json"
HASHED = 12
"""Digits of the hash of its identity that an id ends in."""

Note = Callable[[str], None]
"""Is told which file is not what was committed, where it is read nevertheless."""


@dataclass(frozen=True, slots=True)
class Found:
    """A committed job as its manifest tells of it; nothing else has been read."""

    job: JobDirectory
    kind: str
    """`run` or `base`, by the folder that it lies in."""
    shas: Mapping[str, str]
    """SHA-256 by file; empty where the manifest is damaged."""
    damage: str = ""
    """What is wrong with the manifest."""


@dataclass(frozen=True, slots=True)
class Result:
    """A job's result whose files are what was committed."""

    id: str
    kind: str
    identity: Mapping[str, Any]
    facts: Mapping[str, Any]
    shas: Mapping[str, str]
    folder: Path

    def shard(self, kind: str) -> Path:
        """Return where a shard of this kind is."""
        return self.folder / f"{kind}.parquet"


def committed(store: Store) -> Iterator[Found]:
    """Yield every committed job of a store, bases first; a damaged manifest does not stop it."""
    for folder, kind in ((store.bases, "base"), (store.runs, "run")):
        for path in sorted(folder.iterdir()) if folder.is_dir() else ():
            job = JobDirectory(path)
            try:
                manifest = job.manifest()
                if manifest is not None:
                    yield Found(job, kind, _shas(job, manifest))
            except IntegrityError as error:
                yield Found(job, kind, {}, str(error))
            except NotADirectoryError:  # a file that somebody left among the jobs
                continue


def result(found: Found, note: Note | None = None) -> Result:
    """Return a job's result; with `note`, files that are not what was committed are told there and read as they are.

    Raises:
        IntegrityError: it is not what was committed, or not this job's.
    """
    if found.damage:
        raise IntegrityError(found.damage)
    identity, job = _identity(found), found.job
    for name in (FACTS, *(f"{kind}.parquet" for kind in KINDS)):
        if name == FACTS or name in found.shas:
            _check(found, name, note)
    facts = read_json(job.result / FACTS)
    if not isinstance(facts, Mapping):
        raise IntegrityError(f"{job.result / FACTS}: no facts of a result. {_again(job)}")
    return Result(job.id, found.kind, identity, cast("Mapping[str, Any]", facts), found.shas, job.result)


def _shas(job: JobDirectory, manifest: Any) -> dict[str, str]:
    file = job.result / "manifest.json"
    try:
        if manifest["job"] != job.id:
            whose = f"it is the manifest of {manifest['job']}, copied or renamed"
            raise IntegrityError(f"{file}: {whose}. Move {job.path} away, or give the folder its own name.")
        return {str(name): str(said["sha256"]) for name, said in manifest["files"].items()}
    except (KeyError, TypeError, AttributeError):
        raise IntegrityError(f"{file}: damaged (no list of files with checksums). {_again(job)}") from None


def _identity(found: Found) -> Mapping[str, Any]:
    """Return the identity of a job; raise IntegrityError where it is not the one that the folder is named by."""
    job, file = found.job, found.job.path / "spec.json"
    try:
        spec = job.spec()
        name, identity, kind = spec["id"], spec["identity"], spec["identity"]["kind"]
    except FileNotFoundError:
        raise IntegrityError(f"{file}: gone since the job was committed. {_again(job)}") from None
    except (KeyError, TypeError):
        raise IntegrityError(f"{file}: damaged (no id with its identity). {_again(job)}") from None
    away = f"Move {job.path} away, or give the folder its own name."
    if name != job.id:
        raise IntegrityError(f"{file}: it is the job {name}, copied or renamed. {away}")
    if kind != found.kind:
        raise IntegrityError(f"{file}: it is a {kind} and lies among the {job.path.parent.name}. {away}")
    if not job.id.endswith(f"-{digest(identity)[:HASHED]}"):
        rule = "the identity is not the one that the id is the hash of, so it was changed"
        raise IntegrityError(f"{file}: {rule}. {_again(job)}")
    return identity


def _check(found: Found, name: str, note: Note | None) -> None:
    file, again = found.job.result / name, _again(found.job)
    if name not in found.shas:
        raise IntegrityError(f"{file}: not in the result's manifest. {again}")
    try:
        if sha256(file) == found.shas[name]:
            return
    except (FileNotFoundError, IsADirectoryError):
        raise IntegrityError(f"{file}: gone since it was committed. {again}") from None
    told = f"{file}: changed since it was committed. {again}"
    if note is None:
        raise IntegrityError(told)
    note(told)


def _again(job: JobDirectory) -> str:
    return f"Restore it, or remove {job.path} and run it again."
