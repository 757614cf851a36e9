"""Completion through click's own protocol, in a process of its own as a shell asks it, and in a real bash."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from harness.cli.main import COMMANDS

if TYPE_CHECKING:
    from tests.conftest import Made

Call = Callable[..., Any]


def asked(words: str, cwd: Path, shell: str = "bash", **variables: str) -> subprocess.CompletedProcess[str]:
    """Return what a shell is told of the last of `words`, which may be empty."""
    count = len(words.split(" ")) - 1
    environment = {**os.environ, "PYTHONPATH": ":".join(sys.path), "_HARNESS_COMPLETE": f"{shell}_complete"}
    environment |= {"COMP_WORDS": words, "COMP_CWORD": words.split(" ")[-1] if shell == "fish" else str(count)}
    command = [sys.executable, "-W", "error", "-m", "harness"]
    return subprocess.run(command, cwd=cwd, env={**environment, **variables}, capture_output=True, text=True)


def completed(words: str, cwd: Path, **variables: str) -> list[str]:
    """Return the completions, of a process that says nothing else."""
    done = asked(words, cwd, **variables)
    assert (done.returncode, done.stderr) == (0, "")
    lines = done.stdout.split()
    assert all(line.startswith(("plain,", "file,")) for line in lines)
    return [line.removeprefix("plain,") for line in lines]


def test_commands_and_options_are_completed(made: "Made") -> None:
    assert set(completed("harness ", made.root)) == set(COMMANDS)
    assert completed("harness ver", made.root) == ["verdict"]
    assert completed("harness --allow", made.root) == ["--allow-code"]
    assert completed("harness runs ex", made.root) == ["exclude"]
    assert completed("harness test --no-r", made.root) == ["--no-rivals", "--no-run"]
    assert completed("harness completion ", made.root) == ["bash", "zsh", "fish"]


def test_names_are_completed(made: "Made") -> None:
    made.declare("runs/bend.yaml", made.protocol_text)
    here = made.root
    assert "live" in completed("harness test ", here)
    assert completed("harness test rank-", here) == ["rank-collapse"]
    assert completed("harness test live l", here) == []  # it stands there already
    for command in ("plan", "run", "register", "verdict", "catalogue", "diagnose", "show", "runs bundle"):
        assert completed(f"harness {command} liv", here) == ["live"], command
    assert completed("harness new mine --like liv", here) == ["live"]
    assert completed("harness show ben", here) == ["bench", "bend"]
    assert completed("harness test --protocol ben", here) == ["bench", "bend"]
    assert completed("harness doctor --protocol ben", here) == ["bench", "bend"]
    assert completed("harness test --models ", here) == ["llama", "qwen"]
    assert completed("harness test --models llama,", here) == ["llama,qwen"]
    assert completed("harness test --protocol tiny --models qwen@c", here) == ["qwen@cold"]
    assert completed("harness test --models qwen@c", here, HARNESS_PROTOCOL="tiny") == ["qwen@cold"]


def test_runs_are_completed_and_weights_may_be_files(made: "Made", tmp_path: Path) -> None:
    made.bench().register_shelf()
    made.results(lambda _: 0.5)
    runs = sorted(path.name for path in made.store.runs.iterdir())
    assert len(runs) > 1
    for line in ("runs show", "runs exclude", "plan --why", "spectra", "spectra x --against"):
        assert completed(f"harness {line} llama", made.root) == runs, line
    assert completed("harness spectra ./", made.root) == ["file,./"]
    assert completed(f"harness -C {made.root} runs show llama", tmp_path) == runs
    shutil.move(made.store.root, tmp_path / "elsewhere")
    assert completed(f"harness --store {tmp_path / 'elsewhere'} runs show llama", made.root) == runs
    assert completed("harness runs show llama", made.root) == []


BROKEN = {
    "no such folder": "harness -C nowhere test l",
    "no such protocol": "harness test --protocol nowhere --models l",
    "a store that is a file": "harness --store pyproject.toml runs show l",
    "a protocol that is no YAML": "harness test --protocol broken --models l",
    "a value out of range": "harness diagnose --sims x lzz",
}


@pytest.mark.parametrize("words", BROKEN.values(), ids=BROKEN)
def test_what_is_wrong_completes_to_nothing_and_says_nothing(made: "Made", words: str) -> None:
    made.declare("runs/broken.yaml", "bases: [\n")
    assert completed(words, made.root) == []


@pytest.mark.parametrize("words", ["harness tset ", "harness --nonsense test l", "harness test 'l"])
def test_what_cannot_be_followed_is_followed_as_far_as_it_can(made: "Made", words: str) -> None:
    assert set(completed(words, made.root)) <= {*COMMANDS, "live"}


def test_a_broken_project_completes_to_nothing(made: "Made") -> None:
    (made.root / "pyproject.toml").write_text("[tool.harness]\nprotokol = 'x'\n")
    assert completed("harness test l", made.root) == []
    assert asked("harness test l", made.root, shell="nonsense").stderr == ""


def test_completion_runs_and_writes_nothing(made: "Made", tmp_path: Path) -> None:
    ran = tmp_path / "ran"
    (made.root / "mine.py").write_text(f"open({str(ran)!r}, 'w')\ndef reward(*_):\n    return 0.0\n")
    text = made.protocol_text.replace("evaluation:", "recipe: {reward: 'mine:reward'}\nevaluation:")
    made.declare("runs/bench.yaml", text)
    before = sorted(made.root.rglob("*"))
    assert completed("harness --allow-code test --models l", made.root) == ["llama"]
    assert completed("harness --allow-code test l", made.root) == ["live"]
    assert (ran.exists(), sorted(made.root.rglob("*"))) == (False, before)


HEAVY = """
import json, os, sys
from harness.cli.main import status
status()
heavy = {"torch", "transformers", "trl", "peft", "datasets", "scipy", "statsmodels", "pingouin", "numpy", "duckdb"}
heavy |= {"matplotlib", "rich"}
if os.environ["COMP_CWORD"] == "1":
    heavy |= {"pydantic", "harness.campaign.bench"}  # the names of commands are known without any of them
