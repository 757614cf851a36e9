"""Runs of several processes through `accelerate launch`, on this machine's cores: one run, however many make it."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from harness.record.ending import Exit, Reason
from harness.record.job import JobDirectory, State
from harness.record.process import family
from harness.spec.resources import Resources
from harness.train.supervise import OK, STOPPED

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform != "linux", reason="looks processes up in /proc"),
]
PATIENCE = 300.0
TWO = Resources(launcher="accelerate", cpus=2)
UPDATES = 12


def longer(laboratory: Any, **fields: Any) -> Any:
    """Return the laboratory with 24 training prompts, and other trainer fields."""
    protocol = laboratory.protocol
    task = protocol.task.model_copy(update={"training_prompts": 24})
    return replace(laboratory, protocol=protocol.model_copy(update={"task": task, "grpo": {**protocol.grpo, **fields}}))


def supervised(*jobs: JobDirectory) -> "subprocess.Popen[bytes]":
    """Start a worker for jobs, as an engine does."""
    command = [sys.executable, "-m", "harness.train", *(str(job.path) for job in jobs)]
    return subprocess.Popen(command, env={**os.environ, "PYTHONPATH": ":".join(sys.path)})


def facts(job: JobDirectory) -> dict[str, Any]:
    return json.loads(job.verified("result.json").read_text())


def steps(job: JobDirectory) -> list[dict[str, Any]]:
    return pq.read_table(job.result / "steps.parquet").to_pylist()


def wait(until: Callable[[], Any]) -> Any:
    deadline = time.monotonic() + PATIENCE
    while not (found := until()):
        assert time.monotonic() < deadline, "it never came about"
        time.sleep(0.05)
    return found


def log(job: JobDirectory) -> str:
    return (job.attempts()[-1] / "log.txt").read_text()


def test_two_runs_of_two_processes_side_by_side_are_two_runs(fresh: Any) -> None:
    laboratory = longer(fresh)
    laboratory.base()
    cell = laboratory.cell()
    jobs = [laboratory.job(laboratory.planned(cell, index)) for index in (0, 1)]
    for job in jobs:
        job.give(TWO)
    worker = supervised(*jobs)
    alone = longer(replace(fresh, root=fresh.root / "alone")).run(cell)
    assert worker.wait(PATIENCE) == OK, [(job.last_exit(), log(job)) for job in jobs]
    for job in jobs:
        said = facts(job)
        assert said["processes"] == 2
        assert said["updates"] == UPDATES
        assert [row["step"] for row in steps(job)] == list(range(1, UPDATES + 1))
        assert said["trainer"]["declared"]["per_device_train_batch_size"] == 8
        assert said["trainer"]["set_by_harness"]["per_device_train_batch_size"] == 4
        assert len(said["first_rollouts"]["texts"]) == 8  # of both
        assert {path.name for path in job.result.iterdir()} == {path.name for path in alone.result.iterdir()}
        assert log(job).count("update 1 of 12") == 1
        assert json.loads((job.attempts()[0] / "timing.json").read_text())["cpu_seconds"] > 0
    said, one = facts(jobs[0]), facts(alone)
    assert one["processes"] == 1
    assert one["updates"] == UPDATES
    assert said["base_weights"] == one["base_weights"] == said["base_weights_after"]
    assert said["adapter"] == one["adapter"]
    assert abs(said["accuracy"] - one["accuracy"]) < 0.05  # a policy that knows next to nothing, either way
    assert said["first_rollouts"]["sha256"] != facts(jobs[1])["first_rollouts"]["sha256"]


def test_of_two_processes_one_is_killed_and_the_run_goes_on_from_its_checkpoint_and_stops_when_asked(
    fresh: Any,
) -> None:
    laboratory = longer(fresh, num_train_epochs=500)
    laboratory.base()
    job = laboratory.job(laboratory.planned(laboratory.cell()))
    job.give(Resources(launcher="accelerate", cpus=2, resume="allowed", checkpoint_every=3))
    worker = supervised(job)
    wait(job.checkpoint)
    everyone = family(worker.pid)
    supervisor, launcher, *ranks = everyone
    assert len(ranks) == 2
    assert supervisor == worker.pid
    assert {Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1] for pid in ranks} == {str(launcher)}
    os.kill(ranks[1], signal.SIGKILL)
    assert worker.wait(PATIENCE) == STOPPED, log(job)
    end = job.last_exit()
    assert end is not None
    assert end.reason is Reason.KILLED, (end, log(job))
    assert job.state() is State.INTERRUPTED
    assert not any(Path(f"/proc/{pid}").exists() for pid in everyone)
    assert {path.name for path in job.path.iterdir()} == {"spec.json", "resources.json", "attempts"}
    first = end.checkpoint
    assert first is not None

    worker = supervised(job)
    wait(lambda: (found := job.checkpoint()) is not None and found[0] > first)
    everyone = family(worker.pid)
    os.kill(worker.pid, signal.SIGTERM)
    assert worker.wait(PATIENCE) == STOPPED, log(job)
    end = job.last_exit()
    assert end is not None
    found = job.checkpoint()
    assert found is not None
    assert end == Exit(Reason.PREEMPTED, "it was asked to end, by its engine or by hand (SIGTERM)", found[0])
    said = json.loads((job.attempts()[-1] / "outcome.json").read_text())
    assert said["message"].startswith(f"stopped as asked after update {found[0]} of ")
    assert not any(Path(f"/proc/{pid}").exists() for pid in everyone)
    kept = json.loads((found[1] / "harness.json").read_text())
    assert [row["step"] for row in kept["steps"]] == list(range(1, found[0] + 1))
    assert kept["resumed_at"] == [first]
    assert len(kept["first_rollouts"]) == 8
    assert not (found[1] / "README.md").exists()
