"""Code of the user's own in a worker: run where whoever started the worker permits it, never because a job names it.

A job's spec.json can be written by anybody who can write to the store, so it is no permission.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from harness.source.code import load
from harness.spec import CustomTask, Task, read_task
from harness.spec.code import PERMIT
from harness.spec.protocol import Recipe
from harness.spec.task import TextTask


class NotPermitted(Exception):
    """A job names code and the worker may run none; the text says the rule and the remedy."""

    def __init__(self, what: str, name: str):
        rule = f"is code of the user's own, and this worker may run none. Repeat the command with {PERMIT}."
        super().__init__(f"{what} {name} {rule}")


def permitted_task(identity: dict[str, Any], code_root: Path | None, data: Path | None = None) -> Task:
    """Return the task of an identity, with permission to run its code and with the folder of its rows, `data`.

    Raises:
        NotPermitted: it names code, and there is no permission.
    """
    task = read_task(identity["task"])
    if isinstance(task, TextTask):
        return task if data is None else task.at(data)
    if not isinstance(task, CustomTask):
        return task
    if code_root is None:
        raise NotPermitted("task", task.code)
    return task.permitted(code_root)


def reward_function(recipe: Recipe, code_root: Path | None) -> Callable[[str, str], Any]:
    """Return the reward that a recipe names, its file checked; raise NotPermitted where it may not be run."""
    assert recipe.reward is not None
    if code_root is None:
        raise NotPermitted("reward", recipe.reward)
    return load(code_root, recipe.reward, recipe.reward_sha256)


def recorded_code(identity: dict[str, Any]) -> dict[str, dict[str, str]]:
    """Return what a result records of the code behind it: `code`, name: SHA-256 of its file; nothing without any."""
    task, recipe = identity["task"], identity.get("recipe", {})
    named = {task.get("code"): task.get("sha256"), recipe.get("reward"): recipe.get("reward_sha256")}
    code = {name: sha256 for name, sha256 in named.items() if name}
    return {"code": code} if code else {}
