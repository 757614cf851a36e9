"""A project of one's own, begun with what is shipped."""

import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from harness.spec.shelf import shipped

Call = Callable[..., Any]
NAMES = [".gitignore", "analysis", "hypotheses", "paper", "pyproject.toml", "runs"]


def contents(folder: Path) -> dict[Path, bytes]:
    return {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_it_is_a_project_that_says_what_is_shipped(call: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    said = call("init", "mine")
    assert (said.code, said.err) == (0, "")
    assert said.out.splitlines()[-1].startswith("then: cd mine; ")
    made = tmp_path / "mine"
    assert sorted(os.listdir(made)) == NAMES
    for kind in ("hypotheses", "runs", "analysis", "paper"):
        assert contents(made / kind) == contents(shipped() / kind)
    before = call("validate", "--json").json
    listed = call("-C", "mine", "list")
    assert (listed.code, listed.err) == (0, "")  # no copy differs from what is shipped
    assert call("-C", "mine", "validate", "--json").json == before
    assert call("-C", "mine", "new", "own").code == 0
    assert call("-C", "mine", "plan", "own").code == 0
    assert call("-C", "mine/runs", "db", "path").out == f"{made}/.harness/index.duckdb\n"


def test_the_records_are_left_out_of_version_control_and_nothing_else(
    call: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    call("init", ".")
    subprocess.run(["git", "init", "-q", "."], check=True)
    for name in (".harness/runs/x", "notes/.harness/kept"):
        (tmp_path / name).parent.mkdir(parents=True)
        (tmp_path / name).touch()
    done = subprocess.run(["git", "status", "--porcelain", "-uall"], check=True, capture_output=True, text=True)
    seen = {line[3:] for line in done.stdout.splitlines()}
    assert {"pyproject.toml", "runs/tiny.yaml", "notes/.harness/kept"} <= seen
    assert ".harness/runs/x" not in seen


@pytest.mark.parametrize("there", [["runs"], [".gitignore", "pyproject.toml"], ["paper"]])
def test_nothing_is_overwritten_and_nothing_is_half_written(call: Call, tmp_path: Path, there: list[str]) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    for name in there:
        (tmp_path / name).write_text("mine") if "." in name else (tmp_path / name).symlink_to("nowhere")
    said = call("init", str(tmp_path))
    verb = "is" if len(there) == 1 else "are"
    rule = f"{', '.join(there)} {verb} there already. Nothing was written: name another folder, or move them."
    assert (said.code, said.out, said.err) == (2, "", f"{tmp_path}: {rule}\n")
    assert sorted(os.listdir(tmp_path)) == sorted([*there, "notes.txt"])


def test_other_files_of_the_folder_stay(call: Call, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    said = call("init", str(tmp_path), "--json").json
    assert said == {"project": str(tmp_path), "written": NAMES}
    assert sorted(os.listdir(tmp_path)) == sorted([*NAMES, "notes.txt"])
    again = call("init", str(tmp_path))
    assert (again.code, ", ".join(NAMES) in again.err) == (2, True)


def test_a_file_is_no_folder(call: Call, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    said = call("-C", str(tmp_path), "init", "file")
    assert (said.code, said.err) == (2, f"{tmp_path}/file: is no folder. Name another.\n")


def test_without_a_project_it_is_told_how_to_make_one(call: Call, tmp_path: Path) -> None:
    assert "`harness init DIR` makes one." in call("-C", str(tmp_path), "new", "mine").err
