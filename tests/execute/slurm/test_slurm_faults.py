"""What becomes of jobs on a real SLURM when a controller or a node fails, and when SLURM itself stops them.

The slowest thing, a time limit (SLURM counts minutes), goes on beside the other tests.
"""

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from harness.execute.engine import Unreachable
from harness.execute.slurm import SlurmExecutor
from harness.spec.resources import Resources

if TYPE_CHECKING:
    from tests.execute.slurm.conftest import Site

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module", autouse=True)
def warned(
    cluster: Any, sites: "type[Site]", tmp_path_factory: pytest.TempPathFactory
) -> "tuple[Site, Path, SlurmExecutor, str]":
    """Start a job that reaches its time limit, on `n1` and where nothing preempts it."""
    site = sites(cluster, tmp_path_factory.mktemp("warned"))
    resources = Resources(minutes=0.01, grace_seconds=0)
    executor = site.executor(resources, warning_seconds=50, partition="high", constraint="on-n1")
    [job] = site.endless()
    [handle] = executor.submit([job])
    return site, job, executor, handle


def exists(pid: int) -> bool:
    """Return whether a process is there and no mere zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def test_a_controller_that_is_down_is_not_an_end(site: "Site") -> None:
    executor = site.executor()
    running, later = site.endless(2)
    handles = executor.submit([running])
    site.at_work(executor, [running], handles)
    site.cluster.stop_controller()
    for call in (lambda: executor.poll(handles), lambda: executor.submit([later]), lambda: executor.cancel(handles)):
        with pytest.raises(Unreachable, match="Unable to contact slurm controller"):
            call()
    assert site.executor().name == executor.name  # a command that is started now knows whose the kept handles are
    with pytest.raises(Unreachable, match="Unable to contact slurm controller"):
        replace(site, root=site.root / "new").executor()
    site.cluster.start_controller()
    assert executor.poll(handles) == {handles[0]: "running"}
    assert site.told(running) == ["start"]  # and nothing else
    assert site.told(later) == []
    executor.cancel(handles)
    site.until(executor, handles, "gone")


def test_a_job_that_is_requeued_keeps_its_handle(site: "Site") -> None:
    executor = site.executor(constraint="on-n2")
    [job] = site.endless()
    handles = executor.submit([job])
    site.at_work(executor, [job], handles)
    site.cluster.requeue(handles[0].partition("-")[0])
    (job / "steps").write_text("1")
    looks = site.until(executor, handles, "queued")
    assert {"gone"} not in looks
    site.wake(handles[0])
    site.until(executor, handles, "gone")
    assert site.told(job) == ["start", "stopped", "start", "done"]


def test_a_preempted_job_keeps_its_handle(site: "Site") -> None:
    executor = site.executor(constraint="on-n2", partition="low")
    [job] = site.endless()
    handles = executor.submit([job])
    site.at_work(executor, [job], handles)
    site.cluster.submit("exec sleep 1", "--partition=high", "--constraint=on-n2", "--cpus-per-task=4")
    looks = site.until(executor, handles, "queued")
    assert {"gone"} not in looks
    assert [event.get("why") for event in site.events(job)] == [None, "SIGTERM"]
    (job / "steps").write_text("1")
    site.wake(handles[0])
    site.until(executor, handles, "gone")
    assert site.told(job) == ["start", "stopped", "start", "done"]


def test_a_job_of_a_node_that_dies_is_queued_again_and_goes_to_another(site: "Site") -> None:
    executor = site.executor()
    [job] = site.endless()
    site.cluster.update("NodeName=n1", "State=DRAIN", "Reason=so that it goes to n2")
    handles = executor.submit([job])
    site.at_work(executor, [job], handles)
    site.cluster.update("NodeName=n1", "State=RESUME")
    pid = site.events(job)[0]["pid"]
    (job / "steps").write_text("1")
    site.cluster.kill_node("n2")
    assert not exists(pid)
    looks = site.until(executor, handles, "queued")
    assert {"gone"} not in looks
    assert site.cluster.node("n2").startswith("down")
    site.wake(handles[0])
    site.until(executor, handles, "gone")
    assert site.told(job) == ["start", "start", "done"]
    assert [event["node"] for event in site.events(job) if event["event"] == "start"] == ["n2", "n1"]
    site.cluster.start_node("n2")
    site.cluster.wait(lambda: site.cluster.node("n2") == "idle", "the node is back")


def test_a_time_limit_is_announced(warned: "tuple[Site, Path, SlurmExecutor, str]") -> None:
    site, job, executor, handle = warned
    site.until(executor, [handle], "gone")
    assert [event.get("why") for event in site.events(job)] == [None, "SIGUSR2"]
