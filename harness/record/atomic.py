"""Files that are whole or absent: written under another name, synced, then renamed or linked into place."""

import hashlib
import json
import os
import stat
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any


class IntegrityError(ValueError):
    """A committed record is not what was committed; the text names file, rule and remedy."""


def write_json(path: Path, value: Any) -> None:
    """Write `value` so that a reader sees the old file or the new one, never a part."""
    write_text(path, json.dumps(value, indent=1, ensure_ascii=False, allow_nan=False) + "\n")


def write_text(path: Path, text: str) -> None:
    """Write `text` so that a reader sees the old file or the new one, never a part."""
    write_bytes(path, text.encode("utf-8"))


def write_bytes(path: Path, content: bytes) -> None:
    """Write `content` so that a reader sees the old file or the new one, never a part."""
    with _making(path) as partial:
        partial.write_bytes(content)
        sync(partial)
        os.replace(partial, path)


def create_json(path: Path, value: Any) -> bool:
    """Create `path` unless it exists; return whether this call created it. It appears whole."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with _making(path) as partial:
        partial.write_text(json.dumps(value, indent=1, ensure_ascii=False, allow_nan=False) + "\n", encoding="utf-8")
        sync(partial)
        try:
            os.link(partial, path)
        except FileExistsError:
            return False
    return True


BYTES = 2**26
"""No record comes near: a registration, the largest, has some tens of kilobytes."""


def read_json(path: Path, kind: type = dict) -> Any:
    """Return the object (or the list, by `kind`) in a JSON file, or None where there is no such file.

    A record may come from elsewhere, so nothing is read that is no ordinary file, endless, nested without an end, or
    holds half a character. NaN and infinity are read: none is written here, and readers tell such a number.

    Raises:
        IntegrityError: the file holds no such value; what is written here appears whole, so something else wrote it.
    """
    try:
        with open(path, "rb", opener=_at_once) as file:
            said = os.fstat(file.fileno())
            if not stat.S_ISREG(said.st_mode) or said.st_size > BYTES:
                raise ValueError(f"no ordinary file of at most {BYTES} bytes")
            value = json.loads(file.read(BYTES))
        json.dumps(value, ensure_ascii=False).encode()
        if not isinstance(value, kind):
            raise ValueError(f"holds no {_NAMES[kind]}")
        return value
    except FileNotFoundError:
        return None
    except IsADirectoryError:
        told = "a folder"
    except RecursionError:
        told = "nested without an end"
    except ValueError as error:
        told = " ".join(str(error).split())[:120]
    raise IntegrityError(f"{path}: damaged ({told}). Restore it, or remove {path.parent} and repeat.")


_NAMES = {dict: "object", list: "list"}


def _at_once(path: str, flags: int) -> int:
    """Open a file without waiting, as one does for the other end of a pipe."""
    return os.open(path, flags | os.O_NONBLOCK)


def sync(path: Path) -> None:
    """Flush a file or folder to the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def sha256(path: Path) -> str:
    """Return the SHA-256 of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@contextmanager
def _making(path: Path) -> Generator[Path]:
    """Yield a hidden name beside `path` that no other thread, process or host takes; nothing is left under it.

    An error of the system, such as a full disk, names `path`.
    """
    partial = path.with_name(f".{path.name}.{os.getpid()}-{os.urandom(4).hex()}")
    try:
        yield partial
    except OSError as error:
        error.filename = error.filename or str(path)
        raise
    finally:
        partial.unlink(missing_ok=True)
