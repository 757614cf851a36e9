"""Calling jobs off that an engine has: whatever is marked here is told to whoever may begin it."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from harness.campaign.reconcile import call_off
from harness.execute import Standing, Unreachable
from harness.execute.exchanged import ExchangedExecutor
from harness.record.exchange import ExchangedJob
from harness.record.job import JobDirectory
from harness.record.object_folder import FolderObjects


@dataclass
class Engine:
    """An engine that says of all jobs what it is told to."""

    standing: Standing
    stops: bool = True
    name: str = "slurm far"
    lasting: bool = True
    interval: float = 0.0
    log: Path = Path("engine.log")
    stopped: list[str] = field(default_factory=list[str])

    def submit(self, jobs: Sequence[Path]) -> list[str]:
        return [job.name for job in jobs]

    def poll(self, handles: Sequence[str]) -> dict[str, Standing]:
        return dict.fromkeys(handles, self.standing)

    def cancel(self, handles: Sequence[str]) -> None:
        if not self.stops:
            raise Unreachable("the controller does not answer")
        self.stopped += handles

    def close(self) -> None:
        """Hold nothing."""


def job(store: Path, name: str) -> JobDirectory:
    made = JobDirectory(store / "runs" / name)
    made.create({"id": name, "identity": {"kind": "run"}})
    return made


def test_a_worker_that_has_not_claimed_yet_hears_of_it_at_the_exchange(tmp_path: Path) -> None:
    """The engine has begun it, so that nothing waits there, and the worker imports what it needs."""
    (tmp_path / "exchange").mkdir()
    objects, called = FolderObjects(tmp_path / "exchange"), job(tmp_path / "store", "called")
    executor = ExchangedExecutor(Engine("running"), objects, tmp_path / "store")
    [handle] = executor.submit([called.path])
    called.handed_over(executor.name, handle, 0)
    assert call_off([called], {executor.name: executor}) == {"called": "will not begin"}
    there = ExchangedJob(objects, "runs/called")
    assert there.look().called_off
    assert there.claim({}) is None


def test_an_engine_that_falls_silent_over_one_job_is_told_and_the_others_are_called_off(tmp_path: Path) -> None:
    jobs = [job(tmp_path, name) for name in ("one", "two")]
    engine = Engine("queued", stops=False)
    for each in jobs:
        each.handed_over(engine.name, each.id, 0)
    told = call_off(jobs, {engine.name: engine})
    silent = "will not begin; slurm far does not answer, and may begin it only to see that it was called off"
    assert told == {"one": silent, "two": silent}
    assert all(each.called_off for each in jobs)
    engine.stops = True
    assert call_off([third := job(tmp_path, "three")], {engine.name: engine}) == {third.id: "will not begin"}
    assert engine.stopped == []  # it was never handed over
