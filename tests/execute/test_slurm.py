"""The SLURM executor on a real SLURM of two nodes on this host, with a worker that counts.

What happens to a job is read in its own directory, in SLURM's words, and in what the executor says of it, and compared.
The slowest thing, a time limit (SLURM counts minutes), goes on beside the other tests.
"""

import importlib.util
import json
import shlex
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from harness.execute.engine import Refused, Standing, Unreachable
from harness.execute.slurm import SlurmExecutor
from harness.spec.engines import SlurmSettings
from harness.spec.resources import Resources

ENGINES = Path(__file__).parents[2] / "benchmarks" / "engines"
WORKER = (sys.executable, "-P", str(ENGINES / "quick_worker.py"))
LONG = 100_000
LONGEST = 6
SECRETS = {"HF_TOKEN": "hf_abcdefgh", "WANDB_API_KEY": "0123456789abcdef", "AWS_SECRET_ACCESS_KEY": "wJalrXUtnFEMI"}


def script(name: str) -> ModuleType:
    """Return a script of benchmarks/engines as a module."""
    spec = importlib.util.spec_from_file_location(f"benchmarks_{name}", ENGINES / f"{name}.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


slurm_cluster = script("slurm_cluster")
ABSENT: str | None = slurm_cluster.missing()
pytestmark = [pytest.mark.slow, pytest.mark.skipif(ABSENT is not None, reason=f"no SLURM to test: {ABSENT}")]


@dataclass(frozen=True)
class Site:
    """A cluster, and a folder that all its nodes see."""

    cluster: Any
    root: Path

    def executor(
        self,
        resources: Resources | None = None,
        *,
        worker: Sequence[str] = WORKER,
        setup_allowed: bool = False,
        environment: dict[str, str] | None = None,
        patience: float = 45.0,
        settings: SlurmSettings | None = None,
        **declared: Any,
    ) -> SlurmExecutor:
        """Return an executor of the site, with settings as they are declared."""
        return SlurmExecutor(
            self.root / "slurm",
            worker,
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
        self.cluster.wait(lambda: all(told(job).count("start") == starts for job in jobs), "workers have started")


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    """Return a cluster of the module's own, of short arrays."""
    with slurm_cluster.Cluster(max_array=LONGEST) as started:
        yield started


@pytest.fixture(scope="module", autouse=True)
def warned(cluster: Any, tmp_path_factory: pytest.TempPathFactory) -> tuple[Site, Path, SlurmExecutor, str]:
    """Start a job that reaches its time limit, on `n1` and where nothing preempts it."""
    site = Site(cluster, tmp_path_factory.mktemp("warned"))
    resources = Resources(minutes=0.01, grace_seconds=0)
    executor = site.executor(resources, warning_seconds=50, partition="high", constraint="on-n1")
    [job] = site.jobs(1, LONG)
    [handle] = executor.submit([job])
    return site, job, executor, handle


@pytest.fixture
def site(cluster: Any, tmp_path: Path) -> Iterator[Site]:
    """Return the site, with a folder of the test's own whose jobs are stopped when it ends."""
    yield Site(cluster, tmp_path)
    names = [path.stem for path in (tmp_path / "slurm").glob("harness-*.jobs")]
    if names:
        cluster.call("scancel", f"--name={','.join(names)}")


def events(job: Path) -> list[dict[str, Any]]:
    """Return what happened to a job."""
    file = job / "events.jsonl"
    return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []


def told(job: Path) -> list[str]:
    """Return the names of what happened to a job."""
    return [event["event"] for event in events(job)]


def exists(pid: int) -> bool:
    """Return whether a process is there and no mere zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def wake(site: Site, handle: str) -> None:
    """Let a job start that SLURM holds back for two minutes after it was stopped."""
    task = handle.partition("-")[0]
    site.cluster.wait(lambda: site.cluster.squeue("-r", f"-j{task}", "-o%T %r").strip() == "PENDING BeginTime", "held")
    site.cluster.release(task)


def test_arrays_are_cut_to_what_the_cluster_takes_and_go_to_both_nodes_in_order(site: Site) -> None:
    executor = site.executor()
    jobs = site.jobs(LONGEST + 2)
    handles = executor.submit(jobs)
    assert [handle.partition("_")[2].partition("-")[0] for handle in handles] == [*"012345", *"01"]
    assert len({handle.partition("_")[0] for handle in handles}) == 2
    site.until(executor, handles, "gone")
    assert [told(job) for job in jobs] == [["start", "done"]] * len(jobs)
    assert {events(job)[0]["node"] for job in jobs} == {"n1", "n2"}
    environments = [events(job)[0]["env"] for job in jobs]
    assert [f"{env['SLURM_ARRAY_JOB_ID']}_{env['SLURM_ARRAY_TASK_ID']}" for env in environments] == [
        handle.partition("-")[0] for handle in handles
    ]


def test_one_at_once_runs_one_after_the_other(site: Site) -> None:
    executor = site.executor(at_once=1)
    jobs = site.jobs(3)
    handles = executor.submit(jobs)
    site.until(executor, handles, "gone")
    spans = [(events(job)[0]["at"], events(job)[1]["at"]) for job in jobs]
    assert all(ended <= started for (_, ended), (started, _) in pairwise(spans))


def test_tasks_that_wait_together_are_told_apart(site: Site) -> None:
    executor = site.executor(at_once=1)
    jobs = site.jobs(4, LONG)
    handles = executor.submit(jobs)
    site.cluster.wait(lambda: executor.poll(handles)[handles[0]] == "running", "the first runs")
    array = handles[0].partition("_")[0]
    assert f"{array}_[1-3%1]" in site.cluster.squeue(f"--jobs={array}", "--format=%i").split()
    assert executor.poll(handles) == dict(zip(handles, ["running", "queued", "queued", "queued"], strict=True))
    site.cluster.wait(lambda: told(jobs[0]) == ["start"], "the worker has started")
    executor.cancel([handles[0], handles[2]])
    site.cluster.wait(lambda: executor.poll(handles)[handles[1]] == "running", "the next runs")
    assert executor.poll(handles) == dict(zip(handles, ["gone", "running", "gone", "queued"], strict=True))
    assert events(jobs[0])[-1]["why"] == "SIGTERM"
    assert told(jobs[2]) == []
    executor.cancel(handles)
    site.until(executor, handles, "gone")
    executor.cancel(handles)  # again: gone ones are passed over


def test_what_is_asked_for_is_what_a_job_has(site: Site) -> None:
    resources = Resources(gpus=2, cpus=3, memory_gib=1.5, minutes=10, grace_seconds=40)
    executor = site.executor(resources, gpu_type="fake", warning_seconds=30)
    [job] = site.jobs(1)
    handles = executor.submit([job])
    site.until(executor, handles, "gone")
    environment = events(job)[0]["env"]
    assert environment["CUDA_VISIBLE_DEVICES"] == "0,1"
    assert environment["SLURM_CPUS_PER_TASK"] == "3"
    assert environment["SLURM_MEM_PER_NODE"] == "1536"
    # 10 min, 40 s for a stop and 30 s before the limit that SLURM warns: 11.17, which SLURM can only take as 12
    assert site.cluster.squeue("--states=all", f"-j{handles[0].partition('_')[0]}", "-o%l").strip() == "12:00"


def test_a_device_is_shared_by_as_many_runs_as_parts(site: Site) -> None:
    executor = site.executor(Resources(gpus=0.5, cpus=1, memory_gib=0.25))
    jobs = site.jobs(5, 10)
    handles = executor.submit(jobs)
    assert handles[0] == handles[1] != handles[2] == handles[3] != handles[4]
    site.until(executor, handles, "gone")
    seen = [events(job)[0] for job in jobs]
    assert [told(job) for job in jobs] == [["start", "done"]] * 5
    assert seen[0]["pid"] == seen[1]["pid"]
    assert {len(each["env"]["CUDA_VISIBLE_DEVICES"].split(",")) for each in seen} == {1}
    assert {each["env"]["SLURM_MEM_PER_NODE"] for each in seen} == {"512"}
    assert {each["env"]["SLURM_CPUS_PER_TASK"] for each in seen} == {"2"}


def test_names_and_paths_are_never_read_as_shell(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(site.root)
    store = Site(site.cluster, site.root / 'a store\'s "$(touch pwned)"; touch pwned & `touch pwned` #')
    store.root.mkdir()
    names = ["a b", "it's", 'say "x"', "$(touch pwned)", "`touch pwned`", "x; touch pwned", "*", "%j\\", "-n", "é"]
    jobs = [store.job(name) for name in names]
    arguments = ["$(touch pwned)", ";touch pwned", "--wrap=touch pwned"]
    for argument in arguments:  # the worker takes them for jobs, relative to where it runs
        store.job(f"slurm/{argument}")
    executor = store.executor(worker=[*WORKER, *arguments])
    handles = executor.submit(jobs)
    store.until(executor, handles, "gone")
    assert [told(job) for job in jobs] == [["start", "done"]] * len(jobs)
    assert [told(store.root / "slurm" / argument)[0] for argument in arguments] == ["start"] * 3
    assert not list(site.root.rglob("pwned"))


def test_paths_that_slurm_would_misread_are_refused(site: Site) -> None:
    with pytest.raises(Refused, match="a line break in the path"):
        site.executor().submit([*site.jobs(1), site.root / "a\nb"])
    for name in ("100%j", "a\\b"):
        with pytest.raises(Refused, match="as patterns"):
            Site(site.cluster, site.root / name).executor()


@pytest.mark.parametrize("value", ["--wrap=touch x", "low;touch x", "low --wrap=x", "$(touch x)"])
def test_settings_would_be_one_argument_whatever_they_held(site: Site, value: str) -> None:
    executor = site.executor(settings=SlurmSettings.model_construct(partition=value))
    with pytest.raises(Refused, match="invalid partition specified"):
        executor.submit(site.jobs(1))
    assert not list(site.root.rglob("x"))


def test_what_sbatch_refuses_is_told_in_its_words(site: Site) -> None:
    job = site.jobs(1)
    with pytest.raises(Refused, match="invalid partition specified: nowhere"):
        site.executor(partition="nowhere").submit(job)
    with pytest.raises(Refused, match="Requested node configuration is not available"):
        site.executor(Resources(gpus=1), gpu_type="h200").submit(job)
    with pytest.raises(Refused, match="Memory specification can not be satisfied"):
        site.executor(Resources(memory_gib=10_000)).submit(job)


def test_arrays_before_one_that_is_refused_are_cancelled(site: Site, tmp_path: Path) -> None:
    # a cluster that takes one array and no more, as a limit of submitted jobs would have it
    wrapped(tmp_path / "bin", "sbatch", "[ -e ../taken ] && set -- --partition=nowhere --wrap=x; touch ../taken")
    executor = site.executor(environment={"PATH": f"{tmp_path}/bin:{site.cluster.environment['PATH']}"})
    with pytest.raises(Refused, match="nowhere"):
        executor.submit(site.jobs(LONGEST + 1, LONG))
    names = ",".join(path.stem for path in (site.root / "slurm").glob("*.jobs"))
    site.cluster.wait(lambda: not site.cluster.squeue(f"--name={names}"), "nothing is left in the queue")
    assert site.cluster.squeue("--states=all", f"--name={names}", "--format=%T").split()[0] == "CANCELLED"


def wrapped(folder: Path, command: str, before: str) -> None:
    """Put a command of this name into a folder, which does something, there, before it does what it always does."""
    folder.mkdir()
    real = Path("/usr/bin") / command
    fake = folder / command
    fake.write_text(f"#!/bin/bash\npushd {shlex.quote(str(folder))} >/dev/null\n{before}\npopd >/dev/null\n")
    with fake.open("a") as file:
        file.write(f'{real} "$@"\nstatus=$?\n[ "$SLEEP" ] || exit $status\nexec sleep 60\n')
    fake.chmod(0o755)


def test_setup_is_code_and_wants_permission(site: Site) -> None:
    lines = ("export HARNESS_SETUP='it ran'", "cd /")
    with pytest.raises(Refused, match="--allow-code"):
        site.executor(setup=lines)
    executor = site.executor(setup=lines, setup_allowed=True)
    [job] = site.jobs(1)
    site.until(executor, executor.submit([job]), "gone")
    assert events(job)[0]["env"]["HARNESS_SETUP"] == "it ran"
    assert told(job) == ["start", "done"]


def test_nothing_of_an_enclosing_allocation_and_no_secret_goes_along(site: Site) -> None:
    enclosing = {
        "SBATCH_PARTITION": "nowhere",
        "SBATCH_EXPORT": "NONE",
        "SBATCH_ARRAY_INX": "0-9",
        "SLURM_TIME_FORMAT": "relative",
        "SLURM_MEM_PER_CPU": "7",
        "SLURM_JOB_NAME": "outer",
        "SLURM_CLUSTERS": "elsewhere",
        "SQUEUE_FORMAT": "%A",
        "SQUEUE_STATES": "FAILED",
        "CUDA_VISIBLE_DEVICES": "7",
        "LC_HARNESS": "kept",
        "HF_HOME": "/models",
    }
    executor = site.executor(environment={**enclosing, **SECRETS})
    [job] = site.jobs(1, LONG)
    handles = executor.submit([job])
    site.at_work(executor, [job], handles)
    environment = events(job)[0]["env"]
    assert {name for name in enclosing if environment.get(name) == enclosing[name]} == {"LC_HARNESS", "HF_HOME"}
    assert not set(environment) & set(SECRETS)
    assert environment["SLURM_JOB_NAME"].startswith("harness-")
    assert environment["PATH"] == site.cluster.environment["PATH"]
    time.sleep(1)
    held = [*site.root.rglob("*"), *site.cluster.folder.rglob("*")]  # the store, and what SLURM keeps
    texts = [path.read_bytes() for path in held if path.is_file() and path.name != "munge.key"]
    assert any(b"LC_HARNESS" in text for text in texts)  # so it would be seen
    assert not [secret for secret in SECRETS.values() for text in texts if secret.encode() in text]


def test_a_job_taken_on_by_a_controller_that_never_said_so_is_found(site: Site, tmp_path: Path) -> None:
    wrapped(tmp_path / "bin", "sbatch", "SLEEP=yes")
    executor = site.executor(environment={"PATH": f"{tmp_path}/bin:{site.cluster.environment['PATH']}"}, patience=2)
    [job] = site.jobs(1)
    handles = executor.submit([job])
    site.until(executor, handles, "gone")
    assert told(job) == ["start", "done"]


def test_a_command_that_does_not_answer_is_not_an_end(site: Site, tmp_path: Path) -> None:
    wrapped(tmp_path / "bin", "squeue", "sleep 60")
    executor = site.executor(environment={"PATH": f"{tmp_path}/bin:{site.cluster.environment['PATH']}"}, patience=0.5)
    with pytest.raises(Unreachable, match=r"squeue: no answer within 0\.5 s"):
        executor.poll(["1_0-00000000"])
    with pytest.raises(Unreachable, match="scontrol is not on PATH"):
        Site(site.cluster, tmp_path / "elsewhere").executor(environment={"PATH": str(tmp_path)})


def test_what_was_never_ours_is_gone_and_left_alone(site: Site) -> None:
    executor = site.executor()
    other = site.cluster.submit("exec sleep 100", "--array=0")
    strange = [f"{other}_0-00000000", "999999_0-00000000", f"{other}_0", other, "--help", ""]
    assert set(executor.poll(strange).values()) == {"gone"}
    executor.cancel(strange)
    assert site.cluster.state(other) in ("PENDING", "RUNNING")
    site.cluster.call("scancel", other)


def test_a_controller_that_is_down_is_not_an_end(site: Site) -> None:
    executor = site.executor()
    running, later = site.jobs(2, LONG)
    handles = executor.submit([running])
    site.at_work(executor, [running], handles)
    site.cluster.stop_controller()
    for call in (lambda: executor.poll(handles), lambda: executor.submit([later]), lambda: executor.cancel(handles)):
        with pytest.raises(Unreachable, match="Unable to contact slurm controller"):
            call()
    assert site.executor().name == executor.name  # a command that is started now knows whose the kept handles are
    with pytest.raises(Unreachable, match="Unable to contact slurm controller"):
        Site(site.cluster, site.root / "new").executor()
    site.cluster.start_controller()
    assert executor.poll(handles) == {handles[0]: "running"}
    assert told(running) == ["start"]  # and nothing else
    assert told(later) == []
    executor.cancel(handles)
    site.until(executor, handles, "gone")


def test_a_job_that_is_requeued_keeps_its_handle(site: Site) -> None:
    executor = site.executor(constraint="on-n2")
    [job] = site.jobs(1, LONG)
    handles = executor.submit([job])
    site.at_work(executor, [job], handles)
    site.cluster.requeue(handles[0].partition("-")[0])
    (job / "steps").write_text("1")
    looks = site.until(executor, handles, "queued")
    assert {"gone"} not in looks
    wake(site, handles[0])
    site.until(executor, handles, "gone")
    assert told(job) == ["start", "stopped", "start", "done"]


def test_a_preempted_job_keeps_its_handle(site: Site) -> None:
    executor = site.executor(constraint="on-n2", partition="low")
    [job] = site.jobs(1, LONG)
    handles = executor.submit([job])
    site.at_work(executor, [job], handles)
    site.cluster.submit("exec sleep 1", "--partition=high", "--constraint=on-n2", "--cpus-per-task=4")
    looks = site.until(executor, handles, "queued")
    assert {"gone"} not in looks
    assert [event.get("why") for event in events(job)] == [None, "SIGTERM"]
    (job / "steps").write_text("1")
    wake(site, handles[0])
    site.until(executor, handles, "gone")
    assert told(job) == ["start", "stopped", "start", "done"]


def test_a_job_of_a_node_that_dies_is_queued_again_and_goes_to_another(site: Site) -> None:
    executor = site.executor()
    [job] = site.jobs(1, LONG)
    site.cluster.update("NodeName=n1", "State=DRAIN", "Reason=so that it goes to n2")
    handles = executor.submit([job])
    site.at_work(executor, [job], handles)
    site.cluster.update("NodeName=n1", "State=RESUME")
    pid = events(job)[0]["pid"]
    (job / "steps").write_text("1")
    site.cluster.kill_node("n2")
    assert not exists(pid)
    looks = site.until(executor, handles, "queued")
    assert {"gone"} not in looks
    assert site.cluster.node("n2").startswith("down")
    wake(site, handles[0])
    site.until(executor, handles, "gone")
    assert told(job) == ["start", "start", "done"]
    assert [event["node"] for event in events(job) if event["event"] == "start"] == ["n2", "n1"]
    site.cluster.start_node("n2")
    site.cluster.wait(lambda: site.cluster.node("n2") == "idle", "the node is back")


def test_a_time_limit_is_announced(warned: tuple[Site, Path, SlurmExecutor, str]) -> None:
    site, job, executor, handle = warned
    site.until(executor, [handle], "gone")
    assert [event.get("why") for event in events(job)] == [None, "SIGUSR2"]
