import os
import re
import subprocess
import sys
from collections.abc import Callable

import pytest

from harness.campaign.execution import Progress
from harness.publish import progress as shown
from harness.publish.progress import ShownProgress

Terminal = Callable[..., str]
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


SHOWN = """
from harness.campaign.execution import Progress
from harness.publish.progress import ShownProgress
said = Progress("runs", planned=10, done=4, executed=2, failed={"x": "no"}, seconds=65.4)
said.running["llama64-grpo-lora-r8-0"] = {"phase": "training", "step": 7, "steps": 20, "reward": 0.256}
said.running["waiting"] = {}
with ShownProgress() as progress:
    progress.show(said)
"""
"""`RUNNING` in a process of its own."""
PLAIN = "runs: 4 of 10 done, 1 failed, 1:05 so far, about 2:44 left"
CODE = re.compile(r"\x1b\[[?0-9;]*[A-Za-z]")
COLOUR = re.compile(r"\x1b\[[0-9;]*(?:3[0-8]|4[0-8]|9[0-7]|10[0-7])[0-9;]*m")


def test_a_terminal_sees_what_is_at_work_in_colours(terminal: Terminal) -> None:
    text = terminal([sys.executable, "-c", SHOWN], columns=100)
    assert COLOUR.search(text)
    assert "\x1b[?25l" in text  # the cursor is hidden while the table is drawn, and comes back
    assert text.rindex("\x1b[?25h") > text.rindex("\x1b[?25l")
    lines = CODE.sub("", text).splitlines()
    assert lines[0] == PLAIN
    assert set(lines[1].strip()) <= set("━╺╸")  # a line of its own
    assert lines[2].split() == ["llama64-grpo-lora-r8-0", "training", "step", "7", "of", "20", "reward", "0.26"]
    assert lines[3].split() == ["waiting", "waiting", "for", "the", "import"]


def test_without_colours_it_is_the_same_table(terminal: Terminal) -> None:
    text = terminal([sys.executable, "-c", SHOWN], columns=100, NO_COLOR="1")
    assert not COLOUR.search(text)
    assert "step 7 of 20" in text
    assert COLOUR.search(terminal([sys.executable, "-c", SHOWN], columns=100, NO_COLOR=""))  # empty forbids nothing


@pytest.mark.parametrize("forced", ["", "1"])
def test_a_dumb_terminal_gets_plain_lines(terminal: Terminal, forced: str) -> None:
    text = terminal([sys.executable, "-c", SHOWN], columns=100, TERM="dumb", FORCE_COLOR=forced)
    assert text.splitlines() == [PLAIN]


def test_what_is_no_terminal_gets_no_escape_codes_whatever_is_forced() -> None:
    environment = {**os.environ, "FORCE_COLOR": "1", "CLICOLOR_FORCE": "1", "TERM": "xterm-256color"}
    done = subprocess.run([sys.executable, "-c", SHOWN], env=environment, capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("", PLAIN + "\n")
