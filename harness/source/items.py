"""The problems of a task and their disjoint splits.

Problems are ordered by a hash of the split seed and the problem itself, so the splits depend on no library's random
number generator. What is held out (evaluation, validation) is never seen in pre-training or training; training prompts
are also seen in pre-training, as a base has usually met problems of the kind that it is later trained on.
"""

import hashlib
import json
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from harness.source.custom import custom_problems
from harness.spec import CustomTask, Task, read_task
from harness.spec.canonical import digest


@dataclass(frozen=True, slots=True)
class Item:
    """A problem as the model sees it, and the one answer that is correct."""

    prompt: str
    answer: str


@dataclass(frozen=True, slots=True)
class Splits:
    """Disjoint parts, except that `training` is contained in `pretraining`."""

    evaluation: tuple[Item, ...]
    validation: tuple[Item, ...]
    training: tuple[Item, ...]
    pretraining: tuple[Item, ...]


def splits(task: Task) -> Splits:
    """Return the splits of a task; equal tasks give equal splits on every machine.

    Raises:
        DeclarationError: a custom task may not run its code, or does not make the problems that it should.
    """
    return _splits(task.model_dump_json(), task.root if isinstance(task, CustomTask) else None)


@lru_cache(maxsize=4)
def _splits(declared: str, root: Path | None) -> Splits:
    task = read_task(json.loads(declared))
    if isinstance(task, CustomTask):
        pairs = custom_problems(task.permitted(root) if root else task)
        keyed = [(prompt, Item(prompt, answer)) for prompt, answer in pairs]
    else:
        operands = range(task.largest_operand + 1)
        keyed = [(f"{a}+{b}", Item(f"{a}+{b}=", str(a + b))) for a in operands for b in operands]
    items = [item for _, item in sorted(keyed, key=lambda pair: _order(task.split_seed, pair[0]))]
    first, second = task.evaluation_problems, task.evaluation_problems + task.validation_problems
    return Splits(
        evaluation=tuple(items[:first]),
        validation=tuple(items[first:second]),
        training=tuple(items[second : second + task.training_prompts]),
        pretraining=tuple(items[second:]),
    )


@lru_cache(maxsize=16)
def items_hash(items: tuple[Item, ...]) -> str:
    """Return the SHA-256 of an ordered list of problems with their answers."""
    return digest([[item.prompt, item.answer] for item in items])


def _order(seed: int, key: str) -> bytes:
    return hashlib.sha256(f"{seed}:{key}".encode()).digest()
