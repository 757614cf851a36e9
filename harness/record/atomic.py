"""Files that are whole or absent: written under another name, synced, then renamed or linked into place."""

import hashlib
import json
import os
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
    partial = _partial(path)
    partial.write_bytes(content)
    sync(partial)
    os.replace(partial, path)


def create_json(path: Path, value: Any) -> bool:
    """Create `path` unless it exists; return whether this call created it. It appears whole."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = _partial(path)
    partial.write_text(json.dumps(value, indent=1, ensure_ascii=False, allow_nan=False) + "\n", encoding="utf-8")
    sync(partial)
    try:
        os.link(partial, path)
    except FileExistsError:
        return False
    finally:
        partial.unlink()
    return True


def read_json(path: Path) -> Any:
    """Return the value in a JSON file, or None where there is no such file.

    Raises:
        IntegrityError: the file holds no JSON; what is written here appears whole, so something else wrote it.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except ValueError as error:
        raise IntegrityError(f"{path}: damaged ({error}). Restore it, or remove {path.parent} and repeat.") from None


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


def _partial(path: Path) -> Path:
    """Return a hidden name beside `path` that no other thread, process or host takes."""
    return path.with_name(f".{path.name}.{os.getpid()}-{os.urandom(4).hex()}")
