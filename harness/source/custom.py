"""The problems of a task of the user's own: called for, checked, and refused as a whole where one of them is wrong."""

from collections.abc import Iterator, Sequence
from typing import Any, cast

from harness.source.code import call, load, place, told
from harness.spec import CustomTask, DeclarationError
from harness.spec.code import PERMIT
from harness.spec.problem import shown
from harness.spec.task import CONTEXT, RESERVED

Pair = tuple[str, str]
"""A prompt and its answer."""


def custom_problems(task: CustomTask) -> list[Pair]:
    """Return the problems that the task's function makes.

    Raises:
        DeclarationError: nobody permitted the task to run code, the function fails, or what it returns is no list of
            different problems that fit the task; every kind of mistake is told once, at its first problem.
    """
    if task.root is None:
        rule = f"is code, which runs only with permission. Read it, then repeat with {PERMIT}."
        raise DeclarationError([f"task.code: {shown(task.code)} {rule}"])
    function = load(task.root, task.code, task.sha256)
    returned = call(task.code, function)
    pairs, mistakes = _pairs(returned)
    mistakes = mistakes or [*_unfit(task, pairs), *_too_few(task, pairs)]
    if mistakes:
        raise DeclarationError([f"{place(task.code, function)}: {said}" for said in mistakes])
    return pairs


def _pairs(returned: Any) -> tuple[list[Pair], list[str]]:
    if not isinstance(returned, list | tuple):
        return [], [f"returned {type(returned).__name__}, no list of problems. Return a list of (prompt, answer)."]
    pairs: list[Pair] = []
    for i, item in enumerate(cast("Sequence[Any]", returned)):
        pair = cast("Sequence[Any]", item) if isinstance(item, list | tuple) else ()
        if len(pair) != 2 or not all(isinstance(text, str) and text for text in pair):
            return [], [f"problem {i} is {told(item)}, no (prompt, answer) of two texts, neither empty. Mend it."]
        pairs.append((str(pair[0]), str(pair[1])))
    return pairs, []


def _unfit(task: CustomTask, pairs: Sequence[Pair]) -> Iterator[str]:
    """Yield one mistake a rule, at the first problem that breaks it."""
    outside = (i for i, pair in enumerate(pairs) if not set("".join(pair)) <= set(task.alphabet))
    if (i := next(outside, None)) is not None:
        strange = next(c for c in "".join(pairs[i]) if c not in task.alphabet)
        yield f"problem {i}, {shown(pairs[i])}, has {shown(strange)}. Add it to task.alphabet, or leave it out."
    marked = (i for i, pair in enumerate(pairs) if any(mark in "".join(pair) for mark in RESERVED))
    if (i := next(marked, None)) is not None:
        yield f"problem {i}, {shown(pairs[i])}, spells one of {', '.join(RESERVED)}. Write it otherwise."
    if (i := next((i for i, (_, answer) in enumerate(pairs) if len(answer) > task.longest_answer), None)) is not None:
        rule = f"more than task.longest_answer {task.longest_answer}. Raise that, or shorten it."
        yield f"problem {i}, {shown(pairs[i])}, has an answer of {len(pairs[i][1])} characters, {rule}"
    room = CONTEXT - 2
    if (i := next((i for i, pair in enumerate(pairs) if len("".join(pair)) > room), None)) is not None:
        yield f"problem {i}, {shown(pairs[i])}, has {len(''.join(pairs[i]))} characters; {room} fit. Shorten it."
    first: dict[str, int] = {}
    repeated = (i for i, (prompt, _) in enumerate(pairs) if first.setdefault(prompt, i) != i)
    if (i := next(repeated, None)) is not None:
        yield f"problem {i} repeats the prompt {shown(pairs[i][0])} of problem {first[pairs[i][0]]}. Name each once."


def _too_few(task: CustomTask, pairs: Sequence[Pair]) -> Iterator[str]:
    want = task.evaluation_problems + task.validation_problems + task.training_prompts
    if len(pairs) < want:
        rule = f"evaluation, validation and training need {want}. Return more, or ask for fewer."
        yield f"returned {len(pairs)} problems; {rule}"
