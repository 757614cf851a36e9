"""What a job directory here says of an attempt at an exchange: when it began, and how long it has been silent."""

import os
from pathlib import Path

import pytest

from harness.execute.mirror import Mirror
from harness.record.attempt import silent_for
from harness.record.exchange import ExchangedJob
from harness.record.job import JobDirectory, State
from harness.record.object_folder import FolderObjects


@pytest.mark.parametrize("silence", [300.0, 4.0])
def test_a_silent_attempt_began_when_it_was_claimed(silence: float, tmp_path: Path) -> None:
    here = JobDirectory(tmp_path / "store" / "runs" / "r")
    here.create({"id": "r", "identity": {"seed": 1}})
    there = ExchangedJob(FolderObjects(tmp_path), "runs/r", silence)
    assert there.claim({}) == 1
    there.beat(1, {"step": 3})
    now, attempts = there.objects.now(), tmp_path / "runs" / "r" / "attempts"

    def silent(seconds: float) -> None:
        os.utime(attempts / "0001.beat", (now - seconds, now - seconds))
        mirror.refresh(now)

    mirror = Mirror(here, there)
    os.utime(attempts / "0001.json", (now - 7200, now - 7200))
    silent(silence / 2)
    assert here.state() is State.RUNNING
    assert here.began() == pytest.approx(now - 7200, abs=60)
    silent(silence + 100)
    assert here.state() is State.INTERRUPTED
    assert silent_for(here.attempts()[0]) >= silence + 100
    assert here.began() == pytest.approx(now - 7200, abs=60)
