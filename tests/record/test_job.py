"""The contract of a job's directory, with real processes that race, die and come back."""

import errno
import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from harness.record.attempt import STALE, alive
from harness.record.ending import Reason
from harness.record.job import Attempt, IntegrityError, JobDirectory, State

Started = subprocess.Popen[str]
Start = Callable[[str], Started]

PRELUDE = """
import sys
from pathlib import Path
from harness.record.job import JobDirectory
job = JobDirectory(Path(sys.argv[1]))

def meet():
    print("ready", flush=True)
    sys.stdin.readline()
"""
CLAIM_AND_STAY = "attempt = job.claim({})\nmeet()\n"
RACE = "meet()\nprint(job.claim({}) is not None, flush=True)\nsys.stdin.readline()\n"


@pytest.fixture
def job(tmp_path: Path) -> JobDirectory:
    job = JobDirectory(tmp_path / "some-run")
    job.create({"identity": {"seed": 1}})
    return job


@pytest.fixture
def start(job: JobDirectory) -> Iterator[Start]:
    """Return a function that starts a script on the job; a script stops at `meet()` until `go_on`."""
    started: list[Started] = []

    def run(script: str) -> Started:
        command = [sys.executable, "-c", PRELUDE + script, str(job.path)]
        started.append(subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True))
        return started[-1]

    yield run
    for process in started:
        process.kill()
        process.communicate()


def said(process: Started) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


def go_on(process: Started) -> None:
    assert process.stdin is not None
    process.stdin.write("\n")
    process.stdin.flush()


def claimed(job: JobDirectory) -> Attempt:
    attempt = job.claim({"engine": "test"})
    assert attempt is not None
    return attempt


def elsewhere(attempt: Path, silent: float) -> None:
    """Make an attempt one of another host, whose last sign of life is `silent` seconds old."""
    claim = json.loads((attempt / "claim.json").read_text())
    (attempt / "claim.json").write_text(json.dumps({**claim, "machine": "another-host another-boot"}))
    for name in ("claim.json", "beat"):
        if (attempt / name).exists():
            now = (attempt / name).stat().st_mtime
            os.utime(attempt / name, (now - silent, now - silent))


def test_eight_processes_race_for_a_claim_and_one_wins(job: JobDirectory, start: Start) -> None:
    racers = [start(RACE) for _ in range(8)]
    assert [said(racer) for racer in racers] == ["ready"] * 8
    for racer in racers:
        go_on(racer)
    assert sorted(said(racer) for racer in racers) == ["False"] * 7 + ["True"]
    assert [attempt.name for attempt in job.attempts()] == ["0001"]
    assert [path.name for path in (job.path / "attempts").iterdir()] == ["0001"]  # losers leave nothing behind
    assert job.state() is State.RUNNING


def test_a_claim_says_who_holds_it(job: JobDirectory) -> None:
    attempt = claimed(job)
    claim = json.loads((attempt.path / "claim.json").read_text())
    assert claim["pid"] == os.getpid()
    assert claim["engine"] == "test"
    assert job.claim({}) is None


def test_an_attempt_lives_as_long_as_its_process(job: JobDirectory, start: Start) -> None:
    worker = start(CLAIM_AND_STAY)
    assert said(worker) == "ready"
    (attempt,) = job.attempts()
    assert alive(attempt)
    assert job.claim({}) is None
    worker.kill()  # as the kernel does when memory runs out: nothing is written
    worker.wait()
    assert not alive(attempt)
    assert job.state() is State.INTERRUPTED
    assert job.last_exit() is None
    assert claimed(job).number == 2
    assert job.state() is State.RUNNING


