"""The update of every adapted matrix of a policy, as the adapter itself says it, whatever its method.

An update is what lies between the policy's matrix and the base's own, as it was loaded. LoRA, PiSSA and AdaLoRA say it
by their factors, DoRA by its factors and magnitudes, QuanTA by its tensors; every other method by merging a float64
copy of the layer, and full fine-tuning by the difference of the weights as they are trained. A null is drawn in the
same way: what was trained is moved from its start by noise, and merged. The policy is only read: nothing is merged in
place, because unmerging would not restore the last bit, and no random number is drawn from the generator that training
uses.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from peft.tuners.adalora.layer import AdaLoraLayer
from peft.tuners.lora import LoraLayer

from harness.spec import AdapterSpec
from harness.spec.adapter import Full, Pissa
from harness.spectra import LowRank, Update
from harness.spectra.checkpoint import Checkpoint
from harness.spectra.dense import Dense, Redraw, difference
from harness.spectra.dora import Dora
from harness.spectra.merged import merged_weight, merging_error, own_parameters, rounded_away
from harness.spectra.moved import Moved
from harness.spectra.precision import called, together
from harness.spectra.quanta import marked
from harness.spectra.spectrum import Source
from harness.train.adapters import adapted, base_parameters, multiplier
from harness.train.quanta import QuantaLayer, quanta_update

NAME = "default"
"""PEFT's name for the only adapter of a model."""
BLOCK = 2**20
"""Entries of which a distance is taken at a time: 8 MiB in float64."""
Factors = tuple[torch.Tensor, torch.Tensor]


@dataclass(frozen=True)
class Start:
    """What updates are counted from: the base in folder `base`, PiSSA's factors, and what trains of merged methods."""

    base: Path
    factors: dict[str, Factors] = field(default_factory=dict[str, Factors])
    tensors: dict[str, dict[str, torch.Tensor]] = field(default_factory=dict[str, dict[str, torch.Tensor]])
    """Trained parameters at the start, by layer and by their names within it."""


@torch.no_grad()
def start(policy: torch.nn.Module, adapter: AdapterSpec, base: Path) -> Start:
    """Return what the updates of `policy`, which has not been trained yet, will be counted from."""
    if isinstance(adapter, Pissa):
        return Start(base, {name: tuple(t.clone() for t in _factors(layer)) for name, layer in adapted(policy)})  # type: ignore[misc]
    layers = () if isinstance(adapter, Full) else adapted(policy)
    merged = ((name, layer) for name, layer in layers if _is_merged(layer))
    return Start(base, tensors={name: {part: p.clone() for part, p in _trained(layer)} for name, layer in merged})


@torch.no_grad()
def updates(policy: torch.nn.Module, adapter: AdapterSpec, since: Start) -> Iterator[tuple[str, Update]]:
    """Yield (module, update) for every adapted matrix; under full fine-tuning, for those an adapter would have."""
    base = Checkpoint(since.base)
    for name, layer in adapted(policy):
        if isinstance(adapter, Full):
            loaded = base.tensor(f"{name}.weight").to(layer.weight.dtype)  # as the policy began
            yield name, difference(layer.weight.detach(), loaded, held=layer.weight.dtype)
        else:
            yield name, _update(name, layer, base, since)


@torch.no_grad()
def norm_beside(policy: torch.nn.Module, since: Start) -> float:
    """Return the Frobenius norm of the update of whatever trains beside the matrices that `updates` yields.

    These are parameters of the base that train themselves: embeddings, head, norms and biases under full fine-tuning,
    norms under QuanTA where they are unfrozen, nothing under adapters of linear layers.
    """
    base = Checkpoint(since.base)
    names = frozenset(base.names()) - {f"{name}.weight" for name, _ in adapted(policy)}
    trained = [(name, parameter) for name, parameter in base_parameters(policy, names) if parameter.requires_grad]
    return sum(_distance_squared(parameter.detach(), base.tensor(name)) for name, parameter in trained) ** 0.5


def _distance_squared(after: torch.Tensor, before: torch.Tensor) -> float:
    """Return ||after - before||_F^2, with `before` in the precision of `after`; no copy of the whole is made."""
    pairs = zip(after.flatten().split(BLOCK), before.to(after.dtype).flatten().split(BLOCK), strict=True)
    return sum(float((new.double() - old.double()).square().sum()) for new, old in pairs)


def _is_merged(layer: Any) -> bool:
    return not isinstance(layer, QuantaLayer | LoraLayer)


def _trained(layer: Any) -> Iterator[tuple[str, torch.Tensor]]:
    return ((name, p.detach()) for name, p in layer.named_parameters() if p.requires_grad)


def _update(name: str, layer: Any, base: Checkpoint, since: Start) -> Update:
    if isinstance(layer, QuantaLayer):
        return marked(quanta_update(layer))
    if isinstance(layer, AdaLoraLayer):
        b, a = layer.lora_B[NAME].detach(), (layer.lora_A[NAME] * layer.lora_E[NAME]).detach()
        return LowRank(b, a, multiplier(layer))
    if isinstance(layer, LoraLayer):
        return _of_factors(name, layer, since)
    before = base.tensor(f"{name}.weight").to(layer.get_base_layer().weight.dtype)
    after = merged_weight(layer)
    redraw = _redraw(layer, since.tensors[name], before.double())
    held, error = together(part for _, part in own_parameters(layer)), merging_error(after)
    if lost := rounded_away(layer, after, before.double(), held):
        return Dense(after - before.double(), Source.LOW_PRECISION_DIFFERENCE, called(held), error + lost, redraw)
    return Dense(after - before.double(), Source.OPERATOR, called(before.dtype), error, redraw)


def _redraw(layer: Any, start: Mapping[str, torch.Tensor], before: torch.Tensor) -> Redraw:
    """Return what merges the layer with every trained tensor moved from its start by noise as far as it was."""

    def moved(x: torch.Tensor, first: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
        noise = torch.randn(first.shape, generator=generator, dtype=torch.float64).to(first.device)
        length = torch.linalg.norm(x.double() - first.double())
        return first.double() + noise * (length / torch.linalg.norm(noise))

    def redraw(generator: torch.Generator) -> tuple[torch.Tensor, Source]:
        instead = {part: moved(x, start[part], generator) for part, x in _trained(layer)}
        return merged_weight(layer, instead) - before, Source.GAUSSIAN_CHANGE

    return redraw


def _of_factors(name: str, layer: Any, since: Start) -> Update:
    b, a = _factors(layer)
    if name in since.factors:
        b0, a0 = since.factors[name]
        return Moved(b, a, b0, a0, layer.scaling[NAME], called(b.dtype))
    if NAME in layer.lora_magnitude_vector:
        magnitude = layer.lora_magnitude_vector[NAME].weight.detach()
        weight = layer.get_base_layer().weight.detach()
        return Dora(weight, b, a, layer.scaling[NAME], magnitude, began=weight.dtype)
    return LowRank(b, a, layer.scaling[NAME])


def _factors(layer: Any) -> Factors:
    return layer.lora_B[NAME].weight.detach(), layer.lora_A[NAME].weight.detach()
