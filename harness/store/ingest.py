"""Taking results into an open index, many in one transaction: rows of their shards, a row each, and what was taken.

Reading fifty shards with one statement takes a fourth of the time of reading them one by one. Whatever fails is tried
again in halves, so that one result that cannot be read keeps no other one out.
"""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, suppress
from typing import Any

import duckdb

from harness.record.atomic import IntegrityError
from harness.record.shards import KINDS
from harness.store.measures import SAFE
from harness.store.results import FACTS, Result
from harness.store.schema import TABLES

WEIGHTS = ("adapter_model", "model")
"""Names of what a run trained: PEFT's for an adapter, transformers' for a whole model. Only a checksum is kept here."""
TABLE = {"evaluation": "evaluation", "steps": "step", "spectrum": "spectrum"}
"""By kind of shard."""

MALFORMED_ROWS = (duckdb.ConversionException, duckdb.InvalidInputException, duckdb.ConstraintException)
"""What DuckDB makes of a value that is no value of its column."""

Damaged = Callable[[str, str], None]
"""Is told the id of a job that is kept out, and why: file, rule and remedy in one line."""


def ingest(connection: duckdb.DuckDBPyConnection, results: Sequence[Result], damaged: Damaged) -> int:
    """Take results in one transaction, and those of them that cannot be read tell; return how many were taken."""
    if not results:
        return 0
    connection.execute("BEGIN")
    try:
        _take(connection, results)
        connection.execute("COMMIT")
    except (IntegrityError, duckdb.Error) as error:
        with suppress(duckdb.TransactionException):  # it is over where the commit itself failed
            connection.execute("ROLLBACK")
        if len(results) > 1:
            half = len(results) // 2
            return ingest(connection, results[:half], damaged) + ingest(connection, results[half:], damaged)
        told = str(error) if isinstance(error, IntegrityError) else unreadable(results[0])
        if not told and isinstance(error, MALFORMED_ROWS):
            first = str(error).splitlines()[0][:120]
            told = (
                f"{results[0].folder / FACTS}: is not what this version writes ({first}). Restore it, or move it away."
            )
        if not told:
            raise  # a full disk, say: the database failed, not the result
        damaged(results[0].id, told)
        return 0
    return len(results)


def unreadable(each: Result) -> str:
    """Return which shard of a result cannot be read into tables of their own, and why; empty where all can."""
    again = f"Restore it, or remove {each.folder.parent} and run it again."
    with closing(duckdb.connect(config=SAFE)) as connection:
        connection.execute(TABLES)
        for kind in (kind for kind in KINDS if f"{kind}.parquet" in each.shas):
            try:
                _shards(connection, kind, [each])
            except duckdb.BinderException:
                told = "its columns are not those of this version, which cannot read it. Move its run or base away."
                return f"{each.shard(kind)}: {told}"
            except duckdb.Error as error:
                return f"{each.shard(kind)}: cannot be read ({str(error).splitlines()[0]}). {again}"
    return ""


def insert(connection: duckdb.DuckDBPyConnection, table: str, rows: Sequence[Sequence[Any]]) -> None:
    """Insert rows by columns, in one statement: one a row takes DuckDB milliseconds each."""
    if rows:
        columns = [list(column) for column in zip(*rows, strict=True)]
        connection.execute(f"INSERT INTO {table} SELECT {', '.join('unnest(?)' for _ in columns)}", columns)


def _take(connection: duckdb.DuckDBPyConnection, results: Sequence[Result]) -> None:
    held = [[each.id, "result", each.shas[FACTS], 1] for each in results]
    for kind in KINDS:
        counts = _shards(connection, kind, [each for each in results if f"{kind}.parquet" in each.shas])
        held += [
            [each.id, kind, each.shas[f"{kind}.parquet"], counts[each.id]] for each in results if each.id in counts
        ]
    bases = [_row(each, _base_row) for each in results if each.kind == "base"]
    runs = [_row(each, _run_row) for each in results if each.kind == "run"]
    weights = [(each.id, name, sha) for each in results if each.kind == "run" for name, sha in _weights(each)]
    held += [[*taken, 1] for taken in weights]
    insert(connection, "base", bases)
    insert(connection, "run", runs)
    insert(connection, "ingested", held)


