"""Building the index from the records, publishing it, and reading it.

There is one way in: a private file takes what is new, many jobs in one transaction, checksums and row counts are
checked, and the file is renamed over the published one. Readers that have the old file open keep it; DuckDB lets no
second process into a file that is open for writing, and here nobody ever has the published one open for writing. Where
a record that the index holds is gone or another, the index is made anew. A builder that is killed leaves its private
file to the next, which goes on in it.

A job that is not what was committed is kept out: the others are published all the same, and then it is told.
"""

import hashlib
import os
import shutil
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import duckdb

from harness.record.atomic import IntegrityError
from harness.record.layout import Store
from harness.spec.canonical import digest
from harness.store.ingest import TABLE, Damaged, ingest
from harness.store.ledger import LEDGER, ledger, take_ledger
from harness.store.limits import ROWS, LimitError, limit, limited
from harness.store.measures import connect, create_views, lock, one_select
from harness.store.private import building, discard, left_behind, log_of, new_file, sweep
from harness.store.results import Found, Note, Result, committed, result
from harness.store.schema import TABLES

HEADERS = 3 * 4096
"""Bytes before the blocks of a DuckDB file: a main header and two that take turns."""
BATCH = 50
"""Jobs in one transaction, which is what a killed builder loses at most; a fifth of a second or so."""

READ = frozenset(("result", *TABLE))
"""Kinds of the files of a result that an index takes whenever they are there."""
UNSEEN = (-1, 0, 0)
"""The stamp of no file."""


@dataclass(frozen=True, slots=True)
class Published:
    """What an index holds after a refresh."""

    added: int
    """Jobs that were new."""
    jobs: int
    """Jobs in all."""


@dataclass(frozen=True, slots=True)
class _Build:
    """What one building of an index works with."""

    store: Store
    measures: Sequence[Path]
    note: Note | None
    """Where files that are not what was committed are read as they are."""
    damage: dict[str, str] = field(default_factory=dict[str, str])
    """Why jobs are kept out, by id."""

    @property
    def fingerprint(self) -> str:
        """What an index is made with; another makes it anew."""
        files = sorted((path.stem, path.read_text(encoding="utf-8")) for path in self.measures)
        return digest([TABLES, LEDGER, files])


def refresh(store: Store, measures: Sequence[Path], damaged: Damaged | None = None) -> Published:
    """Bring the index up to date with the records and publish it; measures are `analysis/*.sql` files.

    Jobs that are not what was committed are told to `damaged`, by id; without it they raise once the rest is published.

    Raises:
        IntegrityError: a committed file is not what was committed.
        MeasureError: a measure's file cannot be used.
    """
    return _built(_Build(store, measures, None), damaged, anew=False)


def rebuild(
    store: Store, measures: Sequence[Path], damaged: Damaged | None = None, note: Note | None = None
) -> Published:
    """Build the index from nothing and publish it; takes and raises what `refresh` does.

    With `note`, files that are not what was committed are told there and read as they are, if they can be.
    """
    return _built(_Build(store, measures, note), damaged, anew=True)


def query(store: Store, sql: str, parameters: Sequence[Any] = ()) -> tuple[list[str], list[tuple[Any, ...]]]:
    """Return column names and rows of a read-only query on the published index.

    Raises:
        FileNotFoundError: nothing is published yet.
        ValueError: `sql` is not exactly one SELECT.
        LimitError: it takes more time, memory or rows than a query may.
        duckdb.Error: the query is not valid, or wants more than reading the index.
    """
    if not store.index.is_file():
        raise FileNotFoundError(f"{store.index}: no index yet. `harness db rebuild` makes it from the records.")
    connection = connect(store.index, read_only=True)
    try:
        limit(connection)
        lock(connection, files=False)
        with limited(connection):
            result = connection.execute(one_select(connection, sql), list(parameters))
            columns, rows = [column[0] for column in result.description or ()], result.fetchmany(ROWS + 1)
        if len(rows) > ROWS:
            raise LimitError([f"gives more than {ROWS:,} rows. Ask for less: aggregate, or add LIMIT."])
        return columns, rows
    finally:
        connection.close()


def _built(build: _Build, damaged: Damaged | None, *, anew: bool) -> Published:
    build.store.make()
    with building(build.store.index) as locked:
        found = {each.job.id: each for each in committed(build.store)}
        published = None if anew else _held(build.store.index, build, found, published=True)
        try:
            done = _from(build, found, published, locked=locked, anew=anew)
        except duckdb.Error:  # damage that opening did not show: it is derived, so it is made anew
            if anew or published is None:
                raise
            build.damage.clear()
            done = _from(build, found, None, locked=locked, anew=True)
    if damaged is None and build.damage:
        raise IntegrityError("\n".join(build.damage.values()))
    for name, told in build.damage.items():
        assert damaged is not None
        damaged(name, told)
    return done


def _from(
    build: _Build, found: Mapping[str, Found], published: frozenset[str] | None, *, locked: bool, anew: bool
) -> Published:
    """Build on the published index, which holds these jobs, or on what a killed builder left, and publish."""
    index = build.store.index
    partial, held = _left(build, found, anew=anew) if locked else (None, frozenset[str]())
    if partial is not None and published is not None and len(held) <= len(published):
        partial = None
    sweep(index, partial, locked=locked)
    if partial is None and published is not None:
        new = [each for name, each in found.items() if name not in published]
        some = any(_sound(build, [each]) for each in new)  # up to the first one that can be taken
        if not some and _ledger_of(index) == _hash(ledger(build.store)):
            return Published(added=0, jobs=len(published))
    if partial is None:
        partial = _begun(build, published, locked=locked)
        held = published or frozenset()
    try:
        return _finished(build, found, partial, held, published or frozenset())
    except BaseException:
        discard(partial)
        raise


