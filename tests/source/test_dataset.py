"""Where published sets are found: in the project and nowhere else, or at one commit on a server of the test's own."""

import json
from fnmatch import fnmatch
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from harness.source.dataset import in_folder
from harness.source.rows import DataError
from harness.spec.task import DataSet

if TYPE_CHECKING:
    from tests.conftest import Hub, Published

COMMIT, OLDER = "a" * 40, "b" * 40
ASK = """
import json, sys
from harness.source.dataset import on_hub
from harness.source.rows import DataError
from harness.spec.task import DataSet
try:
    place = on_hub(DataSet.model_validate_json(sys.argv[1]))
    print(json.dumps([place.commit, [str(file) for file in place.files]]))
except DataError as error:
    print(json.dumps(str(error)))
"""


def declared(**said: Any) -> DataSet:
    return DataSet.model_validate_json(json.dumps({"format": "gsm8k", "split": "train", **said}))


def test_a_folder_holds_the_layout_of_the_hub_or_plain_files(tmp_path: Path, published: "type[Published]") -> None:
    published.gsm8k(tmp_path / "data" / "gsm8k", rows=3)
    published.gsm8k(tmp_path / "data" / "gsm8k", split="test", rows=3)
    found = in_folder(declared(folder="data/gsm8k"), tmp_path)
    assert [file.name for file in found] == ["train-00000-of-00001.parquet"]
    plain = tmp_path / "data" / "plain"
    published.lines(plain / "train.jsonl", [])
    published.lines(plain / "train.py", [])
    assert in_folder(declared(folder="data/plain"), tmp_path) == (plain / "train.jsonl",)


def test_files_of_a_split_come_in_the_order_of_their_names(tmp_path: Path, published: "type[Published]") -> None:
    published.deepmath(tmp_path / "d", 4)
    names = [file.name for file in in_folder(declared(format="deepmath-103k", folder="d"), tmp_path)]
    assert names == ["train-00000-of-00002.parquet", "train-00001-of-00002.parquet"]


def test_a_folder_or_file_that_leads_out_of_the_project_is_refused(
    tmp_path: Path, published: "type[Published]"
) -> None:
    project, elsewhere = tmp_path / "project", tmp_path / "elsewhere"
    project.mkdir()
    published.lines(elsewhere / "train.jsonl", [])
    (project / "linked").symlink_to(elsewhere)
    (project / "data").mkdir()
    (project / "data" / "train.jsonl").symlink_to(elsewhere / "train.jsonl")
    with pytest.raises(DataError, match=r"gsm8k in linked: linked leads out of the project\. Copy the files in\."):
        in_folder(declared(folder="linked"), project)
    with pytest.raises(DataError, match=r"data/train\.jsonl leads out of the project\. Copy the files in\."):
        in_folder(declared(folder="data"), project)


def test_what_is_not_in_the_project_is_told_with_the_remedy(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"gsm8k in data: no such folder in the project .*\. Download the set there"):
        in_folder(declared(folder="data"), tmp_path)
    with pytest.raises(DataError, match=r"no project here, and a folder is one of a project\."):
        in_folder(declared(folder="data"), None)
    (tmp_path / "data").mkdir()
    with pytest.raises(DataError, match=r"no file of the split train \(looked for main/train-\*\.parquet\)\."):
        in_folder(declared(folder="data"), tmp_path)


@pytest.fixture
def sets(hub: "Hub", tmp_path: Path, published: "type[Published]") -> "Hub":
    """Return a server with one open data set at two commits and one behind consent."""
    published.gsm8k(tmp_path / "made", rows=3)
    published.gsm8k(tmp_path / "made", split="test", rows=3)
    files = {f"main/{file.name}": file.read_bytes() for file in (tmp_path / "made" / "main").iterdir()}
    files |= {"gsm8k.py": b"raise SystemExit", "README.md": b"words"}
    hub.put("datasets/openai/gsm8k", COMMIT, files, "main")
    hub.put("datasets/openai/gsm8k", OLDER, files, "v1")
    hub.gated.add("datasets/lab/gated")
    return hub


def found(said: dict[str, Any], hub: "Hub", home: Path, offline: bool = False) -> Any:
    """Ask for a set in a fresh process."""
    return hub.ask(ASK, json.dumps({"format": "gsm8k", "split": "train", **said}), home, offline)


@pytest.mark.slow
@pytest.mark.parametrize(("revision", "commit"), [("main", COMMIT), ("v1", OLDER), (OLDER, OLDER)])
def test_a_revision_is_resolved_to_its_commit_and_only_the_split_is_had(
    revision: str, commit: str, sets: "Hub", tmp_path: Path
) -> None:
    at, files = found({"revision": revision}, sets, tmp_path)
    assert at == commit
    assert [fnmatch(file, f"*/snapshots/{commit}/main/train-00000-of-00001.parquet") for file in files] == [True]
    assert not any("gsm8k.py" in path or "/test-" in path for path in sets.asked)


@pytest.mark.slow
def test_without_a_connection_the_copy_is_found_at_its_commit(sets: "Hub", tmp_path: Path) -> None:
    first = found({"revision": "main"}, sets, tmp_path)
    before = len(sets.asked)
    assert found({"revision": "main"}, sets, tmp_path, offline=True) == first
    assert found({"revision": COMMIT}, sets, tmp_path, offline=True) == first
    assert len(sets.asked) == before
    assert "no answer from the Hub and no copy in" in found({"revision": "v1"}, sets, tmp_path, offline=True)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("said", "message"),
    [
        ({"revision": "v9"}, "openai/gsm8k@v9: no such revision of this set. Name a commit, a tag or a branch."),
        ({"id": "lab/gated", "revision": "main"}, "lab/gated@main: its authors ask for consent first."),
        ({"id": "lab/absent", "revision": "main"}, "lab/absent@main: no such data set on the Hub, or a private one."),
        (
            {"revision": "main", "format": "math-500", "split": "test", "id": "openai/gsm8k"},
            "no file of the split test",
        ),
    ],
)
def test_a_no_of_the_hub_is_told_in_one_line(said: dict[str, Any], message: str, sets: "Hub", tmp_path: Path) -> None:
    told = found(said, sets, tmp_path)
    assert message in told
    assert "\n" not in told
