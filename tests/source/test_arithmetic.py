import re
from collections.abc import Callable
from itertools import product
from typing import Any

import pytest
from pydantic import ValidationError

from harness.source import items_hash, splits, trainable
from harness.spec import Arithmetic, read_task

DECLARED: dict[str, Any] = {
    "name": "arithmetic",
    "operations": ["+", "-", "*"],
    "terms": [2, 3],
    "largest_operand": 19,
    "split_seed": 7,
    "evaluation_problems": 500,
    "validation_problems": 500,
    "training_prompts": 640,
}


def arithmetic(**changed: Any) -> Arithmetic:
    task = read_task({**DECLARED, **changed})
    assert isinstance(task, Arithmetic)
    return task


def hard(**said: Any) -> Arithmetic:
    return arithmetic(hard={"pretraining": "all", **said})


def operands(prompt: str) -> list[int]:
    return [int(n) for n in prompt.rstrip("=").replace("-", "+").replace("*", "+").split("+")]


def test_every_expression_occurs_once_with_the_value_that_python_gives_it() -> None:
    parts = splits(arithmetic())
    items = [*parts.evaluation, *parts.validation, *parts.pretraining]
    numbers = [str(n) for n in range(20)]
    every = {f"{a}{o}{b}=" for a, b in product(numbers, repeat=2) for o in "+-*"}
    every |= {f"{a}{o}{b}{p}{c}=" for a, b, c in product(numbers, repeat=3) for o in "+-*" for p in "+-*"}
    assert len(items) == len(every) == arithmetic().problems == 3 * 20**2 + 9 * 20**3
    assert {item.prompt for item in items} == every
    assert all(item.answer == str(eval(item.prompt[:-1])) for item in items[:3000])


HARD: list[tuple[dict[str, Any], Callable[[str], bool]]] = [
    ({"from_terms": 3}, lambda p: len(operands(p)) >= 3),
    ({"from_operand": 10}, lambda p: max(operands(p)) >= 10),
    ({"operations": ["*"]}, lambda p: "*" in p),
    ({"from_terms": 3, "from_operand": 15}, lambda p: len(operands(p)) >= 3 or max(operands(p)) >= 15),
]


@pytest.mark.parametrize(("said", "is_hard"), HARD)
def test_what_is_held_out_reaches_a_threshold_and_what_is_trained_on_reaches_none(
    said: dict[str, Any], is_hard: Callable[[str], bool]
) -> None:
    task = arithmetic(hard={"pretraining": "all", **said}, training_prompts=100)
    parts = splits(task)
    assert all(is_hard(item.prompt) for item in parts.evaluation + parts.validation)
    assert not any(is_hard(item.prompt) for item in parts.training)
    easy = [item for item in parts.pretraining if not is_hard(item.prompt)]
    assert len(easy) == task.easy_problems == trainable(task)
    held_out = {*parts.evaluation, *parts.validation}
    assert len(held_out) == 1000
    assert held_out.isdisjoint(parts.pretraining)
    assert len(parts.pretraining) == task.problems - 1000
    only = splits(arithmetic(hard={"pretraining": "easy", **said}, training_prompts=100))
    assert {*only.pretraining} == {*easy}
    assert only.training == only.pretraining[:100]
    assert only.evaluation == parts.evaluation


def test_without_thresholds_the_parts_are_cut_as_those_of_addition() -> None:
    alike = {**DECLARED, "operations": ["+"], "terms": [2], "largest_operand": 99}
    ours = splits(read_task(alike))
    theirs = splits(
        read_task({k: v for k, v in alike.items() if k not in ("operations", "terms")} | {"name": "addition"})
    )
    assert ours == theirs
    assert trainable(read_task(alike)) == len(ours.pretraining) == 9000


def test_the_problems_are_the_same_ones_everywhere() -> None:
    task = hard(from_operand=10)
    golden = "dc1e34173be6217e790df7cc69a4f4d850aed62f7f2a233857567af946ec387f"  # as first published; never to change
    assert items_hash(splits(task).evaluation) == golden
    assert splits(task.model_copy(update={"split_seed": 8})).evaluation != splits(task).evaluation


@pytest.mark.parametrize(
    "said",
    [
        {},
        {"operations": ["-"], "terms": [2, 3]},
        {"operations": ["*", "-"], "terms": [3], "largest_operand": 12},
        {"operations": ["+"], "terms": [4], "largest_operand": 9},
        {"operations": ["*"], "terms": [4], "largest_operand": 12},
    ],
)
def test_the_longest_answer_is_known_from_the_declaration(said: dict[str, Any]) -> None:
    task = arithmetic(**said)
    parts = splits(task)
    items = parts.evaluation + parts.validation + parts.pretraining
    assert max(len(item.answer) for item in items) == task.longest_answer


@pytest.mark.parametrize(
    ("said", "message"),
    [
        ({"largest_operand": 99}, "make 9030000 problems, and at most 200000 are made. Lower it"),
        ({"largest_operand": 2}, "270 problems, evaluation, validation and training need 1640. Raise largest_operand"),
        ({"operations": ["+", "+"]}, "repeats one. Name each operation once."),
        ({"terms": [2, 2]}, "repeats one. Name each number of terms once."),
        ({"hard": {"pretraining": "all"}}, "declares no threshold. Give from_terms, from_operand or operations."),
        ({"hard": {"from_terms": 4, "pretraining": "all"}}, "0 of 73200 problems are hard, evaluation and validation"),
        ({"hard": {"from_terms": 2, "pretraining": "all"}}, "0 of 73200 problems are easy, training needs 640."),
        ({"operations": ["/"]}, "Input should be '+', '-' or '*'"),
    ],
)
def test_a_declaration_that_cannot_be_cut_is_refused_with_the_counts(said: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=re.escape(message)):
        arithmetic(**said)
