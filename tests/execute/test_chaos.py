"""Whatever is killed whenever: the verdict is the same, no run is lost and none is there twice."""

import importlib.util
import sys
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

import pytest

from harness.record.job import JobDirectory
from harness.record.layout import Store

if TYPE_CHECKING:
    from tests.execute.conftest import Project

HERE = Path(__file__).parents[1]
KILLS = 11


def script(name: str) -> ModuleType:
    """Return a script of benchmarks/ as a module."""
    spec = importlib.util.spec_from_file_location(f"benchmarks_{name}", HERE.parent / "benchmarks" / f"{name}.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="looks processes up in /proc")
def test_a_test_killed_again_and_again_gives_the_undisturbed_verdict(project: "Project", tmp_path: Path) -> None:
    chaos = script("chaos")
    found = chaos.chaos(("test", "live"), project.root, tmp_path, chaos.Kills(KILLS, seed=3, pause=0.7))
    assert found["kills"] == KILLS
    assert set(found["by_kind"]) == {"worker", "server", "command"}
    assert found["by_phase"]["decision"] >= 1
    assert found["starts"] > found["by_kind"]["command"]
    assert found["verdicts_equal"]
    assert found["differing_files"] == []
    assert found["survivors"] == []
    disturbed = Store(tmp_path / "disturbed")
    runs = [JobDirectory(path) for path in disturbed.runs.iterdir()]
    assert len(runs) == 2 * 5  # cells x seeds
    assert {run.id for run in runs} == {path.name for path in Store(tmp_path / "undisturbed").runs.iterdir()}
    assert all(run.manifest() for run in runs)
    assert max(map(int, found["attempts"])) > 1  # some job was killed at work
