"""What a store keeps of published sets: their rows, by hash, and which rows a declaration was found to mean.

A pin is the first answer to a question (which commit is this revision, which rows are in this folder) and is never
asked again in this store: so a branch that moves, or a folder that is emptied, changes no registered identity.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from harness.record.atomic import create_json, read_json, write_bytes
from harness.record.layout import Store
from harness.source.rows import rows_file
from harness.spec.canonical import digest

Pin = Mapping[str, Any]
"""`revision` (a commit, or None for a folder), `sha256` and number of the rows, names of the `files`."""


def pinned_rows(store: Store, declared: Mapping[str, Any], state: str | None) -> Pin | None:
    """Return the pin of a set as `declared`, in the `state` of its folder; None where there is none.

    Without a state (a folder that is not there, as in a bundle) the only pin that there is, is meant.
    """
    folder = store.pins / digest(declared)[:16]
    if state is not None:
        return read_json(folder / f"{state}.json")
    pins = sorted(folder.glob("*.json"))
    return read_json(pins[0]) if len(pins) == 1 else None


def keep_pin(store: Store, declared: Mapping[str, Any], state: str, pin: Pin) -> None:
    """Record what a set as `declared` means; an earlier answer stays."""
    store.make()
    create_json(store.pins / digest(declared)[:16] / f"{state}.json", {**pin, "declared": declared})


def keep_rows(store: Store, content: bytes, sha256: str) -> None:
    """Keep the rows of a set under their hash."""
    file = rows_file(store.rows, sha256)
    if file.is_file():
        return
    store.make()
    file.parent.mkdir(parents=True, exist_ok=True)
    write_bytes(file, content)


def kept_rows(job: Path) -> Path:
    """Return the folder of the rows for a job in a store, or in the store of a pilot inside another."""
    places = [parent / "data" / "rows" for parent in job.parents]
    return next((place for place in places if place.is_dir()), places[1])