def _shards(connection: duckdb.DuckDBPyConnection, kind: str, results: Sequence[Result]) -> dict[str, int]:
    """Insert the rows of the shards of one kind; return how many each result has, which is what its footer says."""
    if not results:
        return {}
    shards = {str(each.shard(kind)): each for each in results}
    for listed, files in _alike(connection, kind, list(shards)).items():
        names = ", ".join(f'"{name}"' for name in listed)
        source = "read_parquet(?, filename = true, hive_partitioning = false)"
        sql = f"INSERT INTO {TABLE[kind]} (run_id, {names}) SELECT split_part(filename, '/', -3), {names} FROM {source}"
        connection.execute(sql, [files])
    rows = connection.execute("SELECT file_name, num_rows FROM parquet_file_metadata(?)", [list(shards)]).fetchall()
    footers = {shards[file].id: count for file, count in rows}
    sql = f"SELECT run_id, count(*) FROM {TABLE[kind]} WHERE list_contains(?, run_id) GROUP BY run_id"
    counts: dict[str, int] = dict(connection.execute(sql, [list(footers)]).fetchall())
    for file, count in rows:
        if (read := counts.get(shards[file].id, 0)) != count:
            raise IntegrityError(f"{file}: {read} rows were read, its footer says {count}. Rebuild the index.")
    return footers


def _alike(connection: duckdb.DuckDBPyConnection, kind: str, files: list[str]) -> dict[tuple[str, ...], list[str]]:
    """Return the shards by the columns that they have of this version's; ones that were added later may be missing."""
    there: dict[str, set[str]] = {}
    for file, name in connection.execute("SELECT file_name, name FROM parquet_schema(?)", [files]).fetchall():
        there.setdefault(file, set()).add(name)
    alike: dict[tuple[str, ...], list[str]] = {}
    for file, names in there.items():
        listed = tuple(name for name, said in KINDS[kind].items() if name in names or not said.added)
        alike.setdefault(listed, []).append(file)
    return alike


def _row(each: Result, row: Callable[[Result], list[Any]]) -> list[Any]:
    """Return the row of a result; raise IntegrityError where it lacks a fact that this version takes."""
    try:
        for name in ("software", "trainer", "adapter"):
            if not isinstance(each.facts.get(name, {}), Mapping):
                raise TypeError(f"{name} is no object")
        return row(each)
    except (KeyError, TypeError, AttributeError) as error:
        told = f"no facts that this version can take ({type(error).__name__}: {error})"
        raise IntegrityError(f"{each.folder / FACTS}: {told}. Move {each.folder.parent} away.") from None


def _weights(each: Result) -> Iterator[tuple[str, str]]:
    """Yield name and checksum of what a run trained, if it kept it."""
    name = next((name for name in WEIGHTS if f"{name}.safetensors" in each.shas), None)
    if name is not None:
        yield name, each.shas[f"{name}.safetensors"]


def _base_row(each: Result) -> list[Any]:
    facts = each.facts
    recipe = each.identity.get("recipe") or facts["shape"]  # of a base that exists, as its config.json says
    shape = [recipe["architecture"], recipe["hidden_size"], recipe["layers"]]
    scored = [facts[key] for key in ("updates", "accuracy", "validation_accuracy", "parameters", "base_weights")]
    return [each.id, *shape, *scored]


def _run_row(each: Result) -> list[Any]:
    identity, facts = each.identity, each.facts
    cell, adapter, trainer = identity["cell"], facts["adapter"], identity["trainer"]
    rollouts: Mapping[str, Any] = facts["first_rollouts"] or {}
    multipliers, declared = adapter["multipliers"], cell["adapter"]
    scaling: Mapping[str, Any] = declared.get("scaling") or {}
    frozen, after = facts["base_weights"], facts["base_weights_after"]
    return [
        each.id,
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
        next((sha for _, sha in _weights(each)), None),
    ]
