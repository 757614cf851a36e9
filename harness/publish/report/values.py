"""Tables as CSV, one a table: what the SELECT gave, unrounded, for whoever computes further."""

import csv
import io
from typing import Any

from harness.publish.report.emitted import Emitted, Row
from harness.publish.report.table import Table

SEPARATOR = ","


def csv_table(table: Table, path: str) -> Emitted:
    """Return a table's values, a line for each row below one of names; lists and structures as DuckDB writes them."""
    return csv_file(table.selected, table.values, path, table)


def csv_file(
    columns: tuple[str, ...], rows: tuple[tuple[Any, ...], ...], path: str, table: Table | None = None
) -> Emitted:
    """Return rows as a CSV file; line breaks inside texts become spaces, so that a row is a line."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n", delimiter=SEPARATOR)
    writer.writerow(columns)
    writer.writerows([[" ".join(v.split()) if isinstance(v, str) else v for v in row] for row in rows])
    printed = {i + 1: Row(table, i) for i in range(len(rows))} if table else {}
    return Emitted(path, text.getvalue(), printed, SEPARATOR)
