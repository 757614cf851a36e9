"""The problems of a task and their disjoint splits.

Problems are ordered by a hash of the split seed and the problem itself, so the splits depend on no library's random
number generator. What is held out (evaluation, validation) is never seen in pre-training or training; training prompts
are also seen in pre-training, as a base has usually met problems of the kind that it is later trained on.
"""

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from harness.source.arithmetic import Keyed, expressions, sums
from harness.source.custom import custom_problems
from harness.spec import Addition, Arithmetic, CustomTask, Task, read_task
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


def trainable(task: Task) -> int:
    """Return how many prompts a run may be trained on: those that are not held out, and easy where some are hard."""
    if isinstance(task, Addition):
        return (task.largest_operand + 1) ** 2 - task.evaluation_problems - task.validation_problems
    if isinstance(task, Arithmetic):
        held_out = task.evaluation_problems + task.validation_problems
        return task.easy_problems - (0 if task.hard else held_out)
    return len(splits(task).pretraining)


@lru_cache(maxsize=4)
def _splits(declared: str, root: Path | None) -> Splits:
    task = read_task(json.loads(declared))
    if isinstance(task, Arithmetic):
        return _by_difficulty(task)
    if isinstance(task, CustomTask):
        pairs = custom_problems(task.permitted(root) if root else task)
        items = _ordered(task.split_seed, ((prompt, prompt, answer) for prompt, answer in pairs))
    else:
        items = _ordered(task.split_seed, sums(task))
    return _cut(task, items)


def _by_difficulty(task: Arithmetic) -> Splits:
    easy, hard = (_ordered(task.split_seed, part) for part in expressions(task))
    if task.hard is None:
        return _cut(task, easy)
    first, second = task.evaluation_problems, task.evaluation_problems + task.validation_problems
    return Splits(
        evaluation=tuple(hard[:first]),
        validation=tuple(hard[first:second]),
        training=tuple(easy[: task.training_prompts]),
        pretraining=tuple([*easy, *hard[second:]] if task.hard.pretraining == "all" else easy),
    )


def _cut(task: Task, items: list[Item]) -> Splits:
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


def _ordered(seed: int, keyed: Iterable[Keyed]) -> list[Item]:
    ordered = sorted(keyed, key=lambda one: _order(seed, one[0]))
    return [Item(prompt, answer) for _, prompt, answer in ordered]


def _order(seed: int, key: str) -> bytes:
    return hashlib.sha256(f"{seed}:{key}".encode()).digest()
