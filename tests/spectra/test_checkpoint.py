"""Checkpoints against what was saved, and folders that hold none."""

import json
import os
import pickle  # noqa: TID251 - made here, to show that it is never opened
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from transformers import LlamaConfig, LlamaForCausalLM

from harness.spectra.checkpoint import Checkpoint, CheckpointError


def llama(layers: int = 12, dtype: torch.dtype = torch.float32) -> LlamaForCausalLM:
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=40, hidden_size=16, intermediate_size=24, num_hidden_layers=layers, num_attention_heads=2
    )
    model: Any = LlamaForCausalLM(config)
    return model.to(dtype)


@pytest.fixture(scope="session")
def sharded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of a model in several shards."""
    folder = tmp_path_factory.mktemp("sharded")
    llama().save_pretrained(folder, max_shard_size="20KB")
    assert len(list(folder.glob("model-*.safetensors"))) > 3
    return folder


@pytest.mark.parametrize("size", ["20KB", "1GB"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_saved_model_is_read_back_bit_by_bit(size: str, dtype: torch.dtype, tmp_path: Path) -> None:
    model = llama(dtype=dtype)
    model.save_pretrained(tmp_path, max_shard_size=size)
    read = Checkpoint(tmp_path)
    truth = {name: value for name, value in model.state_dict().items() if name in read.names()}
    assert {"lm_head.weight"} >= set(model.state_dict()) - set(read.names())
    for name, value in truth.items():
        assert torch.equal(read.tensor(name), value)
        assert read.shape(name) == tuple(value.shape)
        assert read.dtype(name) == str(dtype).removeprefix("torch.")
    assert set(read.matrices()) == {name for name, value in truth.items() if value.dim() == 2}


def test_layers_come_in_the_order_of_their_numbers(sharded: Path) -> None:
    layers = [int(found[1]) for name in Checkpoint(sharded).names() if (found := re.search(r"layers\.(\d+)", name))]
    assert layers == sorted(layers)
    assert layers[-1] == 11


def test_a_file_can_be_named_itself(sharded: Path, tmp_path: Path) -> None:
    save_file({"w": torch.eye(3)}, tmp_path / "some.safetensors")
    save_file({"v": torch.eye(2)}, tmp_path / "other.safetensors")
    assert Checkpoint(tmp_path / "some.safetensors").names() == ("w",)
    assert Checkpoint(tmp_path / "some.safetensors").folder == tmp_path
    assert Checkpoint(sharded / "model.safetensors.index.json").names() == Checkpoint(sharded).names()


def test_a_hub_snapshot_of_links_is_followed(sharded: Path, tmp_path: Path) -> None:
    """In the Hub's cache, files are links to blobs outside their folder."""
    for file in sharded.iterdir():
        (tmp_path / file.name).symlink_to(file)
    assert Checkpoint(tmp_path).names() == Checkpoint(sharded).names()


def edit_index(change: Callable[[dict[str, Any]], Any]) -> Callable[[Path], None]:
    def damage(folder: Path) -> None:
        file = folder / "model.safetensors.index.json"
        index = json.loads(file.read_text())
        change(index)
        file.write_text(json.dumps(index))

    return damage


def first_shard(folder: Path) -> Path:
    return min(folder.glob("model-*.safetensors"))


def cut(folder: Path) -> None:
    file = first_shard(folder)
    file.write_bytes(file.read_bytes()[:-10])


def write_shard(content: bytes) -> Callable[[Path], Any]:
    return lambda folder: first_shard(folder).write_bytes(content)


def write_index(content: str) -> Callable[[Path], Any]:
    return lambda folder: (folder / "model.safetensors.index.json").write_text(content)


NORM = "model.norm.weight"
OUTSIDE = r"lies in '.*', but a shard is a \.safetensors file in the index's own folder\. Use"
DAMAGED: dict[str, tuple[Callable[[Path], Any], str]] = {
    "cut": (cut, r"model-00001-of-.*: truncated, or no safetensors file \(.*\)\. Copy or download it again\."),
    "header cut": (write_shard(b"\x10"), "truncated, or no safetensors file"),
    "empty": (write_shard(b""), "truncated, or no safetensors file"),
    "header no JSON": (write_shard(b"\x08" + b"\0" * 7 + b"nonsense"), "truncated, or no safetensors file"),
    "header enormous": (write_shard(b"\xff" * 8 + b"{}"), "truncated, or no safetensors file"),
    "a page": (write_shard(b"<!DOCTYPE html><html>not found</html>"), "truncated, or no safetensors file"),
    "no shard": (lambda f: first_shard(f).unlink(), r"1 of \d+ shards are missing, the first model-00001"),
    "no tensor": (edit_index(lambda i: i["weight_map"].update(v="model-00001-of-00007.safetensors")), "no tensor v"),
    "above": (edit_index(lambda i: i["weight_map"].update({NORM: "../x.safetensors"})), OUTSIDE),
    "absolute": (edit_index(lambda i: i["weight_map"].update({NORM: "/etc/x.safetensors"})), OUTSIDE),
    "pickle": (edit_index(lambda i: i["weight_map"].update({NORM: "pytorch_model.bin"})), OUTSIDE),
    "number": (edit_index(lambda i: i["weight_map"].update({NORM: 3})), "lies in 3, but a shard is"),
    "no map": (edit_index(lambda i: i.pop("weight_map")), "no weight_map, an object from tensor to file"),
    "empty map": (edit_index(lambda i: i.update(weight_map={})), "no weight_map"),
    "index no JSON": (write_index("{"), r"index\.json: no valid JSON"),
    "index a list": (write_index("[1]"), r"index\.json: holds a list, not an object"),
}


