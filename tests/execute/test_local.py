"""The local executor with real jobs: order, slots, stopping, and what is left when something is killed.

Linux only where processes are looked up in /proc.
"""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from harness.campaign.execution import execute
from harness.execute import LocalExecutor
from harness.execute.worker import server, worker
from harness.record.atomic import sha256
from harness.record.job import JobDirectory, State

if TYPE_CHECKING:
    from tests.execute.conftest import Pocket

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="looks processes up in /proc")
SLOTS = 2

DRIVER = """
import sys, time
from pathlib import Path
from harness.execute import LocalExecutor
from harness.execute.worker import server, worker
from harness.execute.worker import server, worker
executor = LocalExecutor(Path(sys.argv[1]), worker(), [None] * 2, server=server() if sys.argv[2] == "fork" else None)
executor.submit([Path(sys.argv[3]), Path(sys.argv[4])])
while True:
    executor.poll([])
    time.sleep(0.02)
"""


@pytest.fixture(scope="module")
def forking(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalExecutor]:
    """Return an executor whose one import serves the module's tests; none of them leaves a job at work."""
    executor = local(tmp_path_factory.mktemp("log") / "executor.log", fork=True)
    yield executor
    executor.close()


def local(log: Path, *, fork: bool) -> LocalExecutor:
    return LocalExecutor(log, worker(), [None] * SLOTS, server=server() if fork else None)


def hashes(job: JobDirectory) -> dict[str, str]:
    return {path.name: sha256(path) for path in job.result.iterdir()}


def test_jobs_are_started_in_order_and_no_more_than_the_slots(pocket: "Pocket", forking: LocalExecutor) -> None:
    pocket.finish(forking, pocket.base())
    jobs = [pocket.run(index) for index in range(5)]
    handles = forking.submit([job.path for job in jobs])
    most = 0

    def over() -> bool:
        nonlocal most
        standing = forking.poll(handles)
        queued = [handle for handle in handles if standing[handle] == "queued"]
        running = [handle for handle in standing if standing[handle] == "running"]
        assert queued == handles[len(handles) - len(queued) :]  # who waits is always the end of the line
        assert len(running) <= SLOTS
        most = max(most, len(running))
        return all(standing[handle] == "gone" for handle in handles)

    pocket.wait(over)
    assert most == SLOTS
    assert [job.state() for job in jobs] == [State.COMMITTED] * 5


def test_a_running_and_a_queued_job_are_cancelled_alone(pocket: "Pocket", forking: LocalExecutor) -> None:
    stopped, goes_on, never, last = pocket.endless(), pocket.base(), pocket.endless(2), pocket.endless(3)
    handles = forking.submit([job.path for job in (stopped, goes_on, never, last)])
    forking.poll([])
    forking.cancel([handles[2], handles[3]])
    pid = pocket.at_work(stopped, forking)
    forking.cancel([handles[0]])
    pocket.wait(lambda: set(forking.poll(handles).values()) == {"gone"})
    assert not pocket.exists(pid)
    assert [job.state() for job in (stopped, goes_on, never, last)] == [
        *(State.INTERRUPTED, State.COMMITTED, State.NEW, State.NEW)
    ]


def test_a_killed_child_takes_nobody_with_it(pocket: "Pocket", forking: LocalExecutor) -> None:
    victim, neighbour = pocket.endless(), pocket.endless(2)
    handles = forking.submit([victim.path, neighbour.path])
    pids = [pocket.at_work(job, forking) for job in (victim, neighbour)]
    os.kill(pids[0], signal.SIGKILL)
    pocket.wait(lambda: forking.poll(handles)[handles[0]] == "gone")
    pocket.wait(lambda: victim.state() is State.INTERRUPTED)  # its trainer dies a moment after its supervisor
    assert forking.poll(handles)[handles[1]] == "running"
    assert neighbour.state() is State.RUNNING
    pocket.finish(forking, pocket.base())  # the free slot serves the next
    assert pocket.base().state() is State.COMMITTED
    forking.cancel([handles[1]])
    pocket.wait(lambda: forking.poll(handles)[handles[1]] == "gone")


def test_a_killed_server_takes_its_children_with_it_and_is_replaced(pocket: "Pocket", forking: LocalExecutor) -> None:
    jobs = [pocket.endless(), pocket.endless(2)]
    handles = forking.submit([job.path for job in jobs])
    pids = [pocket.at_work(job, forking) for job in jobs]
    server = pocket.parent(pids[0])
    assert pocket.parent(pids[1]) == server
    os.kill(server, signal.SIGKILL)
    pocket.wait(lambda: list(forking.poll(handles).values()) == ["gone", "gone"])
    pocket.wait(lambda: not any(map(pocket.exists, pids)))
    # a dying process loses its memory, by which it is looked up, a moment before it lets go of its files
    pocket.wait(lambda: [job.state() for job in jobs] == [State.INTERRUPTED] * 2)
    pocket.finish(forking, pocket.base())
    assert pocket.base().state() is State.COMMITTED


