"""QuanTA beside a layer is the dense update written out, trains T alone, and survives saving, merging and disabling."""

import itertools
import json
import math
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import PeftModel, PeftType, get_peft_model
from peft.mapping import PEFT_TYPE_TO_TUNER_MAPPING
from peft.tuners.tuners_utils import BaseTunerLayer
from safetensors import safe_open
from torch import nn
from transformers import LlamaConfig, LlamaForCausalLM, Qwen3Config, Qwen3ForCausalLM

from harness.train.quanta import QuantaConfig, QuantaLayer, QuantaLinear, QuantaModel, quanta_update, register

IDS = torch.arange(12).view(2, 6)
FORMS = [  # configuration, inputs, outputs, axes
    ({"d": 3}, 27, 27, (3, 3, 3)),
    ({"d": 3}, 30, 11, (4, 4, 4)),
    ({"d": 3}, 11, 30, (4, 4, 4)),
    ({"d": 4}, 16, 10, (2, 2, 2, 2)),
    ({"d": 4}, 9, 20, (3, 3, 3, 3)),
    ({"d": 2}, 7, 5, (3, 3)),
    ({"axes": [2, 3, 4]}, 24, 24, (2, 3, 4)),
    ({"axes": [2, 3, 4]}, 20, 30, (2, 3, 4)),
    ({"axes": [4, 2, 2]}, 30, 9, (4, 2, 2)),
]


def layer(form: Any, inputs: int, outputs: int, bias: bool = True, dtype: Any = torch.float64) -> QuantaLinear:
    torch.manual_seed(0)
    return QuantaLinear(nn.Linear(inputs, outputs, bias=bias, dtype=dtype), "default", QuantaConfig(**form))


@torch.no_grad()
def stirred(model: Any, size: float = 0.1) -> Any:
    """Return the model after an update of its own, of all that is trainable."""
    generator = torch.Generator().manual_seed(1)
    for parameter in model.parameters():
        if parameter.requires_grad:
            parameter += size * torch.randn(parameter.shape, generator=generator, dtype=parameter.dtype)
    return model


def dense(tensors: Any, axes: tuple[int, ...]) -> torch.Tensor:
    """Return the operator's matrix by contraction with letters, one per axis: every pair, from the last axis back."""
    d, total = len(axes), torch.eye(math.prod(axes), dtype=torch.float64).view(*axes, -1)
    for tensor, (i, j) in zip(tensors, itertools.combinations(reversed(range(d)), 2), strict=True):
        letters = "abcd"[:d]
        out = letters.replace(letters[i], "y").replace(letters[j], "z")
        total = torch.einsum(f"zy{letters[j]}{letters[i]},{letters}n->{out}n", tensor.double(), total)
    return total.reshape(math.prod(axes), -1)


def held(tensors: Any) -> list[torch.Tensor]:
    return [tensor.detach() for tensor in tensors["default"]]


def expected_change(adapted: QuantaLinear, axes: tuple[int, ...]) -> torch.Tensor:
    trained, start = (dense(held(tensors), axes) for tensors in (adapted.quanta_weight, adapted.quanta_start))
    change = torch.zeros(adapted.out_features, adapted.in_features, dtype=torch.float64)
    part = (trained - start)[: adapted.out_features, : adapted.in_features]
    change[: part.shape[0], : part.shape[1]] = part
    return change


