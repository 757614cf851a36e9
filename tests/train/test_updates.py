"""Of every method: no update at the start, the update that PEFT's own merge makes, and a policy that is only read."""

import copy
import json
from pathlib import Path
from typing import Any

import mpmath
import pytest
import torch
from peft import get_peft_model
from pydantic import TypeAdapter

from harness.spec import AdapterSpec, Protocol
from harness.spec.adapter import Full, resolved
from harness.spec.cell import Cell
from harness.spec.scaling import Proportional
from harness.spectra import Source, Update
from harness.train.adapters import parameter_names, peft_config, realised, weights_hash
from harness.train.base import new_model
from harness.train.spectra import update_norm
from harness.train.tokenizer import character_tokenizer
from harness.train.updates import norm_beside, start, updates

DECLARED = [
    {"method": "lora", "rank": 3},
    {"method": "lora", "rank": 3, "scaling": {"policy": "rank_stabilised", "alpha": 4}},
    {"method": "dora", "rank": 3},
    {"method": "pissa", "rank": 3},
    {"method": "adalora", "rank": 2, "initial_rank": 4},
    {"method": "gralora", "rank": 4, "blocks": 2},
    {"method": "oft", "block_size": 4},
    {"method": "vera", "rank": 8},
    {"method": "randlora", "rank": 4},
    {"method": "miss", "rank": 4},
    {"method": "hra", "rank": 4},
    {"method": "quanta", "d": 3},
    {"method": "quanta", "axes": [2, 8], "unfreeze_norms": True},
    {"method": "peft", "type": "C3A", "config": {"block_size": 8, "init_weights": True}},
    {"method": "peft", "type": "LOHA", "config": {"r": 4}},
    {"method": "full"},
]
SPEC: TypeAdapter[AdapterSpec] = TypeAdapter(AdapterSpec)


def spec(declared: dict[str, Any]) -> Any:
    return resolved(SPEC.validate_json(json.dumps(declared)), Proportional())


def names(declared: dict[str, Any]) -> str:
    return Cell(adapter=spec(declared)).slug()


