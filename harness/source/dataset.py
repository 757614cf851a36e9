"""Where a published set is: its files in a folder of the project, or one commit of it on the Hub.

The library resolves a revision to a commit and keeps files by it. Only Parquet and JSON files of the split are asked
for; no script of a repository is ever downloaded or run. Without a connection, what was downloaded before is found in
the library's own cache.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

from harness.source.rows import SUFFIXES, DataError
from harness.spec.task import DataSet

SECONDS = 20.0


@dataclass(frozen=True, slots=True)
class Place:
    """The files of a split, in order, and the commit that they belong to on the Hub."""

    files: tuple[Path, ...]
    commit: str | None


def in_folder(data_set: DataSet, root: Path | None) -> tuple[Path, ...]:
    """Return the files of a split in the declared folder of the project `root`.

    Raises:
        DataError: no project, no such folder, no file of the split in it, or one that leads out of the project.
    """
    assert data_set.folder is not None
    if root is None:
        raise _error(data_set, "no project here, and a folder is one of a project. Work in one, or name a revision.")
    folder = root / data_set.folder
    if not folder.is_dir():
        raise _error(data_set, f"no such folder in the project {root}. Download the set there, or name a revision.")
    files = _of_split(data_set, folder)
    for path in (folder, *files):
        if not path.resolve().is_relative_to(root.resolve()):
            raise _error(data_set, f"{path.relative_to(root)} leads out of the project. Copy the files in.")
    return files


def on_hub(data_set: DataSet) -> Place:
    """Return the files of a split at the declared revision, downloaded where they are not at hand.

    Raises:
        DataError: no connection and no copy, no such set or revision, one that is not open to this user, or one
            without a file of the split.
    """
    repository, revision = data_set.repository, data_set.revision
    assert repository is not None and revision is not None
    folder = _snapshot(data_set, repository, revision, online=_asked(data_set, repository, revision))
    return Place(_of_split(data_set, folder), folder.name)


def _asked(data_set: DataSet, repository: str, revision: str) -> bool:
    """Return whether the Hub answered for this set; raise DataError where its answer is no."""
    from huggingface_hub import HfApi
    from huggingface_hub.errors import GatedRepoError, RepositoryNotFoundError, RevisionNotFoundError

    try:
        HfApi().dataset_info(repository, revision=revision, timeout=SECONDS)
    except GatedRepoError:
        rule = "its authors ask for consent first. Give it on the set's page, then `hf auth login`."
        raise _error(data_set, rule) from None
    except RevisionNotFoundError:
        raise _error(data_set, "no such revision of this set. Name a commit, a tag or a branch.") from None
    except RepositoryNotFoundError:
        rule = "no such data set on the Hub, or a private one. Check the name, or `hf auth login`."
        raise _error(data_set, rule) from None
    except Exception:  # offline mode, no route, a proxy, a server's error: each of another library's types
        return False
    return True


def _snapshot(data_set: DataSet, repository: str, revision: str, *, online: bool) -> Path:
    """Return the folder of one commit, by whose name it is called; what is there already is not downloaded again."""
    from huggingface_hub import constants
    from huggingface_hub.utils import disable_progress_bars

    download: Any = import_module("huggingface_hub").snapshot_download  # whose type is known in part only
    disable_progress_bars()
    asked = {"repo_type": "dataset", "revision": revision, "allow_patterns": list(data_set.patterns)}
    try:
        return Path(download(repository, **asked, local_files_only=not online))
    except Exception as error:  # as above
        said = " ".join(str(error).split()).rstrip(".")[:160] or type(error).__name__
        if online:
            raise _error(data_set, f"the download failed ({said}). Repeat the command; it goes on from here.") from None
        rule = f"no answer from the Hub and no copy in {constants.HF_HUB_CACHE}"
        raise _error(data_set, f"{rule}. Connect this machine, or declare a folder of the project.") from None


def _of_split(data_set: DataSet, folder: Path) -> tuple[Path, ...]:
    """Return the files of the split by the first pattern that fits any, in the order of their names."""
    for pattern in _patterns(data_set):
        found = [path for path in folder.glob(pattern) if path.suffix in SUFFIXES and path.is_file()]
        if found:
            return tuple(sorted(found))
    looked = ", ".join(data_set.patterns[:3])
    raise _error(data_set, f"no file of the split {data_set.split} (looked for {looked}). Check split and format.")


def _patterns(data_set: DataSet) -> Iterable[str]:
    """Yield the Hub's layout, then plain files of the split, as they are saved by hand."""
    yield from data_set.patterns
    for stem in (data_set.split, f"{data_set.split}-*"):
        yield from (f"{stem}{suffix}" for suffix in SUFFIXES)


def _error(data_set: DataSet, rule: str) -> DataError:
    return DataError([f"{data_set.told()}: {rule}"])
