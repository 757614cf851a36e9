"""What is handed to a real SLURM of two nodes, what it is asked, and what it refuses, with a worker that counts.

What becomes of a job is read in its own directory, in SLURM's words, and in what the executor says of it.
"""

import shlex
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from harness.execute.engine import Refused, Unreachable
from harness.spec.engines import SlurmSettings
from harness.spec.resources import Resources

if TYPE_CHECKING:
    from tests.execute.slurm.conftest import Site

pytestmark = pytest.mark.slow
LONGEST = 6
"""Tasks of the longest array that the cluster takes."""
SECRETS = {"HF_TOKEN": "hf_abcdefgh", "WANDB_API_KEY": "0123456789abcdef", "AWS_SECRET_ACCESS_KEY": "wJalrXUtnFEMI"}


def test_arrays_are_cut_to_what_the_cluster_takes_and_go_to_both_nodes_in_order(site: "Site") -> None:
    executor = site.executor()
    jobs = site.jobs(LONGEST + 2)
    handles = executor.submit(jobs)
    assert [handle.partition("_")[2].partition("-")[0] for handle in handles] == [*"012345", *"01"]
    assert len({handle.partition("_")[0] for handle in handles}) == 2
    site.until(executor, handles, "gone")
    assert [site.told(job) for job in jobs] == [["start", "done"]] * len(jobs)
    assert {site.events(job)[0]["node"] for job in jobs} == {"n1", "n2"}
    environments = [site.events(job)[0]["env"] for job in jobs]
    assert [f"{env['SLURM_ARRAY_JOB_ID']}_{env['SLURM_ARRAY_TASK_ID']}" for env in environments] == [
        handle.partition("-")[0] for handle in handles
    ]


def test_one_at_once_runs_one_after_the_other(site: "Site") -> None:
    executor = site.executor(at_once=1)
    jobs = site.jobs(3)
    handles = executor.submit(jobs)
    site.until(executor, handles, "gone")
    spans = [(site.events(job)[0]["at"], site.events(job)[1]["at"]) for job in jobs]
    assert all(ended <= started for (_, ended), (started, _) in pairwise(spans))


def test_tasks_that_wait_together_are_told_apart(site: "Site") -> None:
    executor = site.executor(at_once=1)
    jobs = site.endless(4)
    handles = executor.submit(jobs)
    site.cluster.wait(lambda: executor.poll(handles)[handles[0]] == "running", "the first runs")
    array = handles[0].partition("_")[0]
    assert f"{array}_[1-3%1]" in site.cluster.squeue(f"--jobs={array}", "--format=%i").split()
    assert executor.poll(handles) == dict(zip(handles, ["running", "queued", "queued", "queued"], strict=True))
    site.cluster.wait(lambda: site.told(jobs[0]) == ["start"], "the worker has started")
    executor.cancel([handles[0], handles[2]])
    site.cluster.wait(lambda: executor.poll(handles)[handles[1]] == "running", "the next runs")
    assert executor.poll(handles) == dict(zip(handles, ["gone", "running", "gone", "queued"], strict=True))
    assert site.events(jobs[0])[-1]["why"] == "SIGTERM"
    assert site.told(jobs[2]) == []
    executor.cancel(handles)
    site.until(executor, handles, "gone")
    executor.cancel(handles)  # again: gone ones are passed over


def test_what_is_asked_for_is_what_a_job_has(site: "Site") -> None:
    resources = Resources(gpus=2, cpus=3, memory_gib=1.5, minutes=10, grace_seconds=40)
    executor = site.executor(resources, gpu_type="fake", warning_seconds=30)
    [job] = site.jobs(1)
    handles = executor.submit([job])
    site.until(executor, handles, "gone")
    environment = site.events(job)[0]["env"]
    assert environment["CUDA_VISIBLE_DEVICES"] == "0,1"
    assert environment["SLURM_CPUS_PER_TASK"] == "3"
    assert environment["SLURM_MEM_PER_NODE"] == "1536"
    # 10 min, 40 s for a stop and 30 s before the limit that SLURM warns: 11.17, which SLURM can only take as 12
    assert site.cluster.squeue("--states=all", f"-j{handles[0].partition('_')[0]}", "-o%l").strip() == "12:00"


def test_a_device_is_shared_by_as_many_runs_as_parts(site: "Site") -> None:
    executor = site.executor(Resources(gpus=0.5, cpus=1, memory_gib=0.25))
    jobs = site.jobs(5, 10)
    handles = executor.submit(jobs)
    assert handles[0] == handles[1] != handles[2] == handles[3] != handles[4]
    site.until(executor, handles, "gone")
    seen = [site.events(job)[0] for job in jobs]
    assert [site.told(job) for job in jobs] == [["start", "done"]] * 5
    assert seen[0]["pid"] == seen[1]["pid"]
    assert {len(each["env"]["CUDA_VISIBLE_DEVICES"].split(",")) for each in seen} == {1}
    assert {each["env"]["SLURM_MEM_PER_NODE"] for each in seen} == {"512"}
    assert {each["env"]["SLURM_CPUS_PER_TASK"] for each in seen} == {"2"}


