"""Files of a report: their text, and which row of which table each line of it prints."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from harness.publish.report.table import Table


@dataclass(frozen=True, slots=True)
class Row:
    """A printed row of a table."""

    table: Table
    index: int
    """From 0."""


@dataclass(frozen=True, slots=True)
class Emitted:
    """One file."""

    path: str
    """Relative to the report's folder."""
    content: str | bytes
    rows: Mapping[int, Row] = field(default_factory=dict[int, Row])
    """By line of the text, from 0."""
    separator: str = ""
    """What stands between the cells of a row; empty where the file holds no rows."""

    @property
    def encoded(self) -> bytes:
        """The file's bytes."""
        return self.content.encode() if isinstance(self.content, str) else self.content


class Lines:
    """A text that grows line by line and remembers which of them print rows."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.rows: dict[int, Row] = {}

    def say(self, *lines: str) -> None:
        """Add lines; one that holds line breaks counts as several."""
        for line in lines:
            self.lines += line.split("\n")

    def print_row(self, line: str, table: Table, index: int) -> None:
        """Add the line that prints a row."""
        self.rows[len(self.lines)] = Row(table, index)
        self.lines.append(line)

    def emitted(self, path: str, separator: str) -> Emitted:
        """Return the file."""
        return Emitted(path, "\n".join(self.lines) + "\n", self.rows, separator)
