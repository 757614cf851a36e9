"""Workers that know an exchange and a scratch folder only: what they are told, killed by, and cannot spoil."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

import pytest

from harness.campaign.execution import Progress, execute
from harness.execute.exchanged import ExchangedExecutor
from harness.record.exchange import ExchangedJob
from harness.record.job import JobDirectory, State
from harness.record.object_url import objects_at
from harness.spec.resources import Resources
from tests.exchange.conftest import BEAT, KEY_ID, PATIENCE, SECRET, SILENCE, Elsewhere

if TYPE_CHECKING:
    from tests.exchange.conftest import S3

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="looks processes up in /proc")


class Lab:
    """Quick jobs in a driver's store, and workers that know the exchange."""

    def __init__(self, tmp_path: Path, s3: "S3", quick: ModuleType, quick_exchanged: ModuleType):
        self.runs, self.s3, self._quick = tmp_path / "store" / "runs", s3, quick
        self.objects = s3.objects
        self.command: list[str] = quick_exchanged.worker(s3.url, BEAT, SILENCE)
        self.log = tmp_path / "executor.log"
        self.started: list[subprocess.Popen[bytes]] = []

    def job(self, seed: int, steps: int = 3, seconds: float = 0.02, **more: Any) -> JobDirectory:
        """Return a quick job."""
        job = self._quick.create(self.runs, seed, steps, seconds, **more)
        job.give(Resources())
        return job

    def executor(self, slots: int = 2) -> ExchangedExecutor:
        """Return an executor whose workers are elsewhere."""
        inner = Elsewhere(self.log, self.command, [None] * slots, grace=3)
        return ExchangedExecutor(inner, self.objects, self.runs.parent, every=0.3, silence=SILENCE)

    def execute(self, jobs: list[JobDirectory], watch: Callable[[Progress], None] = lambda _: None) -> Progress:
        """Execute jobs; `watch` is called after every look."""
        executor, deadline = self.executor(), time.monotonic() + PATIENCE

        def watched(progress: Progress) -> None:
            assert time.monotonic() < deadline, "it never came about"
            watch(progress)

        try:
            return execute("runs", jobs, executor, watched)
        finally:
            executor.close()

    def at(self, job: JobDirectory) -> ExchangedJob:
        """Return a job at the exchange."""
        return ExchangedJob(self.s3.objects, f"runs/{job.id}", SILENCE)

    def offer(self, job: JobDirectory) -> ExchangedJob:
        """Put a job at the exchange, without an executor."""
        there = self.at(job)
        there.offer(job.spec(), job.resources().model_dump(mode="json"))
        return there

    def start(self, job: JobDirectory) -> subprocess.Popen[bytes]:
        """Start a worker."""
        with self.log.open("ab") as log:
            self.started.append(subprocess.Popen([*self.command, f"/nowhere/runs/{job.id}"], stderr=log))
        return self.started[-1]

    def right(self, *jobs: JobDirectory) -> bool:
        """Return whether the results of these jobs are there, and right."""
        found: dict[str, Any] = self._quick.look(jobs)
        return found["right"] == len(jobs) and not found["wrong"]


@pytest.fixture
def lab(tmp_path: Path, s3: "S3", scratch: Path, quick: ModuleType, quick_exchanged: ModuleType) -> Iterator[Lab]:
    lab = Lab(tmp_path, s3, quick, quick_exchanged)
    yield lab
    for process in lab.started:
        process.kill()
        process.wait()


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


def courier(process: subprocess.Popen[bytes]) -> int:
    return process.pid


