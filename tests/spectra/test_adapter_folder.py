"""Updates of saved adapters against what PEFT merges, and folders that are no adapter."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import peft
import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import GPT2Config, GPT2LMHeadModel, LlamaConfig, LlamaForCausalLM

from harness.spectra.adapter_folder import AdapterFolder, updates
from harness.spectra.checkpoint import Checkpoint, CheckpointError
from harness.spectra.spectrum import Source
from harness.train.quanta import QuantaConfig

PROJECTIONS = ["q_proj", "down_proj"]
LAYERS = 2


def llama() -> LlamaForCausalLM:
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=40,
        hidden_size=16,
        intermediate_size=24,
        num_hidden_layers=LAYERS,
        num_attention_heads=2,
        tie_word_embeddings=False,
    )
    return LlamaForCausalLM(config)


@pytest.fixture(scope="session")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of a tiny base."""
    folder = tmp_path_factory.mktemp("base")
    llama().save_pretrained(folder)
    return folder


def weights(model: torch.nn.Module) -> dict[str, torch.Tensor]:
    return {name: value.detach().double().clone() for name, value in model.state_dict().items()}


def disturb(model: Any) -> None:
    """Move what trains away from its start, as training does."""
    generator = torch.Generator().manual_seed(1)
    for parameter in model.parameters():
        if parameter.requires_grad:
            with torch.no_grad():
                parameter.add_(0.1 * torch.randn(parameter.shape, generator=generator))


def saved(config: peft.PeftConfig, folder: Path, model: Any = None, **options: Any) -> dict[str, torch.Tensor]:
    """Train `config` on the base for a step of noise, save it, and return merged minus base by module."""
    model = model or llama()
    before = weights(model)
    adapted: Any = peft.get_peft_model(model, config)
    if options.pop("keep_start", False):
        adapted.save_pretrained(folder / "start")
        options["path_initial_model_for_weight_conversion"] = str(folder / "start")
    disturb(adapted)
    adapted.save_pretrained(folder, save_embedding_layers=False, **options)
    after = weights(adapted.merge_and_unload())
    changes = {name: after[name] - before[name] for name in before if before[name].dim() == 2}
    return {name.removesuffix(".weight"): change for name, change in changes.items() if change.abs().max() > 1e-6}


def dense(update: Any) -> torch.Tensor:
    """Return the matrix that an update stands for, column by column."""
    return update.times(torch.eye(update.columns, dtype=torch.float64))


def assert_equal(found: dict[str, Any], truth: dict[str, torch.Tensor], tolerance: float = 2e-6) -> None:
    assert set(found) == set(truth)
    for module, update in found.items():
        assert (update.rows, update.columns) == truth[module].shape
        scale = float(truth[module].norm())
        assert float((dense(update) - truth[module]).norm()) <= tolerance * max(scale, 1.0), module
        sigma = torch.linalg.svdvals(truth[module])
        values = torch.tensor(update.spectrum().singular_values, dtype=torch.float64)
        assert torch.allclose(values, sigma[: len(values)], rtol=1e-4, atol=4e-6), module


LORA: dict[str, dict[str, Any]] = {
    "plain": {"r": 4, "lora_alpha": 8},
    "alpha not a multiple": {"r": 3, "lora_alpha": 5},
    "rank-stabilised": {"r": 4, "lora_alpha": 8, "use_rslora": True},
    "patterns": {
        "r": 4,
        "lora_alpha": 8,
        "rank_pattern": {"down_proj": 2, r"layers\.1\.self_attn\.q_proj": 6},
        "alpha_pattern": {"q_proj": 3, r"layers\.0\..*down_proj": 7},
    },
    "patterns, rank-stabilised": {"r": 4, "use_rslora": True, "rank_pattern": {"q_proj": 2}},
    "Gaussian start": {"r": 4, "init_lora_weights": "gaussian"},
    "orthogonal start": {"r": 4, "init_lora_weights": "orthogonal"},
    "embedding": {"r": 4, "lora_alpha": 8, "target_modules": ["embed_tokens", "q_proj"]},
    "head": {"r": 4, "lora_alpha": 8, "target_modules": ["lm_head"]},
    "rank above the matrix": {"r": 20},
}


@pytest.mark.parametrize("name", LORA)
def test_lora_without_its_base_is_what_peft_merges(name: str, tmp_path: Path) -> None:
    config = peft.LoraConfig(**{"target_modules": PROJECTIONS, **LORA[name]})
    truth = saved(config, tmp_path)
    found = dict(updates(tmp_path))
    assert_equal(found, truth)
    assert {update.source for update in found.values()} == {Source.FACTORS}


def test_patterns_of_ranks_are_the_ranks(tmp_path: Path) -> None:
    saved(peft.LoraConfig(target_modules=PROJECTIONS, **LORA["patterns"]), tmp_path)
    ranks = [len(update.spectrum().singular_values) for _, update in updates(tmp_path)]
    assert ranks == [2, 4, 2, 6]  # down_proj and q_proj of layer 0, then of layer 1


def test_lora_with_its_base_is_the_same(base: Path, tmp_path: Path) -> None:
    truth = saved(peft.LoraConfig(r=4, target_modules=PROJECTIONS), tmp_path)
    assert_equal(dict(updates(tmp_path, Checkpoint(base))), truth)


