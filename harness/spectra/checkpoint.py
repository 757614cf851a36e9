"""The tensors of a checkpoint by name, read one at a time: a safetensors file, or a folder with one or with shards.

Only safetensors is ever opened: a pickle can run code when it is read, so a folder that holds nothing else is refused.
What a file claims of itself (header, index) is checked when the checkpoint is opened; tensors are read when asked for.
A tensor is read from its place in the file, not mapped: a mapped file that stays open keeps every page it has read
(1.96 GB against 0.45 GB at the peak for 48 matrices of 4096 x 4096 in bfloat16), and one that the library opens anew
for every tensor is parsed anew as well (.3 ms for an adapter of 448 factors).

Not here: what a quantised tensor stands for (8-bit and smaller types hold codes, whose scales lie elsewhere).
"""

import json
import mmap
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open

from harness.spectra.norms import all_finite

INDEX = "model.safetensors.index.json"
PICKLES = (".bin", ".pt", ".pth", ".ckpt", ".pkl", ".pickle")
FLOATS = {"F64": "float64", "F32": "float32", "F16": "float16", "BF16": "bfloat16"}
"""Types whose numbers are the weights themselves, by safetensors' and torch's names."""
INDEX_BYTES = 64 * 2**20
"""No index comes near: that of a model with 100,000 tensors has about 10 MiB."""


class CheckpointError(ValueError):
    """Weights, or an adapter, that cannot be read; the text names file, tensor, rule and remedy in one line."""


@dataclass(frozen=True, slots=True)
class _Entry:
    file: Path
    shape: tuple[int, ...]
    dtype: str
    begin: int
    end: int
    """Its bytes in the file."""


class Checkpoint:
    """The tensors under `path`: a .safetensors file, or a folder with a model in Hugging Face's layout.

    Raises:
        CheckpointError: nothing to read there, only pickles, a damaged file, or an index that its shards do not bear.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        file = _chosen(path)
        entries = _sharded(file) if file.name.endswith(".json") else _header(file)
        self._entries = {name: entries[name] for name in sorted(entries, key=natural)}

    @property
    def folder(self) -> Path:
        """The folder that the tensors, and a model's configuration if there is one, lie in."""
        return self.path if self.path.is_dir() else self.path.parent

    def names(self) -> tuple[str, ...]:
        """Return the names of all tensors, numbers in them in their natural order."""
        return tuple(self._entries)

    def matrices(self) -> tuple[str, ...]:
        """Return the names of all matrices of floating-point numbers; raise CheckpointError where there is none."""
        found = tuple(name for name in self._entries if self._is_matrix(name))
        if not found:
            kinds = ", ".join(sorted({self.dtype(name) for name in self._entries})) or "nothing"
            rule = f"no matrix (two axes) of {', '.join(FLOATS.values())} among its {len(self._entries)} tensors"
            codes = any(self.dtype(name) not in FLOATS.values() for name in self._entries)
            remedy = "Name a checkpoint that is not quantised" if codes else "Name the weights of a model"
            raise CheckpointError(f"{self.path}: {rule} ({kinds}). {remedy}.")
        return found

    def shape(self, name: str) -> tuple[int, ...]:
        """Return a tensor's shape."""
        return self._entry(name).shape

    def dtype(self, name: str) -> str:
        """Return the type a tensor is stored in: `float32`, `bfloat16`, ...; safetensors' own name for other types."""
        stored = self._entry(name).dtype
        return FLOATS.get(stored, stored)

    def tensor(self, name: str) -> torch.Tensor:
        """Return a tensor as it is stored; raise CheckpointError where it holds NaN or infinity."""
        entry = self._entry(name)
        try:
            tensor = _read(entry) if entry.dtype in FLOATS else _other(entry.file, name)
        except PermissionError as error:
            raise unreadable(entry.file, error) from None
        except (SafetensorError, OSError) as error:
            raise CheckpointError(f"{entry.file}: {name}: {_line(error)}. Copy or download it again.") from None
        if entry.dtype in FLOATS and not all_finite(tensor):
            rule = "holds NaN or infinity, so it has no spectrum"
            raise CheckpointError(f"{entry.file}: {name}: {rule}. Name a checkpoint from before training diverged.")
        return tensor

    def _entry(self, name: str) -> _Entry:
        if name not in self._entries:
            raise CheckpointError(f"{self.path}: no tensor {name}. Name the checkpoint that it belongs to.")
        return self._entries[name]

    def _is_matrix(self, name: str) -> bool:
        entry = self._entries[name]
        return len(entry.shape) == 2 and min(entry.shape) > 0 and entry.dtype in FLOATS


