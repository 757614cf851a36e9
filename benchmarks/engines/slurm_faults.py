"""What becomes of jobs on SLURM when something fails: one fault after the other, told as JSON lines.

    python benchmarks/engines/slurm_faults.py

A cluster of two nodes is started for each fault; quick runs behind the real supervisor, which resume, are handed to it
through the harness's executor, and once they are at work the fault strikes. A driver as plain as can be looks at them
ten times a second: a job that the engine has let go of and that is not done is submitted again; an engine that does not
answer is waited for. SLURM holds back what it queues again for `cred_expire`, which is two minutes by default and ten
seconds here; even these are cut short, and it is told. Runs take 15 seconds, at the time limit 60.

A line has the fault, seconds since the submission, and what was seen; the last line of a fault adds it up.
"""

import argparse
import json
import re
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent))
import quick
from slurm_cluster import Cluster

from harness.execute.engine import Standing, Unreachable
from harness.execute.slurm import SlurmExecutor
from harness.record.job import JobDirectory
from harness.spec.engines import SlurmSettings
from harness.spec.resources import Resources

PATIENCE = 300.0
"""Seconds after which a fault's jobs are given up."""
TRIES = 5
"""Submissions of a job after which it is given up."""
STEP = 0.1
"""Seconds of a step of a run."""


def _nothing(_: Cluster, __: Sequence[str] = ()) -> None:
    """Let time do it."""


@dataclass(frozen=True)
class Fault:
    """Something that goes wrong."""

    strikes: Callable[[Cluster, Sequence[str]], None]
    """What is done once the jobs, whose names at SLURM are given, are at work."""
    mends: Callable[[Cluster], None] = _nothing
    """What is done `after` seconds later."""
    after: float = 0.0
    cluster: dict[str, Any] = field(default_factory=dict[str, Any])
    resources: Resources = field(default_factory=lambda: Resources(cpus=3))
    """By default, of a node's four cores, so that two jobs are on two nodes."""
    settings: SlurmSettings = field(default_factory=lambda: SlurmSettings(partition="low"))
    steps: int = 150


def _requeue(cluster: Cluster, tasks: Sequence[str]) -> None:
    cluster.requeue(tasks[0])


def _preempt(cluster: Cluster, _: Sequence[str]) -> None:
    for node in ("on-n1", "on-n2"):
        cluster.submit("exec sleep 5", "--partition=high", f"--constraint={node}", "--cpus-per-task=4")


FAULTS = {
    "controller down": Fault(lambda cluster, _: cluster.stop_controller(), Cluster.start_controller, 20),
    "controller killed": Fault(lambda cluster, _: cluster.stop_controller(crash=True), Cluster.start_controller, 5),
    "requeue": Fault(_requeue),
    "preemption": Fault(_preempt, cluster={"grace": 5}),
    "preemption with warning": Fault(_preempt, cluster={"grace": 5, "warns": True}),
    "preemption by cancelling": Fault(_preempt, cluster={"preempt": "CANCEL"}),
    "time limit": Fault(
        _nothing,
        resources=Resources(minutes=0.01, grace_seconds=0),
        settings=SlurmSettings(warning_seconds=50),
        steps=600,
    ),
    "node killed": Fault(lambda cluster, _: cluster.kill_node("n2"), lambda cluster: cluster.start_node("n2"), 40),
}