@pytest.mark.parametrize(("form", "inputs", "outputs", "axes"), FORMS)
@pytest.mark.parametrize("bias", [True, False])
def test_the_forward_pass_is_that_of_the_dense_update(
    form: Any, inputs: int, outputs: int, axes: Any, bias: bool
) -> None:
    adapted = stirred(layer(form, inputs, outputs, bias))
    assert adapted.quanta_axes["default"] == axes
    change = expected_change(adapted, axes)
    x = torch.randn(2, 3, inputs, dtype=torch.float64, generator=torch.Generator().manual_seed(2))
    weight = adapted.base_layer.weight + change  # type: ignore[operator]
    truth = nn.functional.linear(x, weight, adapted.base_layer.bias)  # type: ignore[arg-type]
    assert float(torch.linalg.norm(change)) > 0.1
    torch.testing.assert_close(adapted(x), truth, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(adapted.get_delta_weight("default"), change, rtol=1e-11, atol=1e-13)


@pytest.mark.parametrize(("form", "inputs", "outputs", "axes"), FORMS)
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
def test_the_update_is_zero_at_the_start_to_the_last_bit(
    form: Any, inputs: int, outputs: int, axes: Any, dtype: Any
) -> None:
    adapted = layer(form, inputs, outputs, dtype=dtype)
    x = torch.randn(5, inputs, generator=torch.Generator().manual_seed(2)).to(dtype)
    assert torch.equal(adapted(x), adapted.base_layer(x))
    assert not adapted.get_delta_weight("default").any()
    assert not torch.equal(stirred(adapted)(x), adapted.base_layer(x))


def test_tensors_start_uniform_within_the_bound_of_their_two_axes() -> None:
    adapted = layer({"axes": [8, 2, 6]}, 96, 96)
    # pairs from the last axis back: (6, 2), (6, 8), (2, 8), as outputs (j, i) before inputs
    expected = [(2, 6, 2, 6), (8, 6, 8, 6), (8, 2, 8, 2)]
    tensors = held(adapted.quanta_weight)
    assert [tuple(t.shape) for t in tensors] == expected
    for tensor, shape in zip(tensors, expected, strict=True):
        bound = math.sqrt(3 / (shape[2] * shape[3]))
        assert 0.9 * bound < float(tensor.abs().max()) <= bound * (1 + 1e-7)
        # the variance of a uniform number within the bound is bound^2 / 3, known to about 2 / sqrt(entries)
        assert float(tensor.var()) == pytest.approx(bound**2 / 3, rel=3 / math.sqrt(tensor.numel()))


def test_equal_seeds_make_equal_starts() -> None:
    first, again = layer({"d": 3}, 8, 8), layer({"d": 3}, 8, 8)
    assert first.state_dict().keys() == again.state_dict().keys()
    assert all(torch.equal(first.state_dict()[name], again.state_dict()[name]) for name in first.state_dict())


@pytest.mark.parametrize(("form", "inputs", "outputs"), [({"axes": [2, 3]}, 5, 4), ({"d": 3}, 3, 7)])
def test_gradients_are_those_of_the_differences(form: Any, inputs: int, outputs: int) -> None:
    adapted = stirred(layer(form, inputs, outputs))
    trained = {name: p for name, p in adapted.named_parameters() if "quanta_weight" in name}
    x = torch.randn(2, inputs, dtype=torch.float64, generator=torch.Generator().manual_seed(2), requires_grad=True)

    def outcome(x: torch.Tensor, *tensors: torch.Tensor) -> torch.Tensor:
        return torch.func.functional_call(adapted, dict(zip(trained, tensors, strict=True)), (x,))

    tensors = [p.detach().clone().requires_grad_() for p in trained.values()]
    assert torch.autograd.gradcheck(outcome, (x, *tensors))


def test_only_trained_tensors_get_gradients() -> None:
    model = llama(d=3)
    model(IDS, labels=IDS).loss.backward()
    reached = {name for name, p in model.named_parameters() if p.grad is not None}
    assert reached == {name for name, _ in model.named_parameters() if ".quanta_weight." in name}
    assert reached == {name for name, p in model.named_parameters() if p.requires_grad}
    assert len(reached) == 2 * 7 * 3  # layers, matrices of each, pairs of three axes


def plain() -> Any:
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=20,
        hidden_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=24,
        attention_bias=True,
        tie_word_embeddings=False,
    )
    return LlamaForCausalLM(config).eval()


