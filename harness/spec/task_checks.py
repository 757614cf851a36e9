"""What no single field of a protocol shows of its task: answers that do not fit, bases that cannot read it."""

from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from harness.spec.problem import Problem, mapping
from harness.spec.task import LONGEST_ANSWER, Arithmetic, read_task

IN_TEXT = ("dataset", "reasoning-gym")
"""Names of the kinds of task that are asked in text."""


def check_task(raw: Mapping[str, Any], max_completion_length: Any) -> list[Problem]:
    """Return the mistakes that a protocol's task makes with its evaluation, its bases and its trainer."""
    task = mapping(raw.get("task"))
    if task.get("name") in IN_TEXT:
        return [*_asked_in_text(raw), *_bases_read_text(raw, str(task["name"])), *_asked_once(raw)]
    return [*_asked_in_characters(raw), *_answers_fit(task, max_completion_length)]


def _asked_in_text(raw: Mapping[str, Any]) -> list[Problem]:
    if not isinstance(raw.get("evaluation"), dict) or mapping(raw["evaluation"]).get("max_tokens") is not None:
        return []
    rule = "missing: an answer in text has no length of its own. Say how many tokens it may have."
    return [Problem(("evaluation", "max_tokens"), rule)]


def _bases_read_text(raw: Mapping[str, Any], kind: str) -> list[Problem]:
    """Return a mistake for each base that is made on the spot, whose tokens are the characters of arithmetic."""
    made = [name for name, base in mapping(raw.get("bases")).items() if "pretraining" in mapping(base)]
    rule = f"made on the spot, it reads the characters of arithmetic, and task {kind} is in text. Name a model instead."
    return [Problem(("bases", name), rule) for name in made]


def _asked_once(raw: Mapping[str, Any]) -> list[Problem]:
    """Return a mistake for each base that would put a chat around the prompts of a task in text, which has its own."""
    chats = [name for name, base in mapping(raw.get("bases")).items() if mapping(base).get("prompting") == "chat"]
    rule = "a task in text says itself whether it asks in a chat. Declare task.chat, and remove prompting."
    return [Problem(("bases", name, "prompting"), rule) for name in chats]


def _asked_in_characters(raw: Mapping[str, Any]) -> list[Problem]:
    if mapping(raw.get("evaluation")).get("max_tokens") is None:
        return []
    rule = "is for tasks in text: an exact answer is given as many tokens as the longest needs. Remove it."
    return [Problem(("evaluation", "max_tokens"), rule)]


def _answers_fit(task: Mapping[str, Any], most: Any) -> list[Problem]:
    """Return a mistake where the longest answer and its end are longer than a completion may become."""
    longest = _longest_answer(task)
    if type(longest) is not int or type(most) is not int or not most <= longest <= LONGEST_ANSWER:
        return []
    rule = f"{most} tokens have no room for an answer of {longest} characters and its end. Make it {longest + 1}."
    return [Problem(("grpo", "max_completion_length"), rule)]


def _longest_answer(task: Mapping[str, Any]) -> Any:
    """Return the characters of the longest answer, as declared or as what is declared makes them; None if unknown."""
    if task.get("name") != "arithmetic":
        return task.get("longest_answer")
    try:
        declared = read_task(task)
    except ValidationError:
        return None
    return declared.longest_answer if isinstance(declared, Arithmetic) else None
