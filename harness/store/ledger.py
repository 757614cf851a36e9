"""The part of the index that holds no results: verdicts, registrations, attempts. It is small and taken anew each time.

A verdict stands whole in one row, and what it says of predictions, cells and runs in views over that row. Files of
verdicts whose fields are of another version are left out.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import duckdb

from harness.record.atomic import read_json
from harness.record.foreign import reading
from harness.record.job import JobDirectory
from harness.record.layout import Store
from harness.record.verdict_files import as_json, newest
from harness.store.ingest import insert

PREDICTION = {
    **dict.fromkeys(("id", "kind", "role", "statement", "outcome", "reason", "how", "detail", "needs"), "VARCHAR"),
    **dict.fromkeys(("alpha", "refute_alpha"), "DOUBLE"),
    "look": "INTEGER",
    "looks": ["INTEGER"],
    "settled": "BOOLEAN",
    **dict.fromkeys(("p_support", "p_refute", "attainable_p", "q"), "DOUBLE"),
    "runs_to_resolve": "INTEGER",
    "assumptions": "VARCHAR",
    "failed_assumptions": ["VARCHAR"],
    "estimates": "JSON",
    "effect_sizes": "JSON",
}
ESTIMATE = {
    **dict.fromkeys(("name", "unit"), "VARCHAR"),
    **dict.fromkeys(("value", "low", "high", "refute_low", "refute_high"), "DOUBLE"),
    "method": "VARCHAR",
    "n_runs": "INTEGER",
}
EFFECT = {"name": "VARCHAR", "value": "DOUBLE"}
CELL = {
    "name": "VARCHAR",
    **dict.fromkeys(("planned", "n_runs", "launched"), "INTEGER"),
    **dict.fromkeys(("mean", "sd"), "DOUBLE"),
    "labels": dict.fromkeys(("collapsed", "degraded", "no gain", "trained"), "INTEGER"),
}
JUDGED = {
    **dict.fromkeys(("run_id", "base", "cell", "label"), "VARCHAR"),
    "seed": "INTEGER",
    "accuracy": "DOUBLE",
    "launched": "BOOLEAN",
}
TUNED = {
    "arm": "VARCHAR",
    "learning_rate_scale": "DOUBLE",
    "tried": [{"learning_rate_scale": "DOUBLE", "runs": "INTEGER", "mean": "DOUBLE"}],
}


USED = ("cpu_seconds", "wall_seconds", "peak_bytes", "device", "device_peak_bytes")
"""What an attempt says that it used."""


def _entries(view: str, of: str, listed: str, columns: Mapping[str, Any], keys: str = "verdict_id") -> str:
    """Return the statement of a view with a row for each entry of a JSON list, numbered from 1 in `position`."""
    named = ", ".join(f'entry."{column}"' for column in columns)
    names = ", ".join(key.split()[-1] for key in keys.split(", "))
    return (
        f"CREATE VIEW {view} AS SELECT {names}, position, {named} FROM ("
        f"SELECT {names}, unnest(entries) AS entry, generate_subscripts(entries, 1) AS position FROM ("
        f"SELECT {keys}, from_json({listed}, '{json.dumps([columns])}') AS entries FROM {of}));"
    )


LEDGER = f"""
-- one row per verdict in force; limits are accuracies, 0 to 1; `verdict` is the whole of it
CREATE TABLE verdict (
    verdict_id VARCHAR PRIMARY KEY, hypothesis VARCHAR, base VARCHAR, base_id VARCHAR, protocol VARCHAR,
    title VARCHAR, outcome VARCHAR, confirmatory BOOLEAN, explored BOOLEAN, base_accuracy DOUBLE,
    collapsed_below DOUBLE, trained_above DOUBLE, n_items INTEGER, planned_runs INTEGER, used_runs INTEGER,
    registration VARCHAR, verdict JSON
);
-- one row per (verdict, prediction)
{_entries("prediction", "verdict", "verdict -> '$.predictions'", PREDICTION)}
-- one row per (verdict, prediction, estimate)
{_entries("estimate", "prediction", "estimates", ESTIMATE, "verdict_id, id AS prediction")}
-- one row per (verdict, prediction, standardised effect)
{_entries("effect", "prediction", "effect_sizes", EFFECT, "verdict_id, id AS prediction")}
-- one row per (verdict, cell); mean and sd of accuracy over runs, all others numbers of runs
{_entries("cell", "verdict", "verdict -> '$.cells'", CELL)}
-- one row per (verdict, run that counts)
{_entries("judged", "verdict", "verdict -> '$.runs'", JUDGED)}
-- one row per (verdict, planned run that does not count)
{_entries("missing", "verdict", "verdict -> '$.missing'", dict.fromkeys(("run_id", "cell", "reason"), "VARCHAR"))}
-- one row per (verdict, tuned arm)
{_entries("tuned", "verdict", "verdict -> '$.tuned'", TUNED)}
-- one row per registration; moments are UTC; `declaration` is what was frozen
CREATE TABLE registration (
    protocol VARCHAR, hypothesis VARCHAR, number INTEGER, hash VARCHAR, registered_at TIMESTAMP, block VARCHAR,
    reason VARCHAR, declaration JSON
);
-- one row per attempt at a run or a base; `ended` says how, null while it has not
CREATE TABLE attempt (
    run_id VARCHAR, kind VARCHAR, attempt INTEGER, ended VARCHAR, message VARCHAR, cpu_seconds DOUBLE,
    wall_seconds DOUBLE, peak_bytes BIGINT, device VARCHAR, device_peak_bytes BIGINT
);
"""


Ledger = Mapping[str, Sequence[Sequence[Any]]]
"""Rows by table."""


def ledger(store: Store) -> Ledger:
    """Return the rows of verdicts, registrations and attempts as the records hold them now."""
    taken = {"verdict": _verdicts(store), "registration": _registrations(store), "attempt": _attempts(store)}
    return {table: list(rows) for table, rows in taken.items()}


def take_ledger(connection: duckdb.DuckDBPyConnection, rows: Ledger) -> None:
    """Replace what the index holds of verdicts, registrations and attempts by these rows."""
    connection.execute("BEGIN")
    for table, found in rows.items():
        connection.execute(f"DELETE FROM {table}")
        insert(connection, table, found)
    connection.execute("COMMIT")


def _verdicts(store: Store) -> Iterator[list[Any]]:
    for path, said in newest(store):
        about = [said.hypothesis, said.base, said.base_id, said.protocol, said.title, str(said.outcome)]
        registered = [said.registered.confirmatory, said.registered.explored]
        limits = [said.base_accuracy, said.collapsed_below, said.trained_above, said.n_items]
        runs = [said.planned_runs, said.used_runs, said.registered.hash]
        yield [path.stem, *about, *registered, *limits, *runs, json.dumps(as_json(said))]


def _registrations(store: Store) -> Iterator[list[Any]]:
    for path in sorted(store.registrations.glob("*/*/[0-9]*.json")):
        with reading(path):
            said = read_json(path)
            row = [*(str(said[key]) for key in ("protocol", "hypothesis")), int(said["number"]), str(said["hash"])]
            row += [datetime.fromtimestamp(said["registered_at"], UTC).replace(tzinfo=None), str(said["block"])]
            row += [None if said["reason"] is None else str(said["reason"]), json.dumps(said["declaration"])]
        yield row


def _attempts(store: Store) -> Iterator[list[Any]]:
    for folder, kind in ((store.bases, "base"), (store.runs, "run")):
        for path in sorted(folder.glob("*/attempts")):
            for attempt in JobDirectory(path.parent).attempts():
                end: dict[str, Any] = read_json(attempt / "exit.json") or {}
                spent: dict[str, Any] = read_json(attempt / "timing.json") or {}
                with reading(attempt):
                    texts = [None if said is None else str(said) for said in (end.get("reason"), end.get("message"))]
                    used = [_used(name, spent.get(name)) for name in USED]
                yield [path.parent.name, kind, int(attempt.name), *texts, *used]


def _used(name: str, said: Any) -> Any:
    """Return what an attempt used, in the type of its column; raise where it says another."""
    if said is None or name == "device":
        return None if said is None else str(said)
    return int(said) if name.endswith("bytes") else float(said)
