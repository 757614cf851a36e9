import io

import pytest
from rich.console import Console

from harness.campaign.execution import Progress
from harness.publish import progress as shown
from harness.publish.progress import ShownProgress

RUNNING = Progress("runs", planned=10, done=4, executed=2, failed={"x": "no"}, seconds=65.4)
RUNNING.running["llama64-grpo-lora-r8-0"] = {"phase": "training", "step": 7, "steps": 20, "reward": 0.256}
RUNNING.running["waiting"] = {}


def said(capsys: pytest.CaptureFixture[str]) -> list[str]:
    captured = capsys.readouterr()
    assert captured.out == ""  # standard output is the result's
    return captured.err.splitlines()


def test_plain_lines_tell_done_failed_and_what_is_left(capsys: pytest.CaptureFixture[str]) -> None:
    with ShownProgress() as progress:
        progress.show(RUNNING)
    # 5 left at 65.4 / 2 s each: 163.5 s = 2:44
    assert said(capsys) == ["runs: 4 of 10 done, 1 failed, 1:05 so far, about 2:44 left"]


def test_a_line_comes_when_something_has_changed(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = [1000.0]
    monkeypatch.setattr(shown.time, "monotonic", lambda: clock[0])
    with ShownProgress() as progress:
        for seconds, done, lines in ((0, 0, 1), (5, 0, 0), (1, 1, 1), (14, 1, 0), (2, 1, 1)):
            clock[0] += seconds
            progress.show(Progress("runs", planned=3, done=done))
            assert len(said(capsys)) == lines


def test_the_end_has_nothing_left(capsys: pytest.CaptureFixture[str]) -> None:
    with ShownProgress() as progress:
        progress.show(Progress("bases", planned=1, done=1, executed=1, seconds=3725))
    assert said(capsys) == ["bases: 1 of 1 done, 62:05 so far"]


def test_quiet_is_quiet(capsys: pytest.CaptureFixture[str]) -> None:
    with ShownProgress(quiet=True) as progress:
        progress.show(RUNNING)
    assert said(capsys) == []


def test_a_terminal_sees_what_is_at_work(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = io.StringIO()

    def console(**_: object) -> Console:
        return Console(file=terminal, force_terminal=True, width=100, highlight=False, color_system=None)

    monkeypatch.setattr(shown, "Console", console)
    with ShownProgress() as progress:
        progress.show(RUNNING)
    text = terminal.getvalue()
    assert "llama64-grpo-lora-r8-0" in text
    assert "step 7 of 20" in text
    assert "reward 0.26" in text
    assert "waiting for the import" in text
    assert "4 of 10 done, 1 failed" in text
