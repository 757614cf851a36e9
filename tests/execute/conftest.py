"""Pocket jobs for real executors, and ways to look at their processes."""

import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from harness.execute import Executor
from harness.plan.runset import planned_base, planned_run
from harness.record.atomic import read_json
from harness.record.job import JobDirectory, State
from harness.spec import Cell, Lora, Protocol, load_protocol
from harness.spec.adapter import Proportional

CLAIM = """
title: Low ranks live
claim: Pocket runs at ranks 1 and 2 do not collapse.
source: a claim of the tests
design: {seeds: 5, looks: [5]}
predictions:
  - {id: live, kind: collapse_probability, role: primary, statement: Runs live at both ranks., event: collapsed,
     rationale: Below one half a user keeps the policy., direction: below, probability: 0.5, among: {rank: [1, 2]}}
"""

PATIENCE = 300.0
"""Seconds after which a test gives up; nothing here takes a tenth of it on a quiet machine."""


@dataclass(frozen=True)
class Pocket:
    """Jobs of the pocket protocol in a store."""

    root: Path
    protocol: Protocol

    def base(self) -> JobDirectory:
        """Return a base's job."""
        planned = planned_base("llama", self.protocol)
        return self._created(self.root / "bases" / planned.id, planned.identity)

    def run(self, index: int) -> JobDirectory:
        """Return a run's job."""
        cell = Cell(adapter=Lora(rank=2, scaling=Proportional()))
        planned = planned_run(planned_base("llama", self.protocol), cell, index, self.protocol)
        return self._created(self.root / "runs" / planned.id, planned.identity)

    def endless(self, seed: int = 1) -> JobDirectory:
        """Return the job of a base that is not finished within any test."""
        recipe = self.protocol.made("llama")
        pretraining = recipe.pretraining.model_copy(update={"steps": 10**7, "seed": seed})
        bases = {"llama": recipe.model_copy(update={"pretraining": pretraining})}
        planned = planned_base("llama", self.protocol.model_copy(update={"bases": bases}))
        return self._created(self.root / "bases" / planned.id, planned.identity)

    @staticmethod
    def _created(path: Path, identity: dict[str, object]) -> JobDirectory:
        job = JobDirectory(path)
        job.create({"id": path.name, "identity": identity})
        return job

    @staticmethod
    def pid(job: JobDirectory) -> int:
        """Return the process of a job's last attempt."""
        return read_json(job.attempts()[-1] / "claim.json")["pid"]

    @staticmethod
    def parent(pid: int) -> int:
        """Return a process's parent."""
        return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])

    @staticmethod
    def exists(pid: int) -> bool:
        """Return whether a process is there and no mere zombie."""
        try:
            return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
        except (FileNotFoundError, ProcessLookupError):
            return False

    @staticmethod
    def wait(until: Callable[[], bool], executor: Executor | None = None) -> None:
        """Wait until something holds, polling the executor meanwhile."""
        deadline = time.monotonic() + PATIENCE
        while not until():
            assert time.monotonic() < deadline, "it never came about"
            if executor is not None:
                executor.poll([])
            time.sleep(0.02)

    def at_work(self, job: JobDirectory, executor: Executor | None = None) -> int:
        """Wait until a job is at work and return its process."""
        self.wait(lambda: job.state() is State.RUNNING, executor)
        return self.pid(job)

    def finish(self, executor: Executor, *jobs: JobDirectory) -> None:
        """Submit jobs and wait until the executor has let go of all."""
        handles = executor.submit([job.path for job in jobs])
        self.wait(lambda: set(executor.poll(handles).values()) == {"gone"})


@pytest.fixture(scope="session")
def protocol() -> Protocol:
    """Return the pocket protocol."""
    return load_protocol(Path(__file__).parents[1] / "pocket.yaml", "pocket.yaml")


@pytest.fixture
def pocket(protocol: Protocol, tmp_path: Path) -> Pocket:
    """Return pocket jobs in a store of the test's own."""
    return Pocket(tmp_path, protocol)


@dataclass(frozen=True)
class Project:
    """A project with the pocket protocol and the claim `live` about ten of its runs."""

    root: Path


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """Return a project of the test's own."""
    root = tmp_path / "project"
    (root / "runs").mkdir(parents=True)
    (root / "hypotheses").mkdir()
    (root / "pyproject.toml").write_text('[tool.harness]\nprotocol = "pocket"\n')
    shutil.copy(Path(__file__).parents[1] / "pocket.yaml", root / "runs" / "pocket.yaml")
    (root / "hypotheses" / "live.yaml").write_text(CLAIM)
    return Project(root)
