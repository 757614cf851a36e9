"""Tables of the report: rows of a SELECT with the text of every printed cell, and what each cell was made of.

Every cell knows its query: the SELECT of its table, the row by its key, and the columns that it was written from. Who
doubts a cell gives `query_of` to `harness db query`.
"""

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any, cast

import duckdb

from harness.publish.report.written import column_texts
from harness.record.layout import Store
from harness.spec import DeclarationError
from harness.spec.report_table import Column, ReportTable
from harness.store import query
from harness.store.measures import first_line
from harness.store.schema import literal

_PARAMETER = re.compile(r"\$([a-z]+)\b")


@dataclass(frozen=True, slots=True)
class Table:
    """A table with its rows."""

    declared: ReportTable
    verdict: str
    """Id of the verdict that it is about; empty where it is about all."""
    about: str
    """What files call that verdict; empty likewise."""
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
        """The table's name and its file's stem, with the verdict's before it where it is of one."""
        return f"{self.about}-{self.declared.name}" if self.about else self.declared.name

    @property
    def columns(self) -> tuple[Column, ...]:
        """The printed columns."""
        return tuple(self.declared.head.columns.values())

    def grouped(self) -> list[tuple[str, ...]]:
        """Return the texts with those of a group's columns said once, in its first row."""
        names, group = list(self.declared.head.columns), self.declared.head.group
        once = {names.index(name) for name in group}
        if not once:
            return list(self.texts)
        same = [
            False,
            *(above[names.index(group[0])] == row[names.index(group[0])] for above, row in pairwise(self.texts)),
        ]
        found: list[tuple[str, ...]] = []
        for i, row in enumerate(self.texts):
            spared = {k for k in once if same[i] and row[k] == self.texts[i - 1][k]}
            found.append(tuple("" if k in spared else text for k, text in enumerate(row)))
        return found

    def key(self, row: int) -> dict[str, Any]:
        """Return what tells a row from all others."""
        return {name: self.values[row][self.selected.index(name)] for name in self.declared.head.key}

    def query_of(self, row: int, column: str) -> str:
        """Return the query that gives what a cell was written from; also for a column of the SELECT alone."""
        printed = self.declared.head.columns.get(column)
        read = ", ".join(f'"{name}"' for name in (printed.of if printed and printed.of else (column,)))
        where = " AND ".join(f'"{name}" IS NOT DISTINCT FROM {_sql(value)}' for name, value in self.key(row).items())
        return f"SELECT {read} FROM ({self.sql}) WHERE {where}"


Rows = Sequence[Mapping[str, Any]]
FACTS = {
    "rivals": {"position": "INTEGER", "hypothesis": "VARCHAR", "explains": "VARCHAR"},
    "reported": {
        "position": "INTEGER",
        "setting": "VARCHAR",
        "value": "DOUBLE",
        "spread": "DOUBLE",
        "result": "VARCHAR",
        "source": "VARCHAR",
        "cell": "VARCHAR",
    },
}
"""What the SELECT of a table of each verdict may ask of its declaration, as `$rivals` and `$reported`: columns."""


@dataclass(frozen=True, slots=True)
class About:
    """What the tables of one verdict are told beside the index."""

    slug: str
    """What files call it."""
    names: Mapping[str, str]
    """What a caption may name."""
    facts: Mapping[str, Rows]
    """Rows of `FACTS`."""


def tables(store: Store, declared: Sequence[ReportTable], verdicts: Mapping[str, About]) -> list[Table]:
    """Return every declared table that has rows, in their order, those of a verdict after each other.

    Args:
        store: Its index is asked.
        declared: The tables.
        verdicts: Those to report, by id.

    Raises:
        DeclarationError: a SELECT that cannot be asked, or whose columns are not those that the table prints.
    """
    ordered = sorted(declared, key=lambda table: (table.head.order, table.name))
    every = {"verdicts": _sql(list(verdicts)) + "::VARCHAR[]"}
    found = [_table(store, each, "", NOTHING, every) for each in ordered if each.head.each == "report"]
    for verdict, about in verdicts.items():
        given = {"verdict": _sql(verdict), **every}
        given |= {name: _facts(name, about.facts.get(name, ())) for name in FACTS}
        found += [_table(store, each, verdict, about, given) for each in ordered if each.head.each == "verdict"]
    return [table for table in found if table.values]


