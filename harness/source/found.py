"""A base that exists, as files: what its folder comes to, and whether its config.json has the declared shape."""

import hashlib
import json
from collections.abc import Iterator
from fnmatch import fnmatch
from pathlib import Path
from typing import Any, cast

from harness.source.hub import MODEL, HubError
from harness.spec.bases import HubBase, Shape
from harness.spec.canonical import digest
from harness.spec.problem import mapping, shown

CONFIG_BYTES = 2**22
"""No config.json comes near."""
NAMES = {
    "architecture": "model_type",
    "hidden_size": "hidden_size",
    "layers": "num_hidden_layers",
    "intermediate_size": "intermediate_size",
    "heads": "num_attention_heads",
    "kv_heads": "num_key_value_heads",
    "head_dim": "head_dim",
    "vocabulary": "vocab_size",
    "tied": "tie_word_embeddings",
}
"""Fields of a shape, and of config.json."""
NEEDED = ("config.json", "tokenizer.json", "tokenizer_config.json")


def model_files(folder: Path) -> list[Path]:
    """Return the files of a model in `folder` that are read, sorted by name.

    Raises:
        HubError: one that a model needs is not there.
    """
    files = sorted(p for p in folder.iterdir() if p.is_file() and any(fnmatch(p.name, kept) for kept in MODEL))
    files = [path for path in files if not path.name.startswith("consolidated")]
    names = {path.name for path in files}
    if lacking := [name for name in NEEDED if name not in names]:
        raise HubError(f"{folder}: no {lacking[0]}. Name a model in the layout of the Hub, with its tokenizer.")
    if not any(name.endswith(".safetensors") for name in names):
        raise HubError(f"{folder}: no safetensors file, and nothing else is read. Convert the model.")
    return files


def folder_content(folder: Path) -> str:
    """Return the SHA-256 over names and bytes of a model's files; raise HubError where it is no model's folder."""
    if not folder.is_dir():
        raise HubError(f"{folder}: no such folder. Put the model there, or change the declaration.")
    return digest([[path.name, _sha256(path)] for path in model_files(folder)])


def check_shape(base: HubBase, folder: Path) -> None:
    """Raise HubError where the model in `folder` has not the shape that the base declares."""
    problems = list(shape_problems(base.shape, read_config(folder)))
    if problems:
        raise HubError(f"{base.place}: {'; '.join(problems)}. Correct the declared shape.")


def read_config(folder: Path) -> dict[str, Any]:
    """Return the object in config.json; raise HubError where there is none."""
    file = folder / "config.json"
    try:
        with file.open("rb") as opened:
            said: Any = json.loads(opened.read(CONFIG_BYTES))
    except (OSError, ValueError, RecursionError):
        said = None
    if not isinstance(said, dict):
        raise HubError(f"{file}: no JSON object. Download the model again.")
    return cast("dict[str, Any]", said)


def shape_problems(shape: Shape, config: dict[str, Any]) -> Iterator[str]:
    """Yield what config.json says otherwise than the declared shape; what it leaves out has the usual default."""
    heads = config.get("num_attention_heads", shape.heads)
    declared = shape.model_dump() | {"kv_heads": shape.key_heads, "head_dim": shape.head_width}
    for field, name in NAMES.items():
        usual = {"kv_heads": heads, "head_dim": None, "tied": False}.get(field)
        said = config.get(name)
        said = usual if said is None else said
        if field == "head_dim" and said is None:
            said = mapping(config).get("hidden_size", shape.hidden_size) // heads
        if said != declared[field]:
            yield f"shape.{field} is declared as {shown(declared[field])}, and config.json has {name} {shown(said)}"


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