@pytest.mark.parametrize("options", [{}, {"use_rslora": True}, {"lora_alpha": 5}])
def test_dora_and_its_base_are_what_peft_merges(options: dict[str, Any], base: Path, tmp_path: Path) -> None:
    truth = saved(peft.LoraConfig(r=4, use_dora=True, target_modules=PROJECTIONS, **options), tmp_path)
    assert_equal(dict(updates(tmp_path, Checkpoint(base))), truth)
    with pytest.raises(CheckpointError, match=r"adapter_config\.json: the update of DoRA .* --against BASE"):
        next(updates(tmp_path))


@pytest.mark.parametrize("start", ["pissa", "olora"])
def test_what_factors_moved_since_a_start_in_the_base_is_the_update(start: Any, base: Path, tmp_path: Path) -> None:
    truth = saved(peft.LoraConfig(r=4, init_lora_weights=start, target_modules=PROJECTIONS), tmp_path)
    found = dict(updates(tmp_path, Checkpoint(base)))
    assert_equal(found, truth)
    assert {len(update.spectrum().singular_values) for update in found.values()} == {8}
    with pytest.raises(CheckpointError, match=f"the update of {start} .* --against BASE"):
        next(updates(tmp_path))


@pytest.mark.parametrize("start", ["pissa", "olora"])
def test_a_rank_that_no_start_in_the_base_has_is_refused(start: Any, base: Path, tmp_path: Path) -> None:
    saved(peft.LoraConfig(r=128, target_modules=["q_proj"]), tmp_path)
    file = tmp_path / "adapter_config.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), "init_lora_weights": start}))
    with pytest.raises(CheckpointError, match=r"rank 128 is more than .*q_proj\.weight \(\d+, \d+\) has to start from"):
        dict(updates(tmp_path, Checkpoint(base)))


def started(start: Any, folder: Path, move: float, dtype: torch.dtype = torch.float32) -> dict[str, torch.Tensor]:
    """Save factors that moved by `move` since the start, and return s (B A - B0 A0) in float64 by module."""
    model: Any = peft.get_peft_model(llama(), peft.LoraConfig(r=4, init_lora_weights=start, target_modules=PROJECTIONS))
    layers = {name: layer for name, layer in model.named_modules() if hasattr(layer, "lora_A") and layer.lora_A}
    before = {name: product(layer) for name, layer in layers.items()}
    generator = torch.Generator().manual_seed(3)
    for name, parameter in model.named_parameters():
        if "lora_" in name:
            with torch.no_grad():
                parameter.add_(move * parameter.norm() * torch.randn(parameter.shape, generator=generator) / 8)
    after = {name: product(layer) - before[name] for name, layer in layers.items()}
    model.save_pretrained(folder, save_embedding_layers=False)
    retensor(folder, lambda t: t.update({name: x.to(dtype) for name, x in t.items()}))
    return {name.removeprefix("base_model.model."): change for name, change in after.items()}


def product(layer: Any) -> torch.Tensor:
    b, a = (x["default"].weight.detach().double() for x in (layer.lora_B, layer.lora_A))
    return layer.scaling["default"] * b @ a


@pytest.mark.parametrize("start", ["pissa", "olora"])
@pytest.mark.parametrize("move", [1e-1, 1e-3, 1e-5, 1e-6])
def test_a_small_move_since_the_start_is_within_its_bound(start: str, move: float, base: Path, tmp_path: Path) -> None:
    truth = started(start, tmp_path, move)
    for module, update in updates(tmp_path, Checkpoint(base)):
        found, sigma = update.spectrum(), torch.linalg.svdvals(truth[module])
        assert found.kernel.bound == 1e-2 or found.kernel.floor == 1.0
        assert 0 < found.kernel.floor <= 1
        if not found.frobenius:
            assert move == 1e-6  # all that is left is what the start cannot tell
            continue
        least = found.kernel.floor * found.singular_values[0]
        for value, known in zip(found.singular_values, sigma.tolist()[:8], strict=True):
            assert abs(value - known) <= found.kernel.bound * max(known, least)
        assert found.kernel.bound > 0.05 or move > 1e-5
        assert found.kernel.floor < 0.02 or move < 1e-1


