"""What becomes of runs on a real Ray cluster when its head, a node or a link fails; JSON lines, one an event.

    python benchmarks/engines/ray_faults.py gcs partition-short partition-long

Each scenario has a cluster of its own (a head without devices, two nodes of two CPUs and GPUs) and four quick runs
behind the real supervisor, which resume. A driver as simple as can be polls the executor and submits again whatever is
gone and not done. `at` is seconds since the fault. An event is a change of one of these: the executor's word on a job,
whether the cluster answers, the processes of a job by node (seen in the node's namespace, whatever Ray says), what was
done to the cluster. At the end come the lines of Ray's own logs that say why, and a summary.

Needs root and `ip netns` where a link is to be cut.
"""

import argparse
import json
import re
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
import quick
from ray_cluster import Cluster, Node

from harness.execute.engine import Standing, Unreachable
from harness.execute.ray_jobs import RayExecutor
from harness.record.job import JobDirectory
from harness.spec.engines import RaySettings

Step = tuple[float, str, Callable[[Cluster], None]]
"""Seconds after the fault, what is done, and how."""


def _victim(cluster: Cluster) -> Node:
    return cluster.workers[0]


def _bring_back(cluster: Cluster) -> None:
    cluster.restart_head()
    _bring_nodes_back(cluster)


def _bring_nodes_back(cluster: Cluster) -> None:
    for node in cluster.workers:
        cluster.restart_worker(node)


def _revive(cluster: Cluster) -> None:
    cluster.restart_worker(_victim(cluster))


def _revive_if_lost(cluster: Cluster) -> None:
    if cluster.alive() < len(cluster.nodes):
        cluster.restart_worker(_victim(cluster))


def _heal(cluster: Cluster) -> None:
    cluster.heal(_victim(cluster))


UP = "link of node 1 up"
CUT: Step = (0, "link of node 1 down", lambda cluster: cluster.cut(_victim(cluster)))
SCENARIOS: dict[str, tuple[Step, ...]] = {
    "gcs": (
        (0, "SIGKILL to the head's gcs_server", Cluster.kill_gcs),
        (80, "head and nodes started anew", _bring_back),
    ),
    "head": (
        (0, "every process of the head killed", lambda cluster: cluster.kill_node(cluster.head)),
        (80, "head and nodes started anew", _bring_back),
    ),
    "head-back-soon": (
        (0, "every process of the head killed", lambda cluster: cluster.kill_node(cluster.head)),
        (15, "head started anew, the nodes left alone", Cluster.restart_head),
        (90, "nodes started anew", _bring_nodes_back),
    ),
    "partition-short": (CUT, (20, UP, _heal)),
    "partition-middle": (CUT, (40, UP, _heal), (90, "node 1 started anew, if Ray gave it up", _revive_if_lost)),
    "partition-long": (CUT, (100, UP, _heal), (120, "node 1 started anew, if Ray gave it up", _revive_if_lost)),
    "partition-head": (
        (0, "link of the head down", lambda cluster: cluster.cut(cluster.head)),
        (40, "link of the head up", lambda cluster: cluster.heal(cluster.head)),
    ),
    "node": (
        (0, "every process of node 1 killed", lambda cluster: cluster.kill_node(_victim(cluster))),
        (30, "node 1 started anew", _revive),
    ),
    "raylet": (
        (0, "SIGKILL to the raylet of node 1", lambda cluster: cluster.kill_raylet(_victim(cluster))),
        (30, "node 1 started anew", _revive),
    ),
}
WHY = re.compile(
    r"marked as dead|is dead|[Hh]ealth check failed|unexpectedly|[Ff]ailed to connect to GCS|Lost connection to"
    r"|lost contact|has been marked dead|GCS.{0,40}(time|exit|unavailable|disconnect)|node.{0,60}DEAD|Terminat"
)
MOST_LINES = 12
RESOURCES = quick.RESUMES.model_copy(update={"gpus": 1})
SETTLING = 5.0
"""Seconds that every node has had a job at work before the fault."""


