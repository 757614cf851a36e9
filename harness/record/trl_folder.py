"""What a folder that TRL or PEFT wrote says of its run, read as data.

Read are JSON, the model card and the headers of safetensors files; a pickle (`training_args.bin`, `optimizer.pt`) can
run code when it is read and is never opened, so what only it knows stays unknown. A folder is somebody else's: every
file is bounded, lies in the folder itself, and is checked before anything is kept.

A folder may be a final one, a `checkpoint-N`, or one that holds checkpoints, of which the newest is taken. A final
folder without a `trainer_state.json` has the log of the newest checkpoint within it, which may end before the run did.
"""

import json
import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any, cast

from harness.spec import DeclarationError
from harness.spec.problem import items, mapping, shown

CONFIG, WEIGHTS = "adapter_config.json", "adapter_model.safetensors"
MODEL, INDEX, SHAPE = "model.safetensors", "model.safetensors.index.json", "config.json"
STATE, CARD = "trainer_state.json", "README.md"
METRICS = ("all_results.json", "eval_results.json", "train_results.json", "metrics.json")
"""What `save_metrics` writes, and a common name beside."""
ADAPTER_PICKLE = "adapter_model.bin"
"""What earlier releases of PEFT wrote."""
PICKLES = (".bin", ".pt", ".pth", ".ckpt", ".pkl", ".pickle")
SMALL, LARGE = 2**22, 2**28
"""Bytes of a configuration, and of a log of a million updates; no real one comes near."""
CHECKPOINT = re.compile(r"checkpoint-(\d{1,12})")


@dataclass(frozen=True, slots=True)
class Output:
    """The files of one run in a folder; every one is a regular file that lies in it."""

    folder: Path
    weights: tuple[Path, ...]
    """Those of an adapter, or of a whole model in one file or in shards."""
    config: dict[str, Any] | None
    """adapter_config.json; None of a whole model."""
    state: Path | None
    """The log: the folder's own, or that of the newest checkpoint in it."""
    beside: tuple[Path, ...]
    """Configuration, card and metrics, to be kept as they came."""
    unread: tuple[str, ...]
    """Names of the pickles there, none of which was opened."""


def output(folder: Path, root: Path | None = None) -> Output:
    """Return the run in `folder`, whose files may be links to others in `root` (default: the folder itself).

    Raises:
        DeclarationError: no run, only pickles, or a file that is damaged, too large or lies elsewhere.
    """
    if not folder.is_dir():
        raise DeclarationError([f"{folder}: no such folder. Name one that TRL or PEFT wrote."])
    root = (root or folder).resolve()
    chosen = folder if _has_weights(folder) else _newest(folder)
    inside = _Inside(root)
    config = inside.read(chosen / CONFIG) if inside.there(chosen / CONFIG) else None
    weights = (chosen / WEIGHTS,) if config is not None else _model_files(chosen, inside)
    for file in weights:
        if not inside.there(file):
            if (chosen / ADAPTER_PICKLE).exists():
                raise DeclarationError([f"{chosen / ADAPTER_PICKLE}: {PICKLED}"])
            raise DeclarationError([f"{file}: no such file. Put it there, or name a folder that has it."])
        _check_header(file)
    names = (CONFIG,) if config is not None else (SHAPE, INDEX)
    beside = [chosen / name for name in (*names, CARD, *METRICS)]
    states = [chosen / STATE, *(point / STATE for point in reversed(_checkpoints(chosen)))]
    return Output(
        chosen,
        weights,
        config,
        next((file for file in states if inside.there(file)), None),
        tuple(file for file in beside if inside.there(file)),
        tuple(sorted(entry.name for entry in chosen.iterdir() if entry.suffix in PICKLES)),
    )


def read_object(path: Path, limit: int = SMALL, *, strict: bool = True) -> dict[str, Any]:
    """Return the object in a JSON file of at most `limit` bytes; `strict` refuses NaN and infinity.

    Raises:
        DeclarationError: it is larger, no JSON, or no object.
    """
    try:
        with path.open("rb") as file:
            text = file.read(limit + 1)
        if len(text) > limit:
            raise DeclarationError([f"{path}: larger than {limit} bytes, which no such file is. Download it again."])
        value: Any = json.loads(text)
        broken = next(_not_finite(value), None) if strict else None
        if strict:
            json.dumps(value, ensure_ascii=False).encode()  # half a character, which no file can hold, is refused here
    except (ValueError, RecursionError) as error:
        if isinstance(error, DeclarationError):
            raise
        raise DeclarationError([f"{path}: no valid JSON ({_line(error)}). Copy or download it again."]) from None
    if not isinstance(value, dict):
        raise DeclarationError([f"{path}: holds no JSON object. Copy or download it again."])
    if broken is not None:
        raise DeclarationError([f"{path}: {shown(broken)} is no finite number. Use the file that it was saved with."])
    return cast("dict[str, Any]", value)