def _begun(build: _Build, published: frozenset[str] | None, *, locked: bool) -> Path:
    """Return a private file to build in: a copy of the published index, or one with empty tables and every view."""
    index = build.store.index
    partial = new_file(index, anew=published is None, locked=locked)
    try:
        if published is not None:
            shutil.copyfile(index, partial)
            return partial
        with closing(connect(partial, read_only=False)) as connection:
            connection.execute(TABLES)
            connection.execute(LEDGER)
            lock(connection)
            create_views(connection, sorted(build.measures, key=lambda path: path.stem))
            sql = "CREATE TABLE meta AS SELECT ? AS measures, '' AS ledger"  # last: what is cut short before has none
            connection.execute(sql, [build.fingerprint])
    except BaseException:
        discard(partial)
        raise
    return partial


def _finished(
    build: _Build, found: Mapping[str, Found], partial: Path, held: frozenset[str], published: frozenset[str]
) -> Published:
    """Take what a private file lacks and publish it.

    Where somebody else has published meanwhile, perhaps from more records, they are looked through once more.
    """
    index, taken, seen = build.store.index, set(held), UNSEEN
    with closing(connect(partial, read_only=False)) as connection:
        while seen != (now := _stamp(index)):
            jobs = found.values() if seen is UNSEEN else committed(build.store)
            new, seen = [each for each in jobs if each.job.id not in taken], now
            build.damage.clear()
            for at in range(0, len(new), BATCH):
                results = _sound(build, new[at : at + BATCH])
                ingest(connection, results, build.damage.__setitem__)
                taken |= {each.id for each in results} - build.damage.keys()
            take_ledger(connection, rows := ledger(build.store))
            connection.execute("UPDATE meta SET ledger = ?", [_hash(rows)])
    log_of(index).unlink(missing_ok=True)  # of somebody who opened the published file for writing
    os.replace(partial, index)
    return Published(added=len(taken - published), jobs=len(taken))


def _sound(build: _Build, found: Sequence[Found]) -> list[Result]:
    """Return the results that are what was committed; note why the others are not."""
    results: list[Result] = []
    for each in found:
        try:
            results.append(result(each, build.note))
        except IntegrityError as error:
            build.damage[each.job.id] = str(error)
    return results


def _left(build: _Build, found: Mapping[str, Found], *, anew: bool) -> tuple[Path | None, frozenset[str]]:
    """Return the fullest file that a killed builder left and that holds what it says, with the jobs in it."""
    best: tuple[Path | None, frozenset[str]] = (None, frozenset())
    for path in left_behind(build.store.index, anew=anew):
        held = _held(path, build, found, published=False)
        if held is not None and (best[0] is None or len(held) > len(best[1])):
            best = path, held
    return best


def _held(file: Path, build: _Build, found: Mapping[str, Found], *, published: bool) -> frozenset[str] | None:
    """Return the jobs that an index holds, None where it is no index of these measures from records that still are.

    One that was left behind has its rows counted besides: a cut log opens without a word, the last of it missing.
    """
    if not file.is_file() or (published and log_of(file).exists()):
        return None
    try:
        with closing(connect(file, read_only=published)) as connection:
            if connection.execute("SELECT measures FROM meta").fetchall() != [(build.fingerprint,)]:
                return None
            if published:
                sql = "SELECT block_size * total_blocks FROM pragma_database_size()"
                blocks = connection.execute(sql).fetchall()[0][0]
                if file.stat().st_size < HEADERS + blocks:  # cut short where opening did not look
                    return None
            elif not _counts_agree(connection):
                return None
            rows = connection.execute("SELECT run_id, kind, sha256 FROM ingested").fetchall()
    except duckdb.Error:  # cut short, or of another release: it is derived, so it is made anew
        return None
    return frozenset(name for name, _, _ in rows) if _still(rows, found) else None


def _still(rows: Sequence[tuple[str, str, str]], found: Mapping[str, Found]) -> bool:
    """Return whether what an index took, as (id, kind, SHA-256), is all that the manifests of these jobs name today."""
    known = {(name, Path(file).stem, sha) for name, each in found.items() for file, sha in each.shas.items()}
    taken = {name for name, _, _ in rows}
    wanted = {each for each in known if each[0] in taken and each[1] in READ}
    return wanted <= set(rows) <= known


def _counts_agree(connection: duckdb.DuckDBPyConnection) -> bool:
    """Return whether every table has the rows that `ingested` says, and no others."""
    for kind, table in (*TABLE.items(), ("result", "")):
        counted = f"SELECT run_id, count(*) AS n FROM {table} GROUP BY run_id"
        if kind == "result":
            counted = "SELECT run_id, 1 AS n FROM run UNION ALL SELECT base_id, 1 FROM base"
        sql = (
            f"SELECT count(*) FROM (SELECT * FROM ingested WHERE kind = ? AND n_rows > 0) AS said "
            f"FULL JOIN ({counted}) AS there USING (run_id) WHERE n_rows IS DISTINCT FROM n"
        )
        if connection.execute(sql, [kind]).fetchall() != [(0,)]:
            return False
    return True


def _ledger_of(index: Path) -> str:
    with closing(connect(index, read_only=True)) as connection:
        return connection.execute("SELECT ledger FROM meta").fetchall()[0][0]


def _hash(rows: Mapping[str, Sequence[Sequence[Any]]]) -> str:
    return hashlib.sha256(repr(rows).encode()).hexdigest()


def _stamp(index: Path) -> tuple[int, int, int] | None:
    """Return what tells one published file from the next."""
    try:
        said = index.stat()
    except FileNotFoundError:
        return None
    return said.st_ino, said.st_mtime_ns, said.st_size
