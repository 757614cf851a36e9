"""Many runs on one engine while workers, supervisors, drivers and a node are killed at random: is anything lost?

    python benchmarks/engines/chaos.py local --quick 60 --real 10 --kills 40
    python benchmarks/engines/chaos.py slurm ray --quick 60 --real 10 --kills 40

Quick runs (`quick.py`) have a trainer of seconds behind the real supervisor and record; one in twenty always fails.
They may resume. Real runs are runs of the protocol `smoke`, which begin again; each is compared to the byte with one
that nobody disturbed, which was made before in a store of its own. The driver is a process of its own that is started
again whenever it was killed, until one has ended with every run committed or failed. Victims are drawn by a seeded
generator among the processes that are there at the moment: trainers, supervisors, the driver, and a node (SLURM: the
daemon and all that it started; Ray: its raylet and all of its namespace), which comes back some seconds later.

What is printed, as JSON: kills by kind, starts of the driver, results right, wrong and missing, results committed more
than once, the reasons of the failed, steps made again (of quick runs), attempts. The exit status is 0 only if every
result is there and right, none was committed twice, and those that fail always, and only those, have failed with their
reason. Linux; SLURM and Ray as their clusters here need them.
"""

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))  # its neighbours; the file is loaded by tests, too

import quick

from harness.campaign.execution import Progress, execute
from harness.execute import Executor, LocalExecutor
from harness.execute.worker import worker as real_worker
from harness.plan.runset import planned_base, planned_run
from harness.record.ending import Reason
from harness.record.job import JobDirectory
from harness.spec import Cell, Lora, Protocol, load_protocol
from harness.spec.adapter import Proportional
from harness.spec.engines import RaySettings, SlurmSettings
from harness.spec.resources import Resources

ENGINES = ("local", "slurm", "ray")
WEIGHTS = {"trainer": 0.5, "supervisor": 0.25, "driver": 0.25}
"""How often each kind of process is chosen."""
FAILING = 20
"""One in so many quick runs always fails."""
SLOTS = 4
SMOKE = Path(__file__).parents[2] / "runs" / "smoke.yaml"


@dataclass(frozen=True)
class Jobs:
    """The jobs of a trial in a store."""

    root: Path
    quick: tuple[JobDirectory, ...]
    real: tuple[JobDirectory, ...]

    @property
    def all(self) -> list[JobDirectory]:
        """Quick and real runs, mixed as they are to be submitted."""
        mixed = [*self.quick, *self.real]
        random.Random(5).shuffle(mixed)
        return mixed


@dataclass
class Node:
    """How a node is killed and brought back; nothing where the engine has none."""

    kill: Callable[[], None] = lambda: None
    restore: Callable[[], None] = lambda: None
    kills: int = 0
    """How often one is to be killed."""
    away: float = 12.0
    """Seconds until it is back."""


@dataclass
class Engine:
    """An engine at hand, and what its driver needs to know of it."""

    name: str
    settings: dict[str, Any] = field(default_factory=dict[str, Any])
    environment: dict[str, str] = field(default_factory=lambda: dict(os.environ))
    node: Node = field(default_factory=Node)


