"""From a declared adapter to PEFT's, and what was realised: multiplier, trainable parameters, norm of the update."""

import hashlib
from collections.abc import Iterator
from typing import Any

import torch
from peft import LoraConfig, TaskType
from peft.tuners.lora import LoraLayer
from transformers import PreTrainedModel

from harness.spec import AdapterSpec
from harness.spec.adapter import RankStabilised
from harness.spec.protocol import Recipe


def peft_config(adapter: AdapterSpec, recipe: Recipe) -> LoraConfig:
    """Return PEFT's configuration of the declared adapter; `all-linear` leaves the language-model head out."""
    alpha: Any = adapter.alpha()  # PEFT declares an integer and multiplies by whatever it is given
    return LoraConfig(
        task_type=TaskType.CAUSAL_LM,
        r=adapter.rank,
        lora_alpha=int(alpha) if alpha.is_integer() else alpha,
        use_rslora=isinstance(adapter.scaling, RankStabilised),
        lora_dropout=recipe.lora_dropout,
        target_modules=recipe.target_modules,
        bias="none",
    )


def factors(model: torch.nn.Module) -> Iterator[tuple[str, torch.Tensor, torch.Tensor, float]]:
    """Yield (module name, B (rows, r), A (r, columns), multiplier) for every adapted matrix."""
    for name, layer in model.named_modules():
        if isinstance(layer, LoraLayer):
            adapted: Any = layer  # whose factors are annotated as bare modules
            for key, lora_a in adapted.lora_A.items():
                lora_b = adapted.lora_B[key]
                yield name.removeprefix("base_model.model."), lora_b.weight, lora_a.weight, adapted.scaling[key]


def realised(model: torch.nn.Module) -> dict[str, Any]:
    """Return the multiplier that PEFT applies, how many parameters train, and their share of all."""
    trainable = sum(p.numel() for p in model.parameters() if p.requires_grad)
    total = sum(p.numel() for p in model.parameters())
    return {
        "multipliers": sorted({multiplier for *_, multiplier in factors(model)}),
        "adapted_matrices": sum(1 for _ in factors(model)),
        "trainable_parameters": trainable,
        "trainable_share": trainable / (total - trainable),
    }


@torch.no_grad()
def update_norm(model: torch.nn.Module) -> float:
    """Return the Frobenius norm of the whole update of the frozen weights, from the factors alone.

    ||s B A||_F^2 = s^2 tr((B^T B)(A A^T)), summed over matrices in float64.
    """
    total = 0.0
    for _, b, a, multiplier in factors(model):
        b, a = b.double(), a.double()
        total += multiplier**2 * float(((b.T @ b) * (a @ a.T)).sum())
    return max(total, 0.0) ** 0.5


@torch.no_grad()
def frozen_hash(model: PreTrainedModel | torch.nn.Module) -> str:
    """Return the SHA-256 of all parameters that do not belong to an adapter, in the order of their plain names."""
    named = {
        name.removeprefix("base_model.model.").replace(".base_layer.", "."): p
        for name, p in model.named_parameters()
        if ".lora_" not in name
    }
    total = hashlib.sha256()
    for name in sorted(named):
        total.update(name.encode())
        total.update(named[name].detach().cpu().contiguous().numpy().tobytes())
    return total.hexdigest()
