"""One mistake in a declaration: where it stands, what the rule is, and the remedy.

Everything here that comes from a file is shown printable and short, so that a mistake is always one line of text.
"""

import json
import re
from dataclasses import dataclass
from typing import Any, cast

Location = tuple[str | int, ...]

_WORD = re.compile(r"[A-Za-z0-9_-]{1,60}")


@dataclass(frozen=True, slots=True)
class Problem:
    """A mistake at `location` (keys and indices from the top of the file), said in one sentence with its remedy."""

    location: Location
    message: str
    line: int | None = None
    """Line in the file, from 1, where the mistake is known to stand; else the line of the location."""


def dotted(location: Location) -> str:
    """Return `predictions[0].margin` for ('predictions', 0, 'margin'), and `file` for the whole of it."""
    text = ""
    for step in location:
        if isinstance(step, int):
            text += f"[{step}]"
        else:
            text += ("." if text else "") + (step if _WORD.fullmatch(step) else shown(step))
    return text or "file"


def shown(value: Any) -> str:
    """Return a value as JSON of at most 60 characters, all of them printable."""
    text = json.dumps(value, default=str, ensure_ascii=False)
    text = text if len(text) <= 60 else text[:57] + "..."
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)


def mapping(value: Any) -> dict[str, Any]:
    """Return `value` if it is a mapping as YAML gives it, else an empty one: another check reports that."""
    return cast("dict[str, Any]", value) if isinstance(value, dict) else {}


def items(value: Any) -> list[Any]:
    """Return `value` if it is a list, else an empty one: another check reports that."""
    return cast("list[Any]", value) if isinstance(value, list) else []
