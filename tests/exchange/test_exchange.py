"""The contract of a job at an exchange: claims, silence, commits, and what is never taken for a result."""

import json
import shutil
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from harness.record.atomic import IntegrityError, sha256, write_json
from harness.record.exchange import ExchangedJob, hashes, named
from harness.record.look import Look
from harness.record.object_folder import FolderObjects
from harness.record.objects import Away, Entry, Objects, Unfit
from harness.train.patience import Rhythm, patiently

RACERS = 8
SPEC = {"id": "some-run", "identity": {"seed": 1}}


@pytest.fixture
def job(objects: Objects) -> ExchangedJob:
    job = ExchangedJob(objects, "runs/some-run")
    job.offer(SPEC, {"cpus": 1})
    return job


def result(folder: Path, attempt: int, text: str = "{}") -> Path:
    """Write a result as a supervisor commits it."""
    (folder / "part").mkdir(parents=True)
    (folder / "result.json").write_text(text)
    (folder / "part" / "weights.safetensors").write_bytes(b"w" * 1000)
    names = ["result.json", "part/weights.safetensors"]
    files = {name: {"sha256": sha256(folder / name), "bytes": (folder / name).stat().st_size} for name in names}
    write_json(folder / "manifest.json", {"job": "some-run", "attempt": attempt, "files": files})
    return folder


