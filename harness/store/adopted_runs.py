"""Runs from elsewhere in the index, in tables of their own, so that no measure and no verdict counts them.

Their columns are those of our own runs' tables where both know a thing: `UNION ALL BY NAME` puts them side by side.
"""

import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import duckdb

from harness.record.adopted_runs import AdoptedRun, adopted_runs
from harness.record.atomic import IntegrityError, sha256
from harness.record.layout import Store
from harness.record.shards import LOGGED, SPECTRUM, STEPS
from harness.spec.problem import mapping
from harness.store.schema import shard_table

TABLES = {
    "adopted_step": ("steps", STEPS),
    "adopted_log": ("logged", LOGGED),
    "adopted_spectrum": ("spectrum", SPECTRUM),
}
"""By name: the shard and its columns."""
ADOPTED = f"""
-- one row per run that was adopted from elsewhere, of which no verdict knows; null is what its files do not say
CREATE TABLE adopted_run (
    run_id VARCHAR PRIMARY KEY, source VARCHAR, commit VARCHAR, adopted_at TIMESTAMP, -- UTC
    algorithm VARCHAR, method VARCHAR, rank INTEGER, alpha DOUBLE, multiplier DOUBLE,
    base VARCHAR, base_revision VARCHAR, updates INTEGER,
    accuracy_stated DOUBLE, -- as its files state it, measured by nobody here
    train_seconds DOUBLE, software JSON, facts JSON,
    manifest_sha256 VARCHAR -- of what the row rests on
);
-- one row per (adopted run, entry of its log with a loss)
{shard_table("adopted_step", STEPS)}
-- one row per (adopted run, number of its log), by the trainer's own name
{shard_table("adopted_log", LOGGED)}
-- one row per (adopted run, target, module)
{shard_table("adopted_spectrum", SPECTRUM)}
"""


def adopted_state(store: Store) -> list[tuple[str, str]]:
    """Return what tells whether an index holds today's adopted runs: the checksum of each one's manifest, by id."""
    return [(run.id, sha256(run.path / "manifest.json")) for run in adopted_runs(store)]


def take_adopted_runs(
    connection: duckdb.DuckDBPyConnection,
    store: Store,
    damaged: Callable[[str, str], None],
    note: Callable[[str], None] | None = None,
) -> None:
    """Bring what the index holds of adopted runs up to date with the records.

    One that is not what was adopted is kept out, and `damaged` is told its id and why; with `note`, files that are not
    what was adopted are told there and read as they are.
    """
    kept = {run.id: (run, sha256(run.path / "manifest.json")) for run in adopted_runs(store)}
    held = dict(connection.execute("SELECT run_id, manifest_sha256 FROM adopted_run").fetchall())
    connection.execute("BEGIN")
    for run_id in (name for name, sha in held.items() if name not in kept or kept[name][1] != sha):
        for table in ("adopted_run", *TABLES):
            connection.execute(f"DELETE FROM {table} WHERE run_id = ?", [run_id])
    connection.execute("COMMIT")
    for run, sha in (pair for name, pair in kept.items() if held.get(name) != pair[1]):
        connection.execute("BEGIN")
        try:
            _take(connection, run, sha, note)
            connection.execute("COMMIT")
        except (duckdb.Error, KeyError, ValueError) as error:
            connection.execute("ROLLBACK")
            rule = f"cannot be read ({str(error).splitlines()[0]}). Restore it, or remove it and adopt the run again."
            damaged(run.id, str(error) if isinstance(error, IntegrityError) else f"{run.path}: {rule}")


def _take(
    connection: duckdb.DuckDBPyConnection, run: AdoptedRun, sha: str, damaged: Callable[[str], None] | None
) -> None:
    facts: dict[str, Any] = json.loads(_file(run, "facts.json", damaged).read_text(encoding="utf-8"))
    for table, (shard, columns) in TABLES.items():
        file = _file(run, f"{shard}.parquet", damaged)
        there = {row[0] for row in connection.execute("SELECT name FROM parquet_schema(?)", [str(file)]).fetchall()}
        listed = ", ".join(f'"{name}"' for name, said in columns.items() if name in there or not said.added)
        sql = f"INSERT INTO {table} (run_id, {listed}) SELECT ?, {listed} FROM read_parquet(?)"
        connection.execute(sql, [run.id, str(file)])
    adapter, base = mapping(facts["adapter"]), mapping(facts["base"])
    row: list[Any] = [
        run.id,
        run.source,
        run.commit,
        datetime.fromtimestamp(run.adopted_at, UTC).replace(tzinfo=None),
        facts["algorithm"],
        *(adapter.get(name) for name in ("method", "rank", "alpha", "multiplier")),
        *(base.get(name) for name in ("name", "revision")),
        *(facts[name] for name in ("updates", "accuracy_stated", "train_seconds")),
        *(json.dumps(said) for said in (facts["software"], facts)),
        sha,
    ]
    connection.execute(f"INSERT INTO adopted_run VALUES ({', '.join('?' * len(row))})", row)


def _file(run: AdoptedRun, name: str, damaged: Callable[[str], None] | None) -> Path:
    try:
        return run.verified(name)
    except IntegrityError as error:
        if damaged is None or not (run.path / name).is_file():
            raise
        damaged(str(error))
        return run.path / name