class Watch:
    """Drives jobs through one fault and prints what changes."""

    def __init__(self, scenario: str, cluster: Cluster, executor: RayExecutor, jobs: Sequence[JobDirectory]) -> None:
        self._scenario = scenario
        self._cluster = cluster
        self._executor = executor
        self._runs = list(jobs)
        self._jobs = [job.path for job in jobs]
        self._handles: dict[Path, str] = {}
        self._stood: dict[Path, Standing] = {}
        self._seen: set[tuple[Path, int]] = set()
        self._answers = True
        self._submitted = 0
        self._settled: float | None = None
        self._fault: float | None = None

    def run(self, steps: Sequence[Step], limit: float) -> None:
        """Wait until every node has work, do the steps at their times, go on until all are done."""
        self._submit(self._jobs)
        began = time.monotonic()
        while self._left() and time.monotonic() < began + limit:
            self._look()
            self._settled = (self._settled or time.monotonic()) if self._at_work() else None
            if self._fault is None and self._settled is not None and time.monotonic() > self._settled + SETTLING:
                self._fault = time.monotonic()
            while steps and self._fault is not None and self._now() >= steps[0][0]:
                (_, what, act), steps = steps[0], steps[1:]
                self._tell("done to the cluster", action=what)
                act(self._cluster)
            time.sleep(0.2)
        self._reasons()
        left = [job.name for job in self._left()]
        ends = {job.id: quick.ends(job) for job in self._runs}
        self._tell("summary", not_done=left, submissions=self._submitted, ends=ends, **quick.look(self._runs))

    def _look(self) -> None:
        self._processes()
        try:
            stands = self._executor.poll(list(self._handles.values()))
        except Unreachable as silence:
            if self._answers:
                self._tell("the cluster does not answer", text=str(silence))
            self._answers = False
            return
        if not self._answers:
            self._tell("the cluster answers again")
        self._answers = True
        for job, handle in list(self._handles.items()):
            if self._stood.get(job) != stands[handle]:
                self._tell("the executor says", job=job.name, stands=stands[handle])
                self._stood[job] = stands[handle]
        gone = [job for job in self._jobs if self._stood.get(job) == "gone" and job in self._left()]
        if gone:
            self._submit(gone)

    def _submit(self, jobs: Sequence[Path]) -> None:
        try:
            handles = self._executor.submit(jobs)
        except Unreachable:
            return
        self._submitted += len(handles)
        for job, handle in zip(jobs, handles, strict=True):
            self._tell("submitted", job=job.name, handle=handle)
            self._handles[job] = handle
            self._stood.pop(job, None)

    def _processes(self) -> None:
        """Say which jobs' processes are there, node by node."""
        seen: set[tuple[Path, int]] = set()
        for node in self._cluster.nodes:
            commands = [command for pid in node.pids() if not (command := _command(pid)).startswith("/bin/sh")]
            seen |= {(job, node.index) for job in self._jobs if any(str(job) in command for command in commands)}
        for job, index in sorted(seen - self._seen):
            self._tell("process appears", job=job.name, node=index)
        for job, index in sorted(self._seen - seen):
            self._tell("process is no more", job=job.name, node=index, done=job not in self._left())
        self._seen = seen

    def _at_work(self) -> bool:
        """Whether every node has a job at work."""
        running = {job for job, stands in self._stood.items() if stands == "running"}
        return {node.index for node in self._cluster.workers} <= {i for job, i in self._seen if job in running}

    def _left(self) -> list[Path]:
        return [job.path for job in self._runs if job.manifest() is None]

    def _now(self) -> float:
        return time.monotonic() - (time.monotonic() if self._fault is None else self._fault)

    def _reasons(self) -> None:
        """Print the lines of Ray's logs and the executor's that say why."""
        for line in self._executor.log.read_text().splitlines():
            if " failed: " in line:
                self._tell("ray.log", line=line[:400])
        for log in sorted(self._cluster.folder.glob("session_*/logs/[gr]*.out")):
            if log.parts[-3] != "session_latest":
                lines = log.read_text(errors="replace").splitlines()
                matched = [line for line in lines if line.startswith("[20") and WHY.search(line)]
                for line in matched[:MOST_LINES]:
                    self._tell("log", file=f"{log.name}", line=line[:400])

    def _tell(self, what: str, **more: object) -> None:
        at = None if self._fault is None else round(self._now(), 1)
        print(json.dumps({"scenario": self._scenario, "at": at, "what": what, **more}), flush=True)


def _command(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
    except OSError:
        return ""


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("scenario", nargs="+", choices=SCENARIOS)
    parser.add_argument("--steps", type=int, default=300, help="steps of half a second of a run")
    parser.add_argument("--limit", type=float, default=400.0, help="seconds until a scenario is given up")
    asked = parser.parse_args()
    for scenario in asked.scenario:
        folder = Path(tempfile.mkdtemp(prefix="ray-faults-"))
        jobs = [quick.create(folder / "runs", seed, asked.steps, 0.5) for seed in range(4)]
        for job in jobs:
            job.give(RESOURCES)
        with Cluster(workers=2) as cluster:
            settings = RaySettings(address=cluster.address)
            executor = RayExecutor(folder, quick.worker(), RESOURCES, settings, interval=1.0, patience=5.0)
            Watch(scenario, cluster, executor, jobs).run(SCENARIOS[scenario], asked.limit)


if __name__ == "__main__":
    main()
