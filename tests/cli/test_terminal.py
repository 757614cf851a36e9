"""What a real terminal gets: text in its own width, no escape codes beside progress; and a file nothing of that."""

import subprocess
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from tests.conftest import Made

Call = Callable[..., Any]
Terminal = Callable[..., str]
HARNESS = [sys.executable, "-m", "harness"]
COMMANDS = [
    "--help",
    "test --help",
    "frontier --help",
    "list",
    "plan rank-collapse --quiet",
    "show rank-collapse",
    "show tiny",
    "status",
    "verdict",
    "doctor",
    "validate",
]


def too_long(text: str, width: int) -> list[str]:
    """Return the lines wider than `width` that could have been broken between words (mistakes are a line each)."""
    long = (line for line in text.splitlines() if len(line) > width and not line.startswith("|"))
    return [line for line in long if max(map(len, line.split())) < width // 2]


@pytest.mark.slow  # a process for each command
@pytest.mark.parametrize("columns", [60, 80])
def test_everything_fits_the_terminal_and_none_of_it_is_an_escape_code(
    made: "Made", terminal: Terminal, columns: int
) -> None:
    made.bench().register_shelf()
    made.results(lambda _: 0.5)
    terminal([*HARNESS, "test", "live"], cwd=made.root)
    for line in COMMANDS:
        text = terminal([*HARNESS, *line.split()], columns, made.root)
        assert len(text.splitlines()) > 3, line
        assert too_long(text, columns) == [], line
        assert "\x1b" not in text, line


def test_the_card_is_as_wide_as_the_terminal_and_never_wider_than_112(
    harness: Call, made: "Made", terminal: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    made.bench().register_shelf()
    made.results(lambda _: 0.5)
    full = harness("test", "live", "--no-run").out
    cards = {columns: terminal([*HARNESS, "verdict", "live"], columns, made.root) for columns in (80, 200)}
    assert cards[200] == full
    assert cards[80] != full
    assert sorted(cards[80].split()) == sorted(full.split())
    monkeypatch.setenv("COLUMNS", "80")  # which a file honours, too
    assert harness("verdict", "live").out == cards[80]


def test_lines_of_what_is_no_terminal_are_left_whole(
    harness: Call, made: "Made", monkeypatch: pytest.MonkeyPatch
) -> None:
    title = " ".join(["very"] * 40)
    made.declare("hypotheses/long.yaml", made.claim_text.replace("Low ranks live", title))
    monkeypatch.delenv("COLUMNS", raising=False)
    assert any(line.endswith(title) for line in harness("list").out.splitlines())
    monkeypatch.setenv("COLUMNS", "80")
    assert max(map(len, harness("list").out.splitlines())) <= 80


def test_what_other_programs_read_is_not_folded(harness: Call, made: "Made", monkeypatch: pytest.MonkeyPatch) -> None:
    made.bench().register_shelf()
    made.results(lambda _: 0.5)
    harness("db", "rebuild")
    monkeypatch.setenv("COLUMNS", "60")
    said = " ".join(["word"] * 40)
    assert harness("db", "query", f"SELECT '{said}' AS said").out == f"said\n{said}\n"
    assert harness("schema").out == harness("schema", "--json").out


def test_a_file_gets_no_escape_codes_whatever_is_forced(made: "Made") -> None:
    variables = {"FORCE_COLOR": "1", "CLICOLOR_FORCE": "1", "TERM": "xterm-256color", "PYTHONPATH": ":".join(sys.path)}
    for line in ("--help", "list", "nonsense", "status"):
        done = subprocess.run([*HARNESS, *line.split()], cwd=made.root, env=variables, capture_output=True, check=False)
        assert b"\x1b" not in done.stdout + done.stderr
