"""Registrations: frozen declarations, written before the first run that they govern, and never changed."""

import time
from dataclasses import dataclass
from typing import Any

from harness.record.atomic import create_json, read_json
from harness.record.layout import Store


@dataclass(frozen=True, slots=True)
class Registration:
    """A registered declaration."""

    hypothesis: str
    protocol: str
    hash: str
    """SHA-256 over declaration, protocol and evaluation set."""
    registered_at: float
    """Seconds since the epoch."""


def register(store: Store, hypothesis: str, protocol: str, hash: str, content: dict[str, Any]) -> Registration:
    """Register a declaration unless this hypothesis has one under this protocol; return the one in force."""
    existing = registered(store, hypothesis, protocol)
    if existing is not None:
        return existing
    record = {"hypothesis": hypothesis, "protocol": protocol, "hash": hash, "registered_at": time.time(), **content}
    create_json(store.registrations / protocol / f"{hypothesis}.json", record)  # a racing command may be first
    in_force = registered(store, hypothesis, protocol)
    assert in_force is not None
    return in_force


def registered(store: Store, hypothesis: str, protocol: str) -> Registration | None:
    """Return the registration in force, or None."""
    said = read_json(store.registrations / protocol / f"{hypothesis}.json")
    if said is None:
        return None
    return Registration(said["hypothesis"], said["protocol"], said["hash"], said["registered_at"])