print(json.dumps(sorted(heavy & set(sys.modules))))
"""


def test_completion_loads_nothing_heavy(made: "Made") -> None:
    lines = ["harness ", "harness test l", "harness plan --models l", "harness spectra ll", "harness diagnose l"]
    for words in [*lines, "harness runs show x", "harness frontier --m", "harness db q"]:
        variables = {"COMP_WORDS": words, "COMP_CWORD": str(len(words.split(" ")) - 1)}
        environment = {**os.environ, "PYTHONPATH": ":".join(sys.path), "_HARNESS_COMPLETE": "bash_complete"}
        command = [sys.executable, "-c", HEAVY]
        done = subprocess.run(command, cwd=made.root, env=environment | variables, capture_output=True, text=True)
        assert done.stdout.splitlines()[-1] == "[]", words


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_script_asks_in_the_words_that_are_answered(call: Call, made: "Made", shell: str) -> None:
    said = call("completion", shell)
    assert (said.code, said.err) == (0, "")
    assert f"_HARNESS_COMPLETE={shell}_complete" in said.out
    assert call("completion", shell, "--json").json == {"shell": shell, "script": said.out.rstrip("\n")}
    answer = asked("harness test liv", made.root, shell)
    assert (answer.returncode, answer.stderr) == (0, "")
    assert "live" in answer.stdout.replace(",", "\n").split()


@pytest.fixture
def bash(tmp_path: Path) -> Callable[[str, Path], list[str]]:
    """Return a function that types a line in a real bash, presses the key, and returns what is offered."""
    if shutil.which("bash") is None:
        pytest.skip("bash is not installed")
    bin_ = tmp_path / "bin"
    bin_.mkdir()
    (bin_ / "harness").write_text(f'#!/bin/sh\nexec {sys.executable} -m harness "$@"\n')
    (bin_ / "harness").chmod(0o755)

    def typed(line: str, cwd: Path) -> list[str]:
        script = f"""
set -eu
eval "$(harness completion bash)"
complete -p harness >/dev/null
COMP_WORDS=({line}); COMP_CWORD=$(( ${{#COMP_WORDS[@]}} - 1 )); COMPREPLY=()
compopt() {{ :; }}
$(complete -p harness | sed 's/.*-F \\([^ ]*\\).*/\\1/') harness
printf '%s\\n' "${{COMPREPLY[@]-}}"
"""
        environment = {**os.environ, "PYTHONPATH": ":".join(sys.path), "PATH": f"{bin_}:{os.environ['PATH']}"}
        command = ["bash", "--norc", "-c", script]
        done = subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True)
        assert (done.returncode, done.stderr) == (0, "")
        return done.stdout.split()

    return typed


def test_a_real_bash_offers_names(bash: Callable[[str, Path], list[str]], made: "Made") -> None:
    assert bash("harness verd", made.root) == ["verdict"]
    assert bash("harness test rank-", made.root) == ["rank-collapse"]
    assert bash("harness test live --protocol benc", made.root) == ["bench"]
    assert bash("harness test live --models llama,q", made.root) == ["llama,qwen"]
    assert bash("harness test nothing-like-it", made.root) == []
