"""The Ray engine on a real cluster of a head and two nodes; the last test ends the cluster."""

import importlib.util
import json
import sys
import time
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from harness.execute.engine import Standing, Unreachable
from harness.execute.ray_dashboard import Dashboard
from harness.execute.ray_jobs import PASSED, RayExecutor
from harness.spec.engines import RaySettings
from harness.spec.resources import Resources

ENGINES = Path(__file__).parents[2] / "benchmarks" / "engines"
PATIENCE = 120.0
QUICK = {"RAY_health_check_period_ms": "1000"}
"""Ray counts a silent node as lost after 5 s instead of 15."""
SECRET = "hf_never-to-be-seen"

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        importlib.util.find_spec("ray") is None, reason="ray is missing: pip install 'rlvr-harness[ray]'"
    ),
    pytest.mark.skipif(sys.platform != "linux", reason="looks nodes' processes up in /proc, which Linux has"),
]


def script(name: str) -> ModuleType:
    """Return a script of benchmarks/engines/ as a module."""
    spec = importlib.util.spec_from_file_location(f"benchmarks_engines_{name}", ENGINES / f"{name}.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    """Return a cluster whose nodes were started where a token was in the environment of who started them."""
    with pytest.MonkeyPatch.context() as here:
        here.setenv("HF_TOKEN", SECRET)
        with script("ray_cluster").Cluster(workers=2, cpus=2, gpus=2, tuning=QUICK) as cluster:
            yield cluster


class Bench:
    """Jobs of the counting worker and executors that take them."""

    def __init__(self, cluster: Any, folder: Path) -> None:
        self.cluster = cluster
        self.folder = folder

    def jobs(self, *names: str, steps: int = 10_000) -> list[Path]:
        """Return jobs that take so many tenths of a second, and 4 s to stop, longer than Ray waits by itself."""
        jobs = [self.folder / name for name in names]
        for job in jobs:
            job.mkdir()
            (job / "steps").write_text(str(steps))
            (job / "linger").write_text("4")
        return jobs

    def executor(self, gpus: float = 1.0, backlog: int = 4, **more: Any) -> RayExecutor:
        worker = [sys.executable, "-P", str(ENGINES / "counting.py")]
        settings = RaySettings(address=self.cluster.address, backlog=backlog)
        return RayExecutor(self.folder, worker, Resources(gpus=gpus), settings, patience=5.0, **more)

    def stands(self, executor: RayExecutor, handles: Sequence[str], *expected: Standing) -> None:
        """Wait until every handle stands as expected."""
        self.wait(lambda: set(executor.poll(handles).values()) <= set(expected), lambda: executor.poll(handles))

    @staticmethod
    def wait(holds: Callable[[], bool], instead: Callable[[], object] = lambda: "") -> None:
        deadline = time.monotonic() + PATIENCE
        while not holds():
            assert time.monotonic() < deadline, instead()
            time.sleep(0.3)

    @staticmethod
    def said(job: Path, what: str) -> list[dict[str, Any]]:
        file = job / "events.jsonl"
        lines = file.read_text().splitlines() if file.exists() else []
        return [said for line in lines if (said := json.loads(line))["event"] == what]

    def at_work(self, executor: RayExecutor, jobs: Sequence[Path], handles: Sequence[str]) -> dict[Path, int]:
        """Wait until jobs' workers count; return the node of each, by who has its process."""
        self.wait(lambda: bool(executor.poll(handles)) and all(self.said(job, "start") for job in jobs))
        pids = {job: self.said(job, "start")[-1]["pid"] for job in jobs}
        homes = {pid: node.index for node in self.cluster.nodes for pid in node.pids()}
        return {job: homes[pid] for job, pid in pids.items()}

    def known(self) -> list[dict[str, Any]]:
        """Return what anyone reads at the dashboard of the jobs that are not over."""
        with urllib.request.urlopen(f"{self.cluster.address}/api/jobs/", timeout=10) as answer:
            return [job for job in json.load(answer) if job["status"] in ("PENDING", "RUNNING")]


@pytest.fixture
def bench(cluster: Any, tmp_path: Path) -> Iterator[Bench]:
    """Return a bench in a folder of the test's own; a test that fails leaves nothing at work for the next."""
    yield Bench(cluster, tmp_path)
    dashboard = Dashboard(cluster.address, patience=10.0)
    for id, job in dashboard.jobs().items():
        if job.live:
            dashboard.stop(id)


def test_runs_spread_over_nodes_and_devices_and_no_more_are_handed_over_than_fit(bench: Bench) -> None:
    executor = bench.executor(backlog=1)
    jobs = bench.jobs(*"abcdefg")
    handles = executor.submit(jobs)
    homes = bench.at_work(executor, jobs[:4], handles)
    devices = {job: bench.said(job, "start")[0]["env"]["CUDA_VISIBLE_DEVICES"] for job in homes}
    assert {(homes[job], devices[job]) for job in homes} == {(1, "0"), (1, "1"), (2, "0"), (2, "1")}
    stands = executor.poll(handles)
    assert Counter(stands.values()) == {"running": 4, "queued": 3}
    assert len(bench.known()) == 4 + 1  # two devices of two nodes, and the backlog
    executor.cancel(handles[6:])  # it was never handed over
    assert executor.poll(handles)[handles[6]] == "gone"
    executor.cancel(handles[:2])
    bench.stands(executor, handles[:2], "gone")
    assert [len(bench.said(job, "stopped")) for job in jobs[:2]] == [1, 1]  # they linger for 4 s; Ray's own wait is 3
    bench.at_work(executor, jobs[4:6], handles)  # the backlog, and the one that followed it
    executor.cancel([*handles, "harness-unknown-0123456789ab"])  # two of them are gone already
    bench.stands(executor, handles, "gone")
    assert not bench.said(jobs[6], "start")


def test_fractions_share_a_device_and_awkward_paths_reach_the_worker_as_they_are(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RAY_API_SERVER_ADDRESS", "http://127.0.0.1:9")  # ray's own client would go there
    monkeypatch.setenv("RAY_ADDRESS", "127.0.0.1:9")
    monkeypatch.setenv("HF_TOKEN", SECRET)
    for name in PASSED:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HF_HOME", "/shared/models")
    names = ("two words", 'it\'s "quoted"', "$(touch pwned); touch pwned & `touch pwned` #", "-n * ~ \\ ünïcode")
    jobs = bench.jobs(*names, steps=60)
    executor = bench.executor(gpus=0.5)
    handles = executor.submit(jobs)
    homes = bench.at_work(executor, jobs, handles)
    starts = {job: bench.said(job, "start")[0] for job in jobs}
    places = Counter((homes[job], starts[job]["env"]["CUDA_VISIBLE_DEVICES"]) for job in jobs)
    assert sorted(places.values()) == [2, 2]  # two CPUs a node, so two runs, which share one of its devices
    assert [starts[job]["arguments"][-1] for job in jobs] == [str(job) for job in jobs]
    known = bench.known()
    assert len(known) == 4 and SECRET not in json.dumps(known)
    assert {name for job in known for name in job["runtime_env"]["env_vars"]} == {"HF_HOME", "RAY_JOB_STOP_WAIT_TIME_S"}
    assert {start["env"]["HF_HOME"] for start in starts.values()} == {"/shared/models"}
    assert SECRET not in json.dumps([*starts.values()])
    bench.stands(executor, handles, "gone")
    assert all((job / "done").exists() for job in jobs)
    assert not list(bench.cluster.folder.glob("**/pwned")) and not list(bench.folder.glob("**/pwned"))


def test_the_same_id_twice_is_one_job(bench: Bench) -> None:
    dashboard = Dashboard(bench.cluster.address, patience=10.0)
    demand = {"CPU": 1, "GPU": 0.0, "memory": 0}
    for _ in range(2):
        dashboard.submit("harness-twice", "exec sleep 600", demand, {})
    assert [job["submission_id"] for job in bench.known()] == ["harness-twice"]
    bench.wait(lambda: dashboard.jobs()["harness-twice"].status == "RUNNING")
    dashboard.stop("harness-twice")
    bench.wait(lambda: not dashboard.jobs()["harness-twice"].live)
    dashboard.stop("harness-twice")  # it is over
    dashboard.stop("harness-never-was")


def test_a_lost_node_lets_go_and_a_later_driver_finds_the_rest(bench: Bench) -> None:
    jobs = bench.jobs("one", "two", "three", "four")
    executor = bench.executor()
    handles = executor.submit(jobs)
    homes = bench.at_work(executor, jobs, handles)
    executor.close()
    later = bench.executor()  # of another process, as far as it knows
    assert set(later.poll(handles).values()) == {"running"}
    bench.cluster.kill_node(bench.cluster.workers[0])
    lost = [handle for job, handle in zip(jobs, handles, strict=True) if homes[job] == 1]
    assert len(lost) == 2
    bench.stands(later, lost, "gone")
    assert set(later.poll([handle for handle in handles if handle not in lost]).values()) == {"running"}
    assert "JOB_SUPERVISOR_ACTOR" not in later.log.read_text()  # not its own; the first driver would have said
    later.cancel(handles)
    bench.stands(later, handles, "gone")


def test_a_dead_head_is_never_gone_and_a_new_head_is(bench: Bench) -> None:
    [job] = bench.jobs("job")
    executor = bench.executor()
    handles = executor.submit([job])
    bench.at_work(executor, [job], handles)
    pid = bench.said(job, "start")[0]["pid"]
    bench.cluster.kill_gcs()  # the dashboard's process is there, and knows nothing any more
    for _ in range(2):
        with pytest.raises(Unreachable):
            executor.poll(handles)
    bench.cluster.kill_node(bench.cluster.head)
    for ask in (executor.poll, executor.cancel):
        with pytest.raises(Unreachable, match="no answer from http"):
            ask(handles)
    with pytest.raises(Unreachable):
        executor.submit([job])
    assert pid in bench.cluster.workers[1].pids()  # it goes on meanwhile
    bench.cluster.restart_head()
    assert executor.poll(handles) == {handles[0]: "gone"}
