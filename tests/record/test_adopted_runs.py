"""Adopted runs as records: written once, whole, checked, and one run under one name."""

import json
import os
import shutil
import stat
import threading
from pathlib import Path

import pytest

from harness.record.adopted_runs import AdoptedRun, adopt_run, adopted_runs, check_name, proper_name, same_run
from harness.record.atomic import IntegrityError, sha256
from harness.record.layout import Store
from harness.record.trl_facts import known
from harness.record.trl_folder import output
from harness.spec import DeclarationError

pytestmark = pytest.mark.slow


def adopt(store: Store, folder: Path, name: str = "theirs") -> AdoptedRun:
    found = output(folder)
    return adopt_run(store, name, (folder.name, None), found, known(found), [])


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """Return an empty store."""
    return Store(tmp_path / ".harness")


def test_a_run_is_kept_as_it_came_with_the_checksum_of_every_file(store: Store, trl_output: Path) -> None:
    run = adopt(store, trl_output / "sft")
    assert [each.id for each in adopted_runs(store)] == ["theirs"]
    there = {str(path.relative_to(run.path)) for path in run.path.rglob("*") if path.is_file()}
    assert there == {*run.files, "manifest.json"}
    names = ("adapter_model.safetensors", "adapter_config.json", "trainer_state.json", "eval_results.json")
    for name in names:
        assert (run.kept / name).read_bytes() == (trl_output / "sft" / name).read_bytes()
        assert not os.path.samefile(run.kept / name, trl_output / "sft" / name)
    assert not list(run.path.rglob("*.bin")) and not list(run.path.rglob("*.pt"))
    assert all(run.verified(name) == run.path / name for name in run.files)
    assert stat.S_IMODE(run.path.stat().st_mode) == stat.S_IMODE(store.adopted_runs.stat().st_mode)
    assert list(store.adopted_runs.iterdir()) == [run.path]


def test_a_whole_model_is_linked_not_copied_and_its_change_is_noticed(
    store: Store, trl_output: Path, tmp_path: Path
) -> None:
    folder = shutil.copytree(trl_output / "full", tmp_path / "full")
    run = adopt(store, folder)
    assert os.path.samefile(run.kept / "model.safetensors", folder / "model.safetensors")
    with (folder / "model.safetensors").open("r+b") as file:
        file.seek(-1, os.SEEK_END)
        file.write(b"\x7f")
    with pytest.raises(IntegrityError, match="not what was adopted"):
        run.verified("kept/model.safetensors")


def test_one_run_has_one_name_and_one_name_is_one_run(store: Store, trl_output: Path) -> None:
    run = adopt(store, trl_output / "sft")
    before = {path: sha256(path) for path in run.path.rglob("*") if path.is_file()}
    final = output(trl_output / "sft")
    assert same_run(store, "theirs", final) == run
    assert adopt(store, trl_output / "sft") == run
    with pytest.raises(DeclarationError, match="another: these weights were adopted as theirs"):
        same_run(store, "another", final)
    with pytest.raises(DeclarationError, match="theirs: another run has this name"):
        same_run(store, "theirs", output(trl_output / "grpo"))
    with pytest.raises(DeclarationError, match="theirs: another run has this name"):
        adopt(store, trl_output / "grpo")
    assert {path: sha256(path) for path in store.adopted_runs.rglob("*") if path.is_file()} == before


def test_of_commands_at_once_one_adopts(store: Store, trl_output: Path) -> None:
    found: list[AdoptedRun] = []
    threads = [threading.Thread(target=lambda: found.append(adopt(store, trl_output / "sft"))) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 6 and len({run.adopted_at for run in found}) == 1
    assert [path.name for path in store.adopted_runs.iterdir()] == ["theirs"]


def test_our_own_run_is_not_adopted(store: Store, trl_output: Path) -> None:
    weights = output(trl_output / "sft").weights[0]
    manifest = store.runs / "own-run-0123456789ab" / "result" / "manifest.json"
    manifest.parent.mkdir(parents=True)
    manifest.write_text(json.dumps({"files": {"adapter_model.safetensors": {"sha256": sha256(weights), "bytes": 1}}}))
    with pytest.raises(DeclarationError, match="the weights of own-run-0123456789ab, a run of this store"):
        same_run(store, "theirs", output(trl_output / "sft"))
    with pytest.raises(DeclarationError, match="a run of this store has this id"):
        check_name(store, "own-run-0123456789ab")


@pytest.mark.parametrize("name", ["", "../x", "a/b", "/etc", ".hidden", "-x", "A", "a b", "a\n", "x" * 64, "\u00e4"])
def test_no_name_leads_out_of_the_store(store: Store, name: str) -> None:
    with pytest.raises(DeclarationError, match="is no name"):
        check_name(store, name)


def test_proper_names() -> None:
    assert proper_name("Qwen2.5_GRPO (final)") == "qwen2-5-grpo-final"
    assert proper_name("..") == ""
    assert len(proper_name("x" * 100)) == 63


@pytest.mark.parametrize("spoilt", ["manifest.json", "facts.json"])
def test_damage_is_named(spoilt: str, store: Store, trl_output: Path) -> None:
    run = adopt(store, trl_output / "sft")
    (run.path / spoilt).write_text("{}")
    with pytest.raises(IntegrityError, match=f"{spoilt}: not "):
        adopted_runs(store)[0].facts()
