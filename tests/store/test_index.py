"""The index is what the records say, whatever became of the file that it was published in."""

import hashlib
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import duckdb
import pytest

from harness.plan import PlannedRun
from harness.plan.runset import planned_run
from harness.record.ending import Reason
from harness.record.job import JobDirectory
from harness.record.layout import Store
from harness.record.shards import KINDS
from harness.record.verdict import JudgedRun, RunLabel, Verdict
from harness.record.verdict_files import save
from harness.spec import Cell
from harness.spec.shelf import find_shelf
from harness.store import IntegrityError, Published, query, rebuild, refresh, responses
from harness.store.private import new_file

if TYPE_CHECKING:
    from tests.conftest import Made

CONTENTS = (
    "SELECT * FROM base ORDER BY ALL",
    "SELECT * FROM run ORDER BY ALL",
    "SELECT * FROM evaluation ORDER BY ALL",
    "SELECT * FROM step ORDER BY ALL",
    "SELECT * FROM spectrum ORDER BY ALL",
    "SELECT * FROM ingested ORDER BY ALL",
    "SELECT * FROM accuracy ORDER BY ALL",
)
QUERIES = """
import sys
from pathlib import Path
from harness.record.layout import Store
from harness.store import query
print("ready", flush=True)
counts = []
while not (Path(sys.argv[1]) / "stop").exists():
    counts.append(query(Store(Path(sys.argv[1])), "SELECT count(*) FROM run")[1][0][0])
    if len(counts) == 1:
        print("reading", flush=True)
assert counts == sorted(counts), counts
print(len(counts), counts[-1])
"""


READER = """
import sys, duckdb
with duckdb.connect(sys.argv[1], read_only=True) as connection:
    print("open", flush=True)
    sys.stdin.readline()
    print(connection.execute("SELECT count(*) FROM run").fetchall())
"""
REFUSED = [
    "SELECT 1; SELECT 2",
    "",
    "CREATE TABLE t (a INTEGER)",
    "INSERT INTO run (run_id) VALUES ('x')",
    "DELETE FROM run",
    "DROP VIEW accuracy",
    "COPY run TO '{folder}/out.csv'",
    "COPY (SELECT 1) TO '{folder}/out.parquet'",
    "EXPORT DATABASE '{folder}/out'",
    "ATTACH '{folder}/other.duckdb'",
    "INSTALL httpfs",
    "LOAD httpfs",
    "SET threads = 8",
    "SET enable_external_access = true",
    "RESET lock_configuration",
    "PRAGMA database_list",
    "PRAGMA enable_profiling",
    "SELECT * FROM read_csv('{folder}/secret.csv')",
    "SELECT * FROM read_parquet('{folder}/*.parquet')",
    "SELECT * FROM read_text('{folder}/secret.csv')",
    "SELECT * FROM read_blob('/etc/passwd')",
    "SELECT * FROM '{folder}/secret.csv'",
    "SELECT * FROM glob('{folder}/*')",
    "SELECT * FROM parquet_metadata('{folder}/x.parquet')",
    "WITH x AS (SELECT * FROM read_csv_auto('/etc/passwd')) SELECT * FROM x",
    "SELECT * FROM store",
    "SELECT * FROM parameters",
]


@pytest.fixture
def measures(made: "Made") -> list[Path]:
    shelf = find_shelf(made.root)
    return [shelf.path("analysis", name) for name in shelf.names("analysis")]


def planned(made: "Made") -> list[PlannedRun]:
    bench = made.bench()
    runs = bench.plan(bench.hypotheses(["live"]), ["llama"])
    made.base(runs.bases[0])
    return list(runs.runs)


def contents(store: Store) -> list[list[tuple[Any, ...]]]:
    return [query(store, sql)[1] for sql in CONTENTS]


def one(store: Store, sql: str) -> Any:
    return query(store, sql)[1][0][0]


def test_a_refresh_takes_only_what_is_new(made: "Made", measures: list[Path]) -> None:
    runs = planned(made)
    for run in runs[:3]:
        made.run(run, 0.5)
    assert refresh(made.store, measures) == Published(added=4, jobs=4)
    for run in runs[3:5]:
        made.run(run, 0.5)
    assert refresh(made.store, measures) == Published(added=2, jobs=6)
    assert refresh(made.store, measures) == Published(added=0, jobs=6)
    assert one(made.store, "SELECT count(*) FROM run") == 5