def natural(name: str) -> list[tuple[int, str]]:
    """Return a key that sorts `layers.2` before `layers.10`."""
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in re.split(r"(\d+)", name)]


def unreadable(path: Path, error: OSError) -> CheckpointError:
    """Return the error about a file or folder that the system would not open, by the system's own reason."""
    if isinstance(error, FileNotFoundError):
        return CheckpointError(f"{path}: no such file. Name a folder that holds it.")
    if isinstance(error, PermissionError):
        return CheckpointError(f"{path}: this user may not read it. Change its permissions, or name a copy.")
    return CheckpointError(f"{path}: {error.strerror or _line(error)}. Name another, or copy it again.")


def read_object(path: Path, limit: int) -> dict[str, Any]:
    """Return the object in a JSON file of at most `limit` bytes.

    Raises:
        CheckpointError: no such file, too large, no JSON, or another value than an object.
    """
    try:
        with path.open("rb") as file:
            text = file.read(limit + 1)
    except OSError as error:
        raise unreadable(path, error) from None
    if len(text) > limit:
        raise CheckpointError(f"{path}: larger than {limit} bytes, which no such file is. Download it again.")
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise CheckpointError(f"{path}: no valid JSON ({_line(error)}). Download it again.") from None
    if not isinstance(value, dict):
        raise CheckpointError(f"{path}: holds a {type(value).__name__}, not an object. Download it again.")
    return value


def _chosen(path: Path) -> Path:
    """Return the file to begin with: the safetensors file, or the index of the shards."""
    try:
        return _found(path)
    except OSError as error:
        raise unreadable(path, error) from None


def _found(path: Path) -> Path:
    if not path.exists():
        raise CheckpointError(f"{path}: no such file or folder. Name one that exists.")
    if not path.is_dir():
        return _named(path)
    for name in ("model.safetensors", INDEX):
        if (path / name).exists():
            return path / name
    files = sorted(p for p in path.iterdir() if p.name.endswith((".safetensors", ".safetensors.index.json")))
    indices = [p for p in files if p.suffix == ".json"]
    if len(indices or files) == 1:
        return (indices or files)[0]
    if files:
        raise CheckpointError(f"{path}: {len(files)} safetensors files and no {INDEX}. Name one of the files.")
    pickles = sorted(p.name for p in path.iterdir() if p.suffix in PICKLES)
    if pickles:
        raise CheckpointError(f"{path / pickles[0]}: {_PICKLED}")
    within = sorted({file.parent.name for file in path.glob("*/*.safetensors")}, key=natural)
    if within:
        rule = f"no safetensors file in this folder, only in {', '.join(within[-3:])} within it"
        raise CheckpointError(f"{path}: {rule}. Name one of the folders, such as {path / within[-1]}.")
    raise CheckpointError(f"{path}: no safetensors file in this folder. Name a folder with weights.")


_PICKLED = "a pickle, which can run code when it is read and is never opened. Convert it to safetensors."


def _named(path: Path) -> Path:
    if path.suffix in PICKLES:
        raise CheckpointError(f"{path}: {_PICKLED}")
    if not path.name.endswith((".safetensors", ".safetensors.index.json")):
        raise CheckpointError(f"{path}: no .safetensors file. Name one, or the folder that holds it.")
    return path


