"""Registrations: frozen declarations, numbered, written before the first run that they govern, and never changed.

    registrations/PROTOCOL/HYPOTHESIS/0001.json    the first
    registrations/PROTOCOL/HYPOTHESIS/0002.json    an amendment, with its reason; the newest is in force

A file appears whole or not at all, and of two commands that create one number a single one wins. Each holds a seal over
all its other fields, the seal of its predecessor among them, so that an edit, a swap or a gap is found. A seal is no
signature: a chain that was rewritten from some file to its end, or cut short at its end, looks whole.
"""

import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from harness.record.atomic import IntegrityError, create_json, read_json, sync
from harness.record.layout import Store
from harness.spec import DeclarationError
from harness.spec.canonical import digest

_FIELDS = ("hypothesis", "protocol", "hash", "registered_at", "number", "block", "reason")


@dataclass(frozen=True, slots=True)
class Registration:
    """A registered declaration."""

    hypothesis: str
    protocol: str
    hash: str
    """SHA-256 over declaration, protocol and evaluation set."""
    registered_at: float
    """Seconds since the epoch."""
    number: int
    """From 1; above 1 it is an amendment."""
    block: str
    """The seed block of its runs."""
    reason: str | None
    """Why it was amended; None for the first."""
    content: dict[str, Any] = field(hash=False)
    """What was frozen: `declaration`, `protocol_declaration`, `evaluation_set`."""
    seal: str
    """SHA-256 over the file's other fields and the predecessor's seal."""


def register(
    store: Store, hypothesis: str, protocol: str, hash: str, content: dict[str, Any], *, block: str = "confirm"
) -> Registration:
    """Register a declaration unless this hypothesis has one under this protocol; return the one in force."""
    existing = registered(store, hypothesis, protocol)
    if existing is None:
        said = (hypothesis, protocol, hash, time.time(), 1, block, None)
        _create(store, dict(zip(_FIELDS, said, strict=True)), content, None)  # a racing command may be first
        existing = registered(store, hypothesis, protocol)
    assert existing is not None
    return existing


def amend(
    store: Store, predecessor: Registration, hash: str, content: dict[str, Any], *, block: str, reason: str
) -> Registration:
    """Register a changed declaration after `predecessor`, which stays as it is; return the amendment.

    Raises:
        DeclarationError: another command amended it meanwhile, to something else.
    """
    hypothesis, protocol, number = predecessor.hypothesis, predecessor.protocol, predecessor.number + 1
    said = (hypothesis, protocol, hash, time.time(), number, block, reason)
    _create(store, dict(zip(_FIELDS, said, strict=True)), content, predecessor.seal)
    amended = history(store, hypothesis, protocol)[number - 1]
    if amended.hash != hash:
        rule = f"registration {number} was made meanwhile, of another declaration ({amended.hash[:12]})"
        raise DeclarationError([f"{hypothesis}: {rule}. Compare the two, and amend again if this one is meant."])
    return amended


def registered(store: Store, hypothesis: str, protocol: str) -> Registration | None:
    """Return the registration in force, which is the newest, or None; raise IntegrityError as `history` does."""
    return next(reversed(history(store, hypothesis, protocol)), None)


def history(store: Store, hypothesis: str, protocol: str) -> tuple[Registration, ...]:
    """Return all registrations of a hypothesis under a protocol, oldest first.

    Raises:
        IntegrityError: a file is damaged, changed, renumbered, or out of another folder; or one before it is gone.
    """
    folder = store.registrations / protocol / hypothesis
    found: list[Registration] = []
    for number, path in enumerate(sorted(folder.glob("[0-9]*.json")), start=1):
        if path.name != _name(number):
            raise IntegrityError(f"{path}: stands where {_name(number)} belongs. Restore the name, or the file before.")
        found.append(_registration(path, found[-1] if found else None))
    return tuple(found)


def _create(store: Store, said: dict[str, Any], content: dict[str, Any], previous: str | None) -> None:
    store.make()
    record = {**said, "previous": previous, **content}
    path = store.registrations / said["protocol"] / said["hypothesis"] / _name(said["number"])
    create_json(path, {**record, "seal": digest(record)})
    sync(path.parent)


def _registration(path: Path, predecessor: Registration | None) -> Registration:
    """Return what a file holds, if it is what was written there after `predecessor`."""
    rule = "is not what was registered there"
    try:
        record = dict(read_json(path))
        seal, previous = record.pop("seal"), record["previous"]
        number = predecessor.number + 1 if predecessor else 1
        place = (record["protocol"], record["hypothesis"], record["number"])
        sealed = seal == digest(record) and previous == (predecessor.seal if predecessor else None)
        if sealed and place == (path.parent.parent.name, path.parent.name, number):
            content = {key: value for key, value in record.items() if key not in (*_FIELDS, "previous")}
            return Registration(**{key: record[key] for key in _FIELDS}, content=content, seal=seal)
    except (KeyError, TypeError, ValueError) as error:  # no JSON, no record, or a number that JSON has no form for
        rule = f"is damaged ({type(error).__name__})"
    raise IntegrityError(f"{path}: {rule}. Restore it from a copy: what was registered cannot be made again.")


def _name(number: int) -> str:
    return f"{number:04d}.json"
