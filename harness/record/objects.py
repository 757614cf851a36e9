"""Objects at a URL: bytes under keys, of which one can be created so that of many who try exactly one succeeds.

Two kinds: a folder (`record.object_folder`) and a store that fsspec knows (`record.object_store`). Times are the
server's, to the second where its are. `record.object_url` says which URLs may be used.
"""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

_KEY = re.compile(r"(?!.*\.\.)[A-Za-z0-9.][A-Za-z0-9._=+-]*(/[A-Za-z0-9.][A-Za-z0-9._=+-]*)*")


class Away(RuntimeError):
    """The store does not answer; what is there may well be unharmed. Whoever asks waits."""


class Unfit(RuntimeError):
    """The store cannot be used as it is; the text says why, and the remedy."""


@dataclass(frozen=True, slots=True)
class Entry:
    """What a listing says of an object."""

    size: int
    stamp: float
    """When it was last written, seconds since the epoch by the server's clock."""


class Objects(Protocol):
    """Objects under one URL. Every method may raise Away, and Unfit where the server says no."""

    @property
    def url(self) -> str:
        """The URL, without a slash at its end."""
        ...

    def create(self, key: str, content: bytes) -> bool:
        """Create an object unless it exists; return whether this content, which nobody else writes, is there now."""
        ...

    def put(self, key: str, content: bytes) -> None:
        """Write an object, whole, whether or not it exists."""
        ...

    def read(self, key: str) -> bytes | None:
        """Return an object's content, or None where there is none."""
        ...

    def entries(self, under: str) -> dict[str, Entry]:
        """Return the objects whose keys begin with `under/`, by the rest of their keys."""
        ...

    def remove(self, key: str) -> None:
        """Remove an object, if it is there."""
        ...

    def upload(self, file: Path, key: str) -> None:
        """Write a file's bytes."""
        ...

    def download(self, key: str, file: Path) -> None:
        """Read an object into a file that does not exist; raise FileNotFoundError where there is no such object."""
        ...

    def now(self) -> float:
        """Return the time now by the server's clock, seconds since the epoch."""
        ...


def plain(key: str) -> str:
    """Return a key; raise ValueError where it could lead elsewhere."""
    if not _KEY.fullmatch(key):
        raise ValueError(f"{key!r}: no key of an exchange")
    return key


def unconditional(url: str) -> str:
    """Return what is to be said of a store that cannot create on condition."""
    rule = "two can create the same object there, so that two attempts could both win"
    return f"exchange {url}: {rule}. Use a store with conditional writes (S3's If-None-Match), or a shared file system."
