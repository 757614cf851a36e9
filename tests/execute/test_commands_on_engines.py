"""The command itself on real engines: a verdict from runs that were jobs there, equal to one from this machine.

A command that is killed leaves its jobs; the next one takes them up and submits none twice.
"""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from harness.record.job import JobDirectory
from harness.record.layout import Store
from tests.execute.test_engines_under_chaos import missing, script

if TYPE_CHECKING:
    from tests.execute.conftest import Project

pytestmark = [pytest.mark.slow, pytest.mark.skipif(sys.platform != "linux", reason="engines of the tests need Linux")]
PATIENCE = 300.0


@contextmanager
def engine(name: str) -> Generator[Mapping[str, str]]:
    """Yield the environment in which an engine is reached."""
    if name == "slurm":
        with script("slurm_cluster").Cluster(cpus=2) as slurm:
            yield slurm.environment
    else:
        with script("ray_cluster").Cluster(workers=2, cpus=1, gpus=0) as ray:
            yield {**os.environ, "RAY_API_SERVER_ADDRESS": ray.address}


class Commands:
    """Commands of one project, store and engine."""

    def __init__(self, project: Path, store: Path, environment: Mapping[str, str]):
        self._project, self._store = project, store
        self._environment = {**environment, "PYTHONPATH": os.pathsep.join(sys.path)}

    def start(self, *words: str) -> "subprocess.Popen[str]":
        command = [sys.executable, "-P", "-m", "harness", "-q", "--store", str(self._store), *words, "--json"]
        return subprocess.Popen(
            command,
            cwd=self._project,
            env=self._environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def call(self, *words: str) -> Any:
        command = self.start(*words)
        out, err = command.communicate(timeout=600)
        assert command.returncode == 0, err
        return json.loads(out)


@pytest.mark.parametrize("name", ["slurm", "ray"])
def test_a_verdict_from_an_engine_is_the_one_from_this_machine(name: str, project: "Project", tmp_path: Path) -> None:
    if why := missing(name):
        pytest.skip(why)
    store = Store(tmp_path / "store")
    claim = project.root / "hypotheses" / "live.yaml"
    claim.write_text(claim.read_text().replace("rank: [1, 2]", "rank: [1]").replace("at ranks 1 and 2", "at rank 1"))
    with engine(name) as environment:
        there = Commands(project.root, store.root, environment)
        first = there.start("test", "live", "--executor", name)
        deadline = time.monotonic() + PATIENCE
        while not list(store.runs.glob("*/attempts/*/claim.json")):
            assert first.poll() is None and time.monotonic() < deadline, first.communicate()
            time.sleep(0.1)
        first.send_signal(signal.SIGKILL)
        first.communicate()
        held = there.call("status")["engines"]
        assert held and set(held.values()) <= {"queued", "running", "gone"}
        said = there.call("test", "live", "--executor", name)
        assert said["failed"] == {}
        assert there.call("test", "live", "--executor", name)["executed"] == 0
        log = there.call("logs", next(store.runs.iterdir()).name)
    assert "update 3 of 3" in log["log"]
    jobs = [JobDirectory(path) for path in store.runs.iterdir()]
    assert len(jobs) == 5
    assert [len(job.attempts()) for job in jobs] == [1] * len(jobs)  # nothing was begun twice
    claims = [json.loads((job.attempts()[0] / "claim.json").read_text()) for job in jobs]
    assert {claim["engine"] for claim in claims} == {name}
    here = Commands(project.root, tmp_path / "here", os.environ).call("test", "live")
    assert [v["outcome"] for v in said["verdicts"]] == [v["outcome"] for v in here["verdicts"]]
    assert said["verdicts"][0]["predictions"] == here["verdicts"][0]["predictions"]


def test_an_engine_that_is_not_there_is_told_and_nothing_runs(project: "Project", tmp_path: Path) -> None:
    bare = {**os.environ, "PATH": str(tmp_path), "SLURM_CONF": str(tmp_path / "none")}
    commands = Commands(project.root, tmp_path / "store", bare)
    for name, told in (("slurm", "s"), ("ray", "RAY_API_SERVER_ADDRESS")):
        command = commands.start("run", "live", "--executor", name)
        out, err = command.communicate(timeout=300)
        assert command.returncode == 4, (out, err)
        assert "Traceback" not in err
        assert told in err
    assert not list((tmp_path / "store").glob("bases/*/attempts"))
