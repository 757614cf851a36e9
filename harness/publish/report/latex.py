r"""Tables as LaTeX: booktabs, ready for \input, split where they are longer than a page.

A table needs `\usepackage{booktabs,array}` and T1 fonts. Widths are shares of the line; a table that would not fit is
set in smaller type.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise
from math import ceil

from harness.publish.report.emitted import Emitted, Lines
from harness.publish.report.latex_text import Key, code, escape
from harness.publish.report.table import Table
from harness.spec.report_table import Column

RIGHT = ("count", "number", "accuracy", "p", "minutes")
"""Kinds whose columns end at one place."""
LINE = {"footnotesize": 94, "scriptsize": 104}
"""Characters on a line of 5.5 inches, the text width of most conferences, by size of type."""
WIDE = 1.2
"""Width of a letter in fixed width over that of others."""
ENOUGH = 0.8
"""Share of the width asked for that a column which wraps can do with."""
PAGE = 46
"""Lines of a table on one page."""


def latex_table(table: Table, path: str) -> Emitted:
    """Return a table as a file of one or more `table` environments."""
    lines = Lines()
    lines.say(f"% {table.name}: {' '.join(table.declared.head.title.split())}. Needs \\usepackage{{booktabs,array}}.")
    layout = _layout(table)
    parts = _parts(table, layout)
    for number, rows in enumerate(parts, start=1):
        _part(lines, table, layout, rows, f" (part {number} of {len(parts)})" if len(parts) > 1 else "")
    return lines.emitted(path, " & ")


def label(table: Table) -> str:
    """Return the table's cross-reference key."""
    return Key(f"tab:{table.name}")


@dataclass(frozen=True, slots=True)
class _Layout:
    """How a table is set."""

    size: str
    widths: tuple[float | None, ...]
    """Share of the line of each column that wraps; None for one that is as wide as it needs."""

    def lines(self, row: Sequence[str], columns: Sequence[Column]) -> int:
        """Return about how many lines a row takes."""
        wraps = [
            ceil(len(text) * (WIDE if column.written == "code" else 1.0) / (0.85 * width * LINE[self.size]))
            for text, column, width in zip(row, columns, self.widths, strict=True)
            if width is not None
        ]
        return max(1, *wraps) if wraps else 1


def _layout(table: Table) -> _Layout:
    """Return the larger type where columns that wrap keep most of the width they ask for, else the smaller one."""
    wanted = sum(column.width or 0.0 for column in table.columns)
    fixed = sum(_natural(table, i) + 2 for i, column in enumerate(table.columns) if column.width is None)
    gaps = 0.02 * sum(column.width is not None for column in table.columns)
    rooms = {size: 1 - fixed / line - gaps for size, line in LINE.items()}
    size = next((size for size, room in rooms.items() if room >= ENOUGH * wanted), "scriptsize")
    share = min(1.0, max(rooms[size], 0.2) / wanted) if wanted else 1.0
    return _Layout(size, tuple(None if column.width is None else column.width * share for column in table.columns))


def _part(lines: Lines, table: Table, layout: _Layout, rows: tuple[int, int], of: str) -> None:
    first, last = rows
    specified = "".join(_column(column, width) for column, width in zip(table.columns, layout.widths, strict=True))
    lines.say(r"\begin{table}", r"  \centering", rf"  \{layout.size}")
    lines.say(rf"  \caption{{{escape(table.caption + of)}}}")
    if first == 0:
        lines.say(rf"  \label{{{label(table)}}}")
    lines.say(r"  \setlength{\tabcolsep}{3.5pt}", rf"  \begin{{tabular}}{{@{{}}{specified}@{{}}}}")
    lines.say(r"    \toprule", f"    {' & '.join(escape(c.head) for c in table.columns)} \\\\", r"    \midrule")
    texts = table.grouped()
    for i in range(first, last):
        cells = texts[i] if i > first else table.texts[i]
        if i > first and table.declared.head.group and cells[0]:
            lines.say(r"    \addlinespace[2pt]")
        said = (code(t) if c.written == "code" else escape(t) for t, c in zip(cells, table.columns, strict=True))
        lines.print_row(f"    {' & '.join(said)} \\\\", table, i)
    lines.say(r"    \bottomrule", r"  \end{tabular}")
    for note in table.declared.head.notes if last == len(table.texts) else ():
        lines.say("", r"  \smallskip", rf"  \parbox{{\linewidth}}{{\raggedright {escape(note)}}}")
    lines.say(r"\end{table}", "")


def _column(column: Column, width: float | None) -> str:
    if width is not None:
        return rf">{{\raggedright\arraybackslash}}p{{{width:.3f}\linewidth}}"
    return "r" if column.written in RIGHT else "l"


def _natural(table: Table, i: int) -> int:
    wide = WIDE if table.columns[i].written == "code" else 1.0
    return max(len(table.columns[i].head), ceil(wide * max(len(row[i]) for row in table.texts)))


def _parts(table: Table, layout: _Layout) -> list[tuple[int, int]]:
    """Return the rows of each part, first and behind the last, about equal, so that none is longer than a page."""
    heights = [layout.lines(row, table.columns) for row in table.texts]
    parts = ceil(sum(heights) / PAGE)
    pages = [(total - 1) * parts // sum(heights) for total in accumulate(heights)]
    cuts = [0, *(i + 1 for i, (a, b) in enumerate(pairwise(pages)) if b > a), len(pages)]
    return list(pairwise(cuts))