def test_of_two_stages_one_becomes_the_result(job: JobDirectory, start: Start) -> None:
    # Both hold the newest claim as far as they know: the first is removed from sight after it was claimed.
    commit = (
        "attempt = job.claim({})\n(attempt.stage / 'result.json').write_text(str(attempt.number))\n"
        "meet()\nprint(attempt.commit(), flush=True)\n"
    )
    first = start(commit)
    assert said(first) == "ready"
    elsewhere(job.attempts()[0], 2 * STALE)
    second = start(commit)
    assert said(second) == "ready"
    go_on(second)
    assert said(second) == "True"
    (job.path / "attempts" / "0002").rename(job.path / "out-of-sight")
    go_on(first)
    assert said(first) == "False"
    assert (job.result / "result.json").read_text() == "2"
    manifest = job.manifest()
    assert manifest is not None
    assert manifest["attempt"] == 2


def test_a_zombie_cannot_commit(job: JobDirectory) -> None:
    zombie = claimed(job)
    (zombie.stage / "result.json").write_text("old")
    elsewhere(zombie.path, 2 * STALE)
    newer = claimed(job)
    assert zombie.commit() is False
    assert job.state() is State.RUNNING
    (newer.stage / "result.json").write_text("new")
    assert newer.commit() is True
    assert (job.result / "result.json").read_text() == "new"


@pytest.mark.parametrize("beating", [True, False])
@pytest.mark.parametrize(("silent", "live"), [(STALE - 60, True), (STALE + 60, False)])
def test_on_another_host_the_last_sign_of_life_decides(
    job: JobDirectory, beating: bool, silent: float, live: bool
) -> None:
    attempt = claimed(job)
    if beating:
        attempt.beat()
    os.close(attempt.lock)  # its lock means nothing here
    elsewhere(attempt.path, silent)
    assert alive(attempt.path) is live
    assert job.state() is (State.RUNNING if live else State.INTERRUPTED)
    assert (job.claim({}) is None) is live


def test_a_fresh_heartbeat_counts_whatever_the_age_of_the_claim(job: JobDirectory) -> None:
    attempt = claimed(job)
    elsewhere(attempt.path, 10 * STALE)
    assert not alive(attempt.path)
    attempt.tell({"step": 3})  # the trainer's word is no sign of its supervisor's life
    assert not alive(attempt.path)
    attempt.beat()
    assert alive(attempt.path)


def test_looking_changes_nothing(job: JobDirectory) -> None:
    attempt = claimed(job)
    before = sorted(job.path.rglob("*"))
    began = job.began()
    job.state()
    elsewhere(attempt.path, 60)
    job.state()
    assert sorted(job.path.rglob("*")) == before
    assert job.began() == pytest.approx(began - 60)


def test_every_state(job: JobDirectory) -> None:
    assert job.state() is State.NEW
    attempt = claimed(job)
    assert job.state() is State.RUNNING
    attempt.exit(Reason.USER_ERROR, "ValueError: no such layer")
    assert job.state() is State.FAILED
    end = job.last_exit()
    assert end is not None
    assert (end.reason, end.message) == (Reason.USER_ERROR, "ValueError: no such layer")
    claimed(job).exit(Reason.PREEMPTED)
    assert job.state() is State.INTERRUPTED
    attempt = claimed(job)
    assert attempt.number == 3
    (attempt.stage / "result.json").write_text("{}")
    assert attempt.commit()
    assert job.state() is State.COMMITTED
    attempt.exit(Reason.OK)
    assert job.state() is State.COMMITTED
    assert job.claim({}) is None


@pytest.mark.parametrize("script", ["(attempt.stage / 'evaluation.parquet').write_bytes(b'PAR1')\n", "attempt.stage\n"])
def test_a_crash_between_stage_and_rename_leaves_no_result(job: JobDirectory, start: Start, script: str) -> None:
    worker = start("attempt = job.claim({})\n" + script + "meet()\n")
    assert said(worker) == "ready"
    worker.kill()
    worker.wait()
    assert job.state() is State.INTERRUPTED
    assert job.manifest() is None
    assert not job.result.exists()
    again = claimed(job)
    assert list(again.stage.iterdir()) == []  # nothing of the first attempt is in the second's stage
    assert again.commit()


