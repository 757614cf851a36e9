"""How wide text is: at most 112 columns, and at least 60 where a terminal is narrower.

What lays itself out (cards, tables) takes the width; any other line that is longer is folded at the end, between words.
Nothing is broken inside a word, so that an id or a path can be longer than the width and still be copied.
"""

import re
import textwrap
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

WIDTH = 112
"""Columns of what is printed where there is room, and where nobody says how much there is."""
LEAST = 60
"""Columns below which nothing is laid out narrower."""


def width_in(room: int | None) -> int:
    """Return the width for a terminal of `room` columns; None: unknown."""
    return WIDTH if room is None else min(WIDTH, max(LEAST, room))


def wrapped(text: str, width: int, first: str = "", rest: str | None = None) -> list[str]:
    """Return `text` in lines of at most `width`, begun with `first` and then `rest`; longer words stay whole."""
    return textwrap.wrap(
        text,
        width,
        initial_indent=first,
        subsequent_indent=first if rest is None else rest,
        break_on_hyphens=False,
        break_long_words=False,
    )


def folded(text: str, width: int) -> str:
    """Return `text` with each longer line continued below the last column that begins in its first half.

    Columns are what two spaces or more part. Rows of Markdown tables stay as they are.
    """
    return "\n".join(line for long in text.split("\n") for line in _folded(long, width))


def _folded(line: str, width: int) -> list[str]:
    if len(line) <= width or line.startswith("|"):
        return [line]
    begins = [gap.end() for gap in re.finditer(r"^ +|(?<=\S) {2,}", line) if gap.end() <= width // 2]
    column = begins[-1] if begins else 2
    head = line[:column] if begins else ""
    return wrapped(line[len(head) :], width, head, " " * column)


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a table, with its cells from top to bottom."""

    head: str
    cells: Sequence[str]
    align: str = ">"
    least: int = 0
    """Columns of text that it has whatever its cells need."""

    @property
    def wide(self) -> int:
        """The columns of text that it takes."""
        return max(self.least, len(self.head), *map(len, self.cells), 0)

    def lines(self) -> list[str]:
        """Return head and cells, as wide as the column."""
        return [f"{text:{self.align}{self.wide}}" for text in (self.head, *self.cells)]


def table(columns: Sequence[Column], keys: int, width: int, gap: str = "  ", indent: str = "") -> list[str]:
    """Return a head and its rows; what does not fit beside the first `keys` columns goes into a table below it.

    Each such table begins with the keys again, so that every row can be read and columns stay aligned.
    """
    tables = _parts(columns, keys, width - len(indent), len(gap))
    rows = ([indent + gap.join(row).rstrip() for row in zip(*(c.lines() for c in t), strict=True)] for t in tables)
    return list(_parted(rows))


def _parts(columns: Sequence[Column], keys: int, width: int, gap: int) -> Iterator[list[Column]]:
    shown = list(columns[:keys])
    for column in columns[keys:]:
        wanted = sum(each.wide + gap for each in shown) + column.wide
        if wanted > width and len(shown) > keys:
            yield shown
            shown = list(columns[:keys])
        shown.append(column)
    yield shown


def _parted(tables: Iterable[list[str]]) -> Iterator[str]:
    for i, lines in enumerate(tables):
        yield from ([""] if i else [])
        yield from lines
