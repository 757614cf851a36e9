"""Why a run is not one that exists: the field-by-field difference to the nearest existing run."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, cast


@dataclass(frozen=True, slots=True)
class Difference:
    """The existing run that differs in the fewest identity fields, and those fields."""

    run_id: str
    fields: dict[str, tuple[Any, Any]]
    """Dotted field: (wanted, existing); empty if the run itself exists."""


def nearest(identity: Mapping[str, Any], existing: Iterable[tuple[str, Mapping[str, Any]]]) -> Difference | None:
    """Return the nearest of `existing` (id, identity), or None where there is none."""
    wanted = _flat(identity)
    best: Difference | None = None
    for run_id, other in existing:
        theirs = _flat(other)
        keys = [key for key in sorted({*wanted, *theirs}) if wanted.get(key) != theirs.get(key)]
        if best is None or len(keys) < len(best.fields):
            best = Difference(run_id, {key: (wanted.get(key), theirs.get(key)) for key in keys})
    return best


def _flat(value: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, item in value.items():
        if isinstance(item, Mapping):
            flat |= _flat(cast("Mapping[str, Any]", item), f"{prefix}{key}.")
        else:
            flat[f"{prefix}{key}"] = item
    return flat
