from importlib import import_module
from pathlib import Path
from typing import Any

import duckdb
import pytest

from harness.record.shards import KINDS, write_shard

TYPES = {
    "int32": "INTEGER",
    "string": "VARCHAR",
    "bool": "BOOLEAN",
    "double": "DOUBLE",
    "list<double>": "DOUBLE[]",
    "list<int32>": "INTEGER[]",
}


@pytest.mark.parametrize("kind", list(KINDS))
def test_a_shard_has_its_kinds_columns_and_types_even_when_empty(tmp_path: Path, kind: str) -> None:
    write_shard(tmp_path, kind, [])
    described = duckdb.execute("DESCRIBE SELECT * FROM read_parquet(?)", [str(tmp_path / f"{kind}.parquet")]).fetchall()
    assert {row[0]: row[1] for row in described} == {name: TYPES[column.type] for name, column in KINDS[kind].items()}


@pytest.mark.parametrize("kind", list(KINDS))
def test_every_column_carries_its_definition_in_the_file(tmp_path: Path, kind: str) -> None:
    write_shard(tmp_path, kind, [])
    parquet: Any = import_module("pyarrow.parquet")  # by name: the library has no type information
    schema = parquet.read_schema(tmp_path / f"{kind}.parquet")
    found = {field.name: field.metadata[b"definition"].decode() for field in schema}
    assert found == {name: column.definition for name, column in KINDS[kind].items()}
    assert all(found.values())


def test_floats_are_kept_to_the_last_bit_and_what_is_left_out_is_null(tmp_path: Path) -> None:
    loss = 0.1 + 0.2
    write_shard(tmp_path, "steps", [{"step": 1, "loss": loss}, {"step": 2, "reward": 1.0}])
    read = duckdb.execute("SELECT step, loss, reward FROM read_parquet(?)", [str(tmp_path / "steps.parquet")])
    assert read.fetchall() == [(1, loss, None), (2, None, 1.0)]


def test_spectra_keep_their_lists(tmp_path: Path) -> None:
    write_shard(tmp_path, "spectrum", [{"step": 1, "module": "q", "singular_values": [2.0, 1.0]}])
    read = duckdb.execute("SELECT singular_values FROM read_parquet(?)", [str(tmp_path / "spectrum.parquet")])
    assert read.fetchall() == [([2.0, 1.0],)]


def test_an_unknown_column_raises_and_writes_nothing(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"steps shard: unknown columns \['entropie', 'lose'\]"):
        write_shard(tmp_path, "steps", [{"step": 1, "lose": 0.1}, {"step": 2, "entropie": 1}])
    assert list(tmp_path.iterdir()) == []


def test_a_value_of_another_type_raises(tmp_path: Path) -> None:
    with pytest.raises((TypeError, ValueError)):
        write_shard(tmp_path, "steps", [{"step": "first"}])
