"""One canonical form of a value, and its hash: the root of every identity in the project.

Canonical JSON here is UTF-8, keys sorted, no white space, shortest float that reads back equal, minus zero as zero.
A whole float below 2**53 equals its integer (0.0 and 0 hash alike), because YAML authors write both and mean the same.
Whatever has no canonical form (NaN, infinity, a set, an object) raises, so that nothing gets an unstable identity.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any, cast

_ENCODER = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
"""Made once: `json.dumps` would make another one for every value that is not written by its defaults."""


def canonical(value: Any) -> Any:
    """Return `value` with numbers normalised and containers plain; raise TypeError or ValueError where none exists."""
    if value is None or isinstance(value, bool | str | int):
        return value
    if type(value) is float:
        if value != value or value in (float("inf"), float("-inf")):
            raise ValueError(f"{value} has no canonical form: identities are made of finite numbers")
        return int(value) if value.is_integer() and abs(value) < 2**53 else value
    if isinstance(value, Mapping):
        entries = cast("Mapping[Any, Any]", value)
        if bad := [key for key in entries if not isinstance(key, str)]:
            raise TypeError(f"key {bad[0]!r} has no canonical form: keys are strings")
        return {key: canonical(item) for key, item in entries.items()}
    if isinstance(value, Sequence) and not isinstance(value, bytes | bytearray):
        return [canonical(item) for item in cast("Sequence[Any]", value)]
    raise TypeError(f"{type(value).__name__} has no canonical form: use JSON values")


def canonical_json(value: Any) -> str:
    """Return the canonical JSON text of `value`."""
    return _ENCODER.encode(canonical(value))


def digest(value: Any) -> str:
    """Return the SHA-256 of the canonical JSON of `value`, 64 hexadecimal digits."""
    return hashlib.sha256(canonical_json(value).encode()).hexdigest()
