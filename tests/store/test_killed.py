"""What becomes of the index when whoever builds it is killed, when two build it at once, and when records are damaged.

Builders here are processes of their own, and the kills are real: SIGKILL, at moments that a seed draws.
"""

import json
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import duckdb
import pytest

import harness.store.index as index_module
from harness.plan.runset import planned_run
from harness.record.atomic import sha256
from harness.record.job import JobDirectory
from harness.spec.shelf import find_shelf
from harness.store import IntegrityError, Published, query, rebuild, refresh
from harness.store.index import BATCH
from harness.store.private import machine, new_file

if TYPE_CHECKING:
    from tests.conftest import Made

RUNS, KILLS = 500, 20
BUILDER = """
import sys
from pathlib import Path
from harness.record.layout import Store
from harness.store import rebuild, refresh
build = {"refresh": refresh, "rebuild": rebuild}[sys.argv[1]]
measures = [Path(name) for name in sys.argv[3:]]
print("ready", flush=True)
print(build(Store(Path(sys.argv[2])), measures), flush=True)
"""
KILLED_AT_THE_THIRD = """
ingest, calls = index.ingest, []
def counted(*asked):
    calls.append(0)
    if len(calls) == 3:
        os.kill(os.getpid(), signal.SIGKILL)
    return ingest(*asked)
index.ingest = counted
"""
ROWS = (
    "SELECT run_id, count(*), count(DISTINCT (step, split, problem)), sum(correct) FROM evaluation GROUP BY ALL",
    "SELECT run_id, count(*), count(DISTINCT step), sum(loss) FROM step GROUP BY ALL",
    "SELECT run_id, count(*), min(seed), min(identity::VARCHAR) FROM run GROUP BY ALL",
    "SELECT base_id, count(*), min(accuracy) FROM base GROUP BY ALL",
    "SELECT run_id, kind, min(sha256), sum(n_rows), count(*) FROM ingested GROUP BY ALL",
    "SELECT run_id, kind, ended, count(*) FROM attempt GROUP BY ALL",
)


def committed(made: "Made", count: int) -> list[JobDirectory]:
    """Commit so many runs, of two cells in turn."""
    bench = made.bench()
    planned = bench.plan(bench.hypotheses(["live"]), ["llama"])
    made.base(planned.bases[0])
    cells = [run.cell for run in planned.runs[:2]]
    runs = [planned_run(planned.bases[0], cells[i % 2], i, bench.protocol) for i in range(count)]
    return [made.run(run, (i % 11) / 20) for i, run in enumerate(runs)]


def rows(made: "Made") -> list[list[tuple[Any, ...]]]:
    return [sorted(query(made.store, sql)[1]) for sql in ROWS]


@pytest.fixture
def measures(made: "Made") -> list[Path]:
    return [find_shelf(made.root).path("analysis", name) for name in ("accuracy", "first_update_norm")]


def builder(made: "Made", how: str, measures: list[Path]) -> subprocess.Popen[str]:
    """Start a builder and wait until it is about to begin."""
    command = [sys.executable, "-c", BUILDER, how, str(made.store.root), *map(str, measures)]
    started = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert started.stdout is not None
    assert started.stdout.readline() == "ready\n"
    return started


def wait_for(there: Callable[[], bool], process: subprocess.Popen[str]) -> None:
    while not there():
        assert process.poll() is None, "it ended before it could be killed"
        time.sleep(0.002)


