"""Heartbeats go on whatever the disk does, and an orphan stops."""

import json
import os
import threading
from types import SimpleNamespace
from typing import Any

import pytest

from harness.record.ending import Reason
from harness.record.job import JobDirectory
from harness.train import progress
from harness.train.progress import Heartbeat, StepLog


class FullDisk:
    """An attempt whose second heartbeat finds no room."""

    def __init__(self) -> None:
        self.said: list[Any] = []
        self.fourth = threading.Event()

    def tell(self, said: Any) -> None:
        self.said.append(said)
        if len(self.said) == 2:
            raise OSError(28, "No space left on device")
        if len(self.said) >= 4:
            self.fourth.set()


def test_a_full_disk_does_not_end_the_heartbeat(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "BEAT", 0.001)
    attempt: Any = FullDisk()
    with Heartbeat(attempt) as heartbeat:
        heartbeat.tell(step=7)
        assert attempt.fourth.wait(timeout=60)
    assert attempt.said[0] == {"phase": "starting", "step": 0, "steps": None, "reward": None}
    assert attempt.said[-1]["step"] == 7


def test_nothing_is_said_after_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "BEAT", 0.001)
    attempt: Any = FullDisk()
    with Heartbeat(attempt) as heartbeat:
        pass
    assert not heartbeat._thread.is_alive()


def test_an_orphan_ends_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    left = threading.Event()

    def leave(status: int) -> None:
        assert status == 1
        left.set()

    monkeypatch.setattr(progress, "BEAT", 0.001)
    monkeypatch.setattr(os, "_exit", leave)
    monkeypatch.setattr(os, "getppid", lambda: 2)
    attempt: Any = FullDisk()
    with Heartbeat(attempt):
        monkeypatch.setattr(os, "getppid", lambda: 1)
        assert left.wait(timeout=60)


def test_the_last_heartbeat_can_be_read_while_the_run_is_at_work(fresh) -> None:
    job: JobDirectory = fresh.job(fresh.planned(fresh.cell()))
    attempt = job.claim({})
    assert attempt is not None
    with Heartbeat(attempt):
        assert job.progress()["phase"] == "starting"
    attempt.exit(Reason.OK)


def test_a_row_an_update_and_none_for_the_summary() -> None:
    told: list[dict[str, Any]] = []
    heartbeat: Any = SimpleNamespace(tell=lambda **said: told.append(said))
    log = StepLog(heartbeat)
    state = SimpleNamespace(global_step=1, max_steps=3)
    log.on_log(None, state, None, {"loss": 0.5, "reward": 0.25, "completions/mean_length": 2, "unheard_of": 1})
    log.on_log(None, state, None, {"train_runtime": 1.0, "train_loss": 0.5})
    log.on_log(None, state, None, None)
    assert log.rows == [{"step": 1, "loss": 0.5, "reward": 0.25, "completion_length": 2.0}]
    assert told == [{"step": 1, "steps": 3, "reward": 0.25}]


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_a_number_that_is_none_stops_the_run(value: float) -> None:
    log = StepLog(SimpleNamespace(tell=lambda **_: None))  # type: ignore[arg-type]
    with pytest.raises(FloatingPointError, match=f"grad_norm is {value:g} at update 9: nothing"):
        log.on_log(None, SimpleNamespace(global_step=9, max_steps=9), None, {"loss": 0.0, "grad_norm": value})
    assert log.rows == []
    json.dumps(log.rows, allow_nan=False)
