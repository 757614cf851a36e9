"""What a cell makes of the protocol's recipe: trainer fields, prompts that a run is trained on, updates that it makes.

A batch counts completions an update. It is reached by the batch of a device where nothing is accumulated, else by more
accumulation, so that memory stays what the protocol provides for. SFT then sees as many examples an update as GRPO sees
prompts. At equal samples a larger batch makes fewer updates; at equal updates the run is given more prompts, all of
them different, the protocol's own first.
"""

import math
from collections.abc import Mapping
from typing import Any

from harness.source import trainable
from harness.spec import Cell, Protocol, Task
from harness.spec.protocol import TRAINERS, completions_per_update, prompts_per_update, trainer_fields


def trainer_of(cell: Cell, protocol: Protocol) -> dict[str, Any]:
    """Return TRL's fields for a run of `cell`, which must fit (`misfit`)."""
    fields: dict[str, Any] = dict(protocol.trainer(cell.algorithm))
    fields["learning_rate"] *= cell.learning_rate_scale
    if cell.warmup_steps:
        fields["warmup_steps"] = cell.warmup_steps
        if fields.get("lr_scheduler_type") == "constant":  # which ignores a warm-up
            fields["lr_scheduler_type"] = "constant_with_warmup"
    if cell.batch is not None:
        name = _scaled(fields)
        more, rest = divmod(fields[name] * cell.batch, completions_per_update(protocol.grpo))
        assert not rest, "a batch that does not fit"
        fields[name] = more
    return fields


def _scaled(fields: Mapping[str, Any]) -> str:
    """Return the field that a larger batch is reached by."""
    accumulates = fields.get("gradient_accumulation_steps", 1) != 1
    return "gradient_accumulation_steps" if accumulates else "per_device_train_batch_size"


def task_of(cell: Cell, protocol: Protocol) -> Task:
    """Return the task with as many training prompts as a run of `cell` sees; its held-out problems stay the same."""
    if cell.batch is None or cell.match == "samples":
        return protocol.task
    prompts = protocol.task.training_prompts * cell.batch // completions_per_update(protocol.grpo)
    return protocol.task.model_copy(update={"training_prompts": prompts})


def updates_of(cell: Cell, protocol: Protocol) -> int:
    """Return how many optimiser updates a run of `cell`, which must fit (`misfit`), makes."""
    return planned_updates(cell.algorithm, trainer_of(cell, protocol), task_of(cell, protocol).training_prompts)


def planned_updates(algorithm: str, trainer: Mapping[str, Any], prompts: int) -> int:
    """Return how many optimiser updates these fields of TRL make of so many prompts, as its trainers count on a device.

    GRPO generates for whole batches of `steps_per_generation` steps and goes over each `num_iterations` times; what is
    left of the prompts is not used. SFT with `packing` makes fewer updates than are told here.
    """
    fields = {**trainer_fields()[TRAINERS[algorithm]], **trainer}
    if fields["max_steps"] > 0:
        return fields["max_steps"]
    each, accumulated = fields["per_device_train_batch_size"], fields["gradient_accumulation_steps"]
    if algorithm == "grpo":
        steps = _steps_per_generation(fields)
        batches = prompts // max(1, each * steps // fields["num_generations"]) * fields["num_iterations"] * steps
    else:
        batches = prompts // each if fields["dataloader_drop_last"] else math.ceil(prompts / each)
    return math.ceil(fields["num_train_epochs"] * max(1, math.ceil(batches / accumulated)))


def _steps_per_generation(grpo: Mapping[str, Any]) -> int:
    """Return over how many steps GRPO spreads what it generates at once; what TRL refuses counts as not declared."""
    steps, completions = grpo["steps_per_generation"], grpo["generation_batch_size"]
    if isinstance(steps, int) and steps > 0:
        return steps
    if isinstance(completions, int) and completions > 0:
        return max(1, completions // grpo["per_device_train_batch_size"])
    return grpo["gradient_accumulation_steps"]


def misfit(cell: Cell, protocol: Protocol) -> str:
    """Return why no run of `cell` can be made under `protocol`; empty where one can."""
    points = dict.fromkeys(name for base in protocol.bases.values() for name in base.checkpoints)
    if cell.checkpoint and cell.checkpoint not in points:
        return f"no base has a checkpoint {cell.checkpoint!r} (there are: {', '.join(points) or 'none'})"
    return _unbatched(cell, protocol) or _never_warm(cell, protocol)


def _never_warm(cell: Cell, protocol: Protocol) -> str:
    """Return why a run would end in its warm-up; empty where it does not."""
    if not cell.warmup_steps or cell.warmup_steps <= (updates := updates_of(cell, protocol)):
        return ""
    return f"a warm-up of {cell.warmup_steps} updates is longer than the run, of {updates}"


def _unbatched(cell: Cell, protocol: Protocol) -> str:
    """Return why no run can have the batch of `cell`; empty where one can, or where it is the protocol's."""
    if cell.batch is None:
        return ""
    usual, prompts = completions_per_update(protocol.grpo), prompts_per_update(protocol.grpo) or 1
    group = usual // prompts
    if cell.batch % group:
        return f"batch {cell.batch} is no multiple of the {group} completions of a prompt"
    trainer = protocol.trainer(cell.algorithm)
    name = _scaled(trainer)
    declared = trainer[name]
    assert isinstance(declared, int)
    if declared * cell.batch % usual:
        return f"batch {cell.batch} would make {name} {declared * cell.batch / usual:g}, no whole number"
    have, each = task_of(cell, protocol).training_prompts, cell.batch // group
    if have % each:
        return f"batch {cell.batch} takes {each} prompts an update, of which {have} are no whole number of updates"
    spare = trainable(protocol.task)
    if spare is not None and have > spare:
        return f"batch {cell.batch} at equal updates takes {have} prompts, and {spare} are not held out"
    return ""