def test_rebuilding_gives_what_refreshing_gave(made: "Made", measures: list[Path]) -> None:
    for i, run in enumerate(planned(made)[:4]):
        made.run(run, i / 10)
        refresh(made.store, measures)
    refreshed = contents(made.store)
    assert rebuild(made.store, measures) == Published(added=5, jobs=5)
    assert contents(made.store) == refreshed
    assert [len(rows) for rows in refreshed] == [1, 4, 60, 80, 0, 14, 4]


def test_unfinished_and_failed_jobs_are_not_in_it(made: "Made", measures: list[Path]) -> None:
    runs = planned(made)
    for run in runs[:2]:
        JobDirectory(made.store.runs / run.id).create({"id": run.id, "identity": run.identity})
    made.fail(made.store.runs / runs[1].id, "no")
    assert refresh(made.store, measures).jobs == 1


DAMAGE: dict[str, Callable[[bytes], bytes]] = {
    "empty": lambda _: b"",
    "no database": lambda _: b"SQLite format 3\0" * 500,
    "cut in the middle": lambda content: content[: len(content) // 2],
    "cut at the end": lambda content: content[:-100],
    "overwritten": lambda content: content[:20000] + bytes(byte ^ 0x5A for byte in content[20000:]),
}


def test_a_damaged_index_is_made_anew(made: "Made", measures: list[Path], subtests: pytest.Subtests) -> None:
    made.run(planned(made)[0], 0.5)
    refresh(made.store, measures)
    whole, content = contents(made.store), made.store.index.read_bytes()
    for name, damaged in DAMAGE.items():
        with subtests.test(name):
            made.store.index.write_bytes(damaged(content))
            refresh(made.store, measures)
            assert contents(made.store) == whole
    assert sorted(path.name for path in made.store.root.iterdir()) == [".index.lock", "bases", "index.duckdb", "runs"]


def test_an_index_that_is_gone_or_has_other_tables_is_made_anew(made: "Made", measures: list[Path]) -> None:
    made.run(planned(made)[0], 0.5)
    refresh(made.store, measures)
    whole = contents(made.store)
    made.store.index.unlink()
    refresh(made.store, measures)
    assert contents(made.store) == whole
    made.store.index.unlink()
    with duckdb.connect(str(made.store.index)) as connection:  # as another version of the harness may leave it
        connection.execute("CREATE TABLE meta (schema INTEGER)")
    refresh(made.store, measures)
    assert contents(made.store) == whole


def test_another_storage_version_is_made_anew(made: "Made", measures: list[Path]) -> None:
    planned(made)
    refresh(made.store, measures)
    content = bytearray(made.store.index.read_bytes())
    content[12] ^= 0xFF  # the version number follows the checksum (8 bytes) and `DUCK`
    made.store.index.write_bytes(content)
    assert refresh(made.store, measures) == Published(added=1, jobs=1)
    assert one(made.store, "SELECT count(*) FROM base") == 1


def test_a_result_that_was_made_again_replaces_the_old_one(made: "Made", measures: list[Path]) -> None:
    run = planned(made)[0]
    job = made.run(run, 0.5)
    refresh(made.store, measures)
    job.result.rename(made.root / "aside")
    made.run(run, 0.2)
    assert refresh(made.store, measures).jobs == 2
    assert responses(made.store, "accuracy", [run.id])[run.id].value == pytest.approx(0.2)


def test_the_adapter_is_known_by_its_checksum(made: "Made", measures: list[Path]) -> None:
    runs = planned(made)
    job = made.run(runs[0], 0.5, weights=b"one")
    made.run(runs[1], 0.5)
    refresh(made.store, measures)
    sql = "SELECT adapter_sha256 FROM run ORDER BY adapter_sha256 NULLS LAST"
    assert query(made.store, sql)[1] == [(hashlib.sha256(b"one").hexdigest(),), (None,)]
    job.result.rename(made.root / "aside")
    made.run(runs[0], 0.5, weights=b"two")  # the same in all else
    refresh(made.store, measures)
    assert query(made.store, sql)[1] == [(hashlib.sha256(b"two").hexdigest(),), (None,)]


def test_full_fine_tuning_has_no_rank_no_scaling_and_the_checksum_of_the_model(
    made: "Made", measures: list[Path]
) -> None:
    runs = planned(made)
    cell = Cell.model_validate({**runs[0].cell.model_dump(), "adapter": {"method": "full"}})
    without, full = (planned_run(runs[0].base, cell, i, made.bench().protocol) for i in (0, 1))
    trained: dict[str, Any] = {"multipliers": [], "trainable_parameters": 1000, "trainable_share": 1.0}
    made.run(runs[0], 0.5, weights=b"adapter")
    made.run(without, 0.5, adapter=trained)
    made.run(full, 0.5, weights=b"model", adapter=trained)
    assert refresh(made.store, measures) == Published(added=4, jobs=4)
    sql = "SELECT method, adapter->>'$.method', rank, scaling, multiplier, trainable_share, adapter_sha256 FROM run"
    lora, model = (hashlib.sha256(weights).hexdigest() for weights in (b"adapter", b"model"))
    assert query(made.store, f"{sql} ORDER BY ALL")[1] == [
        ("full", "full", None, None, None, 1.0, model),
        ("full", "full", None, None, None, 1.0, None),
        ("lora", "lora", 8, "proportional", 2.0, 0.1, lora),
    ]
    assert refresh(made.store, measures) == Published(added=0, jobs=4)


def test_columns_say_what_they_hold(made: "Made", measures: list[Path]) -> None:
    refresh(made.store, measures)
    sql = "SELECT column_name, comment FROM duckdb_columns() WHERE table_name = ? AND comment IS NOT NULL"
    for kind, columns in KINDS.items():
        said = dict(query(made.store, sql, ["step" if kind == "steps" else kind])[1])
        assert said.pop("run_id")
        assert said == {name: column.definition for name, column in columns.items()}
    view = "SELECT comment FROM duckdb_views() WHERE view_name = 'first_update_norm'"
    line = find_shelf(made.root).path("analysis", "first_update_norm").read_text().splitlines()[0]
    assert one(made.store, view) == line


def test_a_shard_with_other_columns_is_refused_by_name(made: "Made", measures: list[Path]) -> None:
    run = planned(made)[0]
    job = JobDirectory(made.store.runs / run.id)
    job.create({"id": run.id, "identity": run.identity})
    attempt = job.claim({"engine": "test"})
    assert attempt is not None
    (attempt.stage / "result.json").write_text("{}")
    steps = str(attempt.stage / "steps.parquet")
    duckdb.execute(f"COPY (SELECT 1 AS step, 0.5 AS loss_of_old) TO '{steps}'")
    assert attempt.commit()
    attempt.exit(Reason.OK)
    with pytest.raises(IntegrityError, match=r"steps\.parquet: its columns are not those of this version"):
        refresh(made.store, measures)


def test_a_shard_from_before_a_column_was_added_reads_as_null_there(made: "Made", measures: list[Path]) -> None:
    runs = planned(made)
    row = {"step": 20, "target": "update", "module": "q", "intruders": 3}
    new = {"intruder_sweep": [1, 3, 7], "intruders_borderline": [0, 1, 0]}
    made.run(runs[0], 0.5, {"spectrum": [{**row, **new}]})
    job = JobDirectory(made.store.runs / runs[1].id)
    job.create({"id": runs[1].id, "identity": runs[1].identity})
    attempt = job.claim({"engine": "test"})
    assert attempt is not None
    shutil.copyfile(made.store.runs / runs[0].id / "result" / "result.json", attempt.stage / "result.json")
    today, then = made.store.runs / runs[0].id / "result" / "spectrum.parquet", attempt.stage / "spectrum.parquet"
    duckdb.execute(f"COPY (SELECT * EXCLUDE ({', '.join(new)}) FROM read_parquet('{today}')) TO '{then}'")
    assert attempt.commit()
    attempt.exit(Reason.OK)
    refresh(made.store, measures)
    sql = "SELECT intruders, intruder_sweep, intruders_borderline FROM spectrum WHERE run_id = ?"
    assert query(made.store, sql, [runs[0].id])[1] == [(3, [1, 3, 7], [0, 1, 0])]
    assert query(made.store, sql, [runs[1].id])[1] == [(3, None, None)]


def test_a_removed_result_is_no_longer_in_it(made: "Made", measures: list[Path]) -> None:
    runs = planned(made)
    jobs = [made.run(run, 0.5) for run in runs[:2]]
    refresh(made.store, measures)
    jobs[0].path.rename(made.root / "aside")
    assert refresh(made.store, measures).jobs == 2
    assert set(responses(made.store, "accuracy", [run.id for run in runs])) == {jobs[1].id}


def test_another_measure_is_reason_to_build_anew(made: "Made", measures: list[Path]) -> None:
    planned(made)
    refresh(made.store, measures)
    mine = made.declare(
        "analysis/mine.sql", "-- one row per base\nSELECT base_id AS run_id, accuracy AS value FROM base"
    )
    refresh(made.store, [*measures, mine])
    assert query(made.store, "SELECT value FROM mine")[1] == [(0.4,)]
    mine.write_text("-- one row per base\nSELECT base_id AS run_id, 1 - accuracy AS value FROM base")
    refresh(made.store, [*measures, mine])
    assert query(made.store, "SELECT value FROM mine")[1] == [(0.6,)]


@pytest.mark.parametrize("name", ["evaluation.parquet", "steps.parquet", "result.json"])
def test_bytes_that_were_not_committed_are_refused_by_name(made: "Made", measures: list[Path], name: str) -> None:
    runs = planned(made)
    made.run(runs[0], 0.5)
    refresh(made.store, measures)
    before = contents(made.store)
    forged = made.run(runs[1], 0.2).result
    (forged / name).write_bytes((made.store.runs / runs[0].id / "result" / name).read_bytes() + b" ")
    for build in (refresh, rebuild):
        with pytest.raises(IntegrityError, match=f"{runs[1].id}/result/{name}: changed since it was committed"):
            build(made.store, measures)
    assert contents(made.store) == before  # what was published stays
    assert sorted(path.name for path in made.store.root.glob("*index*")) == [".index.lock", "index.duckdb"]


def test_a_missing_shard_is_refused_by_name(made: "Made", measures: list[Path]) -> None:
    run = planned(made)[0]
    (made.run(run, 0.5).result / "steps.parquet").unlink()
    with pytest.raises(IntegrityError, match=r"steps\.parquet: gone since"):
        refresh(made.store, measures)


def test_a_manifest_changed_to_fit_is_still_a_change_to_what_was_indexed(made: "Made", measures: list[Path]) -> None:
    run = planned(made)[0]
    job = made.run(run, 0.5)
    refresh(made.store, measures)
    manifest = job.result / "manifest.json"
    manifest.write_text(manifest.read_text().replace('"sha256": "', '"sha256": "0', 1))
    with pytest.raises(IntegrityError, match="changed since"):
        refresh(made.store, measures)


def test_a_reader_with_the_old_file_open_keeps_it(made: "Made", measures: list[Path]) -> None:
    runs = planned(made)
    refresh(made.store, measures)
    command = [sys.executable, "-c", READER, str(made.store.index)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as reader:
        assert reader.stdout is not None
        assert reader.stdout.readline() == "open\n"
        made.run(runs[0], 0.5)
        assert refresh(made.store, measures).added == 1
        assert reader.communicate("\n")[0] == "[(0,)]\n"
    assert one(made.store, "SELECT count(*) FROM run") == 1


def test_another_process_can_query_all_the_while(made: "Made", measures: list[Path]) -> None:
    runs = planned(made)
    refresh(made.store, measures)
    command = [sys.executable, "-c", QUERIES, str(made.store.root)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as reader:
        try:
            assert reader.stdout is not None
            assert reader.stdout.readline() == "ready\n"
            assert reader.stdout.readline() == "reading\n"
            for run in runs[:6]:
                made.run(run, 0.5)
                refresh(made.store, measures)
        finally:
            (made.store.root / "stop").touch()  # else a failure here would wait for the reader for ever
        reads, last = (int(word) for word in reader.communicate()[0].split())
    assert reader.returncode == 0
    assert reads > 1
    assert 0 <= last <= 6


def test_the_verdict_in_force_is_in_it_with_what_it_says(made: "Made", measures: list[Path], verdict: Verdict) -> None:
    judged = JudgedRun(
        run_id="r1", base="llama", cell="grpo-lora-r8", seed=0, accuracy=0.5, label=RunLabel.TRAINED, launched=True
    )
    for inputs in ("a", "b"):
        save(made.store, verdict.model_copy(update={"inputs": inputs * 64, "runs": (judged,)}))
        refresh(made.store, measures)
    _, rows = query(made.store, "SELECT verdict_id, outcome, verdict->>'$.title' FROM verdict")
    assert rows == [(f"claim--llama--{'b' * 12}", "supported", "A title")]
    _, rows = query(made.store, "SELECT id, role, looks, p_support, p_refute FROM prediction")
    assert rows == [("live", "primary", [5], 0.03125, None)]
    _, rows = query(made.store, "SELECT prediction, position, name, low, high, n_runs FROM estimate")
    assert rows == [("live", 1, "P(collapsed) r=8", None, 1 / 3, 5)]
    _, rows = query(made.store, "SELECT name, planned, labels.trained, labels.collapsed, launched FROM cell")
    assert rows == [("grpo-lora-r8", 5, 5, None, None)]
    _, rows = query(made.store, "SELECT run_id, label, accuracy, launched FROM judged")
    assert rows == [("r1", "trained", 0.5, True)]


def test_attempts_and_registrations_are_in_it_as_they_are_now(made: "Made", measures: list[Path]) -> None:
    made.results(lambda run: 0.5)
    made.bench().register_shelf()
    refresh(made.store, measures)
    _, rows = query(made.store, "SELECT kind, ended, count(*) FROM attempt GROUP BY ALL ORDER BY ALL")
    assert rows == [("base", "ok", 1), ("run", "ok", 12)]
    _, rows = query(made.store, "SELECT number, declaration ->> '$.title' FROM registration WHERE hypothesis = 'live'")
    assert rows == [(1, "Low ranks live")]


def test_without_an_index_a_query_says_how_to_make_one(made: "Made") -> None:
    with pytest.raises(FileNotFoundError, match=r"no index yet\. `harness db rebuild` makes it"):
        query(made.store, "SELECT 1")


def test_a_query_can_do_nothing_but_read_the_index(
    made: "Made", measures: list[Path], tmp_path: Path, subtests: pytest.Subtests
) -> None:
    planned(made)
    refresh(made.store, measures)
    (tmp_path / "secret.csv").write_text("a\n1\n")
    before, index = sorted(tmp_path.rglob("*")), made.store.index.read_bytes()
    for sql in REFUSED:
        with subtests.test(sql=sql), pytest.raises((duckdb.Error, ValueError)):
            query(made.store, sql.format(folder=tmp_path))
    assert sorted(tmp_path.rglob("*")) == before
    assert made.store.index.read_bytes() == index


def test_a_program_that_has_rows_in_a_variable_does_not_lend_them(made: "Made", measures: list[Path]) -> None:
    planned(made)
    refresh(made.store, measures)
    rows: Any = duckdb.sql("SELECT 42 AS secret")
    with pytest.raises(duckdb.Error, match="rows"):
        query(made.store, "SELECT * FROM rows")
    assert rows.fetchall() == [(42,)]


def test_a_killed_builder_leaves_the_published_index_alone(made: "Made", measures: list[Path]) -> None:
    planned(made)
    refresh(made.store, measures)
    before = contents(made.store)
    litter = new_file(made.store.index, anew=True, locked=True)
    litter.write_bytes(b"half a database")
    litter.with_name(litter.name + ".wal").write_bytes(b"half a log")
    assert refresh(made.store, measures) == Published(added=0, jobs=1)
    assert contents(made.store) == before
    assert not litter.exists()
