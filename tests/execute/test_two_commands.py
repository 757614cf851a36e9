"""Two commands at once on one store: every run is executed once, and both end with the same verdict."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from harness.record.job import JobDirectory
from harness.record.layout import Store

if TYPE_CHECKING:
    from tests.execute.conftest import Project


def started(project: Path, store: Path) -> "subprocess.Popen[str]":
    command = [sys.executable, "-P", "-m", "harness", "-q", "--store", str(store), "test", "live", "--json"]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    return subprocess.Popen(
        command, cwd=project, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


@pytest.mark.slow
def test_every_run_is_executed_once_and_both_end_with_the_same_verdict(project: "Project", tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    both = [started(project.root, store.root) for _ in range(2)]
    said: list[dict[str, Any]] = []
    for command in both:
        out, err = command.communicate(timeout=600)
        assert command.returncode == 0, err
        said.append(json.loads(out))
    assert said[0]["verdicts"] == said[1]["verdicts"]
    jobs = [JobDirectory(path) for folder in (store.bases, store.runs) for path in folder.iterdir()]
    assert len(jobs) == 1 + 2 * 5  # a base; cells x seeds
    assert all(job.manifest() for job in jobs)
    assert [len(job.attempts()) for job in jobs] == [1] * len(jobs)
    assert said[0]["executed"] + said[1]["executed"] == 2 * 5
    assert [said[i]["failed"] for i in range(2)] == [{}, {}]
    assert len(list(store.registrations.glob("pocket/live/*.json"))) == 1
