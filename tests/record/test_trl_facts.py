"""What is read out of TRL's own files, held against what TRL wrote there and against the names that our runs log by."""

import json
import shutil
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest

from harness.record.trl_facts import ALWAYS_UNKNOWN, NAMES, Known, known
from harness.record.trl_folder import output
from harness.spec import DeclarationError

pytestmark = pytest.mark.slow


@pytest.fixture
def folder(trl_output: Path, tmp_path: Path) -> Path:
    """Return a copy of a final folder."""
    return shutil.copytree(trl_output / "sft", tmp_path / "sft")


def state(folder: Path, change: Any) -> Known:
    file = folder / "trainer_state.json"
    said = json.loads(file.read_text())
    change(said)
    file.write_text(json.dumps(said))
    return known(output(folder))


def test_names_are_those_by_which_our_own_runs_are_logged() -> None:
    from harness.train.progress import StepLog  # pyright: ignore[reportUnknownVariableType]

    assert tuple(NAMES.items()) == StepLog.NAMES


def test_every_number_of_the_log_is_kept_by_its_name(trl_output: Path) -> None:
    found = known(output(trl_output / "grpo"))
    history = json.loads((trl_output / "grpo" / "checkpoint-3" / "trainer_state.json").read_text())["log_history"]
    numbers = {(entry["step"], name): entry[name] for entry in history for name in entry if name != "step"}
    assert {(row["step"], row["name"]): row["value"] for row in found.logged} == numbers
    assert [row["step"] for row in found.steps] == [1, 2, 3]
    for row, entry in zip(found.steps, history, strict=True):
        assert row == {"step": entry["step"], **{ours: entry[theirs] for theirs, ours in NAMES.items()}}


def test_facts_are_what_the_files_state_and_the_rest_is_named(trl_output: Path) -> None:
    facts = known(output(trl_output / "sft")).facts
    assert facts["algorithm"] == "sft"
    assert facts["base"] == {"name": str(trl_output / "base"), "revision": None}
    adapter = {key: facts["adapter"][key] for key in ("method", "rank", "alpha", "multiplier")}
    assert adapter == {"method": "lora", "rank": 4, "alpha": 8.0, "multiplier": 2.0}
    assert len(facts["adapter"]["targets"]) == 7
    assert (facts["updates"], facts["accuracy_stated"]) == (4, 0.375)
    assert facts["train_seconds"] > 0
    packages = ("peft", "trl", "transformers", "torch", "datasets", "tokenizers")
    assert facts["software"] == {name: version(name) for name in packages}
    assert facts["log"] == {"rows": 4, "from": "trainer_state.json", "not_finite": {}}
    assert facts["unknown"] == list(ALWAYS_UNKNOWN)
    assert facts["unread"] == ["training_args.bin"]
    point = known(output(trl_output / "sft" / "checkpoint-2")).facts
    assert {"algorithm", "train_seconds", "accuracy_stated"} <= set(point["unknown"])
    assert point["software"] == {"peft": version("peft")}
    whole = known(output(trl_output / "full")).facts
    assert whole["adapter"] == {"method": "full"} and "base" in whole["unknown"]


def test_without_a_log_it_is_unknown(folder: Path) -> None:
    for file in folder.rglob("trainer_state.json"):
        file.unlink()
    found = known(output(folder))
    assert (found.steps, found.logged, found.facts["log"]) == ([], [], None)
    assert {"updates", "log"} <= set(found.facts["unknown"])


def test_rank_stabilised_and_patterned_adapters(folder: Path) -> None:
    file = folder / "adapter_config.json"
    config = json.loads(file.read_text())
    file.write_text(json.dumps({**config, "use_rslora": True}))
    assert known(output(folder)).facts["adapter"]["multiplier"] == 4.0  # 8 / sqrt(4)
    file.write_text(json.dumps({**config, "rank_pattern": {"q_proj": 2}}))
    assert known(output(folder)).facts["adapter"]["multiplier"] is None
    file.write_text(json.dumps({**config, "peft_type": "lora; rm"}))
    with pytest.raises(DeclarationError, match="is no method"):
        known(output(folder))


def test_what_is_no_number_is_kept_as_unknown_and_counted(folder: Path) -> None:
    def diverge(said: Any) -> None:
        said["log_history"][2] |= {"loss": float("nan"), "grad_norm": float("inf"), "num_tokens": 10**400}

    found = state(folder, diverge)
    assert found.facts["log"]["not_finite"] == {"grad_norm": 1, "loss": 1, "num_tokens": 1}
    assert (found.steps[2]["loss"], found.steps[2]["grad_norm"]) == (None, None)
    assert found.steps[3]["loss"] is not None


def test_of_two_entries_of_one_update_the_later_counts(folder: Path) -> None:
    def resume(said: Any) -> None:
        said["log_history"].append({"step": 2, "loss": 7.0})

    found = state(folder, resume)
    assert [row["loss"] for row in found.steps if row["step"] == 2] == [7.0]
    assert sum(row["name"] == "loss" and row["step"] == 2 for row in found.logged) == 2


@pytest.mark.parametrize("step", [None, -1, 2**40, True, 1.5, "1"])
def test_an_entry_of_no_update_is_a_line(step: Any, folder: Path) -> None:
    def spoil(said: Any) -> None:
        said["log_history"].append({"step": step, "loss": 1.0})

    with pytest.raises(DeclarationError, match=r"trainer_state\.json: step .* in log_history .*Restore"):
        state(folder, spoil)


@pytest.mark.parametrize("history", [{}, "step", 7, ["step"], [{}]])
def test_a_log_that_is_none_is_a_line(history: Any, folder: Path) -> None:
    def spoil(said: Any) -> None:
        said["log_history"] = history

    with pytest.raises(DeclarationError, match=r"trainer_state\.json: .*log_history .*Restore"):
        state(folder, spoil)


def test_names_of_a_stranger_are_printable_and_short(folder: Path) -> None:
    def paint(said: Any) -> None:
        said["log_history"][0]["\x1b[31m" + "x" * 500] = 1.0

    found = state(folder, paint)
    (name,) = [row["name"] for row in found.logged if "x" * 100 in row["name"]]
    assert name.isprintable() and len(name) == 200