def exists(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def test_jobs_go_out_and_results_come_back(lab: Lab, scratch: Path) -> None:
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
    assert not any(secret.encode() in text for text in texts for secret in (KEY_ID, SECRET))


def test_a_killed_worker_takes_its_trainer_along_and_another_finishes(lab: Lab) -> None:
    job, killed = lab.job(1, steps=40, seconds=0.1), list[int]()

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


def test_a_worker_that_was_taken_for_dead_commits_nothing(lab: Lab) -> None:
    job = lab.job(2, steps=4, seconds=0.1)
    there = lab.offer(job)
    zombie = lab.start(job)
    wait(lambda: there.look().newest == 1)
    pids = [zombie.pid]
    os.kill(zombie.pid, signal.SIGSTOP)  # its trainer, if it has begun, goes on to its end
    heard = there.look().heard(1)
    assert lab.start(job).wait() == 77  # too early: the claim is alive
    wait(lambda: there.objects.now() - heard > SILENCE)
    other = lab.start(job)
    wait(lambda: there.look().newest == 2)
    assert other.wait() == 0
    for pid in pids:
        os.kill(pid, signal.SIGCONT)
    assert zombie.wait() == 77
    manifest = there.manifest()
    assert manifest is not None and manifest["attempt"] == 2
    assert there.read("attempts/0001.exit.json")["reason"] == "lost_claim"
    progress = lab.execute([job])  # what became of it, without a worker
    assert (progress.done, lab.right(job)) == (1, True)


def test_a_run_that_may_resume_goes_on_from_a_checkpoint_at_the_exchange(lab: Lab) -> None:
    job = lab.job(3, steps=30, seconds=0.1)
    job.give(Resources(resume="allowed", checkpoint_every=2, grace_seconds=1))
    there = lab.offer(job)
    first = lab.start(job)
    found: tuple[int, str] = wait(lambda: there.look().checkpoint())
    first.kill()
    wait(lambda: not there.alive(there.look(), 1))
    assert lab.start(job).wait() == 0
    assert lab.execute([job]).done == 1
    assert lab.right(job)
    assert json.loads(job.verified("result.json").read_text())["resumed_from"] >= found[0] >= 2


def test_a_torn_upload_is_never_seen_as_a_result(lab: Lab) -> None:
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


def test_a_damaged_result_is_told_and_not_committed(lab: Lab) -> None:
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


def test_a_server_that_is_away_is_waited_for(lab: Lab) -> None:
    jobs = [lab.job(seed, steps=10, seconds=0.1) for seed in (6, 7)]
    away: list[float] = []
    told: set[str] = set()

    def watch(progress: Progress) -> None:
        told.add(progress.trouble)
        if not away and len(progress.running) == 2:
            lab.s3.door.close()
            away.append(time.monotonic())
        if len(away) == 1 and time.monotonic() - away[0] > SILENCE + 2:  # both have ended, and nobody could be told
            lab.s3.door.open()
            away.append(time.monotonic())

    progress = lab.execute(jobs, watch)
    assert (progress.done, progress.failed) == (2, {})
    assert lab.right(*jobs)
    assert [len(job.attempts()) for job in jobs] == [1, 1]
    assert any(re.match(r"exchange s3://bucket-of-tests/\w+/a: no answer \(", said) for said in told)
    log = lab.log.read_text()
    assert "; waiting" in log
    assert KEY_ID not in log and SECRET not in log


def test_a_job_that_is_called_off_is_stopped_where_it_runs(lab: Lab) -> None:
    job = lab.job(8, steps=10**6, seconds=0.05)

    def watch(progress: Progress) -> None:
        if progress.running.get(job.id, {}).get("step", 0) >= 2:
            job.call_off()

    progress = lab.execute([job], watch)
    assert progress.failed[job.id].startswith("cancelled: called off")
    assert lab.at(job).read("attempts/0001.exit.json")["reason"] == "cancelled"
    assert job.state() is State.CANCELLED


def test_a_bucket_that_is_not_there_fails_every_job_with_one_line(lab: Lab) -> None:
    job = lab.job(10)
    lab.objects = objects_at("s3://no-such-bucket/x")
    progress = lab.execute([job])
    assert re.match("exchange s3://no-such-bucket/x: .* Make the bucket, or name another.", progress.failed[job.id])


def test_attempts_made_here_are_counted_on_from(lab: Lab) -> None:
    job = lab.job(11)
    attempt = job.claim({})
    assert attempt is not None
    os.close(attempt.lock)  # killed without a word
    assert lab.execute([job]).done == 1
    assert [path.name for path in job.attempts()] == ["0001", "0002"]
    assert "exchange" not in json.loads((job.attempts()[0] / "claim.json").read_text())
    assert lab.right(job)
