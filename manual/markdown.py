"""Text of the code as Markdown: docstrings, cells of tables, anchors."""

import inspect
import re
from collections.abc import Iterable, Sequence

SPECIAL = re.compile(r"[\\*_<>\[\]]")
ENTITIES = {"<": "&lt;", ">": "&gt;"}
"""Of signs that Markdown takes for HTML, and does not let a backslash hide."""


def escaped(text: str) -> str:
    """Return `text` so that Markdown shows its signs; what stands between backticks is code and stays."""
    parts = text.split("`")
    if len(parts) % 2 == 0:  # a backtick without its partner
        return _shown(text)
    return "`".join(part if i % 2 else _shown(part) for i, part in enumerate(parts))


def _shown(text: str) -> str:
    return SPECIAL.sub(lambda sign: ENTITIES.get(sign[0], f"\\{sign[0]}"), text)


def prose(docstring: str | None) -> str:
    """Return a docstring's paragraphs; click's mark for what it must not wrap is left out."""
    return escaped(inspect.cleandoc((docstring or "").replace("\b", ""))).strip()


def cell(text: str) -> str:
    """Return what stands in one cell of a table: a line in which no bar ends the cell."""
    return re.sub(r"(?<!\\)\|", r"\\|", " ".join(text.split()))


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a table."""
    lines = [head, ["---"] * len(head), *([cell(text) for text in row] for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
