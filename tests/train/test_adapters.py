"""What PEFT realises is what was declared, and the norms and hashes are those of the matrices themselves."""

import copy
from typing import Any

import pytest
import torch
from peft import get_peft_model

from harness.spec import AdapterSpec, Protocol
from harness.spec.adapter import Constant, Proportional, RankStabilised
from harness.train.adapters import factors, frozen_hash, peft_config, realised, update_norm
from harness.train.base import new_model
from harness.train.tokenizer import character_tokenizer

TOKENIZER = character_tokenizer()
PROMPTS = TOKENIZER(["1+2=", "10+20="], return_tensors="pt", padding=True)


def base(protocol: Protocol) -> Any:
    torch.manual_seed(0)
    return new_model(protocol.bases["llama"], TOKENIZER).eval()


def adapted(model: Any, spec: AdapterSpec, protocol: Protocol) -> Any:
    return get_peft_model(model, peft_config(spec, protocol.recipe))


def stirred(model: Any) -> Any:
    """Return the model after an update of its own: B is no longer zero."""
    with torch.no_grad():
        for _, b, *_ in factors(model):
            b.normal_()
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
    spec = AdapterSpec(rank=rank, scaling=scaling)
    assert spec.multiplier() == pytest.approx(multiplier(rank), rel=1e-15)
    said = realised(adapted(base(pocket), spec, pocket))
    assert said["multipliers"] == pytest.approx([spec.multiplier()], rel=1e-15)


def test_all_linear_leaves_the_head_out_and_counts_are_of_the_factors(pocket: Protocol) -> None:
    model = base(pocket)
    total = sum(p.numel() for p in model.parameters())
    said = realised(adapted(model, AdapterSpec(rank=4, scaling=Proportional()), pocket))
    assert said["adapted_matrices"] == 7  # q, k, v, o, gate, up, down of the only layer
    # every matrix of the pocket base is 16 x 16, so each has 4 x 16 + 16 x 4 trainable numbers
    assert said["trainable_parameters"] == 7 * 128
    assert said["trainable_share"] == 7 * 128 / total


def test_a_fresh_adapter_is_exactly_no_update(pocket: Protocol) -> None:
    model = base(pocket)
    with torch.no_grad():
        before = model(**PROMPTS).logits
        policy = adapted(model, AdapterSpec(rank=8, scaling=Proportional()), pocket)
        assert update_norm(policy) == 0.0
        assert torch.equal(policy(**PROMPTS).logits, before)
        assert not torch.equal(stirred(policy)(**PROMPTS).logits, before)


@pytest.mark.parametrize("rank", [1, 5, 24])
def test_the_norm_is_that_of_merged_minus_base(rank: int, pocket: Protocol) -> None:
    scaling = RankStabilised(policy="rank_stabilised", alpha=3.0)
    policy = stirred(adapted(base(pocket).double(), AdapterSpec(rank=rank, scaling=scaling), pocket))
    merged = dict(copy.deepcopy(policy).merge_and_unload().named_parameters())
    untouched = dict(base(pocket).double().named_parameters())
    assert merged.keys() == untouched.keys()
    squares = sum(float((merged[name] - untouched[name]).detach().square().sum()) for name in merged)
    assert squares > 0
    # both are sums of some thousand products in float64
    assert update_norm(policy) == pytest.approx(squares**0.5, rel=1e-12)


def test_the_hash_is_of_the_base_alone(pocket: Protocol) -> None:
    plain = base(pocket)
    expected = frozen_hash(plain)
    policy = adapted(plain, AdapterSpec(rank=4, scaling=Proportional()), pocket)
    assert frozen_hash(policy) == expected
    assert frozen_hash(stirred(policy)) == expected
    with torch.no_grad():
        policy.base_model.model.model.layers[0].mlp.up_proj.base_layer.weight[0, 0] += 1e-6
    assert frozen_hash(policy) != expected


def test_the_hash_tells_equal_weights_under_other_names_apart(pocket: Protocol) -> None:
    model = base(pocket)
    expected = frozen_hash(model)
    attention = model.model.layers[0].self_attn
    attention.q_proj, attention.k_proj = attention.k_proj, attention.q_proj
    assert frozen_hash(model) != expected
