"""A saved QuanTA module: trained tensors, their frozen start, and the layer's shape, which padded tensors do not tell.

Named MODULE.quanta_weight.K and MODULE.quanta_start.K with K from 0 in the order in which they act, and
MODULE.quanta_shape (outputs, inputs). The axes are the configuration's, or the smallest equal ones for its `d`.
"""

import math
from collections.abc import Mapping

from harness.spectra.adapter_config import AdapterConfig
from harness.spectra.checkpoint import Checkpoint
from harness.spectra.quanta import Quanta, default_axes, marked, pairs

LARGEST = 2**20
"""Of a layer's sides, as a file says it; above, it is no layer of a model."""
AXES = 16


def saved_quanta(config: AdapterConfig, weights: Checkpoint, parts: Mapping[str, str]) -> Quanta:
    """Return a module's update; raise ValueError where tensors are missing or do not fit the axes, and CheckpointError.

    `parts` are the names of its tensors by what follows the module's name.
    """
    rows, columns = _shape(weights, parts)
    axes = _axes(config, rows, columns)
    steps = range(len(pairs(len(axes))))
    tensors = {what: [f"quanta_{what}.{k}" for k in steps] for what in ("weight", "start")}
    for names in tensors.values():
        missing = [name for name in names if name not in parts]
        if missing:
            raise ValueError(f"no {missing[0]}, which {len(axes)} axes need")
    weight, start = (tuple(weights.tensor(parts[name]) for name in names) for names in tensors.values())
    return marked(Quanta(weight, start, axes, rows, columns))


def _shape(weights: Checkpoint, parts: Mapping[str, str]) -> tuple[int, int]:
    if "quanta_shape" not in parts:
        raise ValueError("no quanta_shape, the layer's outputs and inputs")
    said = weights.tensor(parts["quanta_shape"]).flatten().tolist()
    if len(said) != 2 or not all(isinstance(side, int) and 1 <= side <= LARGEST for side in said):
        raise ValueError(f"quanta_shape {said[:4]} is not the outputs and inputs of a layer")
    return said[0], said[1]


def _axes(config: AdapterConfig, rows: int, columns: int) -> tuple[int, ...]:
    declared = config.fields.get("axes")
    if declared is None:
        d = config.whole("d")
        if not 2 <= d <= AXES:
            raise config.error(f"d {d} is not between 2 and {AXES}", "Use the file that it was saved with")
        return default_axes(d, rows, columns)
    if (
        not isinstance(declared, list)
        or not 2 <= len(declared) <= AXES
        or not all(type(size) is int and size >= 1 for size in declared)
        or math.prod(declared) > LARGEST
    ):
        raise config.error("axes is no list of two or more sizes of a layer", "Use the file that it was saved with")
    return tuple(declared)