def test_names_and_paths_are_never_read_as_shell(site: "Site", monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(site.root)
    store = replace(site, root=site.root / 'a store\'s "$(touch pwned)"; touch pwned & `touch pwned` #')
    store.root.mkdir()
    names = ["a b", "it's", 'say "x"', "$(touch pwned)", "`touch pwned`", "x; touch pwned", "*", "%j\\", "-n", "é"]
    jobs = [store.job(name) for name in names]
    arguments = ["$(touch pwned)", ";touch pwned", "--wrap=touch pwned"]
    for argument in arguments:  # the worker takes them for jobs, relative to where it runs
        store.job(f"slurm/{argument}")
    executor = store.executor(arguments=arguments)
    handles = executor.submit(jobs)
    store.until(executor, handles, "gone")
    assert [site.told(job) for job in jobs] == [["start", "done"]] * len(jobs)
    assert [site.told(store.root / "slurm" / argument)[0] for argument in arguments] == ["start"] * 3
    assert not list(site.root.rglob("pwned"))


def test_paths_that_slurm_would_misread_are_refused(site: "Site") -> None:
    with pytest.raises(Refused, match="a line break in the path"):
        site.executor().submit([*site.jobs(1), site.root / "a\nb"])
    for name in ("100%j", "a\\b"):
        with pytest.raises(Refused, match="as patterns"):
            replace(site, root=site.root / name).executor()


@pytest.mark.parametrize("value", ["--wrap=touch x", "low;touch x", "low --wrap=x", "$(touch x)"])
def test_settings_would_be_one_argument_whatever_they_held(site: "Site", value: str) -> None:
    executor = site.executor(settings=SlurmSettings.model_construct(partition=value))
    with pytest.raises(Refused, match="invalid partition specified"):
        executor.submit(site.jobs(1))
    assert not list(site.root.rglob("x"))


def test_what_sbatch_refuses_is_told_in_its_words(site: "Site") -> None:
    job = site.jobs(1)
    with pytest.raises(Refused, match="invalid partition specified: nowhere"):
        site.executor(partition="nowhere").submit(job)
    with pytest.raises(Refused, match="Requested node configuration is not available"):
        site.executor(Resources(gpus=1), gpu_type="h200").submit(job)
    with pytest.raises(Refused, match="Memory specification can not be satisfied"):
        site.executor(Resources(memory_gib=10_000)).submit(job)


def test_arrays_before_one_that_is_refused_are_cancelled(site: "Site", tmp_path: Path) -> None:
    # a cluster that takes one array and no more, as a limit of submitted jobs would have it
    wrapped(tmp_path / "bin", "sbatch", "[ -e ../taken ] && set -- --partition=nowhere --wrap=x; touch ../taken")
    executor = site.executor(environment={"PATH": f"{tmp_path}/bin:{site.cluster.environment['PATH']}"})
    with pytest.raises(Refused, match="nowhere"):
        executor.submit(site.endless(LONGEST + 1))
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


def test_setup_is_code_and_wants_permission(site: "Site") -> None:
    lines = ("export HARNESS_SETUP='it ran'", "cd /")
    with pytest.raises(Refused, match="--allow-code"):
        site.executor(setup=lines)
    executor = site.executor(setup=lines, setup_allowed=True)
    [job] = site.jobs(1)
    site.until(executor, executor.submit([job]), "gone")
    assert site.events(job)[0]["env"]["HARNESS_SETUP"] == "it ran"
    assert site.told(job) == ["start", "done"]


def test_nothing_of_an_enclosing_allocation_and_no_secret_goes_along(site: "Site") -> None:
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
    [job] = site.endless()
    handles = executor.submit([job])
    site.at_work(executor, [job], handles)
    environment = site.events(job)[0]["env"]
    assert {name for name in enclosing if environment.get(name) == enclosing[name]} == {"LC_HARNESS", "HF_HOME"}
    assert not set(environment) & set(SECRETS)
    assert environment["SLURM_JOB_NAME"].startswith("harness-")
    assert environment["PATH"] == site.cluster.environment["PATH"]
    held = [*site.root.rglob("*"), *site.cluster.folder.rglob("*")]  # the store, and what SLURM keeps
    texts = [path.read_bytes() for path in held if path.is_file() and path.name != "munge.key"]
    assert any(b"LC_HARNESS" in text for text in texts)  # so it would be seen
    assert not [secret for secret in SECRETS.values() for text in texts if secret.encode() in text]


def test_a_job_taken_on_by_a_controller_that_never_said_so_is_found(site: "Site", tmp_path: Path) -> None:
    wrapped(tmp_path / "bin", "sbatch", "SLEEP=yes")
    executor = site.executor(environment={"PATH": f"{tmp_path}/bin:{site.cluster.environment['PATH']}"}, patience=2)
    [job] = site.jobs(1)
    handles = executor.submit([job])
    site.until(executor, handles, "gone")
    assert site.told(job) == ["start", "done"]


def test_a_command_that_does_not_answer_is_not_an_end(site: "Site", tmp_path: Path) -> None:
    wrapped(tmp_path / "bin", "squeue", "sleep 60")
    executor = site.executor(environment={"PATH": f"{tmp_path}/bin:{site.cluster.environment['PATH']}"}, patience=0.5)
    with pytest.raises(Unreachable, match=r"squeue: no answer within 0\.5 s"):
        executor.poll(["1_0-00000000"])
    with pytest.raises(Unreachable, match="scontrol is not on PATH"):
        replace(site, root=tmp_path / "elsewhere").executor(environment={"PATH": str(tmp_path)})


def test_what_was_never_ours_is_gone_and_left_alone(site: "Site") -> None:
    executor = site.executor()
    other = site.cluster.submit("exec sleep 100", "--array=0")
    [handle] = executor.submit(site.endless())
    again = handle.partition("-")[0] + "-00000000"  # of a cluster that was set up anew and counted up to it again
    strange = [again, f"{other}_0-00000000", "999999_0-00000000", f"{other}_0", other, "--help", ""]
    assert set(executor.poll(strange).values()) == {"gone"}
    assert executor.poll([again, handle])[handle] != "gone"
    executor.cancel(strange)
    assert site.cluster.state(other) in ("PENDING", "RUNNING")
    assert executor.poll([handle])[handle] != "gone"
    site.cluster.call("scancel", other)