def llama(base: Any = None, **fields: Any) -> Any:
    base = plain() if base is None else base
    return get_peft_model(base, QuantaConfig(target_modules="all-linear", task_type="CAUSAL_LM", **fields)).eval()


def norms(model: Any) -> dict[str, torch.Tensor]:
    return {name: p.detach().clone() for name, p in model.named_parameters() if "norm" in name}


@pytest.mark.parametrize("fields", [{"d": 3}, {"d": 4}, {"axes": [4, 2, 3]}, {"d": 3, "unfreeze_norms": True}])
def test_a_few_updates_change_the_trained_alone(fields: Any) -> None:
    model = llama(**fields)
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    logits = model(IDS).logits
    assert torch.equal(logits, plain()(IDS).logits)
    trained = {name: p for name, p in model.named_parameters() if p.requires_grad}
    optimiser = torch.optim.AdamW(trained.values(), lr=1e-2)
    losses = []
    for _ in range(4):
        loss = model(IDS, labels=IDS).loss
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    assert losses == sorted(losses, reverse=True)
    changed = {name for name, p in model.named_parameters() if not torch.equal(p, before[name])}
    assert changed == set(trained)
    parts = {"quanta_weight", "modules_to_save"} if "unfreeze_norms" in fields else {"quanta_weight"}
    assert {part for name in changed for part in parts if part in name} == parts
    assert not any("quanta_start" in name or "lm_head" in name for name in changed)
    with model.disable_adapter():
        assert torch.equal(model(IDS).logits, logits)
    base, untouched = model.unload().state_dict(), plain().state_dict()
    assert base.keys() == untouched.keys()
    assert all(torch.equal(base[name], untouched[name]) for name in base)


@pytest.mark.parametrize("unfreeze_norms", [False, True])
def test_a_saved_adapter_reloads_to_the_last_bit(unfreeze_norms: bool, tmp_path: Path) -> None:
    model = stirred(llama(d=3, unfreeze_norms=unfreeze_norms))
    expected = model(IDS).logits
    model.save_pretrained(tmp_path)
    said = json.loads((tmp_path / "adapter_config.json").read_text())
    assert (said["peft_type"], said["d"], said["unfreeze_norms"]) == ("QUANTA", 3, unfreeze_norms)
    again: Any = PeftModel.from_pretrained(plain(), str(tmp_path)).eval()
    assert torch.equal(again(IDS).logits, expected)
    assert not torch.equal(plain()(IDS).logits, expected)
    own, read = model.state_dict(), again.state_dict()
    assert own.keys() == read.keys()
    assert all(torch.equal(own[name], read[name]) for name in own)
    assert not any(p.requires_grad for p in again.parameters())
    resumed: Any = PeftModel.from_pretrained(plain(), str(tmp_path), is_trainable=True)
    kept = {name for name, p in model.named_parameters() if p.requires_grad}
    assert {name for name, p in resumed.named_parameters() if p.requires_grad} == kept


def test_the_file_holds_both_tensors_and_the_shape(tmp_path: Path) -> None:
    llama(d=3).save_pretrained(tmp_path)
    module = "base_model.model.model.layers.1.mlp.down_proj."
    with safe_open(tmp_path / "adapter_model.safetensors", "pt") as file:
        names = set(file.keys())
        assert {name.removeprefix(module) for name in names if name.startswith(module)} == {
            *(f"quanta_{part}.{k}" for part in ("weight", "start") for k in range(3)),
            "quanta_shape",
        }
        assert file.get_tensor(module + "quanta_shape").tolist() == [16, 24]
        assert torch.equal(file.get_tensor(module + "quanta_weight.2"), file.get_tensor(module + "quanta_start.2"))
    assert not any("norm" in name or "lm_head" in name for name in names)


