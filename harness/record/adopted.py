"""Adopted tables: results of somebody's finished runs, kept as they came, with the moment at which they did.

An adopted table is `adopted/<name>/table.parquet` with a `manifest.json` beside it, written once and never changed.
The moment decides what the results can confirm: a declaration registered later could have been written after them.
"""

import hashlib
import json
import os
import shutil
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any, cast

from harness.record.atomic import IntegrityError, create_json, read_json, sha256, write_json
from harness.record.foreign import reading
from harness.record.layout import Store
from harness.spec import DeclarationError

Row = Mapping[str, Any]
"""Value by column; None where there is none."""


@dataclass(frozen=True, slots=True)
class AdoptedTable:
    """A table of finished runs."""

    name: str
    source: str
    """Name of the file it came from, without its folder."""
    sha256: str
    content: str
    """SHA-256 of the rows in whatever order: the same results under another name are not new."""
    rows: int
    adopted_at: float
    """When these results were first adopted under any name, seconds since the epoch."""
    file: Path

    def rows_read(self) -> list[Row]:
        """Return the rows, by column.

        Raises:
            IntegrityError: the file is not the one that was adopted.
        """
        if not self.file.is_file() or sha256(self.file) != self.sha256:
            raise IntegrityError(f"{self.file}: not the table that was adopted. Adopt it again under another name.")
        return parquet_rows(self.file)


def _parquet() -> Any:
    return import_module("pyarrow.parquet")  # by name: 0.2 s that few commands need, of a library without types


def table_rows(file: Path) -> list[Row]:
    """Return the rows of a CSV or Parquet file.

    Raises:
        DeclarationError: it is neither, or cannot be read as what its name says.
    """
    readers = {".csv": _csv_rows, ".parquet": parquet_rows}
    if file.suffix not in readers:
        raise DeclarationError([f"{file}: neither .csv nor .parquet. Save the table as one of them."])
    if not file.is_file():
        raise DeclarationError([f"{file}: no such file. Check the path."])
    try:
        rows = readers[file.suffix](file)
    except (ValueError, OSError) as error:  # pyarrow's own errors are among them
        first = (str(error).splitlines() or ["unknown"])[0].rstrip(".")
        raise DeclarationError([f"{file}: cannot be read as {file.suffix[1:]}: {first}. Mend the file."]) from None
    if not rows:
        raise DeclarationError([f"{file}: has no rows. Give at least one run."])
    return rows


def _csv_rows(file: Path) -> list[Row]:
    table = import_module("pyarrow.csv").read_csv(file)
    if len(set(table.column_names)) < len(table.column_names):
        raise ValueError("a column's name stands twice in the first line")
    return cast("list[Row]", table.to_pylist())


def parquet_rows(file: Path) -> list[Row]:
    """Return the rows of a Parquet file."""
    return cast("list[Row]", _parquet().read_table(file).to_pylist())


def adopt(store: Store, name: str, source: str, rows: Sequence[Row]) -> AdoptedTable:
    """Keep the rows of a table under a name; the same table under the same name again changes nothing.

    Raises:
        DeclarationError: another table has this name already.
    """
    store.make()
    store.adopted.mkdir(parents=True, exist_ok=True)
    stage = Path(tempfile.mkdtemp(prefix=".partial-", dir=store.adopted))
    try:
        try:
            _parquet().write_table(import_module("pyarrow").Table.from_pylist(list(rows)), stage / "table.parquet")
        except OSError as error:
            error.filename = error.filename or str(store.adopted / name)
            raise
        digest = sha256(stage / "table.parquet")
        content, now = _content(rows), time.time()
        about = {"source": source, "sha256": digest, "content": content, "rows": len(rows), "adopted_at": now}
        write_json(stage / "manifest.json", about)
        create_json(first_adoption(store, content), {"adopted_at": now})  # unless the same rows came before
        try:
            os.rename(stage, store.adopted / name)
        except OSError:  # the folder is there: somebody was first
            if not (store.adopted / name).is_dir():
                raise
    finally:
        shutil.rmtree(stage, ignore_errors=True)
    kept = adopted(store, name)
    if kept is None or kept.sha256 != digest:
        rule = "another table has this name, and adopted tables never change. Choose a name with --as."
        raise DeclarationError([f"{name}: {rule}"])
    return kept


def adopted(store: Store, name: str) -> AdoptedTable | None:
    """Return the table of this name, or None; raise IntegrityError where its manifest is damaged."""
    said = _manifest(store, name)
    if said is None:
        return None
    with reading(store.adopted / name / "manifest.json"):
        first = read_json(first_adoption(store, said["content"])) or said
        about: dict[str, Any] = {**said, "adopted_at": float(first["adopted_at"])}
    return AdoptedTable(name=name, file=store.adopted / name / "table.parquet", **about)


def first_adoption(store: Store, content: str) -> Path:
    """Return the file that says when rows of this content were first adopted."""
    return store.adopted / ".first" / f"{content}.json"


def _manifest(store: Store, name: str) -> dict[str, Any] | None:
    path = store.adopted / name / "manifest.json"
    said: Any = read_json(path)
    if said is not None and set(said) != {"source", "sha256", "content", "rows", "adopted_at"}:
        raise IntegrityError(f"{path}: not the manifest of an adopted table. Adopt the table again under another name.")
    return said


def _content(rows: Sequence[Row]) -> str:
    lines = sorted(json.dumps(row, sort_keys=True, default=str) for row in rows)
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def adopted_names(store: Store) -> list[str]:
    """Return the names of all adopted tables, sorted."""
    return sorted(path.parent.name for path in store.adopted.glob("[!.]*/manifest.json"))
