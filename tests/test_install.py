"""A built wheel works outside the checkout, with the shipped declarations and with a project of the user's own."""

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
CLAIM = """
title: Rank 16 is as good as rank 8
claim: Rank 16 loses less than ten points against rank 8.
source: this test
design: {seeds: 5}
predictions:
  - {id: keeps-up, kind: non_inferiority, role: primary, statement: Rank 16 keeps up with rank 8., margin: 0.1,
     rationale: Ten points are what a user would notice., a: {rank: 16}, b: {rank: 8}}
"""


@pytest.fixture(scope="module")
def unpacked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(folder), str(ROOT)]
    subprocess.run(command, check=True, capture_output=True)
    (wheel,) = folder.glob("rlvr_harness-*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder / "site")
    return folder / "site"


def harness(site: Path, at: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the wheel's own command line, from folder `at`."""
    code = "import harness, sys; sys.stderr.write(harness.__file__ + '\\n'); from harness.cli import main; main()"
    environment = {**os.environ, "PYTHONPATH": str(site)}
    return subprocess.run(
        [sys.executable, "-c", code, *arguments], cwd=at, env=environment, capture_output=True, text=True
    )


def test_the_wheel_ships_declarations_and_no_tests(unpacked: Path) -> None:
    shipped = unpacked / "harness" / "project"
    assert {folder.name for folder in shipped.iterdir()} == {"hypotheses", "runs", "analysis", "paper"}
    for folder in shipped.iterdir():
        assert {p.name for p in folder.iterdir()} == {p.name for p in (ROOT / folder.name).iterdir()}
    assert not (unpacked / "tests").exists()


def test_the_wheel_ships_the_parts_of_the_page(unpacked: Path) -> None:
    page = Path("harness") / "publish" / "report" / "page"
    assert {p.name for p in (unpacked / page).iterdir()} == {p.name for p in (ROOT / page).iterdir()}


def test_outside_any_project_the_shipped_shelf_is_there(unpacked: Path, tmp_path: Path) -> None:
    done = harness(unpacked, tmp_path, "plan", "rank-collapse", "--protocol", "smoke")
    assert done.stderr.splitlines()[0].startswith(str(unpacked))
    assert done.returncode == 0 and "140 runs in all on 2 bases: 140 new" in done.stdout
    assert not (tmp_path / ".harness").exists()


def test_a_project_of_ones_own_adds_and_overrides(unpacked: Path, tmp_path: Path) -> None:
    (tmp_path / "hypotheses").mkdir()
    (tmp_path / "pyproject.toml").write_text("[tool.harness]\nprotocol = 'smoke'\n")
    (tmp_path / "hypotheses" / "mine.yaml").write_text(CLAIM)
    (tmp_path / "hypotheses" / "rank-collapse.yaml").write_text(CLAIM)
    below = tmp_path / "notes"
    below.mkdir()
    done = harness(unpacked, below, "plan", "mine")
    assert done.returncode == 0 and "10 runs in all" in done.stdout
    assert "hypotheses/rank-collapse.yaml of this project stands before the shipped file" in done.stderr
    declared = sum(len([*(ROOT / kind).glob("*.yaml")]) for kind in ("hypotheses", "runs")) + 1  # mine
    assert harness(unpacked, below, "validate").stdout.strip() == f"{declared} declarations, no mistake"


def test_a_project_is_begun_from_the_wheel(unpacked: Path, tmp_path: Path) -> None:
    done = harness(unpacked, tmp_path, "init", "mine")
    assert done.returncode == 0
    for kind in ("hypotheses", "runs", "analysis", "paper"):
        assert {p.name for p in (tmp_path / "mine" / kind).iterdir()} == {p.name for p in (ROOT / kind).iterdir()}
    assert harness(unpacked, tmp_path / "mine", "new", "own").returncode == 0
    done = harness(unpacked, tmp_path / "mine", "plan", "own", "--protocol", "smoke")
    assert done.returncode == 0 and "16 runs in all on 1 bases" in done.stdout
