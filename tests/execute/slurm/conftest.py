"""A real SLURM of two nodes on this host for the tests of a process, and jobs for it whose worker counts."""

import importlib.util
import json
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from harness.execute.engine import Standing
from harness.execute.slurm import SlurmExecutor
from harness.spec.engines import SlurmSettings
from harness.spec.resources import Resources

ENGINES = Path(__file__).parents[3] / "benchmarks" / "engines"
WORKER = (sys.executable, "-P", str(ENGINES / "counting.py"))
LONGEST = 6
"""Tasks of the longest array that the cluster takes."""


def script(name: str) -> ModuleType:
    """Return a script of benchmarks/engines as a module."""
    spec = importlib.util.spec_from_file_location(f"benchmarks_{name}", ENGINES / f"{name}.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


slurm_cluster = script("slurm_cluster")


@dataclass(frozen=True)
class Site:
    """A cluster, and a folder that all its nodes see."""

    cluster: Any
    root: Path

    def executor(
        self,
        resources: Resources | None = None,
        *,
        arguments: Sequence[str] = (),
        setup_allowed: bool = False,
        environment: dict[str, str] | None = None,
        patience: float = 45.0,
        settings: SlurmSettings | None = None,
        **declared: Any,
    ) -> SlurmExecutor:
        """Return an executor of the site, with settings as they are declared."""
        return SlurmExecutor(
            self.root / "slurm",
            [*WORKER, *arguments],
            resources or Resources(),
            settings or SlurmSettings(**declared),
            setup_allowed=setup_allowed,
            environment={**self.cluster.environment, **(environment or {})},
            interval=0.1,
            patience=patience,
        )

    def jobs(self, count: int, steps: int = 5, name: str = "job") -> list[Path]:
        """Return directories of jobs that take so many tenths of a second."""
        return [self.job(f"{name}-{index}", steps) for index in range(count)]

    def job(self, name: str, steps: int = 1) -> Path:
        """Return a job's directory."""
        folder = self.root / name
        folder.mkdir(parents=True)
        (folder / "steps").write_text(str(steps))
        return folder

    def endless(self, count: int = 1) -> list[Path]:
        """Return directories of jobs that are not done within any test."""
        return self.jobs(count, 10**6)

    def until(self, executor: SlurmExecutor, handles: Sequence[str], *wanted: Standing) -> list[set[Standing]]:
        """Poll until all jobs stand where they should; return where they stood, a look each."""
        looks: list[set[Standing]] = []

        def so() -> bool:
            looks.append(set(executor.poll(handles).values()))
            return looks[-1] <= set(wanted)

        self.cluster.wait(so, f"{handles} are {wanted}")
        return looks

    def at_work(self, executor: SlurmExecutor, jobs: Sequence[Path], handles: Sequence[str], starts: int = 1) -> None:
        """Wait until the jobs' workers have started so often."""
        self.until(executor, handles, "running")
        self.cluster.wait(lambda: all(self.told(job).count("start") == starts for job in jobs), "they have started")

    def wake(self, handle: str) -> None:
        """Let a job start that SLURM holds back after it was stopped."""
        task = handle.partition("-")[0]
        states = (f"--jobs={task}", "--array", "--format=%T %r")
        self.cluster.wait(lambda: self.cluster.squeue(*states).strip() == "PENDING BeginTime", "it is held back")
        self.cluster.release(task)

    @staticmethod
    def events(job: Path) -> list[dict[str, Any]]:
        """Return what happened to a job."""
        file = job / "events.jsonl"
        return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []

    def told(self, job: Path) -> list[str]:
        """Return the names of what happened to a job."""
        return [event["event"] for event in self.events(job)]


@pytest.fixture(scope="session")
def cluster() -> Iterator[Any]:
    """Return a cluster of this process's own, of short arrays."""
    absent: str | None = slurm_cluster.missing()
    if absent is not None:
        pytest.skip(f"no SLURM to test: {absent}")
    with slurm_cluster.Cluster(max_array=LONGEST) as started:
        yield started


@pytest.fixture
def site(cluster: Any, tmp_path: Path) -> Iterator[Site]:
    """Return the site, with a folder of the test's own whose jobs are stopped when it ends."""
    yield Site(cluster, tmp_path)
    names = [path.stem for path in tmp_path.rglob("harness-*.jobs")]
    if names:
        cluster.call("scancel", f"--name={','.join(names)}")


@pytest.fixture(scope="session")
def sites() -> type[Site]:
    """Return the class, for fixtures that outlive a test."""
    return Site
