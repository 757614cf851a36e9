"""What a cell makes of the protocol's recipe: trainer fields, and how many prompts a run is trained on.

A batch counts completions an update. It is reached by the batch of a device where nothing is accumulated, else by more
accumulation, so that memory stays what the protocol provides for. SFT then sees as many examples an update as GRPO sees
prompts. At equal samples a larger batch makes fewer updates; at equal updates the run is given more prompts, all of
them different, the protocol's own first.
"""

from collections.abc import Mapping
from typing import Any

from harness.source import splits
from harness.spec import Cell, Protocol, Task
from harness.spec.protocol import completions_per_update, prompts_per_update


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
    """Return how many updates a run of `cell`, which must fit (`misfit`), makes."""
    usual, prompts = completions_per_update(protocol.grpo), prompts_per_update(protocol.grpo) or 1
    each = prompts * (cell.batch or usual) // usual
    epochs: Any = protocol.trainer(cell.algorithm).get("num_train_epochs", 1)
    return int(epochs * -(-task_of(cell, protocol).training_prompts // each))


def misfit(cell: Cell, protocol: Protocol) -> str:
    """Return why no run of `cell` can be made under `protocol`; empty where one can."""
    if cell.checkpoint and not any(cell.checkpoint in base.checkpoints for base in protocol.bases.values()):
        return f"no base has a checkpoint {cell.checkpoint!r}"
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
    spare = len(splits(protocol.task).pretraining)
    if have > spare:
        return f"batch {cell.batch} at equal updates takes {have} prompts, and {spare} are not held out"
    return ""