def race(act: Callable[[int], Any]) -> list[Any]:
    """Do the same at once; return what each came to."""
    barrier, came = threading.Barrier(RACERS), list[Any]()

    def one(me: int) -> None:
        barrier.wait()
        came.append(act(me))

    threads = [threading.Thread(target=one, args=(me,)) for me in range(RACERS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(came) == RACERS
    return came


def test_eight_race_for_a_claim_and_one_wins(job: ExchangedJob) -> None:
    came = race(lambda _: job.claim({"host": "the same for all"}))
    assert sorted(map(str, came)) == ["1", *["None"] * (RACERS - 1)]
    assert job.look().attempts == [1]
    assert job.claim({}) is None  # it is alive


class Losing(FolderObjects):
    """A folder whose server loses its answer to the first create that succeeds."""

    lost = False

    def create(self, key: str, content: bytes) -> bool:
        created = super().create(key, content)
        if created and not self.lost:
            self.lost = True
            raise Away("no answer")
        return created


def test_who_repeats_a_claim_whose_answer_was_lost_has_it(tmp_path: Path) -> None:
    job = ExchangedJob(Losing(tmp_path), "runs/some-run")
    assert patiently(lambda: job.claim({}, "mine"), Rhythm(again=0.01)) == 1
    assert job.claim({}, "theirs") is None
    job.exit(1, {"reason": "killed", "message": ""})
    assert job.claim({}, "theirs") == 2
    assert job.claim({}, "mine") is None


class Unseeing(ExchangedJob):
    """A worker that has not seen any newer attempt than its own."""

    number: int

    def look(self) -> Look:
        return Look({f"attempts/{self.number:04d}.json": Entry(1, 0.0)})


def test_eight_race_for_a_commit_and_one_wins(job: ExchangedJob, tmp_path: Path) -> None:
    folders = [result(tmp_path / str(me), me + 1, json.dumps({"from": me + 1})) for me in range(RACERS)]

    def deliver(me: int) -> int:
        unseeing = Unseeing(job.objects, job.name)
        object.__setattr__(unseeing, "number", me + 1)
        return (me + 1) * unseeing.deliver(me + 1, folders[me])

    came = race(deliver)
    (winner,) = filter(None, came)
    manifest = job.manifest()
    assert manifest is not None and manifest["attempt"] == winner
    job.fetch(manifest, made(tmp_path / "fetched"))
    assert json.loads((tmp_path / "fetched" / "result.json").read_text()) == {"from": winner}
    assert job.claim({}) is None  # it is committed


def made(folder: Path, exist_ok: bool = False) -> Path:
    folder.mkdir(exist_ok=exist_ok)
    return folder


def test_an_attempt_with_a_newer_one_does_not_commit(job: ExchangedJob, tmp_path: Path) -> None:
    assert job.claim({}) == 1
    job.exit(1, {"reason": "killed", "message": ""})
    assert job.claim({}) == 2
    assert not job.deliver(1, result(tmp_path / "zombie", 1))
    assert job.manifest() is None
    assert job.deliver(2, result(tmp_path / "newer", 2))


def test_silence_by_the_servers_clock_ends_a_claim(objects: Objects, monkeypatch: pytest.MonkeyPatch) -> None:
    job = ExchangedJob(objects, "runs/some-run", silence=100.0)
    job.offer(SPEC, {})
    assert job.claim({}) == 1
    now = objects.now()
    monkeypatch.setattr("time.time", lambda: now + 10_000)  # this host's clock is wrong, which says nothing
    assert job.claim({}) is None
    later: list[float] = [now + 99]

    def server_time(_: Objects) -> float:
        return later[0]

    monkeypatch.setattr(type(objects), "now", server_time)
    assert job.alive(job.look(), 1)
    later[0] = now + 102  # times are whole seconds
    assert not job.alive(job.look(), 1)
    assert job.claim({}) == 2


def test_data_without_a_commit_is_no_result(job: ExchangedJob, tmp_path: Path) -> None:
    assert job.claim({}) == 1
    folder = result(tmp_path / "result", 1)
    job.objects.upload(folder / "result.json", "runs/some-run/data/0001/result.json")
    assert not job.look().committed
    assert job.manifest() is None


@pytest.mark.parametrize("harm", ["changed", "cut", "gone"])
def test_a_damaged_object_is_named(harm: str, job: ExchangedJob, tmp_path: Path) -> None:
    assert job.claim({}) == 1
    assert job.deliver(1, result(tmp_path / "result", 1))
    key = "runs/some-run/data/0001/part/weights.safetensors"
    if harm == "gone":
        job.objects.remove(key)
    else:
        job.objects.put(key, b"w" * 999 + (b"v" if harm == "changed" else b""))
    manifest = job.manifest()
    assert manifest is not None
    said = rf"{key}: (not the bytes that were|gone since it was) committed\. Remove .*/runs/some-run there and run"
    with pytest.raises(IntegrityError, match=said):
        job.fetch(manifest, made(tmp_path / "fetched"))
    assert not (tmp_path / "fetched" / "manifest.json").exists()


@pytest.mark.parametrize(
    "said",
    [
        {"job": "another-run", "attempt": 1, "files": {}},
        {"job": "some-run", "attempt": 1, "files": {"../../x": {"sha256": "", "bytes": 0}}},
        {"job": "some-run", "attempt": 1, "files": {"/etc/x": {"sha256": "", "bytes": 0}}},
        {"job": "some-run", "attempt": "1", "files": {}},
        [],
    ],
)
def test_a_manifest_that_is_none_of_this_job_is_refused(said: Any, tmp_path: Path) -> None:
    job = ExchangedJob(FolderObjects(tmp_path), "runs/some-run")
    job.objects.put("runs/some-run/COMMIT", json.dumps(said).encode())
    with pytest.raises(IntegrityError, match="COMMIT: is not the manifest of this job"):
        job.manifest()


def test_another_job_under_the_same_id_is_refused(job: ExchangedJob) -> None:
    job.offer(SPEC, {"cpus": 2})
    assert job.read("resources.json") == {"cpus": 2}
    with pytest.raises(Unfit, match="holds another identity under this id"):
        job.offer({"id": "some-run", "identity": {"seed": 2}}, {})


def test_another_result_of_a_shared_job_is_refused(job: ExchangedJob, tmp_path: Path) -> None:
    ours, other = result(tmp_path / "ours", 3), result(tmp_path / "other", 3, '{"other": 1}')
    job.publish(ours)
    job.publish(ours)
    with pytest.raises(Unfit, match="holds another result than"):
        job.publish(other)


def test_checkpoints_without_their_marker_are_none(job: ExchangedJob, tmp_path: Path) -> None:
    (tmp_path / "checkpoint-5").mkdir()
    (tmp_path / "checkpoint-5" / "state.json").write_text("{}")
    (tmp_path / "checkpoint-5" / "COMPLETE").touch()
    job.keep(1, 5, tmp_path / "checkpoint-5")
    job.objects.put("runs/some-run/checkpoints/0002/10/state.json", b"{}")
    look = job.look()
    assert look.checkpoint() == (5, "checkpoints/0001/5")
    job.fetch_checkpoint(look, "checkpoints/0001/5", tmp_path / "fetched")
    assert sorted(path.name for path in (tmp_path / "fetched").iterdir()) == ["COMPLETE", "state.json"]


@pytest.mark.parametrize("when", ["before", "in between", "in part"])
def test_a_checkpoint_that_its_trainer_removes_meanwhile_gets_no_marker(
    when: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    checkpoint, exchange = tmp_path / "checkpoint-5", tmp_path / "exchange"
    job = ExchangedJob(FolderObjects(made(exchange)), "runs/some-run")
    for name in ("COMPLETE", "a.json", "b.json"):
        made(checkpoint, exist_ok=True).joinpath(name).touch()

    def uploading(objects: FolderObjects, file: Path, key: str) -> None:
        upload(objects, file, key)
        if file.name == "b.json":
            shutil.rmtree(checkpoint)

    upload = FolderObjects.upload
    if when == "before":
        shutil.rmtree(checkpoint)
    elif when == "in part":
        (checkpoint / "COMPLETE").unlink()
    else:
        monkeypatch.setattr(FolderObjects, "upload", uploading)
    with pytest.raises(FileNotFoundError, match="checkpoint-5: removed while it was being put"):
        job.keep(1, 5, checkpoint)
    assert job.look().checkpoint() is None


@pytest.mark.parametrize("name", ["runs/../x", "runs/a..b", "other/x", "runs/", "runs/a/b", "runs/.x", "runs/a b", "x"])
def test_names_of_jobs_lead_nowhere_else(name: str, tmp_path: Path) -> None:
    with pytest.raises(Unfit, match="no job of an exchange"):
        ExchangedJob(FolderObjects(tmp_path), name)


def test_urls_of_jobs_are_taken_apart() -> None:
    assert named("s3://bucket/a/prefix/runs/r-1") == ("s3://bucket/a/prefix", "runs/r-1")
    for wrong in ("s3://bucket/runs", "s3://user:hunter2@bucket/x/y", "runs/x/..", ""):
        with pytest.raises(Unfit) as refused:
            named(wrong)
        assert "hunter2" not in str(refused.value)


def test_hashes_of_rows_are_found_wherever_an_identity_has_them() -> None:
    assert list(hashes({"task": {"sets": [{"sha256": "a" * 64}, {"sha256": None}]}, "sha256": "../x"})) == ["a" * 64]