def _header(file: Path) -> dict[str, _Entry]:
    """Return what a safetensors file says of its tensors; the library checks that they fill the file exactly."""
    try:
        with file.open("rb") as stream, safe_open(file, framework="pt") as opened:
            names = opened.keys()
            length = int.from_bytes(stream.read(8), "little")
            said = json.loads(stream.read(length))
    except (SafetensorError, OSError) as error:
        if isinstance(error, OSError) and error.errno is not None:  # of the system, not of the library
            raise unreadable(file, error) from None
        rule = f"truncated, or no safetensors file ({_line(error)})"
        raise CheckpointError(f"{file}: {rule}. Copy or download it again.") from None
    return {name: _entry(file, 8 + length, said[name]) for name in names}


def _entry(file: Path, start: int, said: dict[str, Any]) -> _Entry:
    begin, end = said["data_offsets"]
    return _Entry(file, tuple(said["shape"]), said["dtype"], start + begin, start + end)


LARGE = 2**24
"""Bytes above which a tensor is copied from its file."""


def _read(entry: _Entry) -> torch.Tensor:
    """Return a tensor of floating-point numbers, mapped from its file; raise OSError where that has become shorter.

    A large one is copied: its mapped pages would count as memory beside whatever is made of it.
    """
    bytes_in_all, at_page = entry.end - entry.begin, entry.begin % mmap.ALLOCATIONGRANULARITY
    if not bytes_in_all:
        return torch.empty(entry.shape, dtype=getattr(torch, FLOATS[entry.dtype]))
    if bytes_in_all > LARGE:
        return _copied(entry)
    file = os.open(entry.file, os.O_RDONLY)
    try:
        if os.fstat(file).st_size < entry.end:
            raise OSError("ends before the tensor does")
        # a private copy on write, because torch warns of memory that it may not write to
        mapped = mmap.mmap(file, bytes_in_all + at_page, access=mmap.ACCESS_COPY, offset=entry.begin - at_page)
    finally:
        os.close(file)
    stored = torch.frombuffer(mapped, dtype=torch.uint8, offset=at_page, count=bytes_in_all)
    return stored.view(getattr(torch, FLOATS[entry.dtype])).view(entry.shape)


def _copied(entry: _Entry) -> torch.Tensor:
    stored = torch.empty(entry.end - entry.begin, dtype=torch.uint8)
    buffer: Any = stored.numpy()  # a buffer, which only Python 3.12 has types for
    with entry.file.open("rb") as stream:
        stream.seek(entry.begin)
        if stream.readinto(buffer) != len(stored):
            raise OSError("ends before the tensor does")
    return stored.view(getattr(torch, FLOATS[entry.dtype])).view(entry.shape)


def _other(file: Path, name: str) -> torch.Tensor:
    with safe_open(file, framework="pt") as opened:
        return opened.get_tensor(name)


def _sharded(index: Path) -> dict[str, _Entry]:
    where = read_object(index, INDEX_BYTES).get("weight_map")
    if not isinstance(where, dict) or not where:
        raise CheckpointError(f"{index}: no weight_map, an object from tensor to file. Download it again.")
    for name, shard in where.items():
        if not isinstance(shard, str) or Path(shard).name != shard or not shard.endswith(".safetensors"):
            rule = "a shard is a .safetensors file in the index's own folder"
            raise CheckpointError(f"{index}: {name} lies in {shard!r}, but {rule}. Use the checkpoint's own index.")
    shards = {shard: index.parent / shard for shard in sorted(set(where.values()))}
    missing = [shard for shard, file in shards.items() if not file.is_file()]
    if missing:
        told = f"{len(missing)} of {len(shards)} shards are missing, the first {missing[0]}"
        raise CheckpointError(f"{index}: {told}. Download them into its folder.")
    headers = {shard: _header(file) for shard, file in shards.items()}
    for name, shard in where.items():
        if name not in headers[shard]:
            raise CheckpointError(f"{shards[shard]}: no tensor {name}, which the index says it holds. Download both.")
    return {name: headers[shard][name] for name, shard in where.items()}


def _line(error: Exception) -> str:
    return " ".join(str(error).split()).rstrip(".")[:200]
