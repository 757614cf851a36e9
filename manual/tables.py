"""The page of the index's tables: made from the statements that make them, with the comments that stand there."""

import re
from itertools import groupby

import duckdb

from harness.store.adopted_runs import ADOPTED
from harness.store.schema import TABLES
from manual.markdown import escaped, table

ALL = TABLES + ADOPTED
COMMENT = re.compile(r"^\s*-- (.*)$")
MAKES = re.compile(r"^CREATE TABLE (\w+)")
BESIDE = re.compile(r"^(.*\S)\s+-- (.*)$")
COLUMN = re.compile(r"(\w+) [A-Z]+(?:\[\])?,")


def grains() -> dict[str, str]:
    """Return what a row of each table is, from the comment above its statement."""
    found: dict[str, str] = {}
    above = ""
    for line in ALL.splitlines():
        if made := MAKES.match(line):
            found[made[1]] = above
        above = said[1] if (said := COMMENT.match(line)) else ""
    return found


def remarks() -> dict[tuple[str, str], str]:
    """Return the comments at the ends of lines, by table and column; each is about all columns of its line."""
    found: dict[tuple[str, str], str] = {}
    of = ""
    for line in ALL.splitlines():
        if made := MAKES.match(line):
            of = made[1]
        elif beside := BESIDE.match(line):
            found |= {(of, column): beside[2] for column in COLUMN.findall(f"{beside[1]},")}
    return found


def tables_page() -> str:
    """Return the page of the index's tables."""
    with duckdb.connect() as connection:
        connection.execute(ALL)
        columns: list[tuple[str, str, str, str | None]] = connection.execute(
            "SELECT table_name, column_name, data_type, comment FROM duckdb_columns() WHERE NOT internal "
            "ORDER BY table_oid, column_index"
        ).fetchall()
    beside, grain = remarks(), grains()
    parts = [
        "# Tables of the index",
        "`harness db query SQL` asks them, read-only; every [measure](measures.md) is a view beside them. The index "
        "is derived from the records and can be made again: `harness db rebuild`.",
    ]
    for name, rows in groupby(columns, key=lambda row: row[0]):
        listed = [
            (f"`{column}`", f"`{kind}`", escaped(comment or beside.get((name, column), "")))
            for _, column, kind, comment in rows
        ]
        parts += [f"## {name}", f"{escaped(grain[name][0].upper() + grain[name][1:])}."]
        parts.append(table(("column", "type", "is"), listed))
    return "\n\n".join(parts) + "\n"
