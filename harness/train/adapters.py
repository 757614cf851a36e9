"""From a declared adapter to PEFT's: its configuration, and what was realised of it."""

import hashlib
from collections.abc import Collection, Iterable
from typing import Any

import torch
from peft import PeftConfig, TaskType
from peft.mapping import PEFT_TYPE_TO_CONFIG_MAPPING
from peft.tuners.adalora.layer import AdaLoraLayer
from peft.tuners.tuners_utils import BaseTunerLayer

from harness.spec import AdapterSpec
from harness.spec.adapter import (
    AdaLora,
    Dora,
    Full,
    GraLora,
    Hra,
    Lora,
    Miss,
    Oft,
    PeftMethod,
    Pissa,
    Quanta,
    RandLora,
    RankStabilised,
    Vera,
)
from harness.spec.protocol import Recipe
from harness.train import quanta

PEFT_NAMES = {Lora: "LORA", Dora: "LORA", Pissa: "LORA"}
"""PEFT's type of a spec whose own name is another."""


def peft_config(adapter: AdapterSpec, recipe: Recipe, updates: int) -> PeftConfig | None:
    """Return PEFT's configuration of the declared adapter in a run of so many updates; None for full fine-tuning.

    `all-linear` leaves the language-model head out.
    """
    if isinstance(adapter, Full):
        return None
    quanta.register()
    kind = adapter.type if isinstance(adapter, PeftMethod) else PEFT_NAMES.get(type(adapter), adapter.method.upper())
    config_type: Any = {str(key.value): value for key, value in PEFT_TYPE_TO_CONFIG_MAPPING.items()}[kind]
    fields = declared_fields(adapter, recipe, updates)
    return config_type(task_type=TaskType.CAUSAL_LM, target_modules=recipe.target_modules, **fields)


def declared_fields(adapter: AdapterSpec, recipe: Recipe, updates: int) -> dict[str, Any]:
    """Return what is declared of an adapter by the names of PEFT's configuration."""
    match adapter:
        case Lora() | Dora() | Pissa() | AdaLora():
            return _low_rank(adapter, recipe, updates)
        case GraLora():
            alpha = _whole(adapter.alpha())
            return {"r": adapter.rank, "alpha": alpha, "gralora_k": adapter.blocks, "gralora_dropout": 0.0}
        case Oft():
            return {"r": 0, "oft_block_size": adapter.block_size}
        case Vera():
            seed = adapter.projection_seed
            return {"r": adapter.rank, "d_initial": adapter.d_initial, "projection_prng_key": seed}
        case RandLora():
            alpha = adapter.alpha or 20 * adapter.rank
            return {"r": adapter.rank, "randlora_alpha": alpha, "projection_prng_key": adapter.projection_seed}
        case Miss() | Hra():
            return {"r": adapter.rank}
        case Quanta():
            axes = list(adapter.axes) if adapter.axes else None
            return {"d": adapter.d, "axes": axes, "unfreeze_norms": adapter.unfreeze_norms}
        case PeftMethod():
            return dict(adapter.config)
        case Full():
            return {}


def _low_rank(adapter: Lora | Dora | Pissa | AdaLora, recipe: Recipe, updates: int) -> dict[str, Any]:
    fields: dict[str, Any] = {"lora_alpha": _whole(adapter.alpha()), "lora_dropout": recipe.lora_dropout}
    if isinstance(adapter, AdaLora):
        ranks = {"target_r": adapter.rank, "init_r": adapter.start()}
        return {**fields, **ranks, "tinit": adapter.tinit, "tfinal": adapter.tfinal, "total_step": updates}
    fields |= {"r": adapter.rank, "use_rslora": isinstance(adapter.scaling, RankStabilised), "bias": "none"}
    fields |= {"use_dora": True} if isinstance(adapter, Dora) else {}
    return fields | ({"init_lora_weights": "pissa"} if isinstance(adapter, Pissa) else {})


def _whole(alpha: float) -> Any:
    return int(alpha) if alpha.is_integer() else alpha  # PEFT declares an integer and multiplies by whatever it gets


def realised(model: torch.nn.Module, base_names: Collection[str]) -> dict[str, Any]:
    """Return the multiplier that PEFT applies, how many parameters train, and their share of the base's own.

    `multipliers` is empty where the method has none; `base_names` are the base's parameters before it was adapted.
    Under full fine-tuning the adapted matrices are those that an adapter would have.
    """
    layers = [layer for _, layer in adapted(model)]
    multipliers = {multiplier(layer) for layer in layers if _is_scaled(layer)}
    trainable = sum(p.numel() for p in model.parameters() if p.requires_grad)
    own = sum(p.numel() for _, p in base_parameters(model, base_names))
    return {
        "multipliers": sorted(multipliers),
        "adapted_matrices": len(layers),
        "trainable_parameters": trainable,
        "trainable_share": trainable / own,
    }


def adapted(model: torch.nn.Module) -> list[tuple[str, Any]]:
    """Return the modules whose update is kept, by their names in the base: all with an adapter.

    Where the model has no adapter at all, its weights train themselves: every linear layer but the head.
    """
    if hasattr(model, "peft_config"):
        return [(_plain(name), layer) for name, layer in model.named_modules() if isinstance(layer, BaseTunerLayer)]
    linear = ((name, layer) for name, layer in model.named_modules() if isinstance(layer, torch.nn.Linear))
    return [(name, layer) for name, layer in linear if not name.endswith("lm_head")]


def multiplier(layer: Any) -> float:
    """Return what PEFT multiplies the product of a layer's factors by; the layer's method must have such a number."""
    directions = float(layer.ranknum["default"].detach()) + 1e-5 if isinstance(layer, AdaLoraLayer) else 1.0
    return float(layer.scaling["default"]) / directions  # of AdaLoRA's directions PEFT takes 1e-5 more than there are


def _is_scaled(layer: Any) -> bool:
    scaling = getattr(layer, "scaling", None)
    return isinstance(scaling, dict) and "default" in scaling


def base_parameters(model: torch.nn.Module, base_names: Collection[str]) -> list[tuple[str, torch.nn.Parameter]]:
    """Return those parameters that the base had before it was adapted, by their plain names, sorted."""
    named = ((_plain(name), p) for name, p in model.named_parameters())
    return sorted(((name, p) for name, p in named if name in base_names), key=lambda pair: pair[0])


def _plain(name: str) -> str:
    """Return the name in the base of a parameter or module; PEFT trains a copy of a module that is trained whole."""
    inner = name.removeprefix("base_model.model.").replace(".base_layer.", ".")
    return inner.replace(".modules_to_save.default.", ".")


def parameter_names(model: torch.nn.Module) -> frozenset[str]:
    """Return the names of a base's parameters."""
    return frozenset(name for name, _ in model.named_parameters())


@torch.no_grad()
def weights_hash(named: Iterable[tuple[str, torch.nn.Parameter]]) -> str:
    """Return the SHA-256 of parameters with their names, in the order of the names."""
    total = hashlib.sha256()
    for name, parameter in sorted(named, key=lambda pair: pair[0]):
        total.update(name.encode())
        total.update(parameter.detach().cpu().contiguous().view(torch.uint8).numpy().tobytes())
    return total.hexdigest()


def frozen_hash(model: torch.nn.Module, base_names: Collection[str]) -> str | None:
    """Return the SHA-256 of the base's parameters that do not train; None where all of them do.

    Taken after the adapter was put in, because PiSSA takes its directions out of the base before training begins.
    """
    frozen = [(name, p) for name, p in base_parameters(model, base_names) if not p.requires_grad]
    return weights_hash(frozen) if frozen else None
