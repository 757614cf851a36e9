"""Exclusions: runs that somebody took out by hand, with the reason, once and for good.

There is no way back and no second reason, so that who sees a result cannot try which runs to leave out. The run and
its result stay where they are.
"""

import time
from dataclasses import dataclass
from pathlib import Path

from harness.record.atomic import create_json, read_json
from harness.record.foreign import reading
from harness.record.layout import Store
from harness.spec import DeclarationError

SHORTEST = 10
"""Characters that a reason has at least."""


@dataclass(frozen=True, slots=True)
class Exclusion:
    """One run's exclusion."""

    run_id: str
    reason: str
    excluded_at: float
    """Seconds since the epoch."""


def exclude(store: Store, run_id: str, reason: str) -> Exclusion:
    """Exclude a run unless it is excluded already; return the exclusion in force, which is the first one.

    Raises:
        DeclarationError: there is no such run, or the reason says too little.
    """
    reason = reason.strip()
    if run_id not in {path.parent.name for path in store.runs.glob("*/spec.json")}:
        raise DeclarationError([f"{run_id!r} is no run in {store.runs}. `harness runs list` shows them all."])
    if len(reason) < SHORTEST:
        rule = f"has fewer than {SHORTEST} characters. Say what is wrong with the run, whatever it scored."
        raise DeclarationError([f"{run_id} reason: {reason!r} {rule}"])
    path = store.exclusions / f"{run_id}.json"
    create_json(path, {"run_id": run_id, "reason": reason, "excluded_at": time.time()})  # another may be first
    return _read(path)


def excluded(store: Store) -> dict[str, str]:
    """Return the reason of every excluded run, by run id, in the order of the ids."""
    found = [_read(path) for path in sorted(store.exclusions.glob("*.json"))]
    return {exclusion.run_id: exclusion.reason for exclusion in found}


def _read(path: Path) -> Exclusion:
    with reading(path):
        said = Exclusion(**read_json(path))
        if said.run_id != path.stem or not said.reason.strip():
            raise ValueError("it is of another run, or gives no reason")
        return said
