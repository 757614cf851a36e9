"""A table of the report: a file of `paper/tables/` that holds one SELECT over the index, and above it what to print.

The file begins with a comment whose text is YAML: title, caption, what a row is known by, and the columns with how each
is written. Every row of the SELECT is a row of the table; a table of each verdict may use the parameter `$verdict`.
"""

import re
from dataclasses import dataclass
from pathlib import Path
from string import Template
from typing import Annotated, Literal

from pydantic import Field

from harness.spec.declared import Declared
from harness.spec.files import DeclarationError, content_of, declared_in

HEAD = re.compile(rb"\s*/\*(?P<yaml>.*?)\*/(?P<sql>.*)", re.DOTALL)

Written = Literal[
    "text",
    "code",
    "count",
    "number",
    "accuracy",
    "estimate",
    "unit",
    "mean",
    "spread",
    "events",
    "p",
    "minutes",
]
"""How a column is written.

text: as it is. code: an id or a name, in fixed width. count: a whole number. number: three significant digits.
accuracy: a share from 0 to 1, three decimals. estimate: of value, low, high and unit, rounded by its uncertainty.
unit: of a unit, in words. mean: of mean, standard deviation, runs, problems and whether the runs are of two kinds, with
a 95 % interval. spread: of mean and standard deviation, rounded by it. events: of count and runs, with exact 95 %
limits. p: a p value. minutes: of seconds.
"""


class Column(Declared):
    """One printed column."""

    head: str
    written: Written = "text"
    of: tuple[str, ...] = ()
    """Columns of the SELECT that it is written from; its own name where none is said."""
    width: Annotated[float, Field(gt=0, le=1)] | None = None
    """Share of the line, for text that is to wrap."""


class TableHead(Declared):
    """What is printed around the rows of a SELECT."""

    title: str
    caption: str
    """May name `$hypothesis`, `$base`, `$protocol` where there is a table for each verdict."""
    each: Literal["report", "verdict"] = "report"
    order: int
    """Place among the tables."""
    key: Annotated[tuple[str, ...], Field(min_length=1)]
    """Columns of the SELECT that tell a row from all others."""
    columns: Annotated[dict[str, Column], Field(min_length=1)]
    group: tuple[str, ...] = ()
    """Printed columns that say once, above the others, what follows rows have in common; the first tells the groups."""
    notes: tuple[str, ...] = ()

    def caption_for(self, names: dict[str, str]) -> str:
        """Return the caption with its names filled in."""
        return Template(self.caption).safe_substitute(names)


@dataclass(frozen=True, slots=True)
class ReportTable:
    """A declared table."""

    name: str
    head: TableHead
    sql: str
    """The SELECT."""


def load_report_table(path: Path, shown: str) -> ReportTable:
    """Return the table in `path`, called `shown` in messages; raise DeclarationError with all its mistakes."""
    found = HEAD.fullmatch(content_of(path, shown))
    if found is None:
        rule = "does not begin with a comment `/* ... */` that says title, caption, key and columns. Write one."
        raise DeclarationError([f"{shown}:1 file: {rule}"])
    head = declared_in(found["yaml"], shown, TableHead, lambda _: [])
    try:
        sql = found["sql"].decode().strip().rstrip(";")
    except UnicodeDecodeError:
        raise DeclarationError([f"{shown}:1 file: is not UTF-8. Save it as such."]) from None
    return ReportTable(path.stem, head, sql)