@pytest.fixture(scope="module")
def folder(pocket: Protocol, tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("base")
    new_model(pocket.made("llama"), character_tokenizer()).save_pretrained(path)
    return path


def loaded(folder: Path, dtype: torch.dtype) -> Any:
    from transformers import AutoModelForCausalLM

    return AutoModelForCausalLM.from_pretrained(folder, dtype=dtype)


def policy_of(adapter: AdapterSpec, folder: Path, protocol: Protocol) -> Any:
    torch.manual_seed(1)
    model = loaded(folder, torch.float32)
    config = peft_config(adapter, protocol.recipe, 10)
    return model if config is None else get_peft_model(model, config)


def stirred(policy: Any) -> Any:
    """Move every trained parameter a little, all of them at random."""
    generator = torch.Generator().manual_seed(2)
    with torch.no_grad():
        for parameter in policy.parameters():
            if parameter.requires_grad:
                parameter += 0.02 * torch.randn(parameter.shape, generator=generator)
    return policy


@pytest.mark.parametrize("declared", DECLARED, ids=names)
def test_the_update_is_what_merging_makes(declared: dict[str, Any], folder: Path, pocket: Protocol) -> None:
    adapter = spec(declared)
    policy = policy_of(adapter, folder, pocket)
    untouched = policy_of(Full(method="full"), folder, pocket).double()
    since = start(policy, adapter, folder)
    norms = {name: update.spectrum().frobenius for name, update in updates(policy, adapter, since)}
    assert len(norms) == 7  # q, k, v, o, gate, up, down of the only layer
    scale = float(untouched.get_submodule("model.layers.0.mlp.up_proj").weight.detach().norm())
    assert all(norm <= 1e-6 * scale for norm in norms.values()), "an adapter starts at its base"
    before = weights_hash(stirred(policy).named_parameters())
    found = dict(updates(policy, adapter, since))
    assert weights_hash(policy.named_parameters()) == before, "looking changes nothing"
    merged = copy.deepcopy(policy).double()
    merged = merged if isinstance(adapter, Full) else merged.merge_and_unload()
    for name, update in found.items():
        exact = merged.get_submodule(name).weight.detach() - untouched.get_submodule(name).weight.detach()
        assert (update.rows, update.columns) == tuple(exact.shape)
        seen = update.times(torch.eye(update.columns, dtype=torch.float64))
        assert float(exact.norm()) > 1e-4
        # PiSSA's base is what float32 rounding left of it; DoRA's norms are float32, as PEFT's are
        assert float((seen - exact).norm() / exact.norm()) < (2e-4 if adapter.method in ("pissa", "dora") else 1e-6)
        assert update.spectrum().frobenius == pytest.approx(float(exact.norm()), rel=2e-4)


FORMS = {
    "lora": Source.GAUSSIAN_FACTORS,
    "dora": Source.RESCALED_FACTORS,
    "adalora": Source.GAUSSIAN_FACTORS,
    "full": Source.GAUSSIAN_MATRIX,
}
"""What nulls are drawn as, where it is no change of all that trains."""


@pytest.mark.parametrize("declared", DECLARED, ids=names)
def test_matrices_and_what_trains_beside_them_are_the_whole_update(
    declared: dict[str, Any], folder: Path, pocket: Protocol
) -> None:
    """Of every parameter of the base: embeddings, head and norms too, where they train."""
    adapter = spec(declared)
    policy = policy_of(adapter, folder, pocket)
    since = start(policy, adapter, folder)
    assert norm_beside(policy, since) == 0.0
    stirred(policy)
    beside = norm_beside(policy, since)
    assert (beside > 0) == (isinstance(adapter, Full) or bool(declared.get("unfreeze_norms")))
    merged = copy.deepcopy(policy).double()
    merged = merged if isinstance(adapter, Full) else merged.merge_and_unload()
    tuned = dict(merged.named_parameters())
    base = dict(policy_of(Full(method="full"), folder, pocket).double().named_parameters())
    assert tuned.keys() == base.keys()
    whole = sum(float((tuned[name] - base[name]).detach().square().sum()) for name in base) ** 0.5
    rows = [
        {"target": "update", "frobenius": update.spectrum().frobenius} for _, update in updates(policy, adapter, since)
    ]
    assert update_norm(rows, beside) == pytest.approx(whole, rel=2e-4)
    if beside:
        assert update_norm(rows, 0.0) < 0.999 * whole


def test_the_share_of_unfrozen_norms_is_of_the_whole_base(folder: Path, pocket: Protocol) -> None:
    plain = policy_of(Full(method="full"), folder, pocket)
    policy = policy_of(spec({"method": "quanta", "axes": [2, 8], "unfreeze_norms": True}), folder, pocket)
    said = realised(policy, parameter_names(plain))
    assert said["trainable_share"] == said["trainable_parameters"] / sum(p.numel() for p in plain.parameters())


@pytest.mark.parametrize("declared", DECLARED, ids=names)
def test_nulls_have_the_same_shape_and_norm(declared: dict[str, Any], folder: Path, pocket: Protocol) -> None:
    adapter = spec(declared)
    policy = policy_of(adapter, folder, pocket)
    since = start(policy, adapter, folder)
    for _, update in updates(stirred(policy), adapter, since):
        drawn, twice = (update.random(torch.Generator().manual_seed(3)) for _ in range(2))
        assert drawn is not None and twice is not None
        assert drawn.source is FORMS.get(adapter.method, Source.GAUSSIAN_CHANGE)
        own, null, again = update.spectrum(), drawn.spectrum(), twice.spectrum()
        assert (null.rows, null.columns) == (own.rows, own.columns)
        assert null.frobenius == pytest.approx(own.frobenius, rel=1e-6)
        assert null.singular_values == again.singular_values != own.singular_values


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_dora_that_began_in_bfloat16_is_marked(dtype: torch.dtype, folder: Path, pocket: Protocol) -> None:
    """Only B has moved, and PEFT trains it in float32: what is rounded is the start of the magnitudes."""
    adapter = spec({"method": "dora", "rank": 3})
    torch.manual_seed(1)
    policy = get_peft_model(loaded(folder, dtype), peft_config(adapter, pocket.recipe, 10))  # type: ignore[arg-type]
    since = start(policy, adapter, folder)
    assert {update.source for _, update in updates(policy, adapter, since)} == {Source.FACTORS}  # no update at all
    generator = torch.Generator().manual_seed(2)
    for name, parameter in policy.named_parameters():
        if "lora_B" in name:
            assert parameter.dtype == torch.float32
            parameter.data += 1e-4 * torch.randn(parameter.shape, generator=generator)
    rough = dtype == torch.bfloat16
    for _, update in updates(policy, adapter, since):
        marked = (Source.LOW_PRECISION_DIFFERENCE, "bfloat16") if rough else (Source.FACTORS, "float32")
        assert (update.source, update.dtype) == marked
        assert (update.spectrum().kernel.floor == 1.0) == rough


WIDTH = 96
RANKS = [
    ({"method": "lora", "rank": 6}, 6),
    ({"method": "pissa", "rank": 3}, 6),  # what moved of both factors
    ({"method": "hra", "rank": 6}, 6),  # a chain of six reflections leaves all but six directions alone
    ({"method": "miss", "rank": 6}, 6),
    ({"method": "gralora", "rank": 6, "blocks": 2}, 12),  # four products of rank 3
    ({"method": "vera", "rank": 12}, 12),
    ({"method": "oft", "block_size": 32}, WIDTH),
    ({"method": "randlora", "rank": 4}, WIDTH),
    ({"method": "full"}, WIDTH),
]
"""Methods, and the rank of what they do to a matrix of 96 x 96."""


@pytest.fixture(scope="module")
def wider(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(0)
    sizes: dict[str, Any] = {"vocab_size": 20, "hidden_size": WIDTH, "intermediate_size": 128, "num_hidden_layers": 1}
    path = tmp_path_factory.mktemp("wider")
    LlamaForCausalLM(LlamaConfig(**sizes, num_attention_heads=2)).save_pretrained(path)
    return path


def trained(adapter: AdapterSpec, folder: Path, protocol: Protocol) -> Update:
    """Return the first matrix's update after three steps of Adam at a small rate."""
    policy = policy_of(adapter, folder, protocol)
    since = start(policy, adapter, folder)
    tokens = torch.randint(0, 20, (4, 12), generator=torch.Generator().manual_seed(4))
    optimiser = torch.optim.Adam([p for p in policy.parameters() if p.requires_grad], lr=1e-3)
    for _ in range(3):
        optimiser.zero_grad()
        policy(input_ids=tokens, labels=tokens).loss.backward()
        optimiser.step()
    return next(updates(policy, adapter, since))[1]


def rank_of(update: Update) -> int:
    values = torch.tensor(update.spectrum().singular_values)
    return int((values > 1e-9 * values[0]).sum())


@pytest.mark.parametrize(("declared", "rank"), RANKS, ids=[names(declared) for declared, _ in RANKS])
def test_a_null_has_the_rank_of_its_method(declared: dict[str, Any], rank: int, wider: Path, pocket: Protocol) -> None:
    """A Gaussian matrix in its place has an effective rank of 80 here, so that any update of rank 6 looked special."""
    update = trained(spec(declared), wider, pocket)
    null = update.random(torch.Generator().manual_seed(3))
    assert null is not None
    assert (rank_of(update), rank_of(null)) == (rank, rank)
    own, drawn = update.spectrum().effective_rank, null.spectrum().effective_rank
    assert own is not None and drawn is not None
    assert 0.5 < own / drawn < 1.5


def test_the_null_of_a_pruned_adalora_has_the_directions_that_are_left(wider: Path, pocket: Protocol) -> None:
    adapter = spec({"method": "adalora", "rank": 2, "initial_rank": 8})
    policy = policy_of(adapter, wider, pocket)
    stirred(policy)
    for name, parameter in policy.named_parameters():
        if "lora_E" in name:
            parameter.data[[0, 2, 3, 5, 7]] = 0  # as PEFT prunes
    _, update = next(updates(policy, adapter, start(policy, adapter, wider)))
    null = update.random(torch.Generator().manual_seed(3))
    assert null is not None
    assert (rank_of(update), rank_of(null)) == (3, 3)
    assert len(null.spectrum().singular_values) == 3


@pytest.mark.parametrize("declared", DECLARED, ids=names)
def test_what_merging_rounds_is_within_the_floor(declared: dict[str, Any], folder: Path, pocket: Protocol) -> None:
    adapter = spec(declared)
    policy = policy_of(adapter, folder, pocket)
    since = start(policy, adapter, folder)
    for _, update in updates(policy, adapter, since):
        values = torch.tensor(update.spectrum().singular_values, dtype=torch.float64)
        kernel = update.spectrum().kernel
        # an untrained adapter changes nothing: whatever it reads is the rounding that the floor has to cover
        assert not values.any() or kernel.floor == 1.0


@pytest.mark.parametrize("move", [1e-2, 1e-5, 1e-8])
def test_a_merged_update_is_within_its_bound(move: float, folder: Path, pocket: Protocol) -> None:
    """Householder's reflections, multiplied out by 50 digits: what of a small move is left in merged minus base."""
    adapter = spec({"method": "hra", "rank": 4})
    policy = policy_of(adapter, folder, pocket).double()
    since = start(policy, adapter, folder)
    [(name, layer)] = [(n, m) for n, m in policy.named_modules() if n.endswith("q_proj") and hasattr(m, "hra_u")]
    u = layer.hra_u["default"]
    u.data += move * torch.randn(u.shape, generator=torch.Generator().manual_seed(2), dtype=u.dtype)
    found = dict(updates(policy, adapter, since))[name.removeprefix("base_model.model.")].spectrum()
    with mpmath.workdps(50):
        weight: Any = mpmath.matrix(layer.get_base_layer().weight.tolist())
        turned = weight.copy()
        for column in u.T.tolist():
            x = mpmath.matrix(column)
            turned = turned - 2 * (turned * x) * x.T / (x.T * x)[0]
        exact = [float(value) for value in mpmath.svd_r(turned - weight, compute_uv=False)]
    above = [k for k, value in enumerate(exact) if value > found.kernel.floor * exact[0]]
    assert len(above) == 4 or move == 1e-8
    assert len(above) >= 2
    for k in above:
        assert found.singular_values[k] == pytest.approx(exact[k], rel=found.kernel.bound, abs=0)
