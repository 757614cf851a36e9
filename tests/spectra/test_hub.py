"""Models by name: the real library against a server of the test's own that speaks the Hub's language; no network."""

import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import torch
from safetensors.torch import save

from harness.spectra.hub import resolve

if TYPE_CHECKING:
    from tests.conftest import Hub

REPO = "lab/tiny"
COMMIT, OLDER = "a" * 40, "b" * 40
WEIGHTS = save({"model.layers.0.self_attn.q_proj.weight": torch.eye(4)})
FILES = {
    "model.safetensors": WEIGHTS,
    "config.json": b"{}",
    "pytorch_model.bin": b"never read",
    "README.md": b"words",
    "original/model.safetensors": WEIGHTS,
}
ASK = """
import json, sys
from harness.spectra.hub import HubError, resolve
try:
    folder, commit = resolve(sys.argv[1])
    print(json.dumps([str(folder), commit, sorted(p.name for p in folder.iterdir())]))
except (HubError, FileNotFoundError) as error:
    print(json.dumps([type(error).__name__, str(error)]))
"""


@pytest.fixture(autouse=True)
def models(hub: "Hub") -> None:
    """Put an open model there, one behind consent, and one that holds a pickle only."""
    hub.put(REPO, COMMIT, FILES, "main")
    hub.put(REPO, OLDER, FILES, "v1")
    hub.gated.add("lab/gated")
    hub.put("lab/pickled", COMMIT, {"pytorch_model.bin": b"never read"}, "main")


def asked(target: str, hub: "Hub", home: Path, offline: bool = False) -> list[object]:
    """Resolve `target` in a fresh process."""
    return hub.ask(ASK, target, home, offline)


pytestmark = pytest.mark.slow


def test_a_model_is_read_at_the_commit_of_its_revision_without_its_pickles(hub: "Hub", tmp_path: Path) -> None:
    folder, commit, files = asked(REPO, hub, tmp_path)
    assert commit == COMMIT
    assert files == ["config.json", "model.safetensors"]
    assert str(folder).endswith(f"models--lab--tiny/snapshots/{COMMIT}")
    assert (Path(str(folder)) / "model.safetensors").read_bytes() == WEIGHTS
    assert not any("pytorch_model.bin" in path or "original" in path for path in hub.asked)


def test_without_a_connection_the_copy_is_found_by_branch_and_by_commit(hub: "Hub", tmp_path: Path) -> None:
    first = asked(f"{REPO}@main", hub, tmp_path)
    before = len(hub.asked)
    assert asked(f"{REPO}@main", hub, tmp_path, offline=True) == first
    assert asked(f"{REPO}@{COMMIT}", hub, tmp_path, offline=True) == first
    assert len(hub.asked) == before
    hub.url = "http://127.0.0.1:9"  # a port where nobody answers
    assert asked(REPO, hub, tmp_path) == first


def test_a_tag_is_another_commit(hub: "Hub", tmp_path: Path) -> None:
    assert asked(f"{REPO}@v1", hub, tmp_path)[1] == OLDER


@pytest.mark.parametrize(
    ("target", "offline", "told"),
    [
        ("lab/absent", False, "lab/absent@main: no such path here, and no such model on the Hub, or a private one. "),
        (f"{REPO}@v9", False, f"{REPO}@v9: no such revision of this model. Name a branch, tag or commit."),
        ("lab/gated", False, "lab/gated@main: its authors ask for consent first. Give it on the model's page"),
        ("lab/pickled", False, "lab/pickled@main: no safetensors file at its top, and nothing else is read. Convert"),
        (REPO, True, f"{REPO}@main: no such path here, no answer from the Hub and no copy in "),
        (f"{REPO}@{'c' * 40}", True, "no answer from the Hub and no copy in "),
    ],
)
def test_a_model_that_cannot_be_had_is_told_in_a_line(
    hub: "Hub", tmp_path: Path, target: str, offline: bool, told: str
) -> None:
    kind, text = asked(target, hub, tmp_path, offline)
    assert kind == "HubError"
    assert told in str(text)
    assert "\n" not in str(text)


@pytest.mark.parametrize(
    "target",
    ["nowhere", "./lab/tiny", "/lab/tiny", "a/b/c", "a/b@", f"{REPO}@../x", "lab/model.safetensors", "lab/run.json"],
)
def test_what_has_no_form_of_a_model_is_a_missing_path(target: str, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=f"{target}: no such file or folder"):
        resolve(target, tmp_path)


def test_a_mistyped_path_is_no_model(hub: "Hub", tmp_path: Path) -> None:
    """Where its parent is a folder here, or a path is called alike; a revision says that a model is meant."""
    (tmp_path / "adapters" / "first").mkdir(parents=True)
    for target, there in (
        ("adapters/frist", "; adapters/first is there"),
        ("adaptors/first", "; adapters/first is there"),
        ("adapters/other", ""),
    ):
        told = (
            f"{target}: no such file or folder{there}. Name one that exists, or {target}@main for a model on the Hub."
        )
        with pytest.raises(FileNotFoundError, match=f"^{re.escape(told)}$"):
            resolve(target, tmp_path)
    told = "adapters/first/modle.safetensors: no such file or folder. Name one that exists."
    with pytest.raises(FileNotFoundError, match=f"^{re.escape(told)}$"):
        resolve("adapters/first/modle.safetensors", tmp_path)
    (tmp_path / "dangling").symlink_to("nothing")
    with pytest.raises(FileNotFoundError, match=r"^dangling: no such file or folder\. Name one that exists\.$"):
        resolve("dangling", tmp_path)
    (tmp_path / "lab").mkdir()
    assert asked(f"{REPO}@main", hub, tmp_path)[1] == COMMIT


def test_an_existing_path_stands_before_a_model_of_its_name(hub: "Hub", tmp_path: Path) -> None:
    (tmp_path / REPO).mkdir(parents=True)
    assert asked(REPO, hub, tmp_path) == [REPO, None, []]
    assert hub.asked == []


def test_a_snapshot_in_the_cache_tells_its_commit(tmp_path: Path) -> None:
    folder = tmp_path / "models--lab--tiny" / "snapshots" / COMMIT
    folder.mkdir(parents=True)
    (folder / "model.safetensors").write_bytes(WEIGHTS)
    assert resolve(str(folder)) == (folder, COMMIT)
    assert resolve(str(folder / "model.safetensors"))[1] == COMMIT
    assert resolve(str(tmp_path)) == (tmp_path, None)
