"""A job ends with a result, or with an attempt that says why there is none."""

import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from harness.plan.runset import planned_base
from harness.record.atomic import sha256, write_json
from harness.record.ending import Exit, Reason
from harness.record.job import JobDirectory, State
from harness.train import run
from harness.train.supervise import FAILED, LOST_CLAIM, OK, STOPPED


class Unfair(run.ExactAnswer):
    """Rewards with NaN."""

    def __call__(self, completion_ids: Any, answer: Any, **more: Any) -> list[float]:
        return [float("nan") for _ in super().__call__(completion_ids, answer, **more)]


class Forgetful(run.ExactAnswer):
    """Looks as if it had never been asked."""

    def __call__(self, completion_ids: Any, answer: Any, **more: Any) -> list[float]:
        rewards = super().__call__(completion_ids, answer, **more)
        self.first = []
        return rewards


def failed(job: JobDirectory, status: int) -> tuple[str, str]:
    """Return what a failed job's attempt says and its log."""
    assert status == FAILED
    assert job.state() is State.FAILED
    assert json.loads((job.attempts()[-1] / "timing.json").read_text())["cpu_seconds"] > 0  # what failed costs too
    assert job.manifest() is None
    end = job.last_exit()
    assert end is not None
    return end.message, (job.attempts()[-1] / "log.txt").read_text()


@pytest.mark.parametrize(
    ("reward", "message"),
    [
        (Unfair, "FloatingPointError: reward is nan"),
        (Forgetful, "ValueError: the trainer never asked for a reward"),
    ],
)
def test_a_run_that_trained_on_nothing_is_an_error(reward: type, message: str, fresh) -> None:
    fresh.base()
    job = fresh.job(fresh.planned(fresh.cell()))

    def inside() -> None:
        run.ExactAnswer = reward

    said, log = failed(job, fresh.execute(job, inside))
    assert message in said
    assert "Traceback" in log
    assert message in log


def test_a_loss_that_is_no_number_is_an_error_and_not_a_record(fresh) -> None:
    """The loss itself is hidden from logs by the trainer's own filter; the norm of its gradient is not."""
    fresh.base()
    job = fresh.job(fresh.planned(fresh.cell(algorithm="sft")))

    class Broken(run.SFTTrainer):
        def compute_loss(self, *given: Any, **more: Any) -> Any:
            return super().compute_loss(*given, **more) * float("nan")

    def inside() -> None:
        run.SFTTrainer = Broken

    said, _ = failed(job, fresh.execute(job, inside))
    assert said.startswith("FloatingPointError: ")
    assert "grad_norm is nan" in said
    assert "at update 1: nothing can be learnt from there on." in said


def raising(error: Callable[[], Any]) -> Callable[[], None]:
    """Return what has the work of a forked trainer end with an error."""

    def inside() -> None:
        from harness.train import job

        job._facts = lambda *_: error()

    return inside


def thrown(error: BaseException) -> Any:
    raise error


@pytest.mark.parametrize(
    ("error", "reason", "message"),
    [
        (lambda: thrown(torch.OutOfMemoryError("CUDA out of memory. Tried to allocate")), "oom_device", "CUDA out of"),
        (lambda: thrown(MemoryError()), "oom_host", "MemoryError: "),
        (lambda: torch.empty(2**60), "oom_host", "DefaultCPUAllocator: can't allocate memory"),  # torch's own words
        (lambda: bytearray(2**62), "oom_host", "MemoryError"),
        (lambda: thrown(FloatingPointError("loss is nan")), "nan", "loss is nan"),
        (lambda: thrown(KeyError("x")), "user_error", "KeyError: 'x'"),
    ],
)
def test_errors_have_their_reasons(error: Callable[[], Any], reason: str, message: str, fresh) -> None:
    job = fresh.job(fresh.planned(fresh.cell()))
    failed(job, fresh.execute(job, raising(error)))
    end = job.last_exit()
    assert end is not None
    assert end.reason == reason
    assert message in end.message
    assert not list(job.path.glob(".stage-*"))


GONE = "[../third_party/gloo/gloo/transport/tcp/pair.cc:537] Connection closed by peer [127.0.0.1]:40137"


@pytest.mark.parametrize(
    ("said", "error", "reason", "message"),
    [
        (None, ValueError("only this one"), Reason.USER_ERROR, "ValueError: only this one"),
        (None, RuntimeError(GONE), Reason.KILLED, f"RuntimeError: {GONE}"),
        ("NaN", RuntimeError(GONE), Reason.NAN, "NaN"),  # the cause was told by whoever met it, before it was gone
    ],
)
def test_of_several_processes_the_first_that_fails_is_heard(
    said: str | None, error: Exception, reason: Reason, message: str, fresh
) -> None:
    job = fresh.job(fresh.planned(fresh.cell()))

    def inside() -> None:
        os.environ.update({"RANK": "1", "WORLD_SIZE": "2"})
        raising(fail)()

    def fail() -> None:
        if said is not None:
            write_json(job.attempts()[-1] / "outcome.json", {"reason": "nan", "message": said})
        raise error

    assert fresh.execute(job, inside) in (FAILED, STOPPED)
    assert job.last_exit() == Exit(reason, message)


def test_a_base_on_a_disk_that_is_too_small_says_so_and_leaves_room_for_it(fresh, tmp_path: Path) -> None:
    small = tmp_path / "small"
    small.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=112k", "x", small], capture_output=True, check=False)
    if mounted.returncode != 0:
        pytest.skip(f"no small file system can be mounted here: {mounted.stderr.decode().strip()}")
    try:
        planned = planned_base("llama", fresh.protocol)
        job = JobDirectory(small / "bases" / planned.id)
        job.create({"id": planned.id, "identity": planned.identity})
        assert fresh.execute(job) == FAILED
        end = job.last_exit()
        assert end is not None
        assert end.reason is Reason.NO_SPACE
        assert "No space left on device" in end.message
        assert not list(job.path.glob(".stage-*"))
        assert (job.attempts()[0] / "timing.json").is_file()
    finally:
        subprocess.run(["umount", "-l", small], check=True)


