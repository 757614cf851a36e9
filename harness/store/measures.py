"""Measures: one view per file of `analysis/`, each one SELECT, named by the file's stem.

SQL from strangers can read the index and nothing else: views are made on a connection with external access disabled
and its configuration locked, and a file that holds anything but one SELECT is refused. A view's comment is the first
line of its file, which states its grain.
"""

from pathlib import Path

import duckdb

from harness.spec import DeclarationError
from harness.store.limits import limited
from harness.store.schema import literal

SAFE: dict[str, str | bool | int | float | list[str]] = {
    "autoinstall_known_extensions": False,
    "autoload_known_extensions": False,
    "python_enable_replacements": False,  # else a query could read the variables of this very program
    "allow_persistent_secrets": False,
    "threads": 1,
}
"""Configuration of every connection."""


class MeasureError(DeclarationError):
    """A measure's file cannot be used; the text names file, rule and remedy."""


def connect(file: Path, *, read_only: bool) -> duckdb.DuckDBPyConnection:
    """Return a connection that installs nothing, prints nothing and uses one thread."""
    connection = duckdb.connect(str(file), read_only=read_only, config=SAFE)
    connection.execute("SET enable_progress_bar = false")  # it would go to standard output
    return connection


def lock(connection: duckdb.DuckDBPyConnection, *, files: bool = True) -> None:
    """Take from a connection every way out of the database it has open.

    Without `files` it opens no file at all any more: DuckDB lets SQL read the bytes of a database that is open, and
    what is only read needs no second file.
    """
    connection.execute("SET enable_external_access = false")
    if not files:
        connection.execute("SET disabled_filesystems = 'LocalFileSystem'")
    connection.execute("SET lock_configuration = true")


def one_select(connection: duckdb.DuckDBPyConnection, sql: str) -> str:
    """Return the one SELECT that `sql` is; raise ValueError where it is anything else, duckdb.Error if it is no SQL."""
    statements = connection.extract_statements(sql)
    if len(statements) != 1 or statements[0].type != duckdb.StatementType.SELECT:
        raise ValueError("not exactly one SELECT. Remove everything else.")
    return statements[0].query


def create_views(connection: duckdb.DuckDBPyConnection, files: list[Path]) -> None:
    """Make a view of every file on a locked connection; raise MeasureError with every file that cannot be one."""
    lines: list[str] = []
    for file in files:
        sql = file.read_text(encoding="utf-8")
        shown, head = f"analysis/{file.name}:1", sql.lstrip().partition("\n")[0]
        try:
            with limited(connection):  # constants are computed here already
                connection.execute(f'CREATE VIEW "{file.stem}" AS {one_select(connection, sql)}')
            connection.execute(f'COMMENT ON VIEW "{file.stem}" IS {literal(head)}')
        except ValueError as error:
            lines.append(f"{shown} SQL: {error}")
        except duckdb.Error as error:
            lines.append(f"{shown} SQL: {first_line(error)} Mend the statement.")
        if not head.startswith("--"):
            lines.append(f"{shown} SQL: the first line is no comment. State grain and unit: `-- one row per ...`.")
    if lines:
        raise MeasureError(lines)


def first_line(error: duckdb.Error) -> str:
    """Return the first line of what DuckDB says, as a sentence."""
    return str(error).splitlines()[0].rstrip(".") + "."
