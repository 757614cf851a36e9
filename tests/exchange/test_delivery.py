"""Workers that know an exchange and a scratch folder only: what they are told, killed by, and cannot spoil."""

import hashlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from harness.campaign.execution import Progress, execute
from harness.execute import LocalExecutor
from harness.execute.worker import server, worker
from harness.record.atomic import sha256
from harness.record.ending import Reason
from harness.record.job import JobDirectory, State
from harness.record.object_url import objects_at
from harness.spec.resources import Resources

if TYPE_CHECKING:
    from tests.exchange.conftest import Lab, Pocket

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="looks processes up in /proc")


PATIENCE = 120.0
"""Seconds after which a test gives up."""


def wait(until: Callable[[], Any]) -> Any:
    deadline = time.monotonic() + PATIENCE
    while not (came := until()):
        assert time.monotonic() < deadline, "it never came about"
        time.sleep(0.05)
    return came


def descendants(pid: int) -> list[int]:
    """Return the processes that a process started, and they."""
    children = [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    return [*children, *(more for child in children for more in descendants(child))]


def exists(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def test_jobs_go_out_and_results_come_back(lab: "Lab", scratch: Path) -> None:
    jobs, fails = [lab.job(seed) for seed in range(3)], lab.job(9, fails=True)
    seen: set[int] = set()
    progress = lab.execute([*jobs, fails], lambda progress: seen.add(len(progress.running)))
    assert lab.right(*jobs)
    assert (progress.done, progress.executed, max(seen)) == (3, 3, 2)
    told = progress.failed.pop(fails.id)
    assert told == f"ValueError: this run always fails (see {fails.attempts()[0] / 'log.txt'})"
    assert progress.failed == {}
    claim = json.loads((jobs[0].attempts()[0] / "claim.json").read_text())
    assert claim["exchange"] == f"{lab.s3.url}/runs/{jobs[0].id}"
    assert json.loads((jobs[0].attempts()[0] / "timing.json").read_text())["cpu_seconds"] > 0
    assert list(scratch.iterdir()) == []  # nothing is left where the workers were
    assert [path.name for path in jobs[0].path.iterdir() if path.name.startswith(".")] == []
    again = lab.execute(jobs)
    assert (again.done, again.executed) == (3, 0)
    # what names a right to the store is in no record, no log and no object
    texts = [path.read_bytes() for path in lab.log.parent.rglob("*") if path.is_file()]
    texts += [lab.s3.objects.read(f"runs/{key}") or b"" for key in lab.s3.objects.entries("runs")]
    assert len(texts) > 30
    assert not any(secret.encode() in text for text in texts for secret in lab.secrets)


def test_a_killed_worker_takes_its_trainer_along_and_another_finishes(lab: "Lab") -> None:
    job, killed = lab.job(1, steps=25, seconds=0.1), list[int]()

    def kill(progress: Progress) -> None:
        if not killed and progress.running.get(job.id, {}).get("step", 0) >= 3:
            pid = json.loads((job.attempts()[0] / "claim.json").read_text())["pid"]
            killed.extend([pid, *descendants(pid)])
            os.kill(pid, signal.SIGKILL)

    progress = lab.execute([job], kill)
    assert len(killed) == 3  # courier, supervisor, trainer
    assert not any(map(exists, killed))
    assert (progress.done, progress.repeated) == (1, 1)
    assert lab.right(job)
    assert [attempt.name for attempt in job.attempts()] == ["0001", "0002"]
    assert job.manifest() is not None and job.manifest()["attempt"] == 2  # pyright: ignore[reportOptionalSubscript]


def test_a_worker_that_was_taken_for_dead_commits_nothing(lab: "Lab") -> None:
    job = lab.job(2, steps=20, seconds=0.1)
    there = lab.offer(job)
    zombie = lab.start(job)
    wait(lambda: b'"step"' in (there.objects.read(f"runs/{job.id}/attempts/0001.beat") or b""))
    os.kill(zombie.pid, signal.SIGSTOP)  # its trainer goes on to the end
    heard = there.look().heard(1)
    assert lab.start(job).wait() == 77  # too early: the claim is alive
    wait(lambda: there.objects.now() - heard > lab.silence)
    wait(lambda: len(descendants(zombie.pid)) == 0 or not any(map(exists, descendants(zombie.pid))))
    other = lab.start(job)
    wait(lambda: there.look().newest == 2)
    os.kill(zombie.pid, signal.SIGCONT)  # with a whole result, and nobody has committed yet
    assert zombie.wait() == 77
    assert other.wait() == 0
    manifest = there.manifest()
    assert manifest is not None and manifest["attempt"] == 2
    assert lab.end_of(job)["reason"] == "lost_claim"
    progress = lab.execute([job])  # what became of it, without a worker
    assert (progress.done, lab.right(job)) == (1, True)


def test_a_run_that_may_resume_goes_on_from_a_checkpoint_at_the_exchange(lab: "Lab") -> None:
    job = lab.job(3, steps=30, seconds=0.1)
    job.give(Resources(resume="allowed", checkpoint_every=2, grace_seconds=5))
    there = lab.offer(job)
    first = lab.start(job)
    found: tuple[int, str] = wait(lambda: there.look().checkpoint())
    first.terminate()  # as an engine that wants the machine back
    assert first.wait() == 75
    end = lab.end_of(job)
    assert end["reason"] == "preempted"
    assert end["checkpoint"] >= found[0] >= 2
    assert lab.start(job).wait() == 0
    assert lab.execute([job]).done == 1
    assert lab.right(job)
    assert json.loads(job.verified("result.json").read_text())["resumed_from"] == end["checkpoint"]
    assert there.look().checkpoint() is None  # nobody needs them any more


def test_a_torn_upload_is_never_seen_as_a_result(lab: "Lab") -> None:
    job = lab.job(4)
    there = lab.offer(job)
    assert there.claim({"host": "elsewhere"}) == 1
    there.objects.put(f"runs/{job.id}/data/0001/result.json", b'{"total": 1}')
    seen: list[State] = []

    def watch(_: Progress) -> None:
        seen.append(job.state())

    progress = lab.execute([job], watch)
    assert progress.done == 1
    assert State.RUNNING in seen  # the claim of the worker that tore it was respected until it was silent for long
    assert lab.right(job)
    assert len(job.attempts()) == 2


def test_a_damaged_result_is_told_and_not_committed(lab: "Lab") -> None:
    job = lab.job(5)
    there = lab.offer(job)
    assert lab.start(job).wait() == 0
    key = f"runs/{job.id}/data/0001/result.json"
    whole = there.objects.read(key)
    assert whole is not None
    there.objects.put(key, whole.replace(b'"total"', b'"Total"'))
    progress = lab.execute([job])
    rule = f"{lab.s3.url}/{key}: not the bytes that were committed. Remove {there.url} there and run it again."
    assert progress.failed[job.id].startswith(rule)
    assert job.manifest() is None
    assert job.state() is State.FAILED
    there.objects.put(key, whole)  # restored
    assert lab.execute([job]).done == 1
    assert lab.right(job)


def test_a_claim_that_is_no_record_is_told(lab: "Lab") -> None:
    job = lab.job(14)
    there = lab.offer(job)
    there.objects.put(f"runs/{job.id}/attempts/0001.json", b"[1, 2")
    there.exit(1, {"reason": "nonsense", "message": "of somebody else's"})
    executor = lab.executor()
    executor.poll([f"runs/{job.id} unknown to the engine"])
    end = job.last_exit()
    assert end is not None and re.match(rf"{there.url}/attempts/0001.json: damaged \(.*Remove {there.url}", end.message)
    assert job.state() is State.FAILED


def test_a_server_that_is_away_is_waited_for(lab: "Lab") -> None:
    jobs = [lab.job(seed, steps=10, seconds=0.1) for seed in (6, 7)]
    away: list[float] = []
    told: set[str] = set()

    def watch(progress: Progress) -> None:
        told.add(progress.trouble)
        if not away and len(progress.running) == 2:
            lab.s3.door.close()
            away.append(time.monotonic())
        if len(away) == 1 and time.monotonic() - away[0] > lab.silence + 2:  # both have ended, and nobody could be told
            lab.s3.door.open()
            away.append(time.monotonic())

    progress = lab.execute(jobs, watch)
    assert (progress.done, progress.failed) == (2, {})
    assert lab.right(*jobs)
    assert [len(job.attempts()) for job in jobs] == [1, 1]
    assert any(re.match(r"exchange s3://bucket-of-tests/\w+/a: no answer \(", said) for said in told)
    log = lab.log.read_text()
    assert "; waiting" in log
    assert not any(secret in log for secret in lab.secrets)


def test_a_job_that_is_called_off_is_stopped_where_it_runs(lab: "Lab") -> None:
    job = lab.job(8, steps=10**6, seconds=0.05)

    def watch(progress: Progress) -> None:
        if progress.running.get(job.id, {}).get("step", 0) >= 2:
            job.call_off()

    progress = lab.execute([job], watch)
    assert progress.failed[job.id].startswith("cancelled: called off")
    assert lab.end_of(job)["reason"] == "cancelled"
    assert job.state() is State.CANCELLED


def test_calling_off_reaches_the_exchange_with_the_next_look_however_soon_it_is(lab: "Lab") -> None:
    job = lab.job(16)
    there = lab.offer(job)
    assert there.claim({}) == 1
    executor = lab.executor(every=10**6)
    handle = f"runs/{job.id} of an engine"
    executor.poll([handle])
    job.call_off()
    executor.poll([handle])
    assert there.look().called_off
    there.exit(1, {"reason": "cancelled", "message": "called off"})
    job.call_on(float("inf"))
    lab.executor().submit([job.path])
    assert not there.look().called_off


def test_a_bucket_that_is_not_there_fails_every_job_with_one_line(lab: "Lab") -> None:
    job = lab.job(10)
    lab.objects = objects_at("s3://no-such-bucket/x")
    progress = lab.execute([job])
    assert re.match("exchange s3://no-such-bucket/x: .* Make the bucket, or name another.", progress.failed[job.id])


def test_attempts_made_here_are_counted_on_from(lab: "Lab") -> None:
    job = lab.job(11)
    attempt = job.claim({})
    assert attempt is not None
    os.close(attempt.lock)  # killed without a word
    assert lab.execute([job]).done == 1
    assert [path.name for path in job.attempts()] == ["0001", "0002"]
    assert "exchange" not in json.loads((job.attempts()[0] / "claim.json").read_text())
    assert lab.right(job)


FETCHES = """
import json, sys
from pathlib import Path
job = Path(sys.argv[-1])
store = job.parent.parent
(Path({tmp!r}) / "seen.json").write_text(json.dumps({{
    "files": {{str(p.relative_to(store)): p.read_text() for p in store.rglob("*") if p.is_file()}}, "store": str(store),
}}))
sys.exit(3)
"""


def test_a_worker_finds_what_its_trainer_will_look_for(lab: "Lab", tmp_path: Path) -> None:
    content = b'["a question"]\n'
    rows = hashlib.sha256(content).hexdigest()
    store = lab.runs.parent
    (store / "data" / "rows").mkdir(parents=True)
    (store / "data" / "rows" / f"{rows}.jsonl").write_bytes(content)
    base = JobDirectory(store / "bases" / "some-base")
    base.create({"id": "some-base", "identity": {"kind": "base"}})
    attempt = base.claim({})
    assert attempt is not None
    (attempt.stage / "model.safetensors").write_text("weights")
    assert attempt.commit()
    attempt.exit(Reason.OK)
    model = tmp_path / "model"
    model.mkdir()
    for name in ("config.json", "tokenizer.json", "tokenizer_config.json", "model.safetensors", "pickled.bin"):
        (model / name).write_text(name)
    run = JobDirectory(lab.runs / "some-run")
    run.create(
        {"id": "some-run", "identity": {"base_id": "some-base", "task": [{"sha256": rows}]}, "folder": str(model)}
    )
    lab.executor().submit([run.path])
    script = [sys.executable, "-c", FETCHES.format(tmp=str(tmp_path))]
    url = f"{lab.s3.url}/runs/some-run"
    carry = f"import sys; from harness.train.courier import carry; sys.exit(carry({url!r}, {script!r}))"
    assert subprocess.run([sys.executable, "-c", carry], check=False).returncode == 3
    seen = json.loads((tmp_path / "seen.json").read_text())
    files: dict[str, str] = seen["files"]
    assert files[f"data/rows/{rows}.jsonl"] == content.decode()
    assert files["bases/some-base/result/model.safetensors"] == "weights"
    assert json.loads(files["runs/some-run/spec.json"])["folder"] == f"{seen['store']}/files"
    assert {name for name in files if name.startswith("files/")} == {
        *("files/config.json", "files/tokenizer.json", "files/tokenizer_config.json", "files/model.safetensors")
    }
    end = lab.end_of(run)
    assert (end["reason"], end["message"]) == ("killed", "its supervisor was over, with status 3")


def test_a_driver_that_was_started_again_asks_by_its_handles(lab: "Lab") -> None:
    job = lab.job(13)
    first = lab.executor()
    handles = first.submit([job.path])  # and is killed: its engine goes on
    assert lab.start(job).wait() == 0
    second = lab.executor()
    assert second.name == first.name == f"elsewhere through {lab.s3.url}"
    assert second.poll(handles) == {handles[0]: "gone"}
    assert lab.right(job)


def test_a_result_that_came_after_its_driver_had_died_is_found_by_the_next(lab: "Lab") -> None:
    job = lab.job(15, steps=20, seconds=0.1)
    there = lab.offer(job)
    worker = lab.start(job)
    wait(lambda: there.look().newest == 1)
    lab.executor().poll([f"runs/{job.id} of a driver that dies now"])
    assert job.state() is State.RUNNING  # as it was seen last, for five minutes, and nobody has a handle
    assert worker.wait() == 0
    progress = lab.execute([job])
    assert (progress.done, len(job.attempts())) == (1, 1)
    assert lab.right(job)


def test_a_folder_serves_as_an_exchange(lab: "Lab", tmp_path: Path) -> None:
    (tmp_path / "exchange").mkdir()
    lab.go_through(f"file://{tmp_path / 'exchange'}")
    job = lab.job(12)
    assert lab.execute([job]).done == 1
    assert lab.right(job)


@pytest.mark.slow
def test_a_real_run_by_way_of_a_bucket_is_the_same_to_the_bit(lab: "Lab", pocket: "Pocket", tmp_path: Path) -> None:
    local = LocalExecutor(tmp_path / "local.log", worker(), [None], server=server())
    try:
        here = pocket.store("here")
        assert execute("bases", [here.base()], local, lambda _: None).done == 1
        assert execute("runs", [here.run()], local, lambda _: None).done == 1
    finally:
        local.close()
    shutil.copytree(tmp_path / "here" / "bases", tmp_path / "there" / "bases")
    there = pocket.store("there")
    by_exchange = lab.real(tmp_path / "there")
    try:
        assert execute("runs", [there.run()], by_exchange, lambda _: None).failed == {}
    finally:
        by_exchange.close()
    results = [run.result for run in (here.run(), there.run())]
    ours, theirs = ({file.name: sha256(file) for file in folder.iterdir()} for folder in results)
    assert len(ours) > 5
    assert ours == theirs
