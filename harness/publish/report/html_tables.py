"""Tables as the page shows them: every cell with its text, the number it sorts by, and the parts of its query.

A cell's query is `SELECT <read of its column> FROM (<SELECT of its table>) WHERE <its row>`, so that the page keeps
the three parts once each. Cells that hold an outcome are marked; rows that are about a verdict of the report lead to
it.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import quote

from harness.publish.report.table import Table
from harness.record.verdict import Outcome, Verdict
from harness.spec.report_table import Written
from harness.store.schema import literal

NUMBERS: frozenset[Written] = frozenset({"count", "number", "accuracy", "p", "minutes"})
"""Ways of writing that give one number, which is set flush right."""
OUTCOMES = frozenset(str(outcome) for outcome in Outcome)
ABOUT = ("hypothesis", "base", "protocol")
"""Columns that say which verdict a row is about."""
RUNS_SQL = "SELECT run_id, cell, seed, label, accuracy FROM judged WHERE verdict_id = {} ORDER BY position"

Leads = Callable[[Mapping[str, Any]], str]
"""Gives the fragment that a row, by its columns, leads to; empty where to none."""


@dataclass(frozen=True, slots=True)
class ShownColumn:
    """A column's head."""

    head: str
    read: str
    """What its cells are selected as."""
    kind: str
    """Classes of its cells: number, code, wraps, both of these, or text."""


@dataclass(frozen=True, slots=True)
class ShownCell:
    """A cell."""

    text: str
    sort: str = ""
    """The unrounded number that it is sorted by; empty where it is sorted by its text."""
    leads: str = ""
    """The fragment that it leads to; empty where to none."""
    outcome: str = ""
    """The outcome that it states; empty where it states none."""
    whole: bool = False
    """Whether that is the outcome of a verdict of the report, not of a part of it."""


@dataclass(frozen=True, slots=True)
class ShownTable:
    """A table."""

    id: str
    title: str
    label: str
    """Its title and, of a verdict's table, whose it is: no two on a page are alike."""
    caption: str
    columns: tuple[ShownColumn, ...]
    rows: tuple[tuple[str, tuple[ShownCell, ...]], ...]
    """Of each row the condition that selects it, and its cells."""
    notes: tuple[str, ...]
    sql: str


def shown_table(table: Table, id: str, whose: str, leads: Leads) -> ShownTable:
    """Return a declared table; `whose` is the verdict it is of, in words, empty where it is about all."""
    names = list(table.declared.head.columns)
    reads = [_parts(table, 0, name)[0] for name in names]
    heads = [
        ShownColumn(column.head, read, _kind(column.written, column.width))
        for column, read in zip(table.columns, reads, strict=True)
    ]
    return ShownTable(
        id=id,
        title=table.declared.head.title,
        label=f"{table.declared.head.title}: {whose}" if whose else table.declared.head.title,
        caption=table.caption,
        columns=tuple(heads),
        rows=tuple((_parts(table, row, names[0])[1], _cells(table, row, leads)) for row in range(len(table.values))),
        notes=table.declared.head.notes,
        sql=table.sql,
    )


def runs_table(verdict: Verdict, verdict_id: str, id: str, whose: str, opens: Callable[[str], bool]) -> ShownTable:
    """Return the runs that a verdict rests on; those that open lead to what is known of them."""
    columns = [("Run", "run_id", "code"), ("Cell", "cell", "code"), ("Seed", "seed", "number")]
    columns += [("Label", "label", "text"), ("Accuracy", "accuracy", "number")]
    rows = tuple(
        (
            f'"run_id" IS NOT DISTINCT FROM {literal(run.run_id)}',
            (
                ShownCell(run.run_id, leads=run_fragment(run.run_id) if opens(run.run_id) else ""),
                ShownCell(run.cell),
                ShownCell(str(run.seed), str(run.seed)),
                ShownCell(str(run.label)),
                ShownCell(f"{run.accuracy:.3f}".removeprefix("0"), repr(run.accuracy)),
            ),
        )
        for run in verdict.runs
    )
    return ShownTable(
        id=id,
        title="Runs",
        label=f"Runs: {whose}",
        caption="Runs that the verdict rests on, each with its accuracy on the held-out problems.",
        columns=tuple(ShownColumn(head, f'"{read}"', kind) for head, read, kind in columns),
        rows=rows,
        notes=(),
        sql=RUNS_SQL.format(literal(verdict_id)),
    )


def run_fragment(run_id: str) -> str:
    """Return the fragment under which the page opens a run."""
    return f"#run/{quote(run_id, safe='')}"


def _parts(table: Table, row: int, column: str) -> tuple[str, str]:
    """Return what a cell's query reads and which row it reads it from."""
    read, where = table.query_of(row, column).split(f" FROM ({table.sql}) WHERE ", 1)
    return read.removeprefix("SELECT "), where


def _kind(written: Written, width: float | None) -> str:
    if written in NUMBERS:
        return "number"
    kind = "code" if written == "code" else ""
    return " ".join(filter(None, (kind, "wraps" if width else ""))) or "text"


def _cells(table: Table, row: int, leads: Leads) -> tuple[ShownCell, ...]:
    values = dict(zip(table.selected, table.values[row], strict=True))
    columns = table.declared.head.columns
    cells = [
        ShownCell(
            text,
            sort=_sort(values[(column.of or (name,))[0]]),
            outcome=text if name == "outcome" and text in OUTCOMES else "",
        )
        for (name, column), text in zip(columns.items(), table.texts[row], strict=True)
    ]
    if all(name in values for name in ABOUT) and (fragment := leads(values)):
        place = list(columns).index("hypothesis") if "hypothesis" in columns else 0
        cells = [replace(cell, whole=bool(cell.outcome)) for cell in cells]
        cells[place] = replace(cells[place], leads=fragment)
    return tuple(cells)


def _sort(value: Any) -> str:
    number = isinstance(value, int | float) and not isinstance(value, bool) and not math.isnan(value)
    return repr(value) if number else ""


def taken(names: Sequence[str]) -> list[str]:
    """Return names as ids of the page: letters, digits, dots and dashes, and no two alike."""
    found: dict[str, None] = {}
    for name in names:
        plain = "".join(sign if sign.isascii() and (sign.isalnum() or sign in "._-") else "-" for sign in name)
        at, number = plain, 2
        while at in found:
            at, number = f"{plain}-{number}", number + 1
        found[at] = None
    return list(found)