@pytest.mark.parametrize(("form", "inputs", "outputs", "axes"), FORMS)
@pytest.mark.parametrize(("dtype", "bound"), [(torch.float32, 1e-6), (torch.float64, 1e-14)])
def test_a_merged_layer_says_the_same_and_unmerges_to_the_last_bit(
    form: Any, inputs: int, outputs: int, axes: Any, dtype: Any, bound: float
) -> None:
    adapted = stirred(layer(form, inputs, outputs, dtype=dtype))
    base: Any = adapted.base_layer
    weight = base.weight.detach().clone()
    x = torch.randn(50, inputs, generator=torch.Generator().manual_seed(2)).to(dtype)
    expected = adapted(x)
    adapted.merge(safe_merge=True)
    assert adapted.merged
    assert not torch.equal(base.weight, weight)
    error = torch.linalg.norm((adapted(x) - expected).detach()) / torch.linalg.norm(expected.detach())
    assert float(error) <= bound
    adapted.unmerge()
    assert torch.equal(base.weight, weight)
    assert torch.equal(adapted(x), expected)
    with pytest.warns(UserWarning, match="nothing to unmerge"):
        adapted.unmerge()


def test_unmerging_a_bfloat16_weight_leaves_no_drift() -> None:
    adapted = stirred(layer({"d": 3}, 16, 16, dtype=torch.bfloat16))
    weight = adapted.weight.detach().clone()
    for _ in range(5):
        adapted.merge()
        adapted.unmerge()
    assert torch.equal(adapted.weight, weight)


def test_a_merge_that_overflows_is_refused_where_asked() -> None:
    adapted = stirred(layer({"d": 3}, 16, 16, dtype=torch.float32), 1e20)
    weight = adapted.weight.detach().clone()
    with pytest.raises(ValueError, match="adapter default: the merged weight holds NaN or infinity"):
        adapted.merge(safe_merge=True)
    assert torch.equal(adapted.weight, weight)
    assert not adapted.merged


@pytest.mark.parametrize("unfreeze_norms", [False, True])
def test_a_merged_model_is_a_plain_model_that_says_the_same(unfreeze_norms: bool) -> None:
    model = stirred(llama(plain().double(), d=3, unfreeze_norms=unfreeze_norms))
    expected = model(IDS).logits
    model.merge_adapter()
    torch.testing.assert_close(model(IDS).logits, expected, rtol=1e-11, atol=1e-12)
    with model.disable_adapter():
        assert torch.equal(model(IDS).logits, plain().double()(IDS).logits)
    assert torch.equal(model(IDS).logits, expected)
    merged = model.merge_and_unload()
    torch.testing.assert_close(merged(IDS).logits, expected, rtol=1e-11, atol=1e-12)
    assert merged.state_dict().keys() == plain().state_dict().keys()
    assert not any(isinstance(module, BaseTunerLayer) for module in merged.modules())


def test_norms_are_trained_on_copies_and_only_where_asked() -> None:
    assert not any("norm" in name for name, p in llama(d=3).named_parameters() if p.requires_grad)
    model = llama(d=3, unfreeze_norms=True)
    trained = {name for name, p in model.named_parameters() if p.requires_grad and "quanta" not in name}
    owners = {name.removeprefix("base_model.model.").split(".modules_to_save.")[0] for name in trained}
    assert owners == {name.removesuffix(".weight") for name in norms(plain())}
    assert len(owners) == 5  # two in each of two layers, and the last
    untouched = norms(plain())
    kept = {name: p for name, p in stirred(model).named_parameters() if ".original_module." in name}
    found = {name.removeprefix("base_model.model.").replace(".original_module", ""): p for name, p in kept.items()}
    assert found.keys() == untouched.keys()
    assert all(torch.equal(found[name], untouched[name]) for name in found)


def test_norms_of_queries_and_keys_count_too() -> None:
    sizes: Any = {"vocab_size": 20, "hidden_size": 16, "num_hidden_layers": 1, "intermediate_size": 24, "head_dim": 8}
    torch.manual_seed(0)
    base = Qwen3ForCausalLM(Qwen3Config(**sizes, num_attention_heads=2, num_key_value_heads=2)).eval()
    expected = base(IDS).logits
    model = llama(base, d=3, unfreeze_norms=True)
    assert torch.equal(model(IDS).logits, expected)
    trained = {name for name, p in model.named_parameters() if p.requires_grad}
    assert sum("q_norm" in name or "k_norm" in name for name in trained) == 2