def test_a_run_without_its_base_says_which_is_missing(fresh) -> None:
    planned = fresh.planned(fresh.cell())
    job = fresh.job(planned)
    said, _ = failed(job, fresh.execute(job))
    assert said == (
        f"FileNotFoundError: base {planned.base.id} has no result in this store, and the run starts from it"
    )


@pytest.mark.parametrize(("kind", "part"), [("run", "evaluation_set"), ("base", "pretraining_set")])
def test_problems_other_than_the_identified_ones_are_refused(kind: str, part: str, fresh) -> None:
    base = fresh.base()
    job = JobDirectory(fresh.root / f"{kind}s" / "other")
    planned = fresh.planned(fresh.cell()).identity if kind == "run" else base.spec()["identity"]
    job.create({"id": "other", "identity": {**planned, part: "0" * 64}})
    said, _ = failed(job, fresh.execute(job))
    assert "made here is not the one that the" in said


def test_a_base_that_never_reaches_its_accuracy_fails_with_the_remedy(fresh) -> None:
    identity = fresh.base().spec()["identity"]
    pretraining = {**identity["recipe"]["pretraining"], "until_accuracy": 0.9, "look_every": 3}
    job = JobDirectory(fresh.root / "bases" / "hopeless")
    job.create(
        {"id": "hopeless", "identity": {**identity, "recipe": {**identity["recipe"], "pretraining": pretraining}}}
    )
    said, _ = failed(job, fresh.execute(job))
    assert "did not reach until_accuracy 0.9 in 3 steps" in said


def test_a_failed_job_can_be_repeated_and_then_succeeds(fresh) -> None:
    job = fresh.job(fresh.planned(fresh.cell()))
    assert fresh.execute(job) == FAILED
    fresh.base()
    assert fresh.execute(job) == OK
    assert job.state() is State.COMMITTED
    assert [path.name for path in job.attempts()] == ["0001", "0002"]
    manifest = job.manifest()
    assert manifest is not None
    assert manifest["attempt"] == 2


def test_a_committed_job_is_left_alone(shared) -> None:
    job = shared.run(shared.cell())
    before = {path: path.stat().st_mtime_ns for path in job.path.rglob("*")}
    assert shared.execute(job) == LOST_CLAIM
    assert {path: path.stat().st_mtime_ns for path in job.path.rglob("*")} == before


def test_a_claimed_job_is_left_to_its_claimer(fresh) -> None:
    fresh.base()
    job = fresh.job(fresh.planned(fresh.cell()))
    attempt = job.claim({"engine": "test"})
    assert attempt is not None
    assert fresh.execute(job) == LOST_CLAIM
    assert len(job.attempts()) == 1
    attempt.exit(Reason.PREEMPTED)
    assert fresh.execute(job) == OK


def test_what_a_killed_attempt_left_is_not_in_the_result_and_is_removed(fresh) -> None:
    fresh.base()
    job = fresh.job(fresh.planned(fresh.cell()))
    attempt = job.claim({"engine": "test"})
    assert attempt is not None
    (attempt.stage / "half.parquet").write_bytes(b"PAR1")
    attempt.exit(Reason.PREEMPTED)
    assert fresh.execute(job) == OK
    assert {path.name for path in job.path.iterdir()} == {"spec.json", "attempts", "result"}
    assert not (job.result / "half.parquet").exists()


def test_who_lost_the_claim_commits_nothing_and_removes_what_it_made(fresh) -> None:
    fresh.base()
    job = fresh.job(fresh.planned(fresh.cell()))

    def inside() -> None:
        save = run._save

        def overtaken(policy: Any, stage: Any, base_id: str) -> None:
            save(policy, stage, base_id)
            (job.path / "attempts" / "0002").mkdir()
            write_json(job.path / "attempts" / "0002" / "exit.json", {"reason": "cancelled", "message": ""})

        run._save = overtaken

    assert fresh.execute(job, inside) == LOST_CLAIM
    assert {path.name for path in job.path.iterdir()} == {"spec.json", "attempts"}
    said = json.loads((job.path / "attempts" / "0001" / "exit.json").read_text())
    assert said["reason"] == "lost_claim"


def test_seconds_belong_to_the_attempt(shared) -> None:
    job = shared.run(shared.cell())
    timing = json.loads((job.attempts()[-1] / "timing.json").read_text())
    assert 0 < timing["train_cpu_seconds"] < timing["cpu_seconds"]
    assert timing["wall_seconds"] > 0
    assert timing["peak_bytes"] > 100e6  # torch alone
    assert timing["device"] == "cpu"
    assert "cpu_seconds" not in (job.result / "result.json").read_text()


def test_the_manifest_lists_every_file_with_its_checksum(shared) -> None:
    for job in (shared.base(), shared.run(shared.cell())):
        manifest = job.manifest()
        assert manifest is not None
        assert {name: said["sha256"] for name, said in manifest["files"].items()} == {
            path.name: sha256(path) for path in job.result.iterdir() if path.name != "manifest.json"
        }


def test_the_result_records_what_it_rests_on(shared) -> None:
    from importlib.metadata import version

    said = json.loads((shared.run(shared.cell()).result / "result.json").read_text())
    assert said["software"]["trl"] == version("trl")
    assert said["software"]["torch"] == version("torch")
    assert said["trainer"]["trl"] == version("trl")
