"""What the plan counts of a model and an adapter, against what the libraries make of the same declaration."""

from typing import Any

import pytest
import torch
from peft import get_peft_model
from transformers import (
    AutoModelForCausalLM,
    GPTNeoXConfig,
    LlamaConfig,
    Olmo2Config,
    Olmo3Config,
    Qwen3Config,
)

from harness.plan.memory import trained_parameters
from harness.spec import Lora, Protocol
from harness.spec.adapter import AdaLora, AdapterSpec, Dora, Pissa, Proportional, Quanta
from harness.spec.bases import Shape
from harness.train.adapters import peft_config

WIDTHS: dict[str, Any] = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4}
CONFIGS: dict[str, Any] = {
    "llama": LlamaConfig(**WIDTHS, num_key_value_heads=2, vocab_size=50),
    "qwen3": Qwen3Config(**WIDTHS, num_key_value_heads=2, head_dim=16, vocab_size=50, tie_word_embeddings=True),
    "olmo2": Olmo2Config(**WIDTHS, num_key_value_heads=4, vocab_size=50),
    "olmo3": Olmo3Config(**WIDTHS, num_key_value_heads=2, vocab_size=50),
    "gpt_neox": GPTNeoXConfig(**WIDTHS, vocab_size=50),
}
ADAPTERS: list[AdapterSpec] = [
    Lora(rank=4, scaling=Proportional()),
    Dora(method="dora", rank=4, scaling=Proportional()),
    Pissa(method="pissa", rank=4, scaling=Proportional()),
    AdaLora(method="adalora", rank=4, scaling=Proportional()),
    Quanta(method="quanta", d=3),
    Quanta(method="quanta", axes=(4, 5, 6)),
]


def shape(name: str) -> Shape:
    config = CONFIGS[name]
    return Shape(
        architecture=config.model_type,
        hidden_size=config.hidden_size,
        layers=config.num_hidden_layers,
        intermediate_size=config.intermediate_size,
        heads=config.num_attention_heads,
        kv_heads=getattr(config, "num_key_value_heads", None),
        head_dim=getattr(config, "head_dim", None),
        vocabulary=config.vocab_size,
        tied=config.tie_word_embeddings,
    )


@pytest.mark.parametrize("name", list(CONFIGS))
def test_a_shape_has_the_parameters_and_matrices_of_the_library_s_model(name: str) -> None:
    model = AutoModelForCausalLM.from_config(CONFIGS[name])
    assert sum(p.numel() for p in model.parameters()) == shape(name).parameters()
    linear = [
        tuple(layer.weight.shape)
        for path, layer in model.named_modules()
        if isinstance(layer, torch.nn.Linear) and ".layers." in path
    ]
    assert sorted(linear) == sorted(shape(name).matrices() * 2)


@pytest.mark.parametrize("adapter", ADAPTERS, ids=lambda adapter: adapter.slug())
@pytest.mark.parametrize("name", ["llama", "gpt_neox"])
def test_an_adapter_trains_the_parameters_that_are_counted(name: str, adapter: AdapterSpec, pocket: Protocol) -> None:
    model = AutoModelForCausalLM.from_config(CONFIGS[name])
    config = peft_config(adapter, pocket.recipe, updates=10)
    assert config is not None
    adapted = get_peft_model(model, config)
    trained = sum(p.numel() for p in adapted.parameters() if p.requires_grad)
    counted = trained_parameters(adapter, shape(name))
    assert counted is not None
    assert counted[0] == trained
