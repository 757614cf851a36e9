"""From what a user names to a folder of weights: a path that exists, else a model on the Hugging Face Hub.

Of a model, one commit is read and told: its safetensors and JSON files, at the top of the repository. Pickles are never
downloaded. Without a connection, what was downloaded before is found in the library's own cache.
"""

import difflib
import re
from pathlib import Path

SNAPSHOT = re.compile(r"/models--[^/]+/snapshots/([0-9a-f]{40})(/|$)")
HUB_ID = re.compile(r"(?P<repo>[\w.-]{1,96}/[\w.-]{1,96})(?:@(?P<revision>[\w./-]{1,255}))?")
KEPT = ["*.safetensors", "*.json"]
LEFT = ["*/*", "consolidated*"]
"""Subfolders (other formats, other adapters), and a second copy of the weights in some repositories."""
FILES = (".safetensors", ".json", ".bin", ".pt", ".pth", ".ckpt")
"""Endings that a file has and no model."""
SECONDS = 20.0


class HubError(Exception):
    """A model that cannot be had from the Hub; the text names it, the reason and the remedy in one line."""


def resolve(target: str, here: Path = Path(), *, bars: bool = False) -> tuple[Path, str | None]:
    """Return the file or folder that `target` names, and the commit where it has one; `bars`: show downloads.

    A path from `here` that exists stands before a model of that name. Where only its parent does, or a path that is
    called alike, it is a mistyped path, unless a revision says that a model is meant.

    Raises:
        FileNotFoundError: neither an existing path nor a model's name; the text says so, and what is called alike.
        HubError: no connection and no copy, no such model or revision, or one that is not open to this user.
    """
    path = here / target
    if path.exists():
        found = SNAPSHOT.search(str(path.absolute()))
        return path, found[1] if found else None
    asked = HUB_ID.fullmatch(target)
    if asked is None or ".." in target or target.startswith((".", "/")) or asked["repo"].endswith(FILES):
        raise FileNotFoundError(_missing(path, target))
    if asked["revision"] is None and (path.parent.is_dir() or _alike(path)):
        raise FileNotFoundError(_missing(path, target, f", or {target}@main for a model on the Hub"))
    repo, revision = asked["repo"], asked["revision"] or "main"
    online = _asked(repo, revision)
    folder = _snapshot(repo, revision, online, bars)
    return folder, folder.name


def _missing(path: Path, target: str, otherwise: str = "") -> str:
    """Return a line about a path that does not exist, with one that does and is called alike."""
    alike = _alike(path)
    there = f"; {Path(target).parents[len(alike) - 1].joinpath(*alike)} is there" if alike else ""
    return f"{target}: no such file or folder{there}. Name one that exists{otherwise}."


def _alike(path: Path) -> tuple[str, ...]:
    """Return the last names of an existing path that differs from `path` in a letter or two of its last, or last two.

    One name where the parent exists, two where only the parent's own does; none where nothing is called alike.
    """
    if path.parent.is_dir():
        return tuple(_nearest(path.parent, path.name))
    for parent in _nearest(path.parent.parent, path.parent.name):
        if (path.parent.parent / parent / path.name).exists():
            return (parent, path.name)
    return ()


def _nearest(folder: Path, name: str) -> list[str]:
    try:
        there = sorted(entry.name for entry in folder.iterdir() if entry.name != name)  # which is a link to nothing
        return difflib.get_close_matches(name, there, n=1)
    except OSError:
        return []


def _asked(repo: str, revision: str) -> bool:
    """Return whether the Hub answered for this model; raise HubError where its answer is no."""
    from huggingface_hub import HfApi
    from huggingface_hub.errors import (
        GatedRepoError,
        HFValidationError,
        RepositoryNotFoundError,
        RevisionNotFoundError,
    )

    named = f"{repo}@{revision}"
    try:
        info = HfApi().model_info(repo, revision=revision, timeout=SECONDS)
    except GatedRepoError:
        rule = "its authors ask for consent first"
        raise HubError(f"{named}: {rule}. Give it on the model's page, then `hf auth login`.") from None
    except RevisionNotFoundError:
        raise HubError(f"{named}: no such revision of this model. Name a branch, tag or commit.") from None
    except RepositoryNotFoundError:
        rule = "no such path here, and no such model on the Hub, or a private one"
        raise HubError(f"{named}: {rule}. Check the name, or `hf auth login`.") from None
    except HFValidationError as error:
        raise HubError(f"{named}: no name of a model ({_line(error)}). Check it.") from None
    except Exception:  # offline mode, no route, a proxy, a server's error: each of another library's types
        return False
    files = [sibling.rfilename for sibling in info.siblings or []]
    if not any(name.endswith(".safetensors") and "/" not in name for name in files):
        rule = "no safetensors file at its top, and nothing else is read"
        raise HubError(f"{named}: {rule}. Convert it, or name another revision.")
    return True


def _snapshot(repo: str, revision: str, online: bool, bars: bool) -> Path:
    """Return the folder of one commit, by whose name it is called; what is there already is not downloaded again."""
    from huggingface_hub import constants, snapshot_download
    from huggingface_hub.utils import disable_progress_bars

    if not bars:
        disable_progress_bars()
    try:
        return Path(
            snapshot_download(
                repo, revision=revision, allow_patterns=KEPT, ignore_patterns=LEFT, local_files_only=not online
            )
        )
    except Exception as error:  # as above
        if online:
            rule, remedy = f"the download failed ({_line(error)})", "Repeat the command; it goes on from here"
        else:
            rule = f"no such path here, no answer from the Hub and no copy in {constants.HF_HUB_CACHE}"
            remedy = "Check the name, or connect this machine"
        raise HubError(f"{repo}@{revision}: {rule}. {remedy}.") from None


def _line(error: Exception) -> str:
    return " ".join(str(error).split()).rstrip(".")[:160] or type(error).__name__
