"""Problems of reasoning-gym's data sets, which are an optional extra."""

import difflib
from collections.abc import Iterator
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from harness.source.rows import DataError
from harness.spec.task import ReasoningTask


def installed() -> str | None:
    """Return the version of reasoning-gym, or None where there is none."""
    try:
        return version("reasoning-gym")
    except PackageNotFoundError:
        return None


def problems(task: ReasoningTask) -> Iterator[tuple[int, str, str]]:
    """Yield number, question and answer of every problem that is made.

    Raises:
        DataError: no such set, a configuration that it does not take, or another version than the task names.
    """
    made = data_set(task)
    for i in range(task.size):
        entry = made[i]
        yield i, str(entry["question"]), "" if entry["answer"] is None else str(entry["answer"])


def data_set(task: ReasoningTask) -> Any:
    """Return reasoning-gym's own object for a task; raises as `problems` does."""
    have = installed()
    if have is None:
        raise DataError(["task: reasoning-gym is not installed. Install it: pip install 'rlvr-harness[reasoning]'."])
    if task.verifier_version not in (None, have):
        rule = f"{have} is installed, and the task is identified by {task.verifier_version}. Install that."
        raise DataError([f"task.verifier_version: reasoning-gym {rule}"])
    library: Any = import_module("reasoning_gym")  # by name: an extra, without types
    known = sorted(import_module("reasoning_gym.factory").DATASETS)
    if task.dataset not in known:
        rule = f"reasoning-gym {have} has no set {task.dataset!r}"
        raise DataError([f"task.dataset: {rule}. It has {_near(task.dataset, known)}."])
    try:
        return library.create_dataset(task.dataset, **task.config, seed=task.seed, size=task.size)
    except (TypeError, ValueError, AssertionError) as error:
        said = " ".join(str(error).split())[:200] or type(error).__name__
        raise DataError([f"task.config: reasoning-gym's {task.dataset} refuses it: {said}. Mend it."]) from None


def _near(name: str, known: list[str]) -> str:
    return ", ".join(difflib.get_close_matches(name, known, 3, 0.3) or known[:3]) + f" and others, {len(known)} in all"
