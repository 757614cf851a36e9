"""The command under which trainers are started, and what they see."""

import json
import os
import sys
from pathlib import Path

import pytest

from harness.record.job import Attempt, JobDirectory
from harness.spec.resources import Resources
from harness.train.start import fresh, launched, trainer

ATTEMPT = Attempt(Path("/store/runs/some-run"), 3)
PLAIN = [sys.executable, "-P", "-m", "harness.train", "--trainer", "/store/runs/some-run/attempts/0003"]
LAUNCH = [sys.executable, "-P", "-m", "accelerate.commands.launch"]


def test_a_trainer_is_told_its_attempt_and_whose_code_it_may_run() -> None:
    assert trainer(None)(ATTEMPT) == PLAIN
    assert trainer(Path("/project"))(ATTEMPT) == [*PLAIN[:4], "--code", "/project", *PLAIN[4:]]


@pytest.mark.parametrize("resources", [Resources(), Resources(cpus=4), Resources(gpus=2)])
def test_without_a_launcher_the_command_is_left_alone(resources: Resources) -> None:
    assert launched(PLAIN, resources) == PLAIN


@pytest.mark.parametrize(
    ("resources", "said"),
    [
        (Resources(launcher="accelerate", cpus=2), ["--num_processes", "2", "--multi_gpu"]),
        (Resources(launcher="accelerate", cpus=1), ["--num_processes", "1", "--cpu"]),
        (Resources(launcher="accelerate", gpus=4), ["--num_processes", "4", "--multi_gpu"]),
        (Resources(launcher="accelerate", gpus=1, cpus=8), ["--num_processes", "1"]),
    ],
)
def test_a_launcher_starts_as_many_processes_as_are_declared(resources: Resources, said: list[str]) -> None:
    from accelerate.commands.launch import launch_command_parser

    command = launched(PLAIN, resources)
    assert command[:4] == LAUNCH
    assert command[-4:] == ["--module", "harness.train", *PLAIN[-2:]]
    understood = launch_command_parser().parse_args(command[4:])  # by the launcher that is installed
    assert understood.num_processes == resources.processes == int(said[1])
    assert understood.num_machines == 1
    assert understood.main_process_port == 0
    assert (understood.cpu, understood.multi_gpu) == ("--cpu" in said, "--multi_gpu" in said)
    assert (understood.mixed_precision, understood.dynamo_backend) == ("no", "no")
    assert understood.module
    assert [understood.training_script, *understood.training_script_args] == ["harness.train", *PLAIN[-2:]]


SEEN = ("OMP_NUM_THREADS", "CUDA_VISIBLE_DEVICES", "TORCH_ELASTIC_SHUTDOWN_TIMEOUT", "PYTHONSAFEPATH")


@pytest.mark.parametrize(
    ("resources", "seen"),
    [
        (Resources(cpus=3), ["3", "0,1", None, "1"]),
        (Resources(launcher="accelerate", cpus=1, grace_seconds=20.5), ["1", "", "31", "1"]),
        (Resources(launcher="accelerate", gpus=1, cpus=4), ["1", "0,1", "30", "1"]),
    ],
)
def test_a_trainer_sees_threads_devices_and_patience(
    resources: Resources, seen: list[str | None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1")
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    job = JobDirectory(tmp_path / "some-run")
    job.create({"id": "some-run", "identity": {}})
    attempt = job.claim({})
    assert attempt is not None
    (tmp_path / "tell.py").write_text(
        f"import json, os, pathlib, sys\nsaid = [os.environ.get(name) for name in {SEEN!r}]\n"
        "pathlib.Path(sys.argv[1]).write_text(json.dumps([os.getsid(0) == os.getpid(), said]))\n"
    )
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    told = tmp_path / "told"

    pid = fresh(lambda _: [sys.executable, "-m", "tell", str(told)])(attempt, resources)
    _, status = os.waitpid(pid, 0)
    assert status == 0, (attempt.path / "log.txt").read_text()
    leads, found = json.loads(told.read_text())
    assert found == seen
    assert leads is (resources.launcher == "python")  # under a launcher it is the launcher who leads