def test_closing_leaves_nothing(pocket: "Pocket", forking: LocalExecutor) -> None:
    jobs = [pocket.endless(), pocket.endless(2), pocket.endless(3)]
    forking.submit([job.path for job in jobs])
    pids = [pocket.at_work(job, forking) for job in jobs[:2]]
    server = pocket.parent(pids[0])
    forking.close()
    assert not any(map(pocket.exists, [server, *pids]))
    assert [job.state() for job in jobs] == [State.INTERRUPTED, State.INTERRUPTED, State.NEW]


@pytest.mark.parametrize("how", ["fork", pytest.param("fresh", marks=pytest.mark.slow)])
def test_a_killed_driver_leaves_no_process(how: str, pocket: "Pocket", tmp_path: Path) -> None:
    jobs = [pocket.endless(), pocket.endless(2)]
    log = tmp_path / "executor.log"
    command = [sys.executable, "-c", DRIVER, str(log), how, *(str(job.path) for job in jobs)]
    driver = subprocess.Popen(command)
    pids = [pocket.at_work(job) for job in jobs]
    pids += [pocket.parent(pids[0])] if how == "fork" else []
    assert all(map(pocket.exists, pids))
    driver.kill()
    driver.wait()
    pocket.wait(lambda: not any(map(pocket.exists, pids)))
    # a dying process loses its memory, by which it is looked up, a moment before it lets go of its files
    pocket.wait(lambda: [job.state() for job in jobs] == [State.INTERRUPTED] * 2)


@pytest.fixture
def broken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Break the import of torch in processes that are started from now on; return a log for an executor."""
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "torch.py").write_text('raise ImportError("broken on purpose")\n')
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(tmp_path / "broken"), *sys.path]))
    return tmp_path / "executor.log"


def test_a_server_that_cannot_import_is_told_with_the_log_that_says_why(pocket: "Pocket", broken: Path) -> None:
    executor = local(broken, fork=True)
    job = pocket.base()
    try:
        progress = execute("bases", [job], executor, lambda _: None)
    finally:
        executor.close()
    why = f"its process ended before it began; see {broken}"
    assert progress.failed == {job.id: f"killed 4 times; the last time: {why}"}
    assert broken.read_text().count("ImportError: broken on purpose") == 1  # it is not tried again
    assert job.state() is State.NEW


def test_a_trainer_that_cannot_import_is_told_by_its_supervisor(pocket: "Pocket", broken: Path) -> None:
    executor = local(broken, fork=False)
    job = pocket.base()
    try:
        progress = execute("bases", [job], executor, lambda _: None)
    finally:
        executor.close()
    log = job.attempts()[0] / "log.txt"
    assert progress.failed == {job.id: f"its process ended with status 1: ImportError: broken on purpose (see {log})"}
    assert job.state() is State.FAILED
    assert len(job.attempts()) == 1  # the next would meet it again


@pytest.mark.slow
def test_fresh_processes_do_the_same_to_the_bit(pocket: "Pocket", tmp_path: Path, forking: LocalExecutor) -> None:
    other = type(pocket)(tmp_path / "other", pocket.protocol)
    fresh = local(tmp_path / "fresh.log", fork=False)
    try:
        for lab, executor in ((pocket, forking), (other, fresh)):
            lab.finish(executor, lab.base())
            lab.finish(executor, lab.run(0))
    finally:
        fresh.close()
    forked, started = ([lab.base(), lab.run(0)] for lab in (pocket, other))
    assert list(map(hashes, forked)) == list(map(hashes, started))


@pytest.mark.slow
def test_fresh_processes_are_cancelled_and_closed(pocket: "Pocket", tmp_path: Path) -> None:
    executor = local(tmp_path / "executor.log", fork=False)
    jobs = [pocket.endless(), pocket.endless(2), pocket.endless(3)]
    handles = executor.submit([job.path for job in jobs])
    pids = [pocket.at_work(job, executor) for job in jobs[:2]]
    executor.cancel([handles[0], handles[2]])
    pocket.wait(lambda: executor.poll(handles)[handles[0]] == "gone")
    assert executor.poll(handles) == {handles[0]: "gone", handles[1]: "running", handles[2]: "gone"}
    assert not pocket.exists(pids[0])
    executor.close()
    assert not pocket.exists(pids[1])
    assert [job.state() for job in jobs] == [State.INTERRUPTED, State.INTERRUPTED, State.NEW]
