"""Records that may come from elsewhere: their form is checked where they are read, and they lead nowhere else.

A store may be unpacked, copied or shared, so that whoever made a record need not be this program. What does not have
the form that is written here is one line naming the file, never a traceback; a job's folder, its result and its
attempts are folders of the store itself, not links to something else that this user may read. A file of a result may be
a link (the weights of a base that exists are, where they lie on another disk): its checksum was committed, and whoever
knows that of another file has the file.

Not checked here: whether what a record says is true. Checksums tell damage and carelessness, not a forger, who writes
them anew.
"""

import errno
import os
import re
import stat
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

from harness.record.atomic import IntegrityError, read_json

MALFORMED = (AttributeError, IndexError, KeyError, OverflowError, RecursionError, TypeError, ValueError)
"""What comes of taking a record for what it is not."""
LONGEST = 1024
"""Characters of a file's name below its folder; none that is written here comes near."""
_SHA256 = re.compile(r"[0-9a-f]{1,128}")


@contextmanager
def reading(what: Path, *also: type[Exception]) -> Generator[None]:
    """Turn what comes of a malformed record in this block, `also` of these types, into a line about `what`.

    Raises:
        IntegrityError: as raised in the block, or of this line.
    """
    try:
        yield
    except IntegrityError:
        raise
    except (*MALFORMED, *also) as error:
        said = (" ".join(str(error).split()) or "no text")[:120]
        rule = f"is not what this version writes ({type(error).__name__}: {said})"
        raise IntegrityError(f"{what}: {rule}. Restore it, or move it out of the store.") from None


def own_folder(job: Path) -> None:
    """Raise IntegrityError where a job's folder, or a folder in it that is read and written, is a link or a file."""
    for folder in (job, job / "result", job / "attempts"):
        if folder.is_symlink():
            raise IntegrityError(f"{folder}: leads out of the store. Put a copy of the folder in the link's place.")
    for folder in (job / "result", job / "attempts"):
        if folder.exists() and not folder.is_dir():
            raise IntegrityError(f"{folder}: is no folder. Restore it, or move {job} out of the store.")


def spec_of(job: Path) -> dict[str, Any] | None:
    """Return what a job's spec.json says, or None where there is none.

    Raises:
        IntegrityError: it says no identity, or the job's folder is a link.
    """
    own_folder(job)
    spec: dict[str, Any] | None = read_json(job / "spec.json")
    if spec is not None:
        with reading(job / "spec.json"):
            _object(spec["identity"], "identity")
    return spec


def manifest_of(result: Path) -> dict[str, Any] | None:
    """Return what the manifest of a result's folder says, or None where there is none.

    Raises:
        IntegrityError: it lists no files with checksums, or one outside the folder; or the folder is a link.
    """
    own_folder(result.parent)
    manifest: dict[str, Any] | None = read_json(result / "manifest.json")
    if manifest is not None:
        with reading(result / "manifest.json"):
            if not isinstance(manifest.get("attempt", 1), int):
                raise TypeError("attempt is no number")
            for name, said in _object(manifest["files"], "files").items():
                plain(name)
                about = _object(said, f"files.{name[:60]!r}")
                if not isinstance(about["bytes"], int) or not _SHA256.fullmatch(about["sha256"]):
                    raise TypeError(f"{name[:60]!r} has no size or no checksum")
    return manifest


def handle_of(job: Path) -> dict[str, Any] | None:
    """Return what a job's handle.json says: `engine` and `handle`, texts, and `attempts`, a number; None without one.

    Raises:
        IntegrityError: it says anything else.
    """
    said: dict[str, Any] | None = read_json(job / "handle.json")
    if said is not None:
        with reading(job / "handle.json"):
            if not (
                isinstance(said["engine"], str) and isinstance(said["handle"], str) and type(said["attempts"]) is int
            ):
                raise TypeError("engine and handle are texts, attempts is a number")
    return said


def progress_of(attempt: Path) -> dict[str, Any]:
    """Return what of an attempt's progress.json is of the form that is written here; nothing rests on the rest."""
    try:
        said: dict[str, Any] = read_json(attempt / "progress.json") or {}
    except IntegrityError:
        return {}
    kinds: dict[str, tuple[type, ...]] = {"phase": (str,), "step": (int,), "steps": (int,), "reward": (int, float)}
    good = {key: said[key] for key, kind in kinds.items() if isinstance(said.get(key), kind)}
    return {key: good.get(key) for key in kinds if key in said}


def ordinary(path: Path) -> int:
    """Open a file that is no link, pipe or folder for reading, and return its descriptor.

    Raises:
        OSError: there is none.
    """
    file = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    if not stat.S_ISREG(os.fstat(file).st_mode):
        os.close(file)
        raise OSError(errno.EINVAL, "no ordinary file", str(path))
    return file


def plain(name: str) -> None:
    """Raise ValueError where a recorded name is none of a file in, or below, a folder."""
    if not name or "\0" in name or len(name) > LONGEST or ".." in Path(name).parts or Path(name).is_absolute():
        raise ValueError(f"{name[:60]!r} is no name of a file in this folder")


def _object(value: Any, name: str) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise TypeError(f"{name} is no object")
    return cast("dict[str, Any]", value)