def planned(protocol: Protocol, root: Path, count: int) -> tuple[JobDirectory, list[JobDirectory]]:
    """Return the base and `count` runs of a protocol, created in a store."""
    base = planned_base("llama", protocol)
    cells = [Cell(adapter=Lora(rank=rank, scaling=Proportional())) for rank in (8, 64)]
    runs = [planned_run(base, cells[i % 2], i // 2, protocol) for i in range(count)]
    found: list[JobDirectory] = []
    for kind, job_id, identity in [("bases", base.id, base.identity), *(("runs", r.id, r.identity) for r in runs)]:
        job = JobDirectory(root / kind / job_id)
        job.create({"id": job_id, "identity": identity})
        found.append(job)
    return found[0], found[1:]


def undisturbed(root: Path, count: int) -> dict[str, dict[str, str]]:
    """Make the base and `count` real runs in peace; return the checksums of their files, by id."""
    base, runs = planned(load_protocol(SMOKE, "smoke.yaml"), root, count)
    executor = LocalExecutor(root / "executor.log", real_worker(), [None] * 2)
    try:
        for jobs in ([base], runs):
            ended = execute("jobs", jobs, executor, _unwatched)
            if ended.failed:
                raise RuntimeError(f"undisturbed runs failed: {ended.failed}")
    finally:
        executor.close()
    return {job.id: checksums(job) for job in [base, *runs]}


def checksums(job: JobDirectory) -> dict[str, str]:
    """Return the checksums of a job's committed files."""
    manifest = job.manifest()
    return {name: said["sha256"] for name, said in manifest["files"].items()} if manifest else {}


def prepared(root: Path, count: int, peaceful: Path | None, real: int, seconds: float) -> Jobs:
    """Return a trial's jobs: new quick ones, and real ones whose base was made before."""
    quicks = tuple(
        quick.create(root / "runs", seed, 10 + seed % 7, seconds, fails=seed % FAILING == FAILING - 1)
        for seed in range(count)
    )
    for job in quicks:
        job.give(quick.RESUMES)
    reals: list[JobDirectory] = []
    if peaceful is not None and real:
        import shutil

        base, reals = planned(load_protocol(SMOKE, "smoke.yaml"), root, real)
        shutil.copytree(peaceful / "bases" / base.id, base.path, dirs_exist_ok=True)
    return Jobs(root, quicks, tuple(reals))


@contextmanager
def at_hand(engine: str) -> Generator[Engine]:
    """Yield an engine, started where it has to be; everything of it is gone afterwards."""
    with ExitStack() as stack:
        if engine == "slurm":
            import slurm_cluster

            slurm = stack.enter_context(slurm_cluster.Cluster(cpus=SLOTS))
            node = Node(lambda: slurm.kill_node("n2"), lambda: _slurm_back(slurm), kills=1)
            yield Engine("slurm", environment=slurm.environment, node=node)
        elif engine == "ray":
            import ray_cluster

            ray = stack.enter_context(ray_cluster.Cluster(workers=2, cpus=SLOTS, gpus=0))
            victim = ray.workers[1]
            node = Node(lambda: ray.kill_node(victim), lambda: ray.restart_worker(victim), kills=1)
            yield Engine("ray", settings={"address": ray.address}, node=node)
        else:
            yield Engine("local")


def _slurm_back(cluster: Any) -> None:
    cluster.start_node("n2")
    cluster.wait(lambda: not cluster.node("n2").startswith("down*"), "the node registers")
    if cluster.node("n2").startswith("down"):
        cluster.update("NodeName=n2", "State=RESUME")


def executor(engine: str, folder: Path, settings: dict[str, Any]) -> Executor:
    """Return the engine's executor, whose worker knows quick runs and real ones apart."""
    worker = [sys.executable, "-P", str(Path(__file__).resolve()), "--work"]
    if engine == "slurm":
        from harness.execute.slurm import SlurmExecutor

        told = SlurmSettings.model_validate(settings)
        return SlurmExecutor(folder / "slurm", worker, quick.RESUMES, told, setup_allowed=False, interval=0.5)
    if engine == "ray":
        from harness.execute.ray_jobs import RayExecutor

        return RayExecutor(folder / "ray", worker, quick.RESUMES, RaySettings.model_validate(settings), interval=0.5)
    return LocalExecutor(folder / "executor.log", worker, [None] * SLOTS)


def work(folders: Sequence[str]) -> int:
    """Execute jobs, each by the trainer that its identity asks for."""
    from harness.train.side_by_side import side_by_side
    from harness.train.start import fresh, trainer

    ours = fresh(lambda attempt: [*quick.worker("--trainer"), str(attempt.path)])
    theirs = fresh(trainer(None))

    def start(attempt: Any, resources: Resources) -> int:
        kind = JobDirectory(attempt.job).spec()["identity"]["kind"]
        return (ours if kind == "quick" else theirs)(attempt, resources)

    return side_by_side([Path(folder) for folder in folders], start)


def drive(engine: str, folder: Path, settings: dict[str, Any], folders: Sequence[str]) -> int:
    """Execute jobs to their ends: what is killed again and again."""
    made = executor(engine, folder, settings)
    try:
        ended = execute("runs", [JobDirectory(Path(folder)) for folder in folders], made, _unwatched)
    finally:
        made.close()
    print(json.dumps(ended.failed))
    return 0


class Chaos:
    """Kills until none is left, and starts the driver again until it has ended by itself."""

    def __init__(self, engine: Engine, jobs: Jobs, kills: int, pause: float, seed: int):
        self._engine, self._jobs, self._pause = engine, jobs, pause
        self._random = random.Random(seed)
        self._plan = self._random.choices(list(WEIGHTS), list(WEIGHTS.values()), k=kills)
        for _ in range(engine.node.kills):
            self._plan.insert(self._random.randrange(kills // 3, 2 * kills // 3 + 1), "node")
        self.done: Counter[str] = Counter()
        self.starts = 0
        self._node_back = 0.0

    def run(self) -> dict[str, str]:
        """Return what the last driver said of runs without a result."""
        while True:
            self.starts += 1
            driver = self._start()
            self._disturb(driver)
            out = driver.communicate()[0]
            if driver.returncode == 0:  # kills that are left over found nobody any more
                return json.loads(out.splitlines()[-1])
            if driver.returncode != -signal.SIGKILL or self.starts > 200:
                raise RuntimeError(f"the driver ended by itself: {(self._jobs.root / 'driver.err').read_text()}")

    def _start(self) -> "subprocess.Popen[str]":
        folders = [str(job.path) for job in self._jobs.all]
        settings = json.dumps(self._engine.settings)
        command = [sys.executable, str(Path(__file__).resolve()), "--drive", self._engine.name]
        with (self._jobs.root / "driver.err").open("ab") as errors:
            return subprocess.Popen(
                [*command, str(self._jobs.root), settings, *folders],
                stdout=subprocess.PIPE,
                stderr=errors,
                env=self._engine.environment,
                text=True,
            )

    def _disturb(self, driver: "subprocess.Popen[str]") -> None:
        due = time.monotonic() + self._random.expovariate(1 / self._pause)
        while driver.poll() is None:
            time.sleep(0.02)
            now = time.monotonic()
            if self._node_back and now > self._node_back:
                self._engine.node.restore()
                self._node_back = 0.0
            if self._plan and now > due and self._kill(self._plan[0], driver.pid):
                self.done[self._plan.pop(0)] += 1
                due = now + self._random.expovariate(1 / self._pause)
        if self._node_back:
            self._engine.node.restore()
            self._node_back = 0.0

    def _kill(self, kind: str, driver: int) -> bool:
        """Kill one of a kind; return whether there was one."""
        if kind == "node":
            if self._node_back or not self.family("supervisor"):
                return False
            self._engine.node.kill()
            self._node_back = time.monotonic() + self._engine.node.away
            return True
        victims = [driver] if kind == "driver" else self.family(kind)
        if not victims:
            return False
        try:
            os.kill(self._random.choice(victims), signal.SIGKILL)
        except ProcessLookupError:
            return False
        return True

    def family(self, kind: str) -> list[int]:
        """Return the trainers, or the supervisors, of this trial's jobs."""
        root = f"{self._jobs.root}/runs/"
        found = [(pid, words) for pid, words in commands() if words and words[-1].startswith(root)]
        return [pid for pid, words in found if ("--trainer" in words) == (kind == "trainer")]


def commands() -> Iterator[tuple[int, list[str]]]:
    """Yield the processes of this machine with their command lines."""
    for name in os.listdir("/proc"):
        if name.isdigit():
            try:
                line = Path(f"/proc/{name}/cmdline").read_bytes()
            except OSError:
                continue
            yield int(name), line.decode(errors="replace").split("\0")[:-1]


def trial(engine: Engine, jobs: Jobs, peace: dict[str, dict[str, str]], chaos: Chaos) -> Any:
    """Return what came of one trial."""
    began = time.monotonic()
    failed = chaos.run()
    doomed = {job.id for job in jobs.quick if job.spec()["identity"]["fails"]}
    ends = {job.id: job.last_exit() for job in jobs.quick if job.id in doomed}
    found = quick.look(jobs.quick)
    return {
        "engine": engine.name,
        "kills": dict(chaos.done),
        "driver_starts": chaos.starts,
        "seconds": round(time.monotonic() - began),
        "quick": found,
        "quick_doomed": len(doomed),
        "doomed_reported": {job: failed.get(job, "") for job in sorted(doomed)},
        "doomed_with_reason": sum(e is not None and e.reason is Reason.USER_ERROR for e in ends.values()),
        "failed_beyond": sorted(failed.keys() - doomed),
        "real": len(jobs.real),
        "real_equal": sum(checksums(job) == peace[job.id] != {} for job in jobs.real),
        "real_attempts": sum(len(job.attempts()) for job in jobs.real),
        "committed_twice": [job.id for job in jobs.all if commits(job) > 1],
        "left_at_work": len(chaos.family("trainer")) + len(chaos.family("supervisor")),
    }


def commits(job: JobDirectory) -> int:
    """Return how many attempts said that they committed the result."""
    said = [attempt / "exit.json" for attempt in job.attempts()]
    return sum(json.loads(file.read_text())["reason"] == "ok" for file in said if file.is_file())


def nothing_lost(found: dict[str, Any]) -> bool:
    """Return whether a trial lost, doubled and changed nothing."""
    quicks = found["quick"]
    return (
        quicks["right"] == quicks["jobs"] - found["quick_doomed"]
        and not quicks["wrong"]
        and found["doomed_with_reason"] == found["quick_doomed"]
        and all("always fails" in why for why in found["doomed_reported"].values())
        and found["real_equal"] == found["real"]
        and not found["failed_beyond"]
        and not found["committed_twice"]
        and found["left_at_work"] == 0
    )


def _unwatched(_: Progress) -> None:
    """Watch nothing."""


def main() -> int:
    """Return 0 if nothing was lost on any engine."""
    if sys.argv[1:2] == ["--work"]:
        return work(sys.argv[2:])
    if sys.argv[1:2] == ["--drive"]:
        return drive(sys.argv[2], Path(sys.argv[3]), json.loads(sys.argv[4]), sys.argv[5:])
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("engines", nargs="+", choices=ENGINES)
    parser.add_argument("--quick", type=int, default=60)
    parser.add_argument("--real", type=int, default=10)
    parser.add_argument("--kills", type=int, default=40)
    parser.add_argument("--pause", type=float, default=1.5, help="mean seconds between kills")
    parser.add_argument("--seconds", type=float, default=0.3, help="of a step of a quick run")
    parser.add_argument("--seed", type=int, default=1)
    chosen = parser.parse_args()
    status = 0
    with tempfile.TemporaryDirectory() as scratch:
        peaceful = Path(scratch) / "peace"
        peace = undisturbed(peaceful, chosen.real) if chosen.real else {}
        for name in chosen.engines:
            root = Path(scratch) / name
            jobs = prepared(root, chosen.quick, peaceful, chosen.real, chosen.seconds)
            with at_hand(name) as engine:
                found = trial(engine, jobs, peace, Chaos(engine, jobs, chosen.kills, chosen.pause, chosen.seed))
            found["nothing_lost"] = nothing_lost(found)
            print(json.dumps(found, indent=1), flush=True)
            status |= not found["nothing_lost"]
    return status


if __name__ == "__main__":
    sys.exit(main())
