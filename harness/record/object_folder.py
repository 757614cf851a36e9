"""Objects as files of a folder that several hosts see, on any file system with hard links.

What the file system says of itself (a stale handle, a full disk, no route to its server) is silence of the store, which
is waited for. What this host's own files say of theirs is an error of the system.
"""

import errno
import os
from collections.abc import Generator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from harness.record.atomic import sync, write_bytes
from harness.record.clock import file_time
from harness.record.objects import Away, Entry, Unfit, plain, unconditional

REFUSED = (errno.EACCES, errno.EPERM, errno.EROFS)
"""Errors that a right to the folder would cure."""
NO_LINKS = (errno.EPERM, errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOTSUP)
"""What file systems without hard links say of one."""
BLOCK = 2**20
"""Bytes that are copied at a time."""


class FolderObjects:
    """Objects as files of a folder, which every host sees by its own mount."""

    def __init__(self, folder: Path):
        self._folder = folder

    @property
    def url(self) -> str:
        """The URL, without a slash at its end."""
        return f"file://{self._folder}"

    def create(self, key: str, content: bytes) -> bool:
        """Create by a hard link, which one can make."""
        with self._partial(key) as (partial, target):
            with self._asked():
                partial.write_bytes(content)
                sync(partial)
            try:
                os.link(partial, target)
            except OSError as error:  # an NFS server that repeats a link that had succeeded says that it exists, too
                there = self.read(key)
                if there is not None:
                    return there == content
                if error.errno in NO_LINKS:
                    raise Unfit(unconditional(self.url)) from None
                raise self._told(error) from None
        return True

    def put(self, key: str, content: bytes) -> None:
        """Write by a rename."""
        with self._asked():
            write_bytes(self._place(key), content)

    def read(self, key: str) -> bytes | None:
        """Return a file's bytes."""
        with self._asked():
            try:
                return (self._folder / plain(key)).read_bytes()
            except FileNotFoundError:
                self._there()
                return None

    def entries(self, under: str) -> dict[str, Entry]:
        """Return the files, without those half written."""
        root, found = self._folder / plain(under), dict[str, Entry]()
        with self._asked():
            self._there()
            for folder, _, names in os.walk(root, onerror=_unless_gone):
                for path in (Path(folder) / name for name in names if not name.startswith(".")):
                    with suppress(FileNotFoundError):
                        stat = path.stat()
                        found[str(path.relative_to(root))] = Entry(stat.st_size, stat.st_mtime)
        return found

    def remove(self, key: str) -> None:
        """Remove a file."""
        with self._asked():
            (self._folder / plain(key)).unlink(missing_ok=True)

    def upload(self, file: Path, key: str) -> None:
        """Copy a file there."""
        with file.open("rb") as here, self._partial(key) as (partial, target):
            with self._asked():
                there = partial.open("wb")
            try:
                while block := here.read(BLOCK):
                    with self._asked():
                        there.write(block)
            finally:
                with self._asked():
                    there.close()
            with self._asked():
                sync(partial)
                os.replace(partial, target)

    def download(self, key: str, file: Path) -> None:
        """Copy a file here."""
        with self._asked():
            self._there()
            there = self._opened(key)
        if there is None:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), f"{self.url}/{key}")
        with there, file.open("wb") as here:
            while block := self._block(there):
                here.write(block)

    def now(self) -> float:
        """Return the file server's time."""
        with self._asked():
            self._there()
            return file_time(self._folder)

    def _opened(self, key: str) -> BinaryIO | None:
        try:
            return (self._folder / plain(key)).open("rb")
        except FileNotFoundError:
            return None

    def _block(self, there: BinaryIO) -> bytes:
        with self._asked():
            return there.read(BLOCK)

    @contextmanager
    def _partial(self, key: str) -> Generator[tuple[Path, Path]]:
        """Yield a hidden name beside a key's file, and that file; nothing is left under the hidden one."""
        with self._asked():
            target = self._place(key)
        partial = target.with_name(f".{target.name}.{os.urandom(8).hex()}")
        try:
            yield partial, target
        finally:
            with suppress(OSError):
                partial.unlink()

    @contextmanager
    def _asked(self) -> Generator[None]:
        """Take an error of the system for silence of the store, or for a right that is missing."""
        try:
            yield
        except OSError as error:
            raise self._told(error) from None

    def _told(self, error: OSError) -> Away | Unfit:
        what = f"exchange {self.url}: {error.strerror or error}"
        if error.errno in REFUSED:
            return Unfit(f"{what}. Give this account the right to read and write there.")
        return Away(what)

    def _place(self, key: str) -> Path:
        self._there()
        target = self._folder / plain(key)
        target.parent.mkdir(parents=True, exist_ok=True)
        return target

    def _there(self) -> None:
        if not self._folder.is_dir():  # a mount that is gone; to write below it would fill the disk under it
            raise Away(f"exchange {self.url}: no such folder now")


def _unless_gone(error: OSError) -> None:
    """Raise what kept a folder from being listed, unless there is none."""
    if not isinstance(error, FileNotFoundError):
        raise error
