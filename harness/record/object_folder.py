"""Objects as files of a folder that several hosts see, on any file system with hard links."""

import os
import shutil
from contextlib import suppress
from pathlib import Path

from harness.record.atomic import sync, write_bytes
from harness.record.clock import file_time
from harness.record.objects import Away, Entry, plain


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
        target = self._place(key)
        partial = target.with_name(f".{target.name}.{os.urandom(8).hex()}")
        partial.write_bytes(content)
        sync(partial)
        try:
            os.link(partial, target)
        except OSError:  # an NFS server that repeats a link that had succeeded says that it exists, too
            return target.is_file() and target.read_bytes() == content
        finally:
            partial.unlink()
        return True

    def put(self, key: str, content: bytes) -> None:
        """Write by a rename."""
        write_bytes(self._place(key), content)

    def read(self, key: str) -> bytes | None:
        """Return a file's bytes."""
        try:
            return (self._folder / plain(key)).read_bytes()
        except FileNotFoundError:
            self._there()
            return None

    def entries(self, under: str) -> dict[str, Entry]:
        """Return the files, without those half written."""
        self._there()
        root, found = self._folder / plain(under), dict[str, Entry]()
        for folder, _, names in os.walk(root):
            for path in (Path(folder) / name for name in names if not name.startswith(".")):
                with suppress(FileNotFoundError):
                    stat = path.stat()
                    found[str(path.relative_to(root))] = Entry(stat.st_size, stat.st_mtime)
        return found

    def remove(self, key: str) -> None:
        """Remove a file."""
        (self._folder / plain(key)).unlink(missing_ok=True)

    def upload(self, file: Path, key: str) -> None:
        """Copy a file there."""
        target = self._place(key)
        partial = target.with_name(f".{target.name}.{os.urandom(8).hex()}")
        shutil.copyfile(file, partial)
        sync(partial)
        os.replace(partial, target)

    def download(self, key: str, file: Path) -> None:
        """Copy a file here."""
        self._there()
        shutil.copyfile(self._folder / plain(key), file)

    def now(self) -> float:
        """Return the file server's time."""
        self._there()
        return file_time(self._folder)

    def _place(self, key: str) -> Path:
        self._there()
        target = self._folder / plain(key)
        target.parent.mkdir(parents=True, exist_ok=True)
        return target

    def _there(self) -> None:
        if not self._folder.is_dir():  # a mount that is gone; to write below it would fill the disk under it
            raise Away(f"exchange {self.url}: no such folder now")
