"""Objects of a store that fsspec knows, which must itself create on condition.

Where fsspec only looks first and then writes, two can win, and trying one after the other would not show it, so such a
file system is known by its class (`check_create`). Nothing is kept of listings: others write there.
"""

import os
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime
from functools import cached_property
from importlib import import_module
from pathlib import Path
from typing import Any, TypeVar, cast

from harness.record.ending import FULL
from harness.record.objects import Away, Entry, Unfit, plain, unconditional
from harness.spec.secrets import without_secrets

CONNECT, ANSWER = 5, 60
"""Seconds that an S3 server may take to accept a connection, and between two bytes of an answer."""
FOREIGN = ("botocore", "aiobotocore", "aiohttp", "s3fs", "gcsfs", "google", "adlfs", "azure", "fsspec", "asyncio")
"""Packages whose exceptions tell of a connection that failed."""
NO_CREDENTIALS = ("NoCredentialsError", "PartialCredentialsError", "TokenRetrievalError")
"""Exceptions of botocore."""
Value = TypeVar("Value")


class StoreObjects:
    """Objects of a store that fsspec knows. Nothing is kept of listings: others write there."""

    def __init__(self, url: str, open_store: Callable[[], Any], place: str):
        self._url, self._open, self._root = url, open_store, place

    @property
    def url(self) -> str:
        """The URL, without a slash at its end."""
        return self._url

    @cached_property
    def _store(self) -> Any:
        return self._open()

    def check_create(self) -> None:
        """Raise Unfit where fsspec's own way of creating is in force, which looks first and then writes."""
        base: Any = import_module("fsspec.spec").AbstractFileSystem
        kind = cast("Any", type(self._store))
        inherited = kind.pipe_file is base.pipe_file and not getattr(kind, "async_impl", False)
        if inherited:
            raise Unfit(unconditional(self._url))

    def create(self, key: str, content: bytes) -> bool:
        """Create on condition; a refusal is judged by what is there, for the answer to a success may have been lost."""
        where = self._at(key)
        try:
            self._ask(lambda: self._store.pipe_file(where, content, mode="create"))
        except (FileExistsError, Away, Unfit) as error:
            there = self.read(key)
            if there is None and not isinstance(error, FileExistsError):
                raise
            return there == content
        return True

    def put(self, key: str, content: bytes) -> None:
        """Write an object."""
        self._ask(lambda: self._store.pipe_file(self._at(key), content))

    def read(self, key: str) -> bytes | None:
        """Return an object's bytes."""
        try:
            return self._ask(lambda: self._store.cat_file(self._at(key)))
        except FileNotFoundError:
            return None

    def entries(self, under: str) -> dict[str, Entry]:
        """Return what a listing says."""
        root = self._at(under) + "/"
        try:
            found: dict[str, dict[str, Any]] = self._ask(lambda: self._store.find(self._at(under), detail=True))
        except FileNotFoundError:
            return {}
        return {
            name.removeprefix(root): Entry(int(said.get("size") or 0), _stamp(said))
            for name, said in ((said["name"], said) for said in found.values())
            if name.startswith(root)
        }

    def remove(self, key: str) -> None:
        """Remove an object."""
        with suppress(FileNotFoundError):
            self._ask(lambda: self._store.rm_file(self._at(key)))

    def upload(self, file: Path, key: str) -> None:
        """Write a file's bytes, in parts where it is large."""
        self._ask(lambda: self._store.put_file(str(file), self._at(key)))

    def download(self, key: str, file: Path) -> None:
        """Read an object into a file."""
        self._ask(lambda: self._store.get_file(self._at(key), str(file)))

    def now(self) -> float:
        """Return the time at which the server stamps an object that is written now."""
        key = f".now-{os.getpid()}-{os.urandom(8).hex()}"
        self.put(key, b"")
        try:
            return _stamp(self._ask(lambda: self._store.info(self._at(key))))
        finally:
            self.remove(key)

    def _at(self, key: str) -> str:
        return f"{self._root}/{plain(key)}"

    def _ask(self, question: Callable[[], Value]) -> Value:
        """Ask the store; tell silence from refusal, and leave an error of the disk here as it is.

        So are FileNotFoundError and FileExistsError.
        """
        try:
            return question()
        except FileNotFoundError as error:
            if "bucket does not exist" in str(error):
                raise Unfit(f"exchange {self._url}: {error}. Make the bucket, or name another.") from None
            raise
        except FileExistsError:
            raise
        except PermissionError as error:
            raise Unfit(
                f"exchange {self._url}: {error}. Give this account the right to read and write there."
            ) from None
        except Exception as error:
            if type(error).__name__ in NO_CREDENTIALS:
                rule = "no credentials found. Put them where the store's own tools look for them"
                raise Unfit(f"exchange {self._url}: {rule}.") from None
            if isinstance(error, OSError) and error.errno in FULL:  # the disk here; no store says so
                raise
            if isinstance(error, OSError) or type(error).__module__.partition(".")[0] in FOREIGN:
                told = without_secrets(" ".join(str(error).split()))[:300]
                raise Away(f"exchange {self._url}: no answer ({type(error).__name__}: {told})") from None
            raise


def file_system(scheme: str) -> Any:
    """Return fsspec's file system, made for this process, which believes no listing of its own."""
    fsspec: Any = import_module("fsspec")
    more: dict[str, Any] = {}
    if scheme == "s3":  # whoever calls repeats, and can say meanwhile that he waits
        retries = {"total_max_attempts": 2}
        more = {"config_kwargs": {"retries": retries, "connect_timeout": CONNECT, "read_timeout": ANSWER}}
    return fsspec.filesystem(scheme, use_listings_cache=False, skip_instance_cache=True, **more)


def _stamp(said: dict[str, Any]) -> float:
    """Return when an object was last written, from what fsspec's file systems call it."""
    for name in ("LastModified", "last_modified", "mtime", "updated", "created"):
        value = said.get(name)
        if isinstance(value, datetime):
            return value.timestamp()
        if isinstance(value, (int, float)):
            return float(value)
        if isinstance(value, str):
            return datetime.fromisoformat(value).timestamp()
    raise Unfit(f"{said.get('name')}: the store does not say when it was written, by which signs of life are judged.")