def card_text(output: Output) -> str:
    """Return the beginning of the model card; empty where there is none."""
    card = output.folder / CARD
    if card not in output.beside:
        return ""
    with card.open("rb") as file:
        return file.read(SMALL).decode("utf-8", "replace")


@dataclass(frozen=True, slots=True)
class _Inside:
    """Looks at files that must lie in a folder."""

    root: Path

    def there(self, path: Path) -> bool:
        """Return whether there is such a file; raise DeclarationError where it is no plain one in the folder."""
        if not path.exists() and not path.is_symlink():
            return False
        if not path.resolve().is_relative_to(self.root):
            raise DeclarationError([f"{path}: a link that leads out of its folder. Copy the file itself (cp -L)."])
        if not path.is_file():
            raise DeclarationError([f"{path}: no plain file. Replace it by the file that it stands for."])
        return True

    def read(self, path: Path) -> dict[str, Any]:
        return read_object(path) if self.there(path) else {}


def _has_weights(folder: Path) -> bool:
    return any((folder / name).exists() or (folder / name).is_symlink() for name in (CONFIG, WEIGHTS, MODEL, INDEX))


def _checkpoints(folder: Path) -> list[Path]:
    found = [(int(named[1]), path) for path in folder.iterdir() if (named := CHECKPOINT.fullmatch(path.name))]
    return [path for _, path in sorted(found) if path.is_dir()]


def _newest(folder: Path) -> Path:
    """Return the newest checkpoint with weights in `folder`."""
    points = [point for point in _checkpoints(folder) if _has_weights(point)]
    if points:
        if not points[-1].resolve().is_relative_to(folder.resolve()):
            raise DeclarationError([f"{points[-1]}: a link that leads out of its folder. Name the folder itself."])
        return points[-1]
    pickled = sorted(path.name for path in folder.iterdir() if path.suffix in PICKLES and path.name != TRAINING_ARGS)
    if pickled:
        raise DeclarationError([f"{folder / pickled[0]}: {PICKLED}"])
    rule = f"neither {WEIGHTS} nor {MODEL} here or in a checkpoint-N"
    raise DeclarationError([f"{folder}: {rule}. Name a folder that TRL or PEFT wrote."])


TRAINING_ARGS = "training_args.bin"
PICKLED = (
    "a pickle, which can run code when it is read and is never opened. Load the model where you trust it, save it "
    "again with safe_serialization=True, and adopt that."
)


def _model_files(folder: Path, inside: _Inside) -> tuple[Path, ...]:
    """Return the files of a whole model's weights; raise DeclarationError where an index names anything else."""
    if (folder / WEIGHTS).exists():
        raise DeclarationError([f"{folder / WEIGHTS}: without {CONFIG} nobody knows what it means. Put it beside."])
    if inside.there(folder / MODEL):
        return (folder / MODEL,)
    index = folder / INDEX
    where = mapping(inside.read(index).get("weight_map"))
    if not where:
        raise DeclarationError([f"{index}: no weight_map, an object from tensor to file. Download it again."])
    for tensor, shard in where.items():
        if not isinstance(shard, str) or Path(shard).name != shard or not shard.endswith(".safetensors"):
            rule = "a shard is a .safetensors file in the index's own folder. Use the checkpoint's own index."
            raise DeclarationError([f"{index}: {shown(tensor)} lies in {shown(shard)}, but {rule}"])
    return tuple(folder / shard for shard in sorted(set(where.values())))


def _check_header(file: Path) -> None:
    """Raise DeclarationError where a safetensors file is cut short, or none; nothing but its header is read."""
    from safetensors import SafetensorError

    opened: Any = import_module("safetensors").safe_open  # by name: its types are known in part
    try:
        with opened(file, framework="numpy") as tensors:
            tensors.keys()
    except (SafetensorError, OSError) as error:
        rule = f"truncated, or no safetensors file ({_line(error)})"
        raise DeclarationError([f"{file}: {rule}. Copy or download it again."]) from None


def _not_finite(value: Any, name: str = "a number") -> Iterator[str]:
    """Yield the names of numbers that are NaN or infinite, however deep."""
    if isinstance(value, float) and not math.isfinite(value):
        yield name
    for key, inner in mapping(value).items():
        yield from _not_finite(inner, key[:80])
    for inner in items(value):
        yield from _not_finite(inner, name)


def _line(error: Exception) -> str:
    return " ".join(str(error).split()).rstrip(".")[:160] or type(error).__name__