@pytest.mark.parametrize("start", ["pissa", "olora"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_an_untrained_start_in_the_base_is_no_update(
    start: str, dtype: torch.dtype, base: Path, tmp_path: Path
) -> None:
    started(start, tmp_path, 0.0, dtype)
    for _, update in updates(tmp_path, Checkpoint(base)):
        found = update.spectrum()
        assert (found.frobenius, found.effective_rank, set(found.singular_values)) == (0.0, None, {0.0})
        assert len(found.singular_values) == 8


@pytest.mark.parametrize("start", ["pissa", "olora"])
@pytest.mark.parametrize("stored", [None, torch.float32])
def test_factors_rounded_since_a_start_are_marked(start: str, stored: Any, base: Path, tmp_path: Path) -> None:
    """Also those that were saved as float32 again: their start is lost in the rounding all the same."""
    truth = started(start, tmp_path, 1e-1, torch.bfloat16)
    retensor(tmp_path, lambda t: t.update({name: x.to(stored or x.dtype) for name, x in t.items()}))
    for module, update in updates(tmp_path, Checkpoint(base)):
        assert (update.source, update.dtype) == (Source.LOW_PRECISION_DIFFERENCE, "bfloat16")
        found, sigma = update.spectrum(), torch.linalg.svdvals(truth[module])
        off = (torch.tensor(found.singular_values, dtype=torch.float64) - sigma[:8]).abs().max()
        assert found.kernel.floor == 1.0
        assert float(off) > 1e-4 * float(sigma[0])  # what the rounding of the start reads as


@pytest.mark.parametrize("kind", ["float32", "loaded in bfloat16", "cast to bfloat16", "PiSSA cast to bfloat16"])
def test_dora_of_a_rounded_start_is_marked(kind: str, tmp_path: Path) -> None:
    """Against a base that was released in bfloat16: the numbers tell in which precision training began."""
    released = llama().bfloat16()
    released.save_pretrained(tmp_path / "base")
    model: Any = released if kind == "loaded in bfloat16" else released.float()
    init: Any = "pissa" if "PiSSA" in kind else True
    adapted: Any = peft.get_peft_model(
        model, peft.LoraConfig(r=4, use_dora=True, init_lora_weights=init, target_modules=PROJECTIONS)
    )
    generator = torch.Generator().manual_seed(1)
    for name, parameter in adapted.named_parameters():
        if "lora_" in name:
            parameter.data += 1e-5 * torch.randn(parameter.shape, generator=generator)
    adapted.save_pretrained(tmp_path / "adapter", save_embedding_layers=False)
    if "cast" in kind:
        retensor(tmp_path / "adapter", lambda t: t.update({name: x.bfloat16() for name, x in t.items()}))
    for _, update in updates(tmp_path / "adapter", Checkpoint(tmp_path / "base")):
        rounded = (Source.LOW_PRECISION_DIFFERENCE, "bfloat16")
        assert (update.source, update.dtype) == ((Source.FACTORS, "float32") if kind == "float32" else rounded)
        assert (update.spectrum().kernel.floor == 1.0) == (kind != "float32")


@pytest.mark.parametrize("gap", [1e-1, 1e-3])
def test_the_floor_covers_a_start_that_another_library_computed(gap: float, tmp_path: Path) -> None:
    """In float64 here; the closer the last direction of the start and the next, the further apart the two."""
    model: Any = llama()
    layers = [model.get_submodule(f"model.layers.{i}.self_attn.q_proj") for i in range(LAYERS)]
    for layer in layers:
        u, sigma, vh = torch.linalg.svd(layer.weight.detach().double())
        sigma[4] = sigma[3] * (1 - gap)
        layer.weight.data = (u * sigma @ vh).float()
    model.save_pretrained(tmp_path / "base")
    adapted: Any = peft.get_peft_model(
        model, peft.LoraConfig(r=4, lora_alpha=4, init_lora_weights="pissa", target_modules=["q_proj"])
    )
    before = Checkpoint(tmp_path / "base")
    adapted.save_pretrained(tmp_path / "adapter", save_embedding_layers=False)

    def elsewhere(tensors: dict[str, torch.Tensor]) -> None:
        for i in range(LAYERS):
            name = f"model.layers.{i}.self_attn.q_proj"
            u, sigma, vh = torch.linalg.svd(before.tensor(f"{name}.weight").double())
            root = sigma[:4].sqrt()
            moved = u[:, :4] * root + 1e-3 * torch.ones(16, 4)  # all that training did
            tensors[
                f"base_model.model.{name}.lora_B.weight"
            ] = -moved.float().contiguous()  # signs are the library's, too
            tensors[f"base_model.model.{name}.lora_A.weight"] = -(root.view(-1, 1) * vh[:4]).float().contiguous()

    retensor(tmp_path / "adapter", elsewhere)
    for module, update in updates(tmp_path / "adapter", before):
        _, sigma, vh = torch.linalg.svd(before.tensor(f"{module}.weight").double())
        a0 = sigma[:4].sqrt().view(-1, 1) * vh[:4]
        truth = torch.linalg.svdvals(1e-3 * torch.ones(16, 4, dtype=torch.float64) @ a0)
        found = update.spectrum()
        off = (torch.tensor(found.singular_values[:8], dtype=torch.float64) - truth[:8]).abs()
        assert float(off.max()) <= found.kernel.bound * found.kernel.floor * found.singular_values[0]
        assert found.kernel.floor < 0.2 if gap == 1e-1 else found.kernel.floor == 1


@pytest.mark.filterwarnings("ignore:PiSSA changes the base weights:UserWarning")  # PEFT loads the start beside
def test_pissa_that_peft_converted_is_ordinary_lora(tmp_path: Path) -> None:
    config = peft.LoraConfig(r=4, init_lora_weights="pissa", target_modules=PROJECTIONS)
    truth = saved(config, tmp_path, keep_start=True)
    assert_equal(dict(updates(tmp_path)), truth)


@pytest.mark.parametrize("start", ["pissa_niter_4", "corda", "lora_ga", "loftq"])
def test_a_start_that_nobody_can_repeat_is_refused(start: str, base: Path, tmp_path: Path) -> None:
    saved(peft.LoraConfig(r=4, target_modules=PROJECTIONS), tmp_path)
    edit(tmp_path, init_lora_weights=start)
    with pytest.raises(CheckpointError, match="path_initial_model_for_weight_conversion"):
        next(updates(tmp_path, Checkpoint(base)))


def adalora(**options: Any) -> peft.AdaLoraConfig:
    return peft.AdaLoraConfig(init_r=6, target_r=3, lora_alpha=8, total_step=10, target_modules=PROJECTIONS, **options)


def test_adalora_is_what_peft_merges(tmp_path: Path) -> None:
    truth = saved(adalora(), tmp_path)
    assert_equal(dict(updates(tmp_path)), truth)


@pytest.mark.filterwarnings("ignore:The following rank_pattern keys:RuntimeWarning")  # PEFT takes them for LoRA's
def test_pruned_adalora_keeps_the_multiplier_it_started_with(base: Path, tmp_path: Path) -> None:
    """PEFT reloads the pruned factors and divides alpha by the rank at the start; this reads the same update."""
    model: Any = peft.get_peft_model(llama(), adalora())
    disturb(model)
    kept = [True, False, True, True, False, False]
    modules = [f"model.layers.{i}.{name}" for i in range(LAYERS) for name in ("self_attn.q_proj", "mlp.down_proj")]
    model.peft_config["default"].rank_pattern = {f"{module}.lora_E.default": kept for module in modules}
    model.save_pretrained(tmp_path, save_embedding_layers=False)
    found = dict(updates(tmp_path))
    again = weights(peft.PeftModel.from_pretrained(llama(), str(tmp_path)).merge_and_unload())
    before = weights(llama())
    assert_equal(found, {module: again[f"{module}.weight"] - before[f"{module}.weight"] for module in modules})
    assert {len(update.spectrum().singular_values) for update in found.values()} == {3}


def test_a_weight_stored_inputs_first_gives_an_update_with_outputs_first(tmp_path: Path) -> None:
    torch.manual_seed(0)
    model = GPT2LMHeadModel(GPT2Config(vocab_size=30, n_embd=16, n_layer=2, n_head=2, n_positions=8))
    model.save_pretrained(tmp_path / "base")
    config = peft.LoraConfig(r=3, target_modules=["c_attn"], fan_in_fan_out=True)
    truth = saved(config, tmp_path / "adapter", model)
    turned = {module: change.T for module, change in truth.items()}
    assert {change.shape for change in turned.values()} == {(48, 16)}
    assert_equal(dict(updates(tmp_path / "adapter")), turned)
    assert_equal(dict(updates(tmp_path / "adapter", Checkpoint(tmp_path / "base"))), turned)


MERGED: dict[str, peft.PeftConfig] = {
    "VERA": peft.VeraConfig(r=4, target_modules=PROJECTIONS[:1]),
    "OFT": peft.OFTConfig(oft_block_size=8, target_modules=PROJECTIONS),
    "BOFT": peft.BOFTConfig(boft_block_size=8, target_modules=PROJECTIONS[:1]),
    "MISS": peft.MissConfig(r=4, target_modules=PROJECTIONS),
    "HRA": peft.HRAConfig(r=4, target_modules=PROJECTIONS),
    "RANDLORA": peft.RandLoraConfig(r=4, target_modules=PROJECTIONS[:1]),
    "GRALORA": peft.GraloraConfig(r=4, gralora_k=2, target_modules=PROJECTIONS),
    "LOHA": peft.LoHaConfig(r=4, target_modules=PROJECTIONS),
    "LOKR": peft.LoKrConfig(r=4, target_modules=PROJECTIONS),
    "IA3": peft.IA3Config(target_modules=PROJECTIONS, feedforward_modules=["down_proj"]),
    "C3A": peft.C3AConfig(block_size=8, target_modules=PROJECTIONS),
    "OSF": peft.OSFConfig(target_modules=PROJECTIONS),
    "FOURIERFT": peft.FourierFTConfig(n_frequency=20, target_modules=PROJECTIONS),
}


def small(config: peft.PeftConfig, folder: Path, move: float, stored: Any) -> None:
    """Save an adapter of which everything moved by `move`, rounded to bfloat16 unless `stored` is None."""
    adapted: Any = peft.get_peft_model(llama(), config)
    generator = torch.Generator().manual_seed(1)
    for parameter in adapted.parameters():
        if parameter.requires_grad:
            parameter.data += move * torch.randn(parameter.shape, generator=generator)
    adapted.save_pretrained(folder, save_embedding_layers=False)
    rounded = {torch.float32: torch.bfloat16, torch.bfloat16: torch.bfloat16}.get(stored)
    if rounded is not None:
        floats = lambda t: {name: x.to(rounded).to(stored) for name, x in t.items() if x.is_floating_point()}  # noqa: E731
        retensor(folder, lambda t: t.update(floats(t)))


NEAR_A_START: dict[str, peft.PeftConfig] = {
    "IA3": peft.IA3Config(target_modules=PROJECTIONS, feedforward_modules=["down_proj"]),
    "HRA": peft.HRAConfig(r=4, target_modules=PROJECTIONS),
    "QUANTA": QuantaConfig(d=3, target_modules=PROJECTIONS),
    "OSF": MERGED["OSF"],
    "BOFT": MERGED["BOFT"],
}


@pytest.mark.filterwarnings("ignore:Failed to load the CUDA extension:UserWarning")
@pytest.mark.filterwarnings("ignore:Setting boft_n_butterfly_factor to 1:UserWarning")
@pytest.mark.parametrize("stored", [torch.bfloat16, torch.float32, None])
@pytest.mark.parametrize("kind", NEAR_A_START)
def test_rounded_numbers_that_moved_little_from_a_start_are_marked(
    kind: str, stored: Any, base: Path, tmp_path: Path
) -> None:
    """IA3's lengthenings and BOFT's scales begin at one, QuanTA and HRA at random, OSF in the base."""
    small(NEAR_A_START[kind], tmp_path / "exact", 1e-2, None)
    small(NEAR_A_START[kind], tmp_path / "adapter", 1e-2, stored)
    exact = dict(updates(tmp_path / "exact", Checkpoint(base)))
    for module, update in updates(tmp_path / "adapter", Checkpoint(base)):
        if stored is None:
            assert (update.source, update.dtype) in {(Source.FP32_DIFFERENCE, "float32"), (Source.OPERATOR, "float32")}
            continue
        assert (update.source, update.dtype) == (Source.LOW_PRECISION_DIFFERENCE, "bfloat16")
        assert update.random(torch.Generator()) is None
        off = float((dense(update) - dense(exact[module])).norm())
        kernel, sigma = update.spectrum().kernel, update.spectrum().singular_values
        assert off < 2 * kernel.bound * kernel.floor * sigma[0]  # as far as numbers shaken at random tell
        assert kernel.floor > 0.1


@pytest.mark.parametrize("kind", sorted(MERGED.keys() - NEAR_A_START.keys()))
def test_rounded_numbers_that_began_at_zero_are_not_marked(kind: str, base: Path, tmp_path: Path) -> None:
    small(MERGED[kind], tmp_path, 1e-2, torch.bfloat16)
    found = [update.source for _, update in updates(tmp_path, Checkpoint(base))]
    assert set(found) == {Source.FP32_DIFFERENCE}


@pytest.mark.parametrize("kind", ["IA3", "QUANTA"])
def test_a_rounded_start_that_did_not_move_is_no_update(kind: str, base: Path, tmp_path: Path) -> None:
    small(NEAR_A_START[kind], tmp_path, 0.0, torch.bfloat16)
    for _, update in updates(tmp_path, Checkpoint(base)):
        assert update.spectrum().frobenius == 0.0
        assert update.source is not Source.LOW_PRECISION_DIFFERENCE


@pytest.mark.filterwarnings("ignore:Failed to load the CUDA extension:UserWarning")  # BOFT, without a compiler
@pytest.mark.filterwarnings("ignore:Setting boft_n_butterfly_factor to 1:UserWarning")  # its default
@pytest.mark.parametrize("kind", MERGED)
def test_any_other_method_is_what_peft_merges(kind: str, base: Path, tmp_path: Path) -> None:
    truth = saved(MERGED[kind], tmp_path)
    assert truth
    before = Checkpoint(base).tensor("model.layers.0.self_attn.q_proj.weight")
    found = dict(updates(tmp_path, Checkpoint(base)))
    assert_equal(found, truth)
    assert {update.source for update in found.values()} == {Source.FP32_DIFFERENCE}
    assert torch.equal(before, Checkpoint(base).tensor("model.layers.0.self_attn.q_proj.weight"))
    with pytest.raises(CheckpointError, match=f"the update of {kind} cannot be told .* --against BASE"):
        next(updates(tmp_path))


def test_peft_never_reads_a_pickle_in_the_place_of_other_weights(base: Path, tmp_path: Path) -> None:
    """It would take adapter_model.bin where adapter_model.safetensors is missing."""
    saved(MERGED["OFT"], tmp_path)
    (tmp_path / "adapter_model.safetensors").rename(tmp_path / "renamed.safetensors")
    (tmp_path / "adapter_model.bin").write_bytes(b"never opened")
    with pytest.raises(CheckpointError, match=r"PEFT merges OFT, and reads adapter_model\.safetensors alone\. Give"):
        next(updates(tmp_path, Checkpoint(base)))


def test_what_a_merged_method_saves_beside_does_not_matter(base: Path, tmp_path: Path) -> None:
    config = peft.OFTConfig(oft_block_size=8, target_modules=PROJECTIONS, modules_to_save=["norm"])
    truth = saved(config, tmp_path)
    retensor(tmp_path, lambda t: t.update({"base_model.model.model.embed_tokens.weight": torch.ones(40, 16)}))
    assert_equal(dict(updates(tmp_path, Checkpoint(base))), truth)
    retensor(tmp_path, lambda t: t.update({"base_model.model.other.oft_R.weight": torch.ones(2)}))
    whole = ("base_model.model.model.embed_tokens.weight", "base_model.model.model.norm.weight")
    assert AdapterFolder(tmp_path).skipped() == whole
    with pytest.raises(CheckpointError, match=r"OFT on .* do not both have base_model\.model\.other\.oft_R\.weight"):
        next(updates(tmp_path, Checkpoint(base)))


def test_a_start_that_changes_the_base_is_part_of_the_update(base: Path, tmp_path: Path) -> None:
    """KaSA removes the smallest singular values of the base before it trains: a part of its update."""
    config = peft.LoraConfig(r=4, kasa_config=peft.KasaConfig(), target_modules=PROJECTIONS)
    truth = saved(config, tmp_path)
    assert_equal(dict(updates(tmp_path, Checkpoint(base))), truth)


def test_what_is_no_update_of_a_matrix_is_told(tmp_path: Path) -> None:
    saved(peft.LoraConfig(r=4, target_modules=["q_proj"], modules_to_save=["lm_head"]), tmp_path)
    adapter = AdapterFolder(tmp_path)
    assert adapter.skipped() == ("base_model.model.lm_head.weight",)
    assert adapter.count() == LAYERS == len(list(adapter.updates()))


def edit(folder: Path, **fields: Any) -> None:
    """Set fields of the configuration; None removes one."""
    file = folder / "adapter_config.json"
    config = {**json.loads(file.read_text()), **fields}
    file.write_text(json.dumps({name: value for name, value in config.items() if value is not None}))


def retensor(folder: Path, change: Callable[[dict[str, torch.Tensor]], None]) -> None:
    tensors = load_file(folder / "adapter_model.safetensors")
    change(tensors)
    save_file(tensors, folder / "adapter_model.safetensors")


Q0 = "base_model.model.model.layers.0.self_attn.q_proj"


def put(part: str, *shape: int, value: float = 1.0) -> Callable[[Path], None]:
    return lambda folder: retensor(folder, lambda t: t.update({f"{Q0}.{part}": torch.full(shape, value)}))


def without(part: str) -> Callable[[Path], None]:
    return lambda folder: retensor(folder, lambda t: t.__delitem__(f"{Q0}.{part}"))


def text(content: str) -> Callable[[Path], Any]:
    return lambda folder: (folder / "adapter_config.json").write_text(content)


def fields(**values: Any) -> Callable[[Path], None]:
    return lambda folder: edit(folder, **values)


WRONG: dict[str, tuple[Callable[[Path], Any], str]] = {
    "no A": (without("lora_A.weight"), r"layers\.0\.self_attn\.q_proj: lora_B without lora_A\. Save"),
    "no B": (without("lora_B.weight"), r"lora_A without lora_B\. Save"),
    "no common rank": (put("lora_B.weight", 16, 3), r"lora_B \(16, 3\) and lora_A \(4, 16\) share no rank"),
    "one axis": (put("lora_B.weight", 16), r"lora_B \(16,\) and lora_A \(4, 16\) share no rank"),
    "NaN": (put("lora_B.weight", 16, 4, value=float("nan")), r"q_proj\.lora_B\.weight: holds NaN or infinity"),
    "another r": (fields(r=8), r"factors of rank 4, where adapter_config\.json declares 8\. Use the configuration"),
    "another pattern": (fields(rank_pattern={"q_proj": 5}), "factors of rank 4, where .* declares 5"),
    "no JSON": (text("{"), r"adapter_config\.json: no valid JSON \(.*\)\. Download it again\."),
    "deep JSON": (text("[" * 100_000), r"adapter_config\.json: no valid JSON"),
    "no object": (text("[]"), r"adapter_config\.json: holds a list, not an object"),
    "too large": (text(" " * 2**20 + "{}"), r"adapter_config\.json: larger than 1048576 bytes"),
    "no peft_type": (fields(peft_type=None), "no peft_type. Add peft_type"),
    "peft_type no text": (fields(peft_type=3), "peft_type '3' is not a name such as LORA"),
    "no r": (fields(r=None), "no r. Add r, a whole number, as the adapter was trained with"),
    "r no number": (fields(r="4"), "r '4' is not a whole number"),
    "r a truth": (fields(r=True), "r 'True' is not a whole number"),
    "r zero": (fields(r=0), "r 0 is below 1"),
    "rank-stabilised in words": (fields(use_rslora="false"), "use_rslora 'false' is neither true nor false. Use the"),
    "DoRA in words": (fields(use_dora="no"), "use_dora 'no' is neither true nor false"),
    "a number for a truth": (fields(fan_in_fan_out=1), "fan_in_fan_out '1' is neither true nor false"),
    "QA-LoRA in words": (fields(use_qalora="false"), "use_qalora 'false' is neither true nor false"),
    "no alpha": (fields(lora_alpha=None), "no lora_alpha. Add lora_alpha"),
    "alpha infinite": (fields(lora_alpha=float("inf")), "lora_alpha is no finite number"),
    "alpha enormous": (fields(lora_alpha=10**400), "lora_alpha is no finite number"),
    "pattern a list": (fields(alpha_pattern=[1]), "alpha_pattern is no object of numbers above zero"),
    "pattern of text": (fields(alpha_pattern={"q_proj": "8"}), "alpha_pattern is no object of numbers above zero"),
    "pattern no expression": (fields(alpha_pattern={"(": 8}), r"alpha_pattern '\(' is no regular expression"),
    "activated LoRA": (fields(alora_invocation_tokens=[1]), "alora_invocation_tokens: activated LoRA changes"),
    "experts": (fields(target_parameters=["experts.up"]), "target_parameters: its factors belong to stacks"),
    "Megatron": (fields(megatron_config={"a": 1}, megatron_core="os"), "megatron_config: its layers"),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_folder_that_is_no_adapter_is_told_in_a_line(name: str, tmp_path: Path) -> None:
    damage, told = WRONG[name]
    saved(peft.LoraConfig(r=4, target_modules=PROJECTIONS), tmp_path)
    damage(tmp_path)
    with pytest.raises(CheckpointError, match=told) as caught:
        list(updates(tmp_path))
    assert "\n" not in str(caught.value)
    assert str(tmp_path) in str(caught.value)


def with_base(**values: Any) -> Callable[[Path, Path], None]:
    return lambda adapter, _: edit(adapter, **values)


def rebase(change: Callable[[dict[str, torch.Tensor]], Any]) -> Callable[[Path, Path], None]:
    def damage(_: Path, folder: Path) -> None:
        tensors = load_file(folder / "model.safetensors")
        change(tensors)
        save_file(tensors, folder / "model.safetensors", {"format": "pt"})

    return damage


W0 = "model.layers.0.self_attn.q_proj.weight"
D0 = "model.layers.0.mlp.down_proj.weight"
MISFITS: dict[str, tuple[Callable[[Path, Path], Any], str]] = {
    "the other way round": (
        with_base(fan_in_fan_out=True),
        rf"adapter_config\.json: fan_in_fan_out true says that {D0} is stored inputs first, but in .* outputs first\. "
        "Set it to false",
    ),
    "stored the other way round": (
        rebase(lambda t: t.update({D0: t[D0].T.contiguous()})),
        rf"fan_in_fan_out false says that {D0} is stored outputs first, but in .* inputs first\. Set it to true",
    ),
    "another shape": (rebase(lambda t: t.update({W0: torch.ones(8, 16)})), rf"{W0} is \(8, 16\), and .* \(16, 16\)"),
    "no module": (rebase(lambda t: t.pop(W0)), rf"no {W0}, which the adapter changes"),
    "no method": (with_base(peft_type="MAGIC"), "peft_type 'MAGIC' is no method of the installed PEFT"),
    "a prompt": (
        with_base(peft_type="PROMPT_TUNING"),
        "PROMPT_TUNING learns a prompt and is no fixed update of matrices",
    ),
    "a mixture": (with_base(peft_type="XLORA"), "XLORA changes other things and is no fixed update of matrices"),
    "another method": (with_base(peft_type="OFT"), "PEFT cannot load OFT on|OFT on .* do not both have"),
    "no magnitude": (with_base(use_dora=True), "down_proj: no lora_magnitude_vector"),
}


@pytest.mark.parametrize("name", MISFITS)
def test_an_adapter_that_does_not_fit_its_base_is_told_in_a_line(name: str, tmp_path: Path) -> None:
    damage, told = MISFITS[name]
    llama().save_pretrained(tmp_path / "base")
    saved(peft.LoraConfig(r=4, target_modules=PROJECTIONS), tmp_path / "adapter")
    damage(tmp_path / "adapter", tmp_path / "base")
    with pytest.raises(CheckpointError, match=told) as caught:
        list(updates(tmp_path / "adapter", Checkpoint(tmp_path / "base")))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("kind", "told"),
    [
        ("PROMPT_TUNING", "PROMPT_TUNING learns a prompt and is no fixed update of matrices, so it has no spectrum"),
        ("MAGIC", "peft_type 'MAGIC' is no method of the installed PEFT"),
        ("lora", r"peft_type 'lora' is no method .*\. Use PEFT's name of it, such as LORA\."),
    ],
)
def test_what_cannot_be_measured_is_told_before_a_base_is_asked_for(kind: str, told: str, tmp_path: Path) -> None:
    saved(peft.LoraConfig(r=4, target_modules=["q_proj"]), tmp_path)
    edit(tmp_path, peft_type=kind)
    with pytest.raises(CheckpointError, match=told) as caught:
        next(updates(tmp_path))
    assert "--against" not in str(caught.value)


def test_magnitudes_that_the_configuration_denies_are_a_contradiction(base: Path, tmp_path: Path) -> None:
    saved(peft.LoraConfig(r=4, use_dora=True, target_modules=PROJECTIONS), tmp_path)
    edit(tmp_path, use_dora=False)
    told = r"use_dora is not true, but adapter_model\.safetensors holds lora_magnitude_vector of model\.layers\.0"
    for known in (None, Checkpoint(base)):
        with pytest.raises(CheckpointError, match=told):
            next(updates(tmp_path, known))


def test_pruned_ranks_of_a_method_that_has_none_are_a_contradiction(tmp_path: Path) -> None:
    saved(adalora(), tmp_path)
    edit(tmp_path, peft_type="LORA", r=6)
    with pytest.raises(CheckpointError, match=r"peft_type is LORA and not ADALORA, but .* holds lora_E of"):
        next(updates(tmp_path))


def test_weights_beside_a_configuration_are_no_adapter_by_that(base: Path, tmp_path: Path) -> None:
    saved(peft.LoraConfig(r=4, target_modules=PROJECTIONS), tmp_path)
    factors = tmp_path / "adapter_model.safetensors"
    factors.rename(tmp_path / "renamed.safetensors")
    assert len(list(updates(tmp_path))) == 2 * LAYERS
    (tmp_path / "renamed.safetensors").unlink()
    with pytest.raises(
        CheckpointError, match=r"adapter_config\.json without adapter_model\.safetensors beside it\. Put"
    ):
        next(updates(tmp_path))
    (tmp_path / "model.safetensors").write_bytes((base / "model.safetensors").read_bytes())
    with pytest.raises(
        CheckpointError, match=r"no adapter_model\.safetensors beside adapter_config\.json, and the oth"
    ):
        next(updates(tmp_path))


def test_a_merge_needs_the_whole_base(base: Path, tmp_path: Path) -> None:
    saved(MERGED["OFT"], tmp_path / "adapter")
    weights_only = tmp_path / "base"
    weights_only.mkdir()
    (weights_only / "model.safetensors").write_bytes((base / "model.safetensors").read_bytes())
    with pytest.raises(CheckpointError, match=r"no config\.json, which the update of OFT needs"):
        next(updates(tmp_path / "adapter", Checkpoint(weights_only)))
    (weights_only / "config.json").write_text((base / "config.json").read_text())
    rebase(lambda t: t.pop("lm_head.weight"))(tmp_path, weights_only)
    with pytest.raises(CheckpointError, match=r"no lm_head\.weight, which the model needs"):
        next(updates(tmp_path / "adapter", Checkpoint(weights_only)))


def test_only_one_matrix_is_read_at_a_time(tmp_path: Path) -> None:
    """A module damaged further on is found when its turn comes, after the ones before it were handed out."""
    saved(peft.LoraConfig(r=4, target_modules=["q_proj"]), tmp_path)
    retensor(tmp_path, lambda t: t.__delitem__(f"{Q0.replace('layers.0', 'layers.1')}.lora_A.weight"))
    found = updates(tmp_path)
    assert next(found)[0] == "model.layers.0.self_attn.q_proj"
    with pytest.raises(CheckpointError):
        next(found)


@pytest.mark.parametrize("options", [{"d": 3}, {"axes": [4, 6]}, {"axes": [2, 2, 3]}])
def test_quanta_is_what_its_tuner_merges(options: dict[str, Any], base: Path, tmp_path: Path) -> None:
    """The adapter trains norms beside, which are no matrices and told."""
    truth = saved(QuantaConfig(target_modules=PROJECTIONS, unfreeze_norms=True, **options), tmp_path)
    found = dict(updates(tmp_path))
    assert_equal(found, truth)
    assert_equal(dict(updates(tmp_path, Checkpoint(base))), truth)
    assert {update.source for update in found.values()} == {Source.OPERATOR}
    assert len(AdapterFolder(tmp_path).skipped()) == 2 * LAYERS + 1


@pytest.mark.parametrize(
    ("damage", "told"),
    [
        (without("quanta_weight.2"), r"q_proj: no quanta_weight\.2, which 3 axes need\. Save the adapter again\."),
        (without("quanta_shape"), "no quanta_shape, the layer's outputs and inputs"),
        (put("quanta_shape", 2, value=0.5), r"quanta_shape \[0\.5, 0\.5\] is not the outputs and inputs of a layer"),
        (put("quanta_start.0", 2, 2), "frozen tensors: shapes .* do not fit axes"),
        (fields(d=4), r"no quanta_weight\.3, which 4 axes need"),
        (fields(d=1000), "d 1000 is not between 2 and 16"),
        (fields(axes=[2, "3"]), "axes is no list of two or more sizes"),
        (fields(axes=[1024] * 3), "axes is no list of two or more sizes"),
    ],
)
def test_a_quanta_folder_that_does_not_fit_is_told(damage: Callable[[Path], Any], told: str, tmp_path: Path) -> None:
    saved(QuantaConfig(d=3, target_modules=["q_proj"]), tmp_path)
    damage(tmp_path)
    with pytest.raises(CheckpointError, match=told):
        list(updates(tmp_path))


@pytest.mark.parametrize("dtype", [torch.float8_e4m3fn, torch.int8])
def test_quantised_factors_are_codes_and_no_update(dtype: torch.dtype, tmp_path: Path) -> None:
    saved(peft.LoraConfig(r=2, target_modules=["q_proj"]), tmp_path)
    tensors = load_file(tmp_path / "adapter_model.safetensors")
    name = next(name for name in tensors if "lora_A" in name)
    save_file({**tensors, name: tensors[name].to(dtype)}, tmp_path / "adapter_model.safetensors")
    with pytest.raises(CheckpointError, match="which holds codes and not the numbers themselves"):
        list(updates(tmp_path))
