"""`harness db`: the index of the records, read-only."""

import csv
import io
import math
from collections.abc import Sequence
from typing import Any, cast

import click

from harness.campaign.bench import Bench
from harness.cli.session import Session, output_options, pass_session

INTEGRITY = 3


@click.group()
def command() -> None:
    """The DuckDB index; it is derived from the records and can be made again at any time."""


@command.command()
@output_options
@pass_session
def path(session: Session) -> int:
    """Print where the index is."""
    session.emit({"path": str(session.store.index)}, str(session.store.index), as_is=True)
    return 0


@command.command()
@click.argument("sql")
@output_options
@pass_session
def query(session: Session, sql: str) -> int:
    """Run one read-only query and print its rows (CSV, or JSON objects with --json)."""
    import duckdb

    from harness.store import query as ask

    try:
        columns, rows = ask(session.store, sql)
    except (FileNotFoundError, ValueError) as error:
        raise click.ClickException(str(error)) from None
    except duckdb.Error as error:
        raise click.ClickException(str(error).splitlines()[0]) from None
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows(rows)
    said = [dict(zip(columns, map(_plain, row), strict=True)) for row in rows]
    session.emit(said, text.getvalue().rstrip("\n"), as_is=True)
    return 0


@command.command()
@output_options
@pass_session
def rebuild(session: Session) -> int:
    """Make the index again from the records; exit 3 where a result is not what was committed, and leave it out."""
    from harness.store import rebuild

    bench = Bench(session.shelf, session.store, session.protocol_name(None))
    damaged: dict[str, str] = {}
    published = rebuild(session.store, bench.measures(), damaged.__setitem__)
    for told in damaged.values():
        click.echo(told, err=True)
    left_out = f", without {len(damaged)} that are not what was committed" if damaged else ""
    text = f"{published.jobs} jobs in {session.store.index}{left_out}"
    session.emit({"jobs": published.jobs, "path": str(session.store.index), "damaged": damaged}, text)
    return INTEGRITY if damaged else 0


def _plain(value: Any) -> Any:
    """Return a value as JSON has it: lists and structs inside as well, and as text what JSON has no word for."""
    if isinstance(value, list | tuple):
        return [_plain(item) for item in cast("Sequence[Any]", value)]
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in cast("dict[Any, Any]", value).items()}
    finite = isinstance(value, float) and math.isfinite(value)
    return value if finite or value is None or isinstance(value, bool | int | str) else str(value)
