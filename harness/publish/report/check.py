"""Whether a written report is what the records give: its files compared, line by line and cell by cell.

Where a line prints a row of a table, the cell that differs is named by its row and column, and where its query stands.
"""

import csv
from itertools import zip_longest
from pathlib import Path

from harness.publish.report.emitted import Emitted, Row
from harness.publish.report.report import PROVENANCE, Report

DRAWN = (".pdf", ".svg", ".html")
"""Endings of files with pictures."""
MOST = 5
"""Differences told of one file."""
SHOWN = 60
"""Characters of a line that is no row that are shown."""


def differences(made: Report, folder: Path, *, pictures: bool = True) -> list[str]:
    """Return a line for each difference between the files in `folder` and those `made` from the records.

    Without `pictures`, those and the page that holds them are left out: another release of what draws them gives other
    bytes.
    """
    compared = [file for file in made.files if pictures or Path(file.path).suffix not in DRAWN]
    told = [line for file in compared for line in _of(file, folder)]
    rule = "is not part of the report. Remove it, or write the report anew."
    return [*told, *(f"{path}: {rule}" for path in _others(made, folder))]


def _others(made: Report, folder: Path) -> list[str]:
    """Return the files among tables and figures that the report does not hold."""
    own = {file.path for file in made.files}
    there = (path for part in ("tables", "figures") for path in sorted((folder / part).glob("*")))
    return [found for path in there if (found := str(path.relative_to(folder))) not in own]


def _of(file: Emitted, folder: Path) -> list[str]:
    path = folder / file.path
    if not path.is_file():
        return [f"{file.path}: is missing. `harness report` writes it."]
    found = path.read_bytes()
    if found == file.encoded:
        return []
    if isinstance(file.content, bytes):
        return [f"{file.path}: is another picture than the records give"]
    told = _lines(file, found.decode("utf-8", errors="replace").splitlines(), file.content.splitlines())
    more = [f"{file.path}: and {len(told) - MOST} more differences"] if len(told) > MOST else []
    return [*told[:MOST], *more] or [f"{file.path}: differs in line breaks"]


def _lines(file: Emitted, found: list[str], expected: list[str]) -> list[str]:
    told: list[str] = []
    for number, (here, there) in enumerate(zip_longest(found, expected)):
        if here == there:
            continue
        row = file.rows.get(number)
        if row is None or here is None or there is None:
            told.append(f"{file.path}:{number + 1}: {_excerpt(here, there)}")
        else:
            told += _cells(f"{file.path}:{number + 1}", file, row, here, there)
    return told


def _cells(place: str, file: Emitted, row: Row, here: str, there: str) -> list[str]:
    """Return a line for each cell of a row that differs."""
    key = ", ".join(f"{name} {value}" for name, value in row.table.key(row.index).items())
    what = f"{place} {row.table.declared.head.title}, row {key}"
    first, second = (_split(file, text) for text in (here, there))
    names = _columns(file, row)
    if not len(first) == len(second) == len(names):
        return [f"{what}: {_excerpt(here, there)}"]
    return [
        f"{what}, {name}: the file says {said.strip() or 'nothing'}, the run directories give "
        f"{gives.strip() or 'nothing'} (its query: {PROVENANCE}, {row.table.name})"
        for name, said, gives in zip(names, first, second, strict=True)
        if said != gives
    ]


def _split(file: Emitted, line: str) -> list[str]:
    """Return the cells of a printed row."""
    if file.path.endswith(".csv"):
        return next(csv.reader([line]), list[str]())
    return line.strip().removesuffix("\\\\").strip().removeprefix("| ").removesuffix(" |").split(file.separator)


def _columns(file: Emitted, row: Row) -> list[str]:
    """Return what the cells of a line are called: values have the names of the SELECT, all others those printed."""
    if file.path.endswith(".csv"):
        return list(row.table.selected)
    return [column.head for column in row.table.columns]


def _excerpt(here: str | None, there: str | None) -> str:
    """Return the first place where two lines differ, as each has it."""
    if here is None:
        return f"the file ends; the records go on with {(there or '').strip()[:SHOWN]!r}"
    if there is None:
        return f"the file goes on with {here.strip()[:SHOWN]!r}; the records end"
    at = next((i for i, (a, b) in enumerate(zip(here, there, strict=False)) if a != b), min(len(here), len(there)))
    first = max(at - SHOWN // 3, 0)
    return f"the file says {here[first : first + SHOWN]!r}, the records give {there[first : first + SHOWN]!r}"
