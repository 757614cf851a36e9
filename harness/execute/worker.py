"""The command that every engine runs: it executes the job directories that follow it.

The permission to run a project's code is an argument of it, never inherited. `-P` keeps the working directory off the
import path, where a project's file of a library's name would be run.
"""

import sys
from pathlib import Path


def worker(code_root: Path | None = None, exchange: str | None = None) -> list[str]:
    """Return the command that executes the job directories that are appended to it.

    With the URL of an exchange it executes the jobs of these names there, and the directories need not be in sight.
    """
    permitted = ["--code", str(code_root)] if code_root else []
    there = ["--exchange", exchange] if exchange else []
    return [sys.executable, "-P", "-m", "harness.train", *permitted, *there]


def server(code_root: Path | None = None) -> list[str]:
    """Return the command of a server that executes the jobs it is told of, for one import of the libraries."""
    return [*worker(code_root), "--serve"]
