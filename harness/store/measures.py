"""Measures: one view per file of `analysis/`, each one SELECT, named by the file's stem.

SQL from strangers can read the index and nothing else: views are made on a connection with external access disabled
and its configuration locked, and a file that holds anything but one SELECT is refused.
"""

from pathlib import Path

import duckdb

SAFE = {
    "autoinstall_known_extensions": False,
    "autoload_known_extensions": False,
    "threads": 1,
}
"""Configuration of every connection."""


class MeasureError(Exception):
    """A measure's file cannot be used; the text names file, rule and remedy."""


def connect(file: Path, *, read_only: bool) -> duckdb.DuckDBPyConnection:
    """Return a connection that installs nothing, prints nothing and uses one thread."""
    connection = duckdb.connect(str(file), read_only=read_only, config=SAFE)
    connection.execute("SET enable_progress_bar = false")  # it would go to standard output
    return connection


def lock(connection: duckdb.DuckDBPyConnection) -> None:
    """Take from a connection every way out of the database it has open."""
    connection.execute("SET enable_external_access = false")
    connection.execute("SET lock_configuration = true")


def create_views(connection: duckdb.DuckDBPyConnection, files: list[Path]) -> None:
    """Make a view of every file on a locked connection; raise MeasureError at the first that cannot be one."""
    for file in files:
        sql = file.read_text(encoding="utf-8")
        shown = f"analysis/{file.name}:1"
        try:
            statements = connection.extract_statements(sql)
        except duckdb.Error as error:
            raise MeasureError(f"{shown} SQL: {_first(error)} Mend the statement.") from None
        if len(statements) != 1 or statements[0].type != duckdb.StatementType.SELECT:
            raise MeasureError(f"{shown} SQL: a measure is exactly one SELECT. Remove everything else.")
        if not sql.lstrip().startswith("--"):
            raise MeasureError(
                f"{shown} SQL: the first line is no comment. State grain and unit: `-- one row per ...`."
            )
        try:
            connection.execute(f'CREATE VIEW "{file.stem}" AS {statements[0].query}')
        except duckdb.Error as error:
            raise MeasureError(f"{shown} SQL: {_first(error)} Mend the statement.") from None


def _first(error: duckdb.Error) -> str:
    return str(error).splitlines()[0].rstrip(".") + "."
