"""The problems of a task and their disjoint splits.

Problems are ordered by a hash of the split seed and the problem itself, so the splits depend on no library's random
number generator. What is held out (evaluation, validation) is never seen in pre-training or training; training prompts
are also seen in pre-training, as a base has usually met problems of the kind that it is later trained on.
"""

import hashlib
from dataclasses import dataclass
from functools import lru_cache

from harness.spec import Task
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
    """Return the splits of a task; equal tasks give equal splits on every machine."""
    return _splits(task.model_dump_json())


@lru_cache(maxsize=4)
def _splits(declared: str) -> Splits:
    task = Task.model_validate_json(declared)
    operands = range(task.largest_operand + 1)
    pairs = sorted(((a, b) for a in operands for b in operands), key=lambda pair: _order(task.split_seed, *pair))
    items = [Item(prompt=f"{a}+{b}=", answer=str(a + b)) for a, b in pairs]
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


def _order(seed: int, a: int, b: int) -> bytes:
    return hashlib.sha256(f"{seed}:{a}+{b}".encode()).digest()