@pytest.mark.slow
@pytest.mark.parametrize("how", ["refresh", "rebuild"])
def test_a_builder_killed_twenty_times_loses_and_doubles_no_row(made: "Made", measures: list[Path], how: str) -> None:
    committed(made, RUNS)
    if how == "rebuild":
        refresh(made.store, measures)  # what is published all the while
    before = made.store.index.read_bytes() if how == "rebuild" else None
    draw = random.Random(20261130)
    sizes: list[int] = []
    for _ in range(KILLS):
        process = builder(made, how, measures)
        wait_for(lambda: bool(list(made.store.root.glob(".index-*.duckdb"))), process)
        time.sleep(draw.uniform(0, 0.12))
        process.send_signal(signal.SIGKILL)
        process.communicate()
        sizes.append(process.returncode)
        assert (made.store.index.read_bytes() if before else None) == before or process.returncode == 0
    assert sizes.count(-signal.SIGKILL) == KILLS
    last = builder(made, how, measures)
    assert last.communicate()[0] == f"Published(added={RUNS + 1}, jobs={RUNS + 1})\n"
    survived = rows(made)
    assert not list(made.store.root.glob(".index-*"))
    rebuild(made.store, measures)
    assert survived == rows(made)
    assert [len(found) for found in survived] == [RUNS + 1, RUNS, RUNS, 1, 3 * RUNS + 2, RUNS + 1]
    assert all(row[1] == row[2] for found in survived[:2] for row in found)
    assert {row[-1] for row in survived[4]} == {1}


def test_the_next_builder_goes_on_where_a_killed_one_was(made: "Made", measures: list[Path]) -> None:
    committed(made, 120)
    code = f"import os, signal\nfrom harness.store import index\n{KILLED_AT_THE_THIRD}{BUILDER}"
    command = [sys.executable, "-c", code, "refresh", str(made.store.root), *map(str, measures)]
    assert subprocess.run(command, check=False, capture_output=True).returncode == -signal.SIGKILL
    (left,) = made.store.root.glob(".index-anew-*.duckdb")
    with duckdb.connect(str(left)) as connection:
        assert connection.execute("SELECT count(DISTINCT run_id) FROM ingested").fetchall() == [(2 * BATCH,)]
        connection.execute("CREATE TABLE witness (a INTEGER)")
    assert refresh(made.store, measures) == Published(added=121, jobs=121)
    assert query(made.store, "SELECT count(*) FROM witness")[1] == [(0,)]  # it is that very file
    assert query(made.store, "SELECT count(*), count(DISTINCT run_id) FROM run")[1] == [(120, 120)]


def test_what_a_killed_builder_left_is_not_gone_on_in_where_rows_are_missing(
    made: "Made", measures: list[Path]
) -> None:
    committed(made, 3)
    refresh(made.store, measures)
    whole = rows(made)
    left = new_file(made.store.index, anew=True, locked=True)
    made.store.index.rename(left)
    with duckdb.connect(str(left)) as connection:
        connection.execute("DELETE FROM step WHERE step = 7")
    assert refresh(made.store, measures) == Published(added=4, jobs=4)
    assert rows(made) == whole
    assert not left.exists()


def test_what_another_machine_has_in_the_making_is_left_alone(made: "Made", measures: list[Path]) -> None:
    committed(made, 2)
    other = made.store.root / f".index-anew-{'0' * 12}-77-0123abcd.duckdb"
    other.write_bytes(b"at work")
    refresh(made.store, measures)
    assert other.read_bytes() == b"at work"
    assert machine() not in other.name


def test_two_builders_at_once_both_end_with_a_right_index(made: "Made", measures: list[Path]) -> None:
    jobs = committed(made, 150)
    both = [builder(made, how, measures) for how in ("refresh", "rebuild", "refresh")]
    said = [process.communicate()[0] for process in both]
    assert [process.returncode for process in both] == [0, 0, 0]
    assert all(text.endswith("jobs=151)\n") for text in said)
    assert query(made.store, "SELECT count(*), count(DISTINCT run_id) FROM run")[1] == [(len(jobs), len(jobs))]
    assert refresh(made.store, measures) == Published(added=0, jobs=151)
    assert not list(made.store.root.glob(".index-*"))


