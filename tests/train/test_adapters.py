"""What PEFT realises is what was declared, and hashes are those of the matrices themselves."""

from typing import Any

import pytest
import torch
from peft import get_peft_model

from harness.spec import AdapterSpec, Lora, Protocol
from harness.spec.adapter import Constant, Full, Proportional, RankStabilised
from harness.train.adapters import frozen_hash, parameter_names, peft_config, realised, weights_hash
from harness.train.base import new_model
from harness.train.tokenizer import character_tokenizer

TOKENIZER = character_tokenizer()
PROMPTS = TOKENIZER(["1+2=", "10+20="], return_tensors="pt", padding=True)


def base(protocol: Protocol) -> Any:
    torch.manual_seed(0)
    return new_model(protocol.made("llama"), TOKENIZER).eval()


def adapted(model: Any, spec: AdapterSpec, protocol: Protocol) -> Any:
    config: Any = peft_config(spec, protocol.recipe, 10)
    return get_peft_model(model, config)


def stirred(model: Any) -> Any:
    """Return the model after an update of its own: B is no longer zero."""
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "lora_B" in name:
                parameter.normal_()
    return model


@pytest.mark.parametrize("rank", [1, 3, 8, 40])
@pytest.mark.parametrize(
    ("scaling", "multiplier"),
    [
        (Proportional(factor=2.0), lambda r: 2.0),
        (Proportional(factor=0.3), lambda r: 0.3),  # alpha is no whole number at most ranks
        (Constant(policy="constant", alpha=16.5), lambda r: 16.5 / r),
        (RankStabilised(policy="rank_stabilised", alpha=16.0), lambda r: 16 / r**0.5),
    ],
)
def test_peft_applies_the_declared_multiplier(scaling: Any, multiplier: Any, rank: int, pocket: Protocol) -> None:
    spec = Lora(rank=rank, scaling=scaling)
    assert spec.multiplier() == pytest.approx(multiplier(rank), rel=1e-15)
    model = base(pocket)
    names = parameter_names(model)
    said = realised(adapted(model, spec, pocket), names)
    assert said["multipliers"] == pytest.approx([spec.multiplier()], rel=1e-15)


def test_all_linear_leaves_the_head_out_and_counts_are_of_the_factors(pocket: Protocol) -> None:
    model = base(pocket)
    total = sum(p.numel() for p in model.parameters())
    names = parameter_names(model)
    said = realised(adapted(model, Lora(rank=4, scaling=Proportional()), pocket), names)
    assert said["adapted_matrices"] == 7  # q, k, v, o, gate, up, down of the only layer
    # every matrix of the pocket base is 16 x 16, so each has 4 x 16 + 16 x 4 trainable numbers
    assert said["trainable_parameters"] == 7 * 128
    assert said["trainable_share"] == 7 * 128 / total


def test_a_fresh_adapter_is_exactly_no_update(pocket: Protocol) -> None:
    model = base(pocket)
    with torch.no_grad():
        before = model(**PROMPTS).logits
        policy = adapted(model, Lora(rank=8, scaling=Proportional()), pocket)
        assert torch.equal(policy(**PROMPTS).logits, before)
        assert not torch.equal(stirred(policy)(**PROMPTS).logits, before)


def test_the_hash_is_of_the_base_alone(pocket: Protocol) -> None:
    plain = base(pocket)
    names, expected = parameter_names(plain), weights_hash(plain.named_parameters())
    policy = adapted(plain, Lora(rank=4, scaling=Proportional()), pocket)
    assert frozen_hash(policy, names) == expected
    assert frozen_hash(stirred(policy), names) == expected
    with torch.no_grad():
        policy.base_model.model.model.layers[0].mlp.up_proj.base_layer.weight[0, 0] += 1e-6
    assert frozen_hash(policy, names) != expected


def test_the_hash_tells_equal_weights_under_other_names_apart(pocket: Protocol) -> None:
    model = base(pocket)
    expected = weights_hash(model.named_parameters())
    attention = model.model.layers[0].self_attn
    attention.q_proj, attention.k_proj = attention.k_proj, attention.q_proj
    assert weights_hash(model.named_parameters()) != expected


def test_where_nothing_is_frozen_there_is_no_hash(pocket: Protocol) -> None:
    model = base(pocket)
    assert peft_config(Full(method="full"), pocket.recipe, 10) is None
    assert frozen_hash(model, parameter_names(model)) is None
    said = realised(model, parameter_names(model))
    # The matrices that an adapter would have, whose spectra are kept.
    assert (said["trainable_share"], said["adapted_matrices"], said["multipliers"]) == (1.0, 7, [])
