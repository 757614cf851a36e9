"""SQL from strangers: whatever DuckDB can do beyond reading the index is refused, to measures, tables and queries.

Statements other than one SELECT are tested in tests/store/test_measures.py; here are the SELECTs.
"""

import hashlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import duckdb
import pytest

from harness.store import limits, query, refresh, responses
from harness.store.limits import LimitError
from harness.store.measures import MeasureError

if TYPE_CHECKING:
    from tests.conftest import Made

Call = Callable[..., Any]
SECRET = "hf_planted-and-never-shown"
READING = [
    "SELECT * FROM read_blob('{file}')",
    "SELECT * FROM read_text('{file}')",
    "SELECT * FROM read_csv('{file}')",
    "SELECT * FROM read_csv_auto('{file}')",
    "SELECT * FROM sniff_csv('{file}')",
    "SELECT * FROM read_json('{file}')",
    "SELECT * FROM read_json_auto('{file}')",
    "SELECT * FROM read_ndjson_objects('{file}')",
    "SELECT * FROM read_parquet('{file}')",
    "SELECT * FROM parquet_scan('{file}')",
    "SELECT * FROM parquet_schema('{file}')",
    "SELECT * FROM parquet_metadata('{file}')",
    "SELECT * FROM parquet_kv_metadata('{file}')",
    "SELECT * FROM parquet_file_metadata('{file}')",
    "SELECT * FROM read_duckdb('{file}')",
    "SELECT * FROM glob('{file}')",
    "SELECT * FROM '{file}'",
    "SELECT * FROM query('SELECT * FROM read_text(''{file}'')')",
    "SELECT * FROM query_table('{file}')",
    "SELECT * FROM sqlite_scan('{file}', 't')",
    "SELECT * FROM postgres_scan('host={file}', 'a', 'b')",
    "SELECT * FROM read_parquet('http://127.0.0.1:9/{file}')",
    "SELECT * FROM 's3://bucket{file}'",
    "WITH hidden AS (SELECT (SELECT content FROM read_text('{file}')) AS c) SELECT c FROM hidden",
]
SETTING = [
    "SELECT getenv('HF_TOKEN')",
    "SELECT * FROM duckdb_extensions()",
    "SELECT * FROM enable_logging()",
    "SELECT * FROM enable_profiling()",
    "SELECT * FROM force_checkpoint('index')",
    "SELECT load_extension('httpfs')",
    "SELECT * FROM arrow_scan(1, 2, 3)",
    "SELECT * FROM pandas_scan(1)",
]
WRITING = [
    "SELECT * FROM query('COPY run TO ''{file}''')",
    "SELECT * FROM query('ATTACH ''{file}''')",
    "SELECT * FROM query('EXPORT DATABASE ''{file}''')",
    "SELECT * FROM json_execute_serialized_sql(json_serialize_sql('COPY run TO ''{file}'''))",
]
STATEMENTS = [
    "EXPORT DATABASE '{file}'",
    "IMPORT DATABASE '{file}'",
    "ATTACH ':memory:' AS m",
    "LOAD '{file}'",
    "CREATE SECRET s (TYPE s3)",
    "CREATE MACRO m() AS 1",
    "SET VARIABLE x = 1",
    "RESET lock_configuration",
    "EXPLAIN ANALYZE SELECT 1",
    "PREPARE q AS SELECT 1",
    "CALL pragma_version()",
    "CHECKPOINT",
    "VACUUM",
    "BEGIN",
    "USE memory",
]


def hashes(folder: Path) -> dict[str, str]:
    """Return the SHA-256 of every file below a folder."""
    return {str(p): hashlib.sha256(p.read_bytes()).hexdigest() for p in sorted(folder.rglob("*")) if p.is_file()}