@pytest.mark.parametrize("name", DAMAGED)
def test_a_damaged_model_is_told_in_a_line(name: str, sharded: Path, tmp_path: Path) -> None:
    damage, told = DAMAGED[name]
    folder = tmp_path / "model"
    shutil.copytree(sharded, folder)
    damage(folder)
    if name == "no tensor":
        shard = first_shard(folder).name
        edit_index(lambda i: i["weight_map"].update(v=shard))(folder)
    with pytest.raises(CheckpointError, match=told) as caught:
        Checkpoint(folder)
    assert "\n" not in str(caught.value)
    assert str(folder) in str(caught.value)


class Trap:
    """An object whose pickle, when it is read, makes a file."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.marker),)


@pytest.mark.parametrize("name", ["pytorch_model.bin", "adapter_model.bin", "weights.pt", "weights.pth"])
def test_a_pickle_is_never_opened(name: str, tmp_path: Path) -> None:
    marker, folder = tmp_path / "executed", tmp_path / "model"
    folder.mkdir()
    (folder / name).write_bytes(pickle.dumps(Trap(marker)))
    for path in (folder, folder / name):
        with pytest.raises(CheckpointError, match=rf"{name}: a pickle.*never opened\. Convert it to safetensors\."):
            Checkpoint(path)
    assert not marker.exists()
    pickle.loads((folder / name).read_bytes())
    assert marker.exists()


def test_a_folder_without_weights_is_told(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"no safetensors file in this folder\. Name a folder with weights"):
        Checkpoint(tmp_path)
    for step in (2, 10):
        (tmp_path / f"checkpoint-{step}").mkdir()
        save_file({"w": torch.eye(2)}, tmp_path / f"checkpoint-{step}" / "model.safetensors")
    told = r"only in checkpoint-2, checkpoint-10 within it\. Name one of the folders, such as .*/checkpoint-10\."
    with pytest.raises(CheckpointError, match=told):
        Checkpoint(tmp_path)
    with pytest.raises(CheckpointError, match=r"nowhere: no such file or folder\. Name one that exists"):
        Checkpoint(tmp_path / "nowhere")
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(CheckpointError, match=r"config\.json: no \.safetensors file"):
        Checkpoint(tmp_path / "config.json")
    for name in ("a", "b"):
        save_file({"w": torch.eye(2)}, tmp_path / f"{name}.safetensors")
    with pytest.raises(CheckpointError, match=r"2 safetensors files and no model\.safetensors\.index\.json\. Name one"):
        Checkpoint(tmp_path)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16, torch.float64])
def test_a_number_that_is_none_is_named(value: float, dtype: torch.dtype, tmp_path: Path) -> None:
    bad = torch.ones(3, 3, dtype=dtype)
    bad[1, 2] = value
    save_file({"good": torch.ones(2, 2), "bad": bad}, tmp_path / "model.safetensors")
    with pytest.raises(CheckpointError, match=r"model\.safetensors: bad: holds NaN or infinity"):
        Checkpoint(tmp_path).tensor("bad")
    assert torch.equal(Checkpoint(tmp_path).tensor("good"), torch.ones(2, 2))


def test_large_numbers_are_finite(tmp_path: Path) -> None:
    """Their sum is not: 4 x 1.7e308 is above the largest float64."""
    save_file({"w": torch.full((2, 2), 1.7e308, dtype=torch.float64)}, tmp_path / "model.safetensors")
    assert float(Checkpoint(tmp_path).tensor("w")[0, 0]) == 1.7e308


def test_what_is_no_matrix_of_floats_is_no_matrix(tmp_path: Path) -> None:
    tensors = {"vector": torch.ones(3), "codes": torch.ones(2, 2, dtype=torch.int8), "cube": torch.ones(2, 2, 2)}
    save_file({**tensors, "none": torch.ones(0, 3)}, tmp_path / "model.safetensors")
    with pytest.raises(CheckpointError, match=r"no matrix \(two axes\) .* among its 4 tensors \(I8, float32\)"):
        Checkpoint(tmp_path).matrices()
    save_file({"vector": torch.ones(3)}, tmp_path / "vectors.safetensors")
    with pytest.raises(CheckpointError, match=r"among its 1 tensors \(float32\)\. Name the weights of a model\."):
        Checkpoint(tmp_path / "vectors.safetensors").matrices()
    with pytest.raises(CheckpointError, match="no tensor absent"):
        Checkpoint(tmp_path).tensor("absent")


PEAK = """
import sys
from pathlib import Path
from harness.spectra.checkpoint import Checkpoint
read = Checkpoint(Path(sys.argv[1]))
for name in read.matrices():
    read.tensor(name).float().sum()
print(next(line.split()[1] for line in open("/proc/self/status") if line.startswith("VmHWM")))
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_the_peak_of_memory_does_not_grow_with_the_layers(tmp_path: Path) -> None:
    """Matrices of 4 MiB: 48 of them are 192 MiB, of which a file that stays open would keep every page."""
    peaks: list[int] = []
    for count in (4, 48):
        folder = tmp_path / str(count)
        folder.mkdir()
        matrices = {f"layers.{i}.w": torch.ones(1024, 2048, dtype=torch.bfloat16) for i in range(count)}
        save_file(matrices, folder / "model.safetensors")
        # glibc otherwise keeps up to 100 MiB of freed blocks of this size for later, however many layers there are
        large = {"MALLOC_MMAP_THRESHOLD_": "1048576"}
        environment = {**os.environ, **large, "PYTHONPATH": ":".join(sys.path), "OMP_NUM_THREADS": "1"}
        command = [sys.executable, "-c", PEAK, str(folder)]
        done = subprocess.run(command, capture_output=True, text=True, env=environment, check=True)
        peaks.append(int(done.stdout))
    assert peaks[1] - peaks[0] < 16 * 1024  # KiB: four matrices
