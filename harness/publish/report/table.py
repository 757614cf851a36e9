"""Tables of the report: rows of a SELECT with the text of every printed cell, and what each cell was made of.

Every cell knows its query: the SELECT of its table, the row by its key, and the columns that it was written from. Who
doubts a cell gives `query_of` to `harness db query`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import duckdb

from harness.publish.report.written import column_texts
from harness.record.layout import Store
from harness.spec import DeclarationError
from harness.spec.report_table import Column, ReportTable
from harness.store import query
from harness.store.measures import first_line
from harness.store.schema import literal


@dataclass(frozen=True, slots=True)
class Table:
    """A table with its rows."""

    declared: ReportTable
    verdict: str
    """Id of the verdict that it is about; empty where it is about all."""
    caption: str
    selected: tuple[str, ...]
    """Columns of the SELECT."""
    values: tuple[tuple[Any, ...], ...]
    """Rows of the SELECT, unrounded, (n_rows, n_selected)."""
    texts: tuple[tuple[str, ...], ...]
    """What is printed, (n_rows, n_printed)."""
    sql: str
    """The SELECT as it was asked, its parameters written out."""

    @property
    def name(self) -> str:
        """The table's name, with the verdict's before it where it is of one."""
        return f"{self.verdict}/{self.declared.name}" if self.verdict else self.declared.name

    @property
    def columns(self) -> tuple[Column, ...]:
        """The printed columns."""
        return tuple(self.declared.head.columns.values())

    def key(self, row: int) -> dict[str, Any]:
        """Return what tells a row from all others."""
        return {name: self.values[row][self.selected.index(name)] for name in self.declared.head.key}

    def query_of(self, row: int, column: str) -> str:
        """Return the query that gives what a cell was written from."""
        read = ", ".join(f'"{name}"' for name in self.declared.head.columns[column].of or (column,))
        where = " AND ".join(f'"{name}" IS NOT DISTINCT FROM {_sql(value)}' for name, value in self.key(row).items())
        return f"SELECT {read} FROM ({self.sql}) WHERE {where}"


def tables(store: Store, declared: Sequence[ReportTable], verdicts: Mapping[str, Mapping[str, str]]) -> list[Table]:
    """Return every declared table that has rows, in their order, those of a verdict after each other.

    Args:
        store: Its index is asked.
        declared: The tables.
        verdicts: By id of the verdicts to report, what a caption may name of each.

    Raises:
        DeclarationError: a SELECT that cannot be asked, or whose columns are not those that the table prints.
    """
    ordered = sorted(declared, key=lambda table: (table.head.order, table.name))
    found = [_table(store, each, "", verdicts) for each in ordered if each.head.each == "report"]
    for verdict in verdicts:
        found += [_table(store, each, verdict, verdicts) for each in ordered if each.head.each == "verdict"]
    return [table for table in found if table.values]


def _table(store: Store, declared: ReportTable, verdict: str, verdicts: Mapping[str, Mapping[str, str]]) -> Table:
    shown = f"paper/tables/{declared.name}.sql"
    listed = "[" + ", ".join(_sql(name) for name in verdicts) + "]::VARCHAR[]"
    sql = declared.sql.replace("$verdicts", listed).replace("$verdict", _sql(verdict))
    try:
        selected, rows = query(store, sql)
    except duckdb.Error as error:
        raise DeclarationError([f"{shown}:1 SQL: {first_line(error)} Mend the statement."]) from None
    except ValueError as error:
        raise DeclarationError([f"{shown}:1 SQL: {error}"]) from None
    head = declared.head
    wanted = {name: column.of or (name,) for name, column in head.columns.items()}
    if absent := [name for names in (head.key, *wanted.values()) for name in names if name not in selected]:
        raise DeclarationError([f"{shown}:1 SQL: gives no column {absent[0]}, which the table names. Select it."])
    places = {name: [selected.index(of) for of in read] for name, read in wanted.items()}
    printed = [
        column_texts(column.written, [[row[place] for place in places[name]] for row in rows])
        for name, column in head.columns.items()
    ]
    return Table(
        declared=declared,
        verdict=verdict,
        caption=head.caption_for(dict(verdicts.get(verdict, {}))),
        selected=tuple(selected),
        values=tuple(rows),
        texts=tuple(zip(*printed, strict=True)),
        sql=sql,
    )


def _sql(value: Any) -> str:
    """Return a value as SQL writes it."""
    if value is None:
        return "NULL"
    return literal(value) if isinstance(value, str) else str(value)
