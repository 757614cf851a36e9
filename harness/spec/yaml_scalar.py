"""What a YAML scalar means: the 1.2 core schema, in decimal only.

Departures: octal and hexadecimal numbers are words; a whole number of more than 18 digits and a character that no
JSON text can carry are refused, because what cannot be written back has no identity.
"""

import re
from typing import Any

from harness.spec.problem import shown

MAX_DIGITS = 18
"""Decimal digits that fit every integer column (int64 holds 19 of them only up to 9.2e18)."""

_INT = re.compile(r"[-+]?[0-9]+")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_NO_TEXT = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ud800-\udfff]")
_SPELLINGS: dict[str, tuple[str, ...]] = {
    "null": ("", "~", "null", "Null", "NULL"),
    "true": ("true", "True", "TRUE"),
    "false": ("false", "False", "FALSE"),
    "nan": (".nan", ".NaN", ".NAN"),
    "inf": (".inf", ".Inf", ".INF", "+.inf", "+.Inf", "+.INF"),
    "-inf": ("-.inf", "-.Inf", "-.INF"),
}
_MEANINGS: dict[str, Any] = {
    "null": None,
    "true": True,
    "false": False,
    "nan": float("nan"),
    "inf": float("inf"),
    "-inf": float("-inf"),
}
_WORDS = {word: _MEANINGS[name] for name, words in _SPELLINGS.items() for word in words}


def value_of(written: str, *, plain: bool) -> Any:
    """Return the null, boolean, number or text that a scalar means; only a plain (unquoted) one is not text."""
    if not plain:
        return written
    if written in _WORDS:
        return _WORDS[written]
    if _INT.fullmatch(written):
        return int(written)
    return float(written) if _FLOAT.fullmatch(written) else written


def unreadable_scalar(written: str, *, plain: bool) -> str | None:
    """Return why a scalar cannot be read, or None."""
    if found := _NO_TEXT.search(written):
        return f"{shown(written)} holds {shown(found[0])}, which is no text. Remove that character."
    if plain and _INT.fullmatch(written) and len(written.lstrip("+-")) > MAX_DIGITS:
        return f"{shown(written)} is a whole number of more than {MAX_DIGITS} digits. Write a smaller one."
    return None
