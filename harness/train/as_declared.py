"""Whether PEFT made what was declared, and whose mistake it is where it made nothing.

What a declaration alone, or with the protocol's bases, shows to be wrong is found long before (`harness.spec`,
`harness.plan.fits`). This is the last look, at the adapter itself, before the first update: sizes that PEFT changed,
layers in which nothing trains, and errors that PEFT raises, told of the declaration that they come from.
"""

import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from types import TracebackType
from typing import Any

import torch
from peft.tuners.adalora.layer import AdaLoraLayer
from peft.tuners.tuners_utils import BaseTunerLayer

from harness.spec import AdapterSpec
from harness.spec.adapter import AdaLora, Dora, Full, Lora, Pissa
from harness.train.quanta import QuantaLayer

NAME = "default"
"""PEFT's name for the only adapter of a model."""


@contextmanager
def by_declaration(adapter: AdapterSpec) -> Iterator[None]:
    """Raise what PEFT raises inside as a ValueError that names the adapter; leave other errors as they are."""
    try:
        yield
    except Exception as error:
        if not _in_peft(error.__traceback__):
            raise
        line = " ".join(str(error).split())[:300].rstrip(".") or "no reason given"
        rule = f"PEFT cannot make, run or merge it here ({type(error).__name__}: {line})"
        raise ValueError(f"adapter {adapter.in_words()}: {rule}. Change its declaration.") from error


def _in_peft(traceback: TracebackType | None) -> bool:
    while traceback is not None:
        if str(traceback.tb_frame.f_globals.get("__name__")).partition(".")[0] == "peft":
            return True
        traceback = traceback.tb_next
    return False


def check_realised(policy: torch.nn.Module, adapter: AdapterSpec, fields: Mapping[str, Any]) -> None:
    """Raise ValueError at the first matrix whose adapter is another than was declared.

    `fields` are those that PEFT's configuration was made from, by PEFT's names; whole numbers among them are compared
    with what the layers hold under these names.
    """
    if isinstance(adapter, Full):
        return
    layers = [(name, layer) for name, layer in policy.named_modules() if isinstance(layer, BaseTunerLayer)]
    if not layers:
        raise ValueError(f"adapter {adapter.in_words()}: PEFT adapted no matrix of this base. Declare another method.")
    for name, layer in layers:
        if why := _other_than(layer, adapter, fields):
            where = name.removeprefix("base_model.model.")
            raise ValueError(f"adapter {adapter.in_words()}: in {where}, {why}. Declare what fits this base.")


def _other_than(layer: Any, adapter: AdapterSpec, fields: Mapping[str, Any]) -> str:
    if not any(p.numel() for p in layer.parameters() if p.requires_grad):
        return "nothing trains"
    for field, declared in fields.items():
        found = _held(layer, field)
        if type(declared) is int and declared and found is not None and found != declared:
            return f"PEFT made {field} {found:g} of {declared}"
    if isinstance(adapter, Lora | Dora | Pissa | AdaLora):
        rank = adapter.start() if isinstance(adapter, AdaLora) else fields["r"]
        factor: Any = layer.lora_A[NAME]
        rows = (factor if isinstance(layer, AdaLoraLayer) else factor.weight).shape[0]
        return f"PEFT made a rank of {rows} of {rank}" if rows != rank else ""
    return _cropped(layer) if isinstance(layer, QuantaLayer) and fields["axes"] else ""


def _held(layer: Any, field: str) -> float | None:
    """Return the number that a layer holds for a field, under its name or with the method's before it."""
    for name in (field, *(name for name in vars(layer) if name.endswith(f"_{field}"))):
        held = getattr(layer, name, None)
        value: Any = held.get(NAME) if isinstance(held, dict) else None
        if isinstance(value, int | float) and not isinstance(value, bool):
            return value
    return None


def _cropped(layer: QuantaLayer) -> str:
    product, larger = math.prod(layer.quanta_axes[NAME]), max(layer.in_features, layer.out_features)
    return f"{larger} inputs or outputs do not fit into {product}" if product < larger else ""
