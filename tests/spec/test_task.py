"""Protocols with a task other than addition: what is told of them, and where."""

from pathlib import Path

import pytest

from harness.spec import DeclarationError, load_protocol

POCKET = (Path(__file__).parents[1] / "pocket.yaml").read_text()
ARITHMETIC = """\
task:
  name: arithmetic
  operations: ["+", "-", "*"]
  terms: [2]
  largest_operand: 39
  hard: {from_operand: 25, pretraining: all}
  split_seed: 20260423
  evaluation_problems: 500
  validation_problems: 500
  training_prompts: 6
"""


def with_task(task: str, **changed: str) -> str:
    """Return the pocket protocol with another task; `changed` replaces text."""
    start, end = POCKET.index("task:"), POCKET.index("\nbases:")
    text = POCKET[:start] + task + POCKET[end:]
    return text.replace("max_completion_length: 3", "max_completion_length: 5")


def told(tmp_path: Path, text: str) -> list[str]:
    file = tmp_path / "p.yaml"
    file.write_text(text)
    try:
        load_protocol(file, "p.yaml")
    except DeclarationError as error:
        return error.lines
    return []


def test_a_protocol_may_ask_for_arithmetic_with_a_hard_part(tmp_path: Path) -> None:
    assert told(tmp_path, with_task(ARITHMETIC)) == []


@pytest.mark.parametrize(
    ("old", "new", "line", "message"),
    [
        # 39 x 39 = 1521 and -39: four characters and the end are five tokens.
        ("length: 5", "length: 4", "length: 4", "no room for an answer of 4 characters and its end. Make it 5."),
        ("from_operand: 25", "from_operand: 39", "  hard:", "237 of 4800 problems are hard, evaluation and validation"),
        ("from_operand: 25", "from_operand: 1", "  hard:", "3 of 4800 problems are easy, training needs 6"),
        ("from_operand: 25, ", "", "  hard:", "declares no threshold. Give from_terms, from_operand or operations."),
        ("prompts: 6", "prompts: 7", "prompts: 7", "7 prompts are no whole number of updates of 2"),
        ("operand: 39", "operand: x", "operand: x", '"x" is not a whole number'),
    ],
)
def test_a_mistake_in_arithmetic_is_told_once_at_its_line(
    tmp_path: Path, old: str, new: str, line: str, message: str
) -> None:
    text = with_task(ARITHMETIC).replace(old, new, 1)
    (said,) = told(tmp_path, text)
    assert said.startswith(f"p.yaml:{text[: text.index(line)].count(chr(10)) + 1} ")
    assert message in said