def test_a_norm_of_the_model_itself_is_refused() -> None:
    class Bare(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.linear, self.norm = nn.Linear(4, 4), nn.Parameter(torch.ones(4))

    with pytest.raises(ValueError, match="unfreeze_norms: the model itself owns a parameter named norm"):
        get_peft_model(Bare(), QuantaConfig(d=2, target_modules=["linear"], unfreeze_norms=True))  # type: ignore[arg-type]


def test_the_update_for_spectra_is_the_layers_own() -> None:
    model = stirred(llama(d=3))
    adapted = model.base_model.model.model.layers[0].mlp.up_proj
    update = quanta_update(adapted)
    assert (update.rows, update.columns, update.axes, update.multiplier) == (24, 16, (3, 3, 3), 1.0)
    truth = expected_change(adapted, (3, 3, 3))
    torch.testing.assert_close(update.dense(), truth, rtol=1e-11, atol=1e-13)
    assert torch.equal(adapted.get_delta_weight("default"), update.dense())
    values = torch.linalg.svdvals(truth).tolist()
    assert update.spectrum().singular_values == pytest.approx(values, rel=1e-8)


def test_every_linear_layer_but_the_head_is_adapted_with_the_declared_number_of_parameters() -> None:
    model = llama(d=3)
    adapted = {name: module for name, module in model.named_modules() if isinstance(module, QuantaLayer)}
    assert len(adapted) == 2 * 7
    assert not any("lm_head" in name for name in adapted)
    # 3^3 = 27 covers both 16 and 24: three matrices of 9 x 9 for each of 14 layers
    assert sum(p.numel() for p in model.parameters() if p.requires_grad) == 14 * 3 * 81


def test_excluded_modules_stay_as_they_are() -> None:
    model = get_peft_model(plain(), QuantaConfig(d=3, target_modules=["q_proj", "v_proj"], exclude_modules=["v_proj"]))
    names = {name.rpartition(".")[2] for name, module in model.named_modules() if isinstance(module, QuantaLayer)}
    assert names == {"q_proj"}


def test_a_second_adapter_has_tensors_of_its_own() -> None:
    model = stirred(llama(d=3, unfreeze_norms=True))
    first = model(IDS).logits
    model.add_adapter("other", QuantaConfig(axes=[2, 3, 4], target_modules="all-linear", unfreeze_norms=True))
    model.set_adapter("other")
    assert torch.equal(model(IDS).logits, plain()(IDS).logits)
    assert not any("quanta_start" in name for name, p in model.named_parameters() if p.requires_grad)
    model.set_adapter("default")
    assert torch.equal(model(IDS).logits, first)
    model.delete_adapter("other")
    assert torch.equal(model(IDS).logits, first)
    assert not any(".other" in name for name in model.state_dict())


def test_registering_twice_is_registering_once() -> None:
    register()
    count = len(PeftType)
    register()
    assert len(PeftType) == count
    assert PEFT_TYPE_TO_TUNER_MAPPING[PeftType("QUANTA")] is QuantaModel
    assert sum(kind == "QUANTA" for kind in PeftType) == 1


@pytest.mark.parametrize("fields", [{}, {"d": 3, "axes": [2, 3]}])
def test_axes_are_declared_one_way(fields: Any) -> None:
    with pytest.raises(ValueError, match="Give one of the two"):
        QuantaConfig(**fields)


def test_what_is_no_linear_layer_is_refused_by_name() -> None:
    with pytest.raises(TypeError, match=r"QuanTA cannot adapt model\.embed_tokens, a Embedding"):
        get_peft_model(plain(), QuantaConfig(d=3, target_modules=["embed_tokens"]))