def test_a_builder_that_finds_another_index_published_looks_through_the_records_again(
    made: "Made", measures: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    jobs = committed(made, 4)
    jobs[3].path.rename(made.root / "later")

    def slow(*asked: Any) -> int:  # while this one builds, a run is committed, and another host publishes with it
        monkeypatch.undo()
        (made.root / "later").rename(jobs[3].path)
        refresh(made.store, measures)
        return index_module.ingest(*asked)

    def unlocked(_: int) -> bool:
        return False

    monkeypatch.setattr("harness.store.private._locked", unlocked)
    monkeypatch.setattr("harness.store.index.ingest", slow)
    assert refresh(made.store, measures).jobs == 5
    assert query(made.store, "SELECT count(*) FROM run")[1] == [(4,)]


def cut(share: float) -> Callable[[bytes], bytes]:
    return lambda content: content[: int(len(content) * share)]


SHARD: dict[str, Callable[[bytes], bytes]] = {
    "empty": lambda _: b"",
    "cut at a third": cut(1 / 3),
    "cut before the footer": lambda content: content[:-8],
    "the last byte cut": lambda content: content[:-1],
    "zeros inside, footer kept": lambda content: content[:40] + bytes(200) + content[240:],
    "one bit": lambda content: content[:100] + bytes([content[100] ^ 1]) + content[101:],
}
ABSENT = {"sha256": "0" * 64, "bytes": 1}
MANIFEST: dict[str, tuple[Callable[[str], str], str]] = {
    "torn": (lambda text: text[: len(text) // 2], r"manifest\.json: damaged"),
    "empty": (lambda _: "", r"manifest\.json: damaged"),
    "no list of files": (lambda _: "[1, 2]", r"manifest\.json: damaged \(holds no object"),
    "wrong checksum": (
        lambda text: _changed(text, lambda said: said["files"]["steps.parquet"].update(sha256="0" * 64)),
        r"steps\.parquet: changed since it was committed",
    ),
    "a file that is not there": (
        lambda text: _changed(
            text, lambda said: said["files"].update({"spectrum.parquet": {"sha256": "0" * 64, "bytes": 1}})
        ),
        r"spectrum\.parquet: gone since it was committed",
    ),
    "no result in it": (
        lambda text: _changed(text, lambda said: said["files"].pop("result.json")),
        r"result\.json: not in the result's manifest",
    ),
}


def _changed(text: str, change: Callable[[Any], object]) -> str:
    said = json.loads(text)
    change(said)
    return json.dumps(said)


def named(made: "Made", measures: list[Path], job: JobDirectory, text: str) -> None:
    """Expect the damage to be told by both ways of building, the rest to be published, and the repair to be seen."""
    made.store.index.unlink(missing_ok=True)  # what it has taken it keeps, as long as the manifest is the same
    for build in (refresh, rebuild):
        told: dict[str, str] = {}
        assert build(made.store, measures, told.__setitem__).jobs == 3
        assert list(told) == [job.id]
        with pytest.raises(IntegrityError, match=text):
            build(made.store, measures)
        assert any(word in told[job.id] for word in ("Restore it, or remove", "Move"))
        assert (job.id,) not in query(made.store, "SELECT run_id FROM ingested")[1]


@pytest.mark.parametrize("name", ["evaluation.parquet", "steps.parquet", "result.json"])
def test_a_damaged_file_is_named_and_its_run_kept_out_until_it_is_restored(
    made: "Made", measures: list[Path], name: str, subtests: pytest.Subtests
) -> None:
    job = committed(made, 3)[1]
    file = job.result / name
    whole = file.read_bytes()
    for what, damage in SHARD.items():
        with subtests.test(what):
            file.write_bytes(damage(whole))
            named(made, measures, job, rf"{job.id}/result/{name}: changed since it was committed")
            file.write_bytes(whole)
            assert refresh(made.store, measures) == Published(added=1, jobs=4)


def test_a_damaged_manifest_is_named_and_its_run_kept_out(
    made: "Made", measures: list[Path], subtests: pytest.Subtests
) -> None:
    job = committed(made, 3)[1]
    file = job.result / "manifest.json"
    whole = file.read_text()
    for what, (damage, text) in MANIFEST.items():
        with subtests.test(what):
            file.write_text(damage(whole))
            named(made, measures, job, text)
            file.write_text(whole)
            assert refresh(made.store, measures) == Published(added=1, jobs=4)


def test_a_shard_that_was_torn_before_it_was_committed_is_named(
    made: "Made", measures: list[Path], subtests: pytest.Subtests
) -> None:
    job = committed(made, 3)[1]
    file, manifest = job.result / "evaluation.parquet", job.result / "manifest.json"
    whole, committed_as = file.read_bytes(), manifest.read_text()
    for what in ("empty", "cut at a third", "cut before the footer", "the last byte cut"):
        with subtests.test(what):
            file.write_bytes(SHARD[what](whole))
            said = json.loads(committed_as)
            said["files"]["evaluation.parquet"]["sha256"] = sha256(file)
            manifest.write_text(json.dumps(said))
            named(made, measures, job, rf"{job.id}/result/evaluation\.parquet: cannot be read")


def renamed(job: JobDirectory) -> JobDirectory:
    return JobDirectory(job.path.with_name(job.path.name[:-1] + ("0" if job.path.name[-1] != "0" else "1")))


def test_a_job_directory_that_was_copied_is_no_second_run(made: "Made", measures: list[Path]) -> None:
    jobs = committed(made, 3)
    copy = renamed(jobs[0])
    shutil.copytree(jobs[0].path, copy.path)
    told: dict[str, str] = {}
    assert refresh(made.store, measures, told.__setitem__).jobs == 4
    assert told == {copy.id: told[copy.id]}
    assert f"it is the manifest of {jobs[0].id}, copied or renamed. Move {copy.path} away" in told[copy.id]
    manifest = copy.result / "manifest.json"
    manifest.write_text(manifest.read_text().replace(jobs[0].id, copy.id))
    with pytest.raises(IntegrityError, match=f"spec.json: is that of '{jobs[0].id}': the folder was copied"):
        refresh(made.store, measures)
    spec = copy.path / "spec.json"
    spec.write_text(spec.read_text().replace(jobs[0].id, copy.id))
    with pytest.raises(IntegrityError, match="not the one that the id is the hash of"):
        refresh(made.store, measures)
    assert query(made.store, "SELECT count(*) FROM run")[1] == [(3,)]


def test_a_run_among_the_bases_and_a_job_without_its_specification_are_named(
    made: "Made", measures: list[Path]
) -> None:
    jobs = committed(made, 3)
    shutil.move(jobs[0].path, made.store.bases / jobs[0].id)
    (jobs[1].path / "spec.json").unlink()
    told: dict[str, str] = {}
    assert rebuild(made.store, measures, told.__setitem__).jobs == 2
    assert "it is a run and lies among the bases" in told[jobs[0].id]
    assert "spec.json: gone since the job was committed" in told[jobs[1].id]


def test_a_run_that_was_copied_from_another_store_counts(made: "Made", measures: list[Path], tmp_path: Path) -> None:
    jobs = committed(made, 2)
    shutil.move(jobs[1].path, tmp_path / "elsewhere")
    assert refresh(made.store, measures).jobs == 2
    shutil.copytree(tmp_path / "elsewhere", jobs[1].path)
    assert refresh(made.store, measures) == Published(added=1, jobs=3)


def test_a_log_left_beside_the_index_is_not_read_into_it(made: "Made", measures: list[Path]) -> None:
    committed(made, 2)
    refresh(made.store, measures)
    whole, log = rows(made), made.store.index.with_name("index.duckdb.wal")
    with duckdb.connect(str(made.store.index)) as connection:  # as somebody's client leaves it that was killed
        connection.execute("SET checkpoint_threshold = '1GB'")
        connection.execute("DELETE FROM step")
        kept = log.read_bytes()
    refresh(made.store, measures)
    log.write_bytes(kept)
    refresh(made.store, measures)
    assert not log.exists()
    assert rows(made)[2:] == whole[2:]


def test_every_cut_of_the_index_is_found(made: "Made", measures: list[Path], subtests: pytest.Subtests) -> None:
    committed(made, 20)
    refresh(made.store, measures)
    whole, content = rows(made), made.store.index.read_bytes()
    for share in (0.0, 0.01, 0.1, 0.3, 0.5, 0.7, 0.9, 0.99, 0.999):
        with subtests.test(share=share):
            made.store.index.write_bytes(content[: int(len(content) * share)])
            refresh(made.store, measures)
            assert rows(made) == whole
            made.store.index.write_bytes(content[: int(len(content) * share)])
            rebuild(made.store, measures)
            assert rows(made) == whole
