"""Secrets of the environment, of addresses and of a failing run's own text are in no file and in no output.

Real commands: a worker that fails with a message full of secrets, and everything that reads its record afterwards.
"""

import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.conftest import Made

PLANTED = {
    "HF_TOKEN": "hf_plantedAAAAAAAAAAAAAAAAAAAA",
    "WANDB_API_KEY": "planted0123456789abcdef0123456789abcdef",
    "AWS_SECRET_ACCESS_KEY": "planted/wJalrXUtnFEMI+K7MDENG",
    "LAB_PASSWORD": "planted correct horse",
}
ENDPOINT = "http://ann:plantedinaddress@127.0.0.1:9"
MINE = """
import os, sys
def sums():
    if "torch" in sys.modules:  # in the worker; the command itself only plans
        print("environment", dict(os.environ), flush=True)
        print("trying", os.environ["HF_ENDPOINT"], file=sys.stderr, flush=True)
        said = " ".join(os.environ[name] for name in ("HF_TOKEN", "WANDB_API_KEY", "AWS_SECRET_ACCESS_KEY"))
        address = os.environ["HF_ENDPOINT"] + "/x?token=plantedquery"
        raise RuntimeError(f"{said} {os.environ['LAB_PASSWORD']!r} refused by {address}")
    return [(f"{a}+{b}=", str(a + b)) for a in range(60) for b in range(60)]
"""
TASK = """task: {name: custom, code: "mine:sums", alphabet: "0123456789+=", longest_answer: 4, split_seed: 5,
       evaluation_problems: 500, validation_problems: 500, training_prompts: 160}
"""


@pytest.mark.slow
def test_secrets_are_in_no_file_and_in_no_output(made: "Made") -> None:
    lines = made.protocol_text.split("bases:", 1)
    made.declare("runs/bench.yaml", f"title: A protocol of the tests\n{TASK}bases:{lines[1]}")
    made.declare("mine.py", MINE)
    environment = {**os.environ, **PLANTED, "HF_ENDPOINT": ENDPOINT, "PYTHONPATH": ":".join(sys.path)}
    told: list[str] = []

    def harness(*arguments: str) -> int:
        command = [sys.executable, "-m", "harness", "--allow-code", *arguments]
        done = subprocess.run(
            command, cwd=made.root, env=environment, capture_output=True, text=True, check=False, timeout=300
        )
        told.append(done.stdout + done.stderr)
        return done.returncode

    assert harness("test", "live", "--explore", "--workers", "1") == 1  # the base failed
    for command in (["status"], ["--json", "status"], ["runs", "list"], ["report"], ["doctor"], ["db", "rebuild"]):
        harness(*command)
    (end,) = made.store.bases.glob("*/attempts/0001/exit.json")
    assert "[HF_TOKEN] [WANDB_API_KEY] [AWS_SECRET_ACCESS_KEY]" in end.read_text()
    assert "refused by http://[secret]@127.0.0.1:9/x?token=[secret]" in end.read_text()
    log = end.with_name("log.txt").read_text()
    assert "trying http://[secret]@127.0.0.1:9" in log and "[LAB_PASSWORD]" in log  # it was all there once
    assert "[HF_TOKEN]" in told[0] + told[1]
    kept = [path for path in made.store.root.rglob("*") if path.is_file()]
    assert len(kept) > 5
    for path in kept:
        assert b"planted" not in path.read_bytes(), path
    assert [text for text in told if "planted" in text] == []


def test_the_declarations_hold_none_of_them(made: "Made", tmp_path: Path) -> None:
    """What the test above greps for is not in the folder before."""
    assert not [path for path in tmp_path.rglob("*") if path.is_file() and b"planted" in path.read_bytes()]
    assert made.root.is_dir()
