"""Folders of TRL and PEFT, sound and hostile: what is taken, and that everything else is one line."""

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from harness.record.trl_folder import SMALL, output
from harness.spec import DeclarationError

pytestmark = pytest.mark.slow
Spoil = Callable[[Path], None]


@pytest.fixture
def folder(trl_output: Path, tmp_path: Path) -> Path:
    """Return a copy of a final folder."""
    return shutil.copytree(trl_output / "sft", tmp_path / "sft")


def test_a_final_folder_a_checkpoint_and_a_folder_of_checkpoints(trl_output: Path) -> None:
    final = output(trl_output / "sft")
    assert final.folder == trl_output / "sft" and final.state == trl_output / "sft" / "trainer_state.json"
    assert final.config is not None and final.config["r"] == 4
    assert [file.name for file in final.weights] == ["adapter_model.safetensors"]
    assert "training_args.bin" in final.unread
    point = output(trl_output / "sft" / "checkpoint-2")
    assert point.state == trl_output / "sft" / "checkpoint-2" / "trainer_state.json"
    assert {"optimizer.pt", "scheduler.pt", "training_args.bin"} <= set(point.unread)
    assert output(trl_output / "grpo").folder == trl_output / "grpo" / "checkpoint-3"
    whole = output(trl_output / "full")
    assert whole.config is None and [file.name for file in whole.weights] == ["model.safetensors"]


def test_a_final_folder_without_a_state_has_that_of_its_newest_checkpoint(folder: Path) -> None:
    (folder / "trainer_state.json").unlink()
    assert output(folder).state == folder / "checkpoint-4" / "trainer_state.json"
    for point in folder.glob("checkpoint-*"):
        shutil.rmtree(point)
    assert output(folder).state is None


def test_no_pickle_is_opened(folder: Path) -> None:
    """The file would create another when it is unpickled; a named pipe in its place would block whoever opens it."""
    witness = folder.parent / "ran"
    opcodes = b"cos\nsystem\n(S'touch %s'\ntR." % str(witness).encode()  # protocol 0: os.system("touch ...")
    (folder / "training_args.bin").write_bytes(opcodes)
    os.mkfifo(folder / "optimizer.pt")
    assert output(folder).unread == ("optimizer.pt", "training_args.bin")
    assert not witness.exists()


def write(name: str, text: str) -> Spoil:
    def spoil(folder: Path) -> None:
        (folder / name).write_text(text)

    return spoil


def only_pickles(name: str) -> Spoil:
    def spoil(folder: Path) -> None:
        for path in [*folder.rglob("*.safetensors"), *folder.rglob("adapter_config.json")]:
            path.unlink()
        (folder / name).write_bytes(b"\x80\x04.")

    return spoil


def lead_out(name: str) -> Spoil:
    def spoil(folder: Path) -> None:
        elsewhere = (folder / name).rename(folder.parent / name)
        (folder / name).symlink_to(elsewhere)

    return spoil


def cut(name: str, size: int) -> Spoil:
    return lambda folder: os.truncate(folder / name, size)


def index(where: object) -> Spoil:
    def spoil(folder: Path) -> None:
        for name in ("adapter_config.json", "adapter_model.safetensors"):
            (folder / name).unlink()
        (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": where}))

    return spoil


def pipe(folder: Path) -> None:
    (folder / "trainer_state.json").unlink()
    os.mkfifo(folder / "trainer_state.json")


HOSTILE: dict[str, tuple[Spoil, str]] = {
    "weights cut short": (cut("adapter_model.safetensors", 4000), "truncated, or no safetensors file"),
    "a header cut short": (cut("adapter_model.safetensors", 20), "truncated, or no safetensors file"),
    "empty weights": (cut("adapter_model.safetensors", 0), "truncated, or no safetensors file"),
    "weights elsewhere": (lead_out("adapter_model.safetensors"), "a link that leads out of its folder"),
    "a state elsewhere": (lead_out("trainer_state.json"), "a link that leads out of its folder"),
    "a card elsewhere": (lead_out("eval_results.json"), "a link that leads out of its folder"),
    "a pipe": (pipe, "no plain file"),
    "no weights": (lambda folder: (folder / "adapter_model.safetensors").unlink(), "no such file"),
    "no configuration": (lambda folder: (folder / "adapter_config.json").unlink(), "without adapter_config.json"),
    "malformed": (write("adapter_config.json", "{"), "no valid JSON"),
    "deep": (write("adapter_config.json", "[" * 100_000), "no valid JSON"),
    "no object": (write("adapter_config.json", "[]"), "holds no JSON object"),
    "large": (write("adapter_config.json", " " * (SMALL + 1)), "larger than"),
    "not a number": (write("adapter_config.json", '{"peft_type": "LORA", "r": NaN}'), '"r" is no finite number'),
    "infinite, inside": (write("adapter_config.json", '{"a": {"b": [1e999]}}'), '"b" is no finite number'),
    "half a character": (write("adapter_config.json", '{"peft_type": "\\ud800"}'), "no valid JSON"),
    "a pickled adapter": (only_pickles("adapter_model.bin"), "save it again with safe_serialization=True"),
    "a pickled model": (only_pickles("pytorch_model.bin"), "save it again with safe_serialization=True"),
    "a torch file": (only_pickles("model.pt"), "save it again with safe_serialization=True"),
    "a shard above": (index({"w": "../adapter_model.safetensors"}), "in the index's own folder"),
    "a shard at the root": (index({"w": "/etc/passwd"}), "in the index's own folder"),
    "a shard that is a pickle": (index({"w": "pytorch_model.bin"}), "in the index's own folder"),
    "a shard that is a number": (index({"w": 7}), "in the index's own folder"),
    "no map": (index([]), "no weight_map"),
    "a missing shard": (index({"w": "a.safetensors"}), "no such file"),
}


@pytest.mark.parametrize(("spoil", "told"), HOSTILE.values(), ids=HOSTILE)
def test_hostile_folders_are_one_line(spoil: Spoil, told: str, folder: Path) -> None:
    spoil(folder)
    with pytest.raises(DeclarationError) as raised:
        output(folder)
    (line,) = raised.value.lines
    assert told in line and "\n" not in line and line.endswith(".") and str(folder) in line


def test_a_checkpoint_may_not_lead_out_of_its_folder(folder: Path, tmp_path: Path) -> None:
    holder = tmp_path / "holder"
    holder.mkdir()
    (holder / "checkpoint-9").symlink_to(folder)
    with pytest.raises(DeclarationError, match="leads out of its folder"):
        output(holder)
    with pytest.raises(DeclarationError, match="no such folder"):
        output(tmp_path / "nowhere")
    with pytest.raises(DeclarationError, match=r"neither adapter_model\.safetensors nor model\.safetensors"):
        output(tmp_path)