FIGURES = 12
"""Significant figures that are kept: the last of sixteen depend on the order in which the index took its rows."""


def _settled(value: Any) -> Any:
    """Return a value as every order of summing gives it."""
    return float(f"{value:.{FIGURES}g}") if isinstance(value, float) else value


NOTHING = About("", {}, {})


def _table(store: Store, declared: ReportTable, verdict: str, about: About, given: Mapping[str, str]) -> Table:
    shown = f"paper/tables/{declared.name}.sql"
    sql = _PARAMETER.sub(lambda found: given.get(found[1], found[0]), declared.sql)
    try:
        selected, rows = query(store, sql)
        rows = [tuple(map(_settled, row)) for row in rows]
    except duckdb.Error as error:
        raise DeclarationError([f"{shown}:1 SQL: {first_line(error)} Mend the statement."]) from None
    except ValueError as error:
        raise DeclarationError([f"{shown}:1 SQL: {error}"]) from None
    places_of = _places(declared, selected, shown)
    _told_apart(declared, selected, rows, shown)
    printed = {
        name: _texts(name, declared.head.columns[name], [[row[place] for place in places] for row in rows], shown)
        for name, places in places_of.items()
    }
    told = {name: texts for name, texts in printed.items() if any(texts)}
    return Table(
        declared=_of_columns(declared, told),
        verdict=verdict,
        about=about.slug,
        caption=declared.head.caption_for(dict(about.names)),
        selected=tuple(selected),
        values=tuple(rows),
        texts=tuple(zip(*told.values(), strict=True)),
        sql=sql,
    )


def _texts(name: str, column: Column, rows: Sequence[Sequence[Any]], shown: str) -> list[str]:
    try:
        return column_texts(column.written, rows)
    except (TypeError, ValueError, ArithmeticError) as error:
        rule = f"column {name} has a value that is not written as {column.written} ({error}). Write it otherwise."
        raise DeclarationError([f"{shown}:1 columns.{name}: {rule}"]) from None


def _told_apart(declared: ReportTable, selected: Sequence[str], rows: Sequence[tuple[Any, ...]], shown: str) -> None:
    """Raise DeclarationError where two rows have one key."""
    places = [selected.index(name) for name in declared.head.key if name in selected]
    seen: set[str] = set()
    for row in rows:
        key = ", ".join(f"{selected[place]} {row[place]}" for place in places)
        if key in seen:
            raise DeclarationError([f"{shown}:1 key: two rows have {key}. Name columns that tell rows apart."])
        seen.add(key)


def _of_columns(declared: ReportTable, told: Collection[str]) -> ReportTable:
    """Return the table without the columns that no row has anything in."""
    columns = {name: column for name, column in declared.head.columns.items() if name in told}
    group = tuple(name for name in declared.head.group if name in told)
    return replace(declared, head=declared.head.model_copy(update={"columns": columns, "group": group}))


def _places(declared: ReportTable, selected: Sequence[str], shown: str) -> dict[str, list[int]]:
    """Return, by printed column, where the SELECT gives what it is written from."""
    head = declared.head
    wanted = {name: column.of or (name,) for name, column in head.columns.items()}
    if absent := [name for names in (head.key, *wanted.values()) for name in names if name not in selected]:
        raise DeclarationError([f"{shown}:1 SQL: gives no column {absent[0]}, which the table names. Select it."])
    return {name: [selected.index(of) for of in read] for name, read in wanted.items()}


def _facts(name: str, rows: Rows) -> str:
    """Return rows of a declaration as a list of structures of SQL."""
    columns = FACTS[name]
    listed = [
        {"position": i, **{key: row.get(key) for key in columns if key != "position"}} for i, row in enumerate(rows)
    ]
    return f"{_sql(listed)}::STRUCT({', '.join(f'{key} {kind}' for key, kind in columns.items())})[]"


def _sql(value: Any) -> str:
    """Return a value as SQL writes it."""
    if value is None:
        return "NULL"
    if isinstance(value, list):
        return f"[{', '.join(map(_sql, cast('list[Any]', value)))}]"
    if isinstance(value, dict):
        said = cast("dict[str, Any]", value)
        return "{" + ", ".join(f"{literal(key)}: {_sql(of)}" for key, of in said.items()) + "}"
    return literal(value) if isinstance(value, str) else str(value)
