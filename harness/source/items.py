"""The problems of a task and their disjoint splits.

Problems are ordered by a hash of the split seed and the problem itself, so the splits depend on no library's random
number generator. What is held out (evaluation, validation) is never seen in pre-training or training; training prompts
are also seen in pre-training, as a base has usually met problems of the kind that it is later trained on.
"""

import json
from collections.abc import Iterable
from functools import lru_cache
from pathlib import Path

from harness.source.arithmetic import Keyed, expressions, sums
from harness.source.custom import custom_problems
from harness.source.questions import Unpinned, text_splits
from harness.source.split import Item, Splits, cut, items_hash, order
from harness.spec import Addition, Arithmetic, CustomTask, Task, read_task
from harness.spec.canonical import digest
from harness.spec.task import TextTask

PROVISIONAL = "provisional-"
"""Beginning of the hash of an evaluation set whose problems are not known yet."""


def splits(task: Task) -> Splits:
    """Return the splits of a task; equal tasks give equal splits on every machine.

    Raises:
        DeclarationError: a custom task may not run its code, or does not make the problems that it should; the
            problems of a task in text are not at hand (`Unpinned`), or too few.
    """
    if isinstance(task, TextTask):
        return text_splits(task)[0]
    return _splits(task.model_dump_json(), task.root if isinstance(task, CustomTask) else None)


def evaluation_hash(task: Task) -> str:
    """Return the hash of the problems that a task is evaluated on.

    Of a task in text it is the hash of what they are made from: the rows and how they are cut and asked. So it is known
    where the rows themselves are not, and before the task is pinned it is provisional.
    """
    if not isinstance(task, TextTask):
        return items_hash(splits(task).evaluation)
    made_from = task.model_dump(mode="json", include=set(task.evaluated_on()))
    return (PROVISIONAL if task.unpinned() else "") + digest(["evaluation of", made_from])


def trainable(task: Task) -> int | None:
    """Return how many prompts a run may be trained on: those not held out, and easy where some are hard.

    None where the problems are not at hand, so that nobody knows.
    """
    if isinstance(task, Addition):
        return (task.largest_operand + 1) ** 2 - task.evaluation_problems - task.validation_problems
    if isinstance(task, Arithmetic):
        held_out = task.evaluation_problems + task.validation_problems
        return task.easy_problems - (0 if task.hard else held_out)
    try:
        return len(splits(task).pretraining)
    except Unpinned:
        return None


@lru_cache(maxsize=4)
def _splits(declared: str, root: Path | None) -> Splits:
    task = read_task(json.loads(declared))
    if isinstance(task, Arithmetic):
        return _by_difficulty(task)
    if isinstance(task, CustomTask):
        pairs = custom_problems(task.permitted(root) if root else task)
        items = _ordered(task.split_seed, ((prompt, prompt, answer) for prompt, answer in pairs))
    else:
        assert isinstance(task, Addition)
        items = _ordered(task.split_seed, sums(task))
    return cut(items, task.evaluation_problems, task.validation_problems, task.training_prompts)


def _by_difficulty(task: Arithmetic) -> Splits:
    easy, hard = (_ordered(task.split_seed, part) for part in expressions(task))
    if task.hard is None:
        return cut(easy, task.evaluation_problems, task.validation_problems, task.training_prompts)
    held_out, trained = cut(hard, task.evaluation_problems, task.validation_problems, 0), easy[: task.training_prompts]
    met = [*easy, *held_out.pretraining] if task.hard.pretraining == "all" else easy
    return Splits(held_out.evaluation, held_out.validation, tuple(trained), tuple(met))


def _ordered(seed: int, keyed: Iterable[Keyed]) -> list[Item]:
    ordered = sorted(keyed, key=lambda one: order(seed, one[0]))
    return [Item(prompt, answer) for _, prompt, answer in ordered]
