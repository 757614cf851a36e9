"""A laboratory for pocket runs: real jobs through TRL, each in a forked process, for one import of the libraries.

Shared runs are executed once a session; whoever wants to disturb a run passes `inside`, which is called in the forked
process before the job, where it may patch what it likes.
"""

import os
import sys
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from harness.plan import PlannedRun
from harness.plan.runset import planned_base, planned_run
from harness.record.job import JobDirectory
from harness.record.process import THREADS
from harness.spec import Cell, Lora, Protocol, load_protocol
from harness.spec.adapter import Proportional

os.environ.update({**THREADS, "HF_HUB_OFFLINE": "1", "HF_DATASETS_DISABLE_PROGRESS_BARS": "1"})

import torch  # after the line above: the number of threads is read at import

torch.set_num_threads(1)


@dataclass(frozen=True)
class Laboratory:
    """A store with pocket bases and runs."""

    root: Path
    protocol: Protocol

    @staticmethod
    def cell(rank: int = 4, algorithm: Any = "grpo") -> Cell:
        """Return a cell with the usual scaling."""
        return Cell(algorithm=algorithm, adapter=Lora(rank=rank, scaling=Proportional()))

    @staticmethod
    def execute(job: JobDirectory, inside: Callable[[], None] = lambda: None, code_root: Path | None = None) -> int:
        """Execute a job in a forked process, as the server does, and return its exit status."""
        from harness.train.job import execute

        pid = os.fork()
        if pid == 0:
            status = 1
            try:
                warnings.resetwarnings()
                warnings.simplefilter("ignore")  # a worker has the libraries' own filters, not pytest's
                sys.stdout, sys.stderr = sys.__stdout__, sys.__stderr__  # which the job sends to its log
                inside()
                status = execute(job.path, code_root)
            finally:
                os._exit(status)
        return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])

    def base(self, name: str = "llama") -> JobDirectory:
        """Return a base's job, executed."""
        planned = planned_base(name, self.protocol)
        job = JobDirectory(self.root / "bases" / planned.id)
        if job.manifest() is None:
            job.create({"id": planned.id, "identity": planned.identity})
            assert self.execute(job) == 0, job.last_exit()
        return job

    def planned(self, cell: Cell, index: int = 0, base: str = "llama", **more: Any) -> PlannedRun:
        """Return the run of a cell with a seed on a base."""
        return planned_run(planned_base(base, self.protocol), cell, index, self.protocol, **more)

    def job(self, run: PlannedRun) -> JobDirectory:
        """Return a run's job, created but not executed."""
        job = JobDirectory(self.root / "runs" / run.id)
        job.create({"id": run.id, "identity": run.identity})
        return job

    def run(self, cell: Cell, index: int = 0, base: str = "llama", **more: Any) -> JobDirectory:
        """Return a run's job, executed."""
        self.base(base)
        job = self.job(self.planned(cell, index, base, **more))
        if job.manifest() is None:
            assert self.execute(job) == 0, job.last_exit()
        return job


@pytest.fixture(scope="session")
def pocket() -> Protocol:
    """Return the pocket protocol."""
    return load_protocol(Path(__file__).parents[1] / "pocket.yaml", "pocket.yaml")


@pytest.fixture(scope="session")
def shared(pocket: Protocol, tmp_path_factory: pytest.TempPathFactory) -> Laboratory:
    """Return the laboratory whose runs every test may read and none may change."""
    return Laboratory(tmp_path_factory.mktemp("shared"), pocket)


@pytest.fixture
def fresh(pocket: Protocol, tmp_path: Path) -> Laboratory:
    """Return a laboratory of one's own."""
    return Laboratory(tmp_path, pocket)
