"""Building the index from the records, publishing it, and reading it.

There is one way in: a private copy takes what is new in one transaction a job, checksums and row counts are checked,
and the copy is renamed over the published file. Readers that have the old file open keep it; DuckDB lets no second
process into a file that is open for writing, and here nobody ever has the published one open for writing. Where a
record that the index holds is gone or another, the index is made anew.
"""

import contextlib
import json
import os
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb

from harness.record.atomic import IntegrityError, read_json
from harness.record.job import JobDirectory
from harness.record.layout import Store
from harness.record.shards import KINDS
from harness.spec.canonical import digest
from harness.store.adopted_runs import ADOPTED, take_adopted_runs
from harness.store.ledger import LEDGER, take_ledger
from harness.store.measures import connect, create_views, lock, one_select
from harness.store.schema import TABLES

LEFT_BEHIND = 3600.0
"""Seconds after which an unpublished index belongs to nobody."""
HEADERS = 3 * 4096
"""Bytes before the blocks of a DuckDB file: a main header and two that take turns."""
WEIGHTS = ("adapter_model", "model")
"""Names of what a run trained: PEFT's for an adapter, transformers' for a whole model. Only a checksum is kept here."""
TABLE = {"evaluation": "evaluation", "steps": "step", "spectrum": "spectrum"}


Damaged = Callable[[str], None]
"""Is told which file is not what was committed."""


@dataclass(frozen=True, slots=True)
class Published:
    """What an index holds after a refresh."""

    added: int
    """Jobs that were new."""
    jobs: int
    """Jobs in all."""


def refresh(store: Store, measures: Sequence[Path]) -> Published:
    """Bring the index up to date with the records and publish it; measures are `analysis/*.sql` files.

    Raises:
        IntegrityError: a committed file is not what was committed.
        MeasureError: a measure's file cannot be used.
    """
    if _current(store, measures):
        with suppress(duckdb.Error):  # damage that opening did not show: it is derived, so it is made anew
            return _build(store, measures, store.index)
    return _build(store, measures, None)


def rebuild(store: Store, measures: Sequence[Path], damaged: Damaged | None = None) -> Published:
    """Build the index from nothing and publish it; raises what `refresh` raises.

    With `damaged`, files that are not what was committed are told there and read as they are.
    """
    return _build(store, measures, None, damaged)


def query(store: Store, sql: str, parameters: Sequence[Any] = ()) -> tuple[list[str], list[tuple[Any, ...]]]:
    """Return column names and rows of a read-only query on the published index.

    Raises:
        FileNotFoundError: nothing is published yet.
        ValueError: `sql` is not exactly one SELECT.
        duckdb.Error: the query is not valid, or wants more than reading the index.
    """
    if not store.index.is_file():
        raise FileNotFoundError(f"{store.index}: no index yet. `harness db rebuild` makes it from the records.")
    connection = connect(store.index, read_only=True)
    try:
        lock(connection)
        result = connection.execute(one_select(connection, sql), list(parameters))
        return [column[0] for column in result.description or ()], result.fetchall()
    finally:
        connection.close()


def _build(store: Store, measures: Sequence[Path], start: Path | None, damaged: Damaged | None = None) -> Published:
    _sweep(store)
    partial = store.index.with_name(f".index-{os.getpid()}.duckdb")
    store.index.parent.mkdir(parents=True, exist_ok=True)
    _discard(partial)
    if start is not None:
        shutil.copyfile(start, partial)
    connection = connect(partial, read_only=False)
    try:
        if start is None:
            connection.execute(TABLES)
            connection.execute(LEDGER)
            connection.execute(ADOPTED)
        present = {row[0] for row in connection.execute("SELECT DISTINCT run_id FROM ingested").fetchall()}
        new = [job for job in _jobs(store) if job.id not in present]
        for job in new:
            _ingest(connection, job, damaged)
        take_ledger(connection, store)
        take_adopted_runs(connection, store, damaged)
        if start is None:
            connection.execute("CREATE TABLE meta AS SELECT ? AS measures", [_fingerprint(measures)])
            lock(connection)
            create_views(connection, sorted(measures, key=lambda path: path.stem))
        connection.close()
        os.replace(partial, store.index)
    finally:
        connection.close()
        _discard(partial)
    return Published(added=len(new), jobs=len(present) + len(new))


def _jobs(store: Store) -> Iterator[JobDirectory]:
    for folder in (store.bases, store.runs):
        for path in sorted(folder.glob("*/result/manifest.json")):
            yield JobDirectory(path.parent.parent)


