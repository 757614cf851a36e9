"""A figure of the report, drawn: its pictures, what is plotted, and the query that gave it."""

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Drawn:
    """One figure."""

    name: str
    """Its file's stem."""
    verdict_id: str
    """The verdict that it is about; empty where it is about all."""
    title: str
    caption: str
    alt: str
    """What is seen, in words, for whoever does not see it."""
    sql: str
    """The query that gives what is plotted."""
    columns: tuple[str, ...]
    rows: tuple[tuple[Any, ...], ...]
    """What is plotted, unrounded."""
    svg: str
    """Self-contained, on no background, its ink the colour of the text around it."""
    pdf: bytes
