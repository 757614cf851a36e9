"""Resolved revisions: which commit a branch or tag of a model meant when this store first asked, once and for good.

A branch that moves later changes no run's identity: what was found first stays in force, and the move is told. To take
the new commit, declare it. A folder of the project is kept in the same way, by the hash of its files.
"""

import time
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from harness.record.atomic import create_json, read_json
from harness.record.foreign import reading
from harness.record.layout import Store
from harness.spec import HubBase


@dataclass(frozen=True, slots=True)
class Resolution:
    """What the place of a base was resolved to."""

    place: str
    """ORG/NAME@REVISION, or a folder of the project."""
    pin: str
    """The commit, or the SHA-256 of the folder's files."""
    resolved_at: float
    """Seconds since the epoch."""


def resolution(store: Store, base: HubBase) -> Resolution | None:
    """Return what the base was resolved to in this store, or None."""
    file = _file(store, base)
    with reading(file):
        said = read_json(file)
        return Resolution(**said) if said else None


def keep(store: Store, base: HubBase, pin: str) -> Resolution:
    """Record what the base is resolved to, unless something is recorded; return what is in force."""
    store.make()
    create_json(_file(store, base), {"place": base.place, "pin": pin, "resolved_at": time.time()})
    kept = resolution(store, base)
    assert kept is not None  # by this call or by another before it
    return kept


def _file(store: Store, base: HubBase) -> Path:
    kind = "hub" if base.hub is not None else "folder"
    return store.revisions / kind / f"{quote(base.place, safe='')}.json"
