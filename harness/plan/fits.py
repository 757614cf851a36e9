"""Whether an adapter fits the bases that it is to be trained on, and the updates that a run makes.

PEFT takes some sizes that do not fit and trains others: OFT's block size becomes the nearest divisor of the layer's
inputs, and a rank above the layer's smaller side is cut off. QuanTA crops inputs beyond the product of its axes. Here
they are mistakes of the declaration, with the values that would fit; what was realised is checked again in the run.
"""

import math
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from harness.plan.recipe import updates_of
from harness.spec import AdapterSpec, BaseRecipe, Cell, HubBase, Hypothesis, Protocol
from harness.spec.adapter import AdaLora, GraLora, Miss, Oft, PeftMethod, Pissa, Quanta
from harness.spec.peft_fields import peft_fields

Matrices = tuple[tuple[int, int], ...]
"""(rows, columns) of the layers that an adapter is put on."""

MOST_PADDING = 2
"""Product of QuanTA's axes over the larger side, above which the update would mostly act on padding."""

DIVIDES = {
    "BOFT": ("boft_block_size", "boft_block_num"),
    "C3A": ("block_size",),
    "ROAD": ("group_size",),
    "VBLORA": ("vector_length",),
}
"""Fields of PEFT's methods that divide inputs or outputs of every layer."""

WITHIN = {"ADAMSS": "r", "DEFT": "r", "OSF": "effective_rank", "PSOFT": "r", "TINYLORA": "r"}
"""Fields that are ranks of parts of the base, so that they are at most its smaller side."""

CUT = ("ADAMSS",)
"""Methods whose default PEFT means as a bound, and cuts off to the smaller side: only a declared one is checked."""


def unfit(cell: Cell, protocol: Protocol, bases: Iterable[str]) -> str:
    """Return why no run of `cell` can train what it declares on one of these bases; empty where all can."""
    adapter = cell.adapter
    if isinstance(adapter, AdaLora) and (why := _schedule(adapter, updates_of(cell, protocol))):
        return why
    found = ((name, _unfit(adapter, protocol.base(name))) for name in bases)
    return next((f"{why} (base {name}: {_shape(protocol.base(name))})" for name, why in found if why), "")


def unfit_lines(hypotheses: Mapping[str, Hypothesis], protocol: Protocol, bases: Iterable[str]) -> list[str]:
    """Return a mistake for each arm of these hypotheses that does not fit one of these bases."""
    names, lines = tuple(bases), dict[str, None]()
    for name, hypothesis in hypotheses.items():
        for i, prediction in enumerate(hypothesis.predictions):
            for key, cell in prediction.cells(protocol.given).items():
                if why := unfit(cell, protocol, names):
                    lines[f"hypotheses/{name}.yaml predictions[{i}]: {key} cannot run: {why}. Change the arm."] = None
    return list(lines)


def _schedule(adapter: AdaLora, updates: int) -> str:
    if adapter.tinit + adapter.tfinal < updates:
        return ""
    said = f"tinit {adapter.tinit} and tfinal {adapter.tfinal} leave none of {updates} updates to prune in"
    return f"{said}; their sum must be at most {updates - 1}"


def _shape(base: BaseRecipe | HubBase) -> str:
    shape = base.shape if isinstance(base, HubBase) else base
    return f"hidden_size {shape.hidden_size}, intermediate_size {shape.intermediate_size}"


def _unfit(adapter: AdapterSpec, base: BaseRecipe | HubBase) -> str:
    matrices = base.shape.matrices() if isinstance(base, HubBase) else base.matrices()
    sides = tuple(dict.fromkeys(side for matrix in matrices for side in matrix))
    match adapter:
        case Oft():
            return _divides("block_size", adapter.block_size, sides, lambda size: size > 1)
        case GraLora():
            return _divides("blocks", adapter.blocks, sides, lambda blocks: adapter.rank % blocks == 0)
        case Pissa() | Miss():
            return _within("rank", adapter.rank, min(sides))
        case Quanta():
            return _covers(adapter.axes, max(sides)) if adapter.axes else ""
        case PeftMethod():
            return _peft(adapter, matrices, sides)
        case _:
            return ""


def _peft(adapter: PeftMethod, matrices: Matrices, sides: tuple[int, ...]) -> str:
    kind = adapter.type
    fields: dict[str, Any] = {**peft_fields()["types"][kind], **adapter.config}
    for name in DIVIDES.get(kind, ()):
        if fields[name] and (why := _divides(name, fields[name], sides, _sound(kind, name, sides))):
            return why
    name = WITHIN.get(kind)
    if name and fields[name] is not None and (name in adapter.config or kind not in CUT):
        most = min(sides) - (kind == "OSF")  # which trains what lies beyond its rank
        if why := _within(name, fields[name], most):
            return why
    if kind in ("FOURIERFT", "WAVEFT") and not fields.get("proportional_parameters"):
        return _within("n_frequency", fields["n_frequency"], min(a * b for a, b in matrices))
    if kind == "SHIRA":
        return _within("r", fields["r"], min(a * b // (a + b) for a, b in matrices))
    return ""


def _sound(kind: str, name: str, sides: tuple[int, ...]) -> Callable[[int], bool]:
    """Return which divisors of all sides a field may have."""
    if kind == "ROAD":
        return lambda size: size % 2 == 0
    if name == "boft_block_num":
        return lambda count: 2 * count <= min(sides)
    return lambda size: size > 1 or kind != "BOFT"


def _divides(name: str, value: int, sides: tuple[int, ...], sound: Callable[[int], bool]) -> str:
    common = math.gcd(*sides)
    fitting = [n for n in range(1, common + 1) if common % n == 0 and sound(n)]
    if value in fitting:
        return ""
    near = sorted(sorted(fitting, key=lambda n: abs(math.log(n / value)))[:8])
    what = " and ".join(map(str, sides))
    return f"{name} {value} does not divide {what} as it must; {_listed(near)}"


def _listed(fitting: list[int]) -> str:
    return f"of what does, nearest are {', '.join(map(str, fitting))}" if fitting else "nothing does"


def _within(name: str, value: float, most: int) -> str:
    return f"{name} {value:g} is more than fits; at most {most} does" if value > most else ""


def _covers(axes: tuple[int, ...], larger: int) -> str:
    product = math.prod(axes)
    if larger <= product <= MOST_PADDING * larger:
        return ""
    does = "would leave inputs or outputs out" if product < larger else "would mostly act on padding"
    said = f"axes {list(axes)} have a product of {product}, which {does}"
    return f"{said}; it must be from {larger} to {MOST_PADDING * larger}"