class Driver:
    """Sees jobs through one fault, and says what it sees."""

    def __init__(self, name: str, cluster: Cluster, executor: SlurmExecutor, jobs: Sequence[Path]) -> None:
        self._name = name
        self._cluster = cluster
        self._executor = executor
        self._began = time.monotonic()
        self._handles = dict(zip(jobs, executor.submit(jobs), strict=True))
        self._seen: dict[Path, Any] = {}
        self._silent: float | None = None
        self.submissions = dict.fromkeys(jobs, 1)
        self.silence = 0.0

    @property
    def tasks(self) -> list[str]:
        """The jobs' names at SLURM."""
        return [handle.partition("-")[0] for handle in dict.fromkeys(self._handles.values())]

    @property
    def over(self) -> bool:
        """Whether every job is done and let go of, or given up."""
        return all(
            self._seen.get(job, ("",))[0] == "gone" and (_done(job) or self.submissions[job] >= TRIES)
            for job in self._handles
        )

    @property
    def at_work(self) -> bool:
        """Whether all jobs run."""
        return all(seen[0] == "running" for seen in self._seen.values()) and len(self._seen) == len(self._handles)

    def tell(self, what: str, **more: Any) -> None:
        """Print a line."""
        seconds = round(time.monotonic() - self._began, 1)
        print(json.dumps({"fault": self._name, "seconds": seconds, "what": what, **more}), flush=True)

    def look(self) -> None:
        """See where everything stands; submit again what was let go of undone."""
        try:
            standings = self._executor.poll(list(self._handles.values()))
        except Unreachable as error:
            if self._silent is None:
                self.tell("unreachable", words=str(error))
                self._silent = time.monotonic()
            return
        if self._silent is not None:
            self.silence += time.monotonic() - self._silent
            self._silent = None
            self.tell("answers again")
        for job, handle in list(self._handles.items()):
            self._noted(job, handle, standings[handle])

    def _noted(self, job: Path, handle: str, standing: Standing) -> None:
        words = self._words(handle.partition("-")[0])
        if (standing, words) != self._seen.get(job):
            self._seen[job] = (standing, words)
            self.tell(standing, job=job.name, handle=handle, slurm=words)
        if words == "PENDING BeginTime":
            with suppress(RuntimeError):  # it started by itself
                self._cluster.release(handle.partition("-")[0])
            self.tell("need not wait any longer", job=job.name)
        if standing == "gone" and not _done(job) and self.submissions[job] < TRIES:
            [self._handles[job]] = self._executor.submit([job])
            self.submissions[job] += 1
            self.tell("submitted again", job=job.name, handle=self._handles[job])

    def _words(self, task: str) -> str:
        try:
            return self._cluster.squeue("--states=all", "--array", f"--jobs={task}", "--format=%T %r").strip()
        except RuntimeError:
            return "?"


def through(name: str, fault: Fault, folder: Path, jobs: Sequence[JobDirectory]) -> Driver:
    """See jobs through a fault."""
    with Cluster(**fault.cluster) as cluster:
        executor = SlurmExecutor(
            folder / "slurm",
            quick.worker(),
            fault.resources,
            fault.settings,
            setup_allowed=False,
            environment=cluster.environment,
            interval=0.1,
        )
        driver = Driver(name, cluster, executor, [job.path for job in jobs])
        struck: float | None = None
        mended = False
        deadline = time.monotonic() + PATIENCE
        while not (driver.over and mended) and time.monotonic() < deadline:
            driver.look()
            if struck is None and driver.at_work:
                time.sleep(2)
                driver.tell("strikes")
                fault.strikes(cluster, driver.tasks)
                struck = time.monotonic()
            if struck is not None and not mended and time.monotonic() - struck >= fault.after:
                fault.mends(cluster)
                mended = True
                driver.tell("mended")
            time.sleep(0.1)
        _added_up(driver, cluster, jobs)
    return driver


def _done(job: Path) -> bool:
    """Whether the job's own directory says that it is done."""
    return JobDirectory(job).manifest() is not None


def _added_up(driver: Driver, cluster: Cluster, jobs: Sequence[JobDirectory]) -> None:
    told = re.compile(r"Requeu|Preempt|DUE TO|Killing|Node n\d|not responding|missing from|failure|Resending", re.I)
    lines = [line.partition("slurmctld: ")[2] for line in cluster.log("slurmctld").splitlines() if told.search(line)]
    driver.tell(
        "added up",
        **quick.look(jobs),
        ends={job.id: quick.ends(job) for job in jobs},
        submissions=sum(driver.submissions.values()),
        seconds_unreachable=round(driver.silence, 1),
        controller=[line for line in lines if "pmi" not in line and "error: MPI" not in line][:20],
    )


def main() -> int:
    """Return 0 if every job was done in the end."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--faults", nargs="+", choices=FAULTS, default=list(FAULTS), metavar="FAULT")
    parser.add_argument("--each", type=int, default=2, help="jobs of a fault")
    chosen = parser.parse_args()
    left = 0
    with tempfile.TemporaryDirectory() as scratch:
        for name in chosen.faults:
            fault, folder = FAULTS[name], Path(scratch) / name.replace(" ", "-")
            jobs = [quick.create(folder, seed, fault.steps, STEP) for seed in range(chosen.each)]
            for job in jobs:
                job.give(quick.RESUMES)
            through(name, fault, folder, jobs)
            left += sum(not _done(job.path) for job in jobs)
    return 1 if left else 0


if __name__ == "__main__":
    sys.exit(main())
