"""From what a user names to a folder of weights: a path that exists, else a model on the Hugging Face Hub.

Of a model, one commit is read and told; `harness.source.hub` says what of it.
"""

import difflib
import re
from pathlib import Path

from harness.source.hub import WEIGHTS, HubError, commit_of, snapshot

__all__ = ["HubError", "resolve"]

SNAPSHOT = re.compile(r"/models--[^/]+/snapshots/([0-9a-f]{40})(/|$)")
HUB_ID = re.compile(r"(?P<repo>[\w.-]{1,96}/[\w.-]{1,96})(?:@(?P<revision>[\w./-]{1,255}))?")
FILES = (".safetensors", ".json", ".bin", ".pt", ".pth", ".ckpt")
"""Endings that a file has and no model."""


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
    online = commit_of(repo, revision, "no such path here, and ") is not None
    folder = snapshot(repo, revision, online=online, kept=WEIGHTS, bars=bars, otherwise="no such path here, ")
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