def _ingest(connection: duckdb.DuckDBPyConnection, job: JobDirectory, damaged: Damaged | None) -> None:
    spec, shas = job.spec(), _shas(job)
    facts = read_json(_file(job, "result.json", damaged))
    connection.execute("BEGIN")
    for kind, columns in KINDS.items():
        if f"{kind}.parquet" not in shas:
            continue
        shard = _file(job, f"{kind}.parquet", damaged)
        there = {row[0] for row in connection.execute("SELECT name FROM parquet_schema(?)", [str(shard)]).fetchall()}
        listed = ", ".join(f'"{name}"' for name, said in columns.items() if name in there or not said.added)
        sql = f"INSERT INTO {TABLE[kind]} (run_id, {listed}) SELECT ?, {listed} FROM read_parquet(?)"
        try:
            connection.execute(sql, [job.id, str(shard)])
        except (duckdb.InvalidInputException, duckdb.IOException) as error:
            raise IntegrityError(f"{shard}: cannot be read ({str(error).splitlines()[0]}). Restore it.") from None
        except duckdb.BinderException:
            told = "its columns are not those of this version, which cannot read it. Move its run or base away."
            raise IntegrityError(f"{shard}: {told}") from None
        count = connection.execute(f"SELECT count(*) FROM {TABLE[kind]} WHERE run_id = ?", [job.id]).fetchall()[0][0]
        if (count,) not in connection.execute("SELECT num_rows FROM parquet_file_metadata(?)", [str(shard)]).fetchall():
            raise IntegrityError(f"{shard}: {count} rows were read, its footer says otherwise. Rebuild the index.")
        connection.execute("INSERT INTO ingested VALUES (?, ?, ?, ?)", [job.id, kind, shas[shard.name], count])
    connection.execute("INSERT INTO ingested VALUES (?, 'result', ?, 1)", [job.id, shas["result.json"]])
    table = spec["identity"]["kind"]
    row = (_base_row if table == "base" else _run_row)(job.id, spec["identity"], facts)
    if table == "run":
        trained = next((name for name in WEIGHTS if f"{name}.safetensors" in shas), None)
        row.append(shas[f"{trained}.safetensors"] if trained else None)
        if trained:
            connection.execute("INSERT INTO ingested VALUES (?, ?, ?, 1)", [job.id, trained, row[-1]])
    connection.execute(f"INSERT INTO {table} VALUES ({', '.join('?' * len(row))})", row)
    connection.execute("COMMIT")


def _file(job: JobDirectory, name: str, damaged: Damaged | None) -> Path:
    """Return a file of a result as it was committed; where damage is told and read, as it is."""
    try:
        return job.verified(name)
    except IntegrityError as error:
        if damaged is None or not (job.result / name).is_file():
            raise
        damaged(str(error))
        return job.result / name


def _base_row(base_id: str, identity: dict[str, Any], facts: dict[str, Any]) -> list[Any]:
    recipe = identity.get("recipe") or facts["shape"]  # of a base that exists, as its config.json says
    shape = [recipe["architecture"], recipe["hidden_size"], recipe["layers"]]
    scored = [facts[key] for key in ("updates", "accuracy", "validation_accuracy", "parameters", "base_weights")]
    return [base_id, *shape, *scored]


def _run_row(run_id: str, identity: dict[str, Any], facts: dict[str, Any]) -> list[Any]:
    cell, adapter, trainer = identity["cell"], facts["adapter"], identity["trainer"]
    rollouts: dict[str, Any] = facts["first_rollouts"] or {}
    multipliers, declared = adapter["multipliers"], cell["adapter"]
    scaling: dict[str, Any] = declared.get("scaling") or {}
    frozen, after = facts["base_weights"], facts["base_weights_after"]
    return [
        run_id,
        identity["base_id"],
        cell["algorithm"],
        declared["method"],
        json.dumps(declared),
        declared.get("rank"),
        scaling.get("policy"),
        multipliers[0] if len(multipliers) == 1 else None,
        trainer["learning_rate"],
        cell["learning_rate_scale"],
        identity["seed"],
        facts["updates"],
        trainer["per_device_train_batch_size"] * trainer.get("gradient_accumulation_steps", 1),
        trainer.get("warmup_steps", 0),
        facts["first_update_norm"],
        facts["final_update_norm"],
        adapter["trainable_parameters"],
        adapter["trainable_share"],
        None if after is None else frozen == after,
        rollouts.get("sha256"),
        json.dumps(identity),
        json.dumps(facts["software"]),
        json.dumps(facts["trainer"]),
    ]


def _current(store: Store, measures: Sequence[Path]) -> bool:
    """Return whether the index was made with these measures and this schema, from records that are still the same."""
    if not store.index.is_file():
        return False
    try:
        connection = connect(store.index, read_only=True)
    except duckdb.Error:  # cut short, or of another release: it is derived, so it is made anew
        return False
    try:
        if connection.execute("SELECT measures FROM meta").fetchall() != [(_fingerprint(measures),)]:
            return False
        blocks = connection.execute("SELECT block_size * total_blocks FROM pragma_database_size()").fetchall()[0][0]
        if store.index.stat().st_size < HEADERS + blocks:  # cut short where opening did not look
            return False
        held = set(connection.execute("SELECT run_id, kind, sha256 FROM ingested").fetchall())
        return held <= {(job.id, Path(name).stem, sha) for job in _jobs(store) for name, sha in _shas(job).items()}
    except duckdb.Error:
        return False
    finally:
        connection.close()


def _shas(job: JobDirectory) -> dict[str, str]:
    manifest = job.manifest()
    return {name: file["sha256"] for name, file in manifest["files"].items()} if manifest else {}


def _fingerprint(measures: Sequence[Path]) -> str:
    return digest([TABLES, LEDGER, ADOPTED, sorted((path.stem, path.read_text(encoding="utf-8")) for path in measures)])


def _sweep(store: Store) -> None:
    """Remove what builders that were killed left behind, an hour later so that none at work is disturbed."""
    for left in store.index.parent.glob(".index-*"):
        with contextlib.suppress(FileNotFoundError):  # its builder has just finished
            if time.time() - left.stat().st_mtime > LEFT_BEHIND:
                left.unlink()


def _discard(path: Path) -> None:
    for file in (path, path.with_name(path.name + ".wal")):
        file.unlink(missing_ok=True)