@pytest.fixture
def planted(made: "Made", tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a file with a secret that no query may show; the environment holds it too."""
    monkeypatch.setenv("HF_TOKEN", SECRET)
    refresh(made.store, [])
    file = tmp_path / "planted.csv"
    file.write_text(f"secret\n{SECRET}\n")
    return file


@pytest.mark.parametrize("sql", [*READING, *SETTING])
def test_nothing_outside_the_index_is_read(made: "Made", planted: Path, sql: str) -> None:
    with pytest.raises(duckdb.Error) as caught:
        query(made.store, sql.format(file=planted))
    assert SECRET not in str(caught.value)


@pytest.mark.parametrize("sql", ["SELECT content FROM read_blob('{index}')", "SELECT * FROM read_duckdb('{index}')"])
def test_not_even_the_bytes_of_the_index_are(made: "Made", planted: Path, sql: str) -> None:
    assert planted.exists()
    with pytest.raises(duckdb.PermissionException):
        query(made.store, sql.format(index=made.store.index))
    assert query(made.store, "SELECT count(*) FROM run")[1] == [(0,)]  # which is still read


@pytest.mark.parametrize("sql", [*WRITING, *STATEMENTS])
def test_nothing_is_written_set_or_attached(made: "Made", tmp_path: Path, planted: Path, sql: str) -> None:
    before = hashes(tmp_path)
    with pytest.raises((duckdb.Error, ValueError)):
        query(made.store, sql.format(file=planted.with_name("written")))
    assert hashes(tmp_path) == before


def test_no_secret_that_a_user_keeps_in_duckdb_is_known(made: "Made", planted: Path) -> None:
    assert planted.exists()
    for sql in ("SELECT * FROM duckdb_secrets()", "SELECT * FROM which_secret('s3://a', 's3')"):
        assert query(made.store, sql)[1] == []


def test_variables_of_this_program_are_no_tables(made: "Made", planted: Path) -> None:
    secret = [planted.read_text()]
    with pytest.raises(duckdb.CatalogException, match="secret does not exist"):
        query(made.store, "SELECT * FROM secret")
    assert secret


def test_a_measure_that_reads_a_file_when_it_is_asked_is_refused_then(made: "Made", planted: Path) -> None:
    """A view may be made of what only opens a file when it is asked."""
    sql = f"-- one row per run; a file, 0 to 1\nSELECT 'r' AS run_id, len(content) AS value FROM read_blob('{planted}')"
    file = made.declare("analysis/mine.sql", sql)
    with pytest.raises(MeasureError, match=r"^analysis/mine\.sql:1 SQL: "):
        refresh(made.store, [file])
        responses(made.store, "mine", ["r"])


ENDLESS = "SELECT count(*) FROM range(1000000) AS a, range(1000000) AS b WHERE a.range * b.range % 7 = 3"


def test_a_query_without_an_end_is_stopped_and_says_what_else_there_is(
    made: "Made", planted: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert planted.exists()
    monkeypatch.setattr(limits, "SECONDS", 0.3)
    with pytest.raises(LimitError, match=r"^took longer than 0\.3 seconds\. Ask for less: `harness db path` names"):
        query(made.store, ENDLESS)
    assert query(made.store, "SELECT 1")[1] == [(1,)]


def test_a_query_that_wants_all_memory_is_stopped_and_leaves_nothing_on_the_disk(
    made: "Made", tmp_path: Path, planted: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = hashes(tmp_path)
    monkeypatch.setattr(limits, "MEMORY", "50MiB")
    with pytest.raises(LimitError, match=r"^took more than 50MiB of memory\. Ask for less"):
        query(made.store, "SELECT * FROM range(100000000) ORDER BY hash(range)")
    assert hashes(tmp_path) == before
    assert planted.exists()


def test_a_query_with_more_rows_than_anybody_reads_is_refused(
    made: "Made", planted: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert planted.exists()
    monkeypatch.setattr("harness.store.index.ROWS", 10)
    assert len(query(made.store, "SELECT * FROM range(10)")[1]) == 10
    with pytest.raises(LimitError, match=r"^gives more than 10 rows\. Ask for less: aggregate, or add LIMIT\.$"):
        query(made.store, "SELECT * FROM range(11)")


@pytest.mark.parametrize("constant", [ENDLESS, f"SELECT ({ENDLESS}) AS value"])
def test_the_limits_hold_for_measures_and_on_the_command_line(
    made: "Made", planted: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], constant: str
) -> None:
    from harness.cli.main import status

    assert planted.exists()
    monkeypatch.setattr(limits, "SECONDS", 0.3)
    file = made.declare(
        "analysis/mine.sql",
        f"-- one row per run; endless, 0 to 1\nSELECT 'r' AS run_id, v AS value FROM ({constant}) AS t(v)",
    )
    refresh(made.store, [file])
    with pytest.raises(MeasureError, match=r"^analysis/mine\.sql:1 SQL: took longer than 0\.3 seconds\. Ask for less"):
        responses(made.store, "mine", ["r"])
    assert status(["-C", str(made.root), "db", "query", constant]) == 2
    assert capsys.readouterr().err.startswith("took longer than 0.3 seconds. Ask for less: `harness db path` names")


def test_a_foreign_index_runs_nothing_but_selects(made: "Made", planted: Path) -> None:
    """An index that came with a store may hold views of its own making."""
    os.unlink(made.store.index)
    connection = duckdb.connect(str(made.store.index))
    connection.execute(f"CREATE VIEW run AS SELECT content AS run_id FROM read_text('{planted}')")
    connection.close()
    with pytest.raises(duckdb.PermissionException):
        query(made.store, "SELECT * FROM run")