def test_a_crash_just_before_the_rename_leaves_no_result(job: JobDirectory, start: Start) -> None:
    worker = start(
        "attempt = job.claim({})\n(attempt.stage / 'result.json').write_text('{}')\n"
        "Path.rename = lambda *_: meet()\nattempt.commit()\n"
    )
    assert said(worker) == "ready"
    worker.kill()
    worker.wait()
    assert (job.path / ".stage-0001" / "manifest.json").is_file()
    assert job.state() is State.INTERRUPTED


def test_a_commit_that_the_disk_refuses_is_not_lost_to_another(
    job: JobDirectory, monkeypatch: pytest.MonkeyPatch
) -> None:
    attempt = claimed(job)
    (attempt.stage / "result.json").write_text("{}")

    def full(*_: object) -> None:
        raise OSError(errno.EDQUOT, os.strerror(errno.EDQUOT))

    with monkeypatch.context() as patch:
        patch.setattr(Path, "rename", full)
        with pytest.raises(OSError, match="quota exceeded"):
            attempt.commit()
    assert attempt.commit()


def test_a_claim_that_the_disk_refuses_is_not_somebody_elses(
    job: JobDirectory, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.EDQUOT, os.strerror(errno.EDQUOT))

    with monkeypatch.context() as patch:
        patch.setattr(Path, "rename", full)
        with pytest.raises(OSError, match="quota exceeded"):
            job.claim({})
    assert list((job.path / "attempts").iterdir()) == []
    assert claimed(job).number == 1


def test_the_manifest_holds_the_checksum_of_every_other_file(job: JobDirectory) -> None:
    attempt = claimed(job)
    contents = {"result.json": b"{}", "evaluation.parquet": bytes(range(256)), "adapter/weights": b""}
    for name, content in contents.items():
        (attempt.stage / name).parent.mkdir(exist_ok=True)
        (attempt.stage / name).write_bytes(content)
    assert attempt.commit()
    manifest = job.manifest()
    assert manifest is not None
    assert manifest["job"] == "some-run"
    assert manifest["files"] == {
        name: {"sha256": hashlib.sha256(content).hexdigest(), "bytes": len(content)}
        for name, content in contents.items()
    }
    assert {name: job.verified(name).read_bytes() for name in contents} == contents


def test_what_is_not_what_was_committed_is_not_handed_out(job: JobDirectory) -> None:
    attempt = claimed(job)
    for name in ("changed", "gone"):
        (attempt.stage / name).write_text("as committed")
    assert attempt.commit()
    (job.result / "changed").write_text("as Committed")
    (job.result / "gone").unlink()
    (job.result / "added").write_text("later")
    for name, why in (("changed", "changed since"), ("gone", "gone since"), ("added", "not in the result's manifest")):
        with pytest.raises(IntegrityError, match=f"result/{name}: {why}"):
            job.verified(name)


def test_a_job_keeps_the_identity_it_was_created_with(job: JobDirectory) -> None:
    job.create({"identity": {"seed": 1}, "resources": "others are no other identity"})
    assert job.spec() == {"identity": {"seed": 1}}
    with pytest.raises(ValueError, match=r"some-run: spec.json holds another identity"):
        job.create({"identity": {"seed": 2}})


def test_a_folder_without_a_spec_is_no_job(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="no job directory"):
        JobDirectory(tmp_path).spec()
    assert JobDirectory(tmp_path).state() is State.NEW


def test_the_last_word_is_that_of_the_last_attempt(job: JobDirectory) -> None:
    assert job.progress() == {}
    first = claimed(job)
    first.tell({"step": 7})
    assert job.progress() == {"step": 7}
    first.exit(Reason.PREEMPTED)
    claimed(job)
    assert job.progress() == {}


def test_the_tenth_attempt_comes_after_the_ninth(job: JobDirectory) -> None:
    for _ in range(10):
        claimed(job).exit(Reason.PREEMPTED)
    assert claimed(job).number == 11
