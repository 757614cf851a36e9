"""Models as folders of files: which are read, what they come to, and whether they have the declared shape."""

import json
from pathlib import Path
from typing import Any

import pytest

from harness.source.found import check_shape, folder_content, model_files
from harness.source.hub import HubError
from harness.spec import HubBase
from harness.spec.bases import Shape

SHAPE = {"architecture": "qwen3", "hidden_size": 64, "layers": 2, "intermediate_size": 96, "heads": 4, "vocabulary": 99}
CONFIG = {
    "model_type": "qwen3",
    "hidden_size": 64,
    "num_hidden_layers": 2,
    "intermediate_size": 96,
    "num_attention_heads": 4,
    "vocab_size": 99,
}


def folder(tmp_path: Path, **config: Any) -> Path:
    for name in ("model.safetensors", "tokenizer.json", "tokenizer_config.json", "pytorch_model.bin", "code.py"):
        (tmp_path / name).write_text(name)
    (tmp_path / "config.json").write_text(json.dumps({**CONFIG, **config}))
    return tmp_path


def base(**shape: Any) -> HubBase:
    return HubBase(folder="models/q", family="qwen", shape=Shape.model_validate({**SHAPE, **shape}))


def test_weights_and_words_are_read_and_neither_pickles_nor_code(tmp_path: Path) -> None:
    assert [path.name for path in model_files(folder(tmp_path))] == [
        *("config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json")
    ]


@pytest.mark.parametrize("name", ["config.json", "tokenizer.json", "model.safetensors"])
def test_what_a_model_needs_is_told_where_it_is_missing(tmp_path: Path, name: str) -> None:
    (folder(tmp_path) / name).unlink()
    with pytest.raises(HubError, match=r"no safetensors file" if name.endswith("tensors") else f"no {name}"):
        model_files(tmp_path)


def test_the_content_is_that_of_the_files_that_are_read(tmp_path: Path) -> None:
    before = folder_content(folder(tmp_path))
    (tmp_path / "code.py").write_text("other")
    assert folder_content(tmp_path) == before
    (tmp_path / "tokenizer.json").write_text("other")
    assert folder_content(tmp_path) != before
    with pytest.raises(HubError, match="no such folder"):
        folder_content(tmp_path / "absent")


@pytest.mark.parametrize(
    ("shape", "config"),
    [({}, {}), ({"kv_heads": 2, "head_dim": 32, "tied": True},
      {"num_key_value_heads": 2, "head_dim": 32, "tie_word_embeddings": True}), ({"head_dim": 16, "kv_heads": 4}, {})],
)  # fmt: skip
def test_a_shape_that_is_declared_as_it_is_passes(
    tmp_path: Path, shape: dict[str, Any], config: dict[str, Any]
) -> None:
    check_shape(base(**shape), folder(tmp_path, **config))


@pytest.mark.parametrize(
    ("config", "told"),
    [
        ({"model_type": "llama"}, 'shape.architecture is declared as "qwen3", and config.json has model_type "llama"'),
        ({"num_hidden_layers": 3}, "shape.layers is declared as 2, and config.json has num_hidden_layers 3"),
        ({"num_key_value_heads": 2}, "shape.kv_heads is declared as 4, and config.json has num_key_value_heads 2"),
        ({"head_dim": 128}, "shape.head_dim is declared as 16, and config.json has head_dim 128"),
        (
            {"tie_word_embeddings": True},
            "shape.tied is declared as false, and config.json has tie_word_embeddings true",
        ),
        ({"vocab_size": 100}, "shape.vocabulary is declared as 99, and config.json has vocab_size 100"),
    ],
)
def test_a_shape_that_is_another_is_told_field_by_field(tmp_path: Path, config: dict[str, Any], told: str) -> None:
    with pytest.raises(HubError) as error:
        check_shape(base(), folder(tmp_path, **config))
    assert str(error.value) == f"models/q: {told}. Correct the declared shape."
