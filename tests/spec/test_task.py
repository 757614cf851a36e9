"""Protocols with a task other than addition: what is told of them, and where."""

import re
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


DATASET = """\
task:
  name: dataset
  training: {format: deepmath-103k, split: train, revision: v1, difficulty: {below: 7.0}}
  evaluation: {format: math-500, split: test, folder: data/math-500}
  prompt: "{question}\\nBox the answer."
  chat: {system: Reason step by step., template: tokenizer}
  verifier: math-verify
  split_seed: 1
  evaluation_problems: 500
  validation_problems: 500
  training_prompts: 6
"""
GYM = """\
task:
  name: reasoning-gym
  dataset: chain_sum
  config: {max_terms: 3}
  seed: 1
  size: 1200
  prompt: "{question}"
  split_seed: 1
  evaluation_problems: 500
  validation_problems: 500
  training_prompts: 6
"""


def in_text(task: str) -> str:
    """Return a protocol with a task in text; its bases are no models of the Hub, which is its one mistake."""
    return with_task(task).replace("temperature: 1.0}", "temperature: 1.0, max_tokens: 64}")


@pytest.mark.parametrize("task", [DATASET, GYM])
def test_a_task_in_text_is_not_for_bases_that_are_made_on_the_spot(task: str, tmp_path: Path) -> None:
    said = told(tmp_path, in_text(task))
    assert [line.split(": ")[0].split(" ")[1] for line in said] == ["bases.llama", "bases.qwen", "bases.olmo"]
    assert all(": made on the spot, it reads the characters of arithmetic" in line for line in said)


@pytest.mark.parametrize("task", [DATASET, GYM])
def test_a_task_in_text_says_itself_whether_it_asks_in_a_chat(task: str, tmp_path: Path) -> None:
    found = (Path(__file__).parents[1] / "found.yaml").read_text(encoding="utf-8")  # where qwen is asked in a chat
    found = re.sub(r"task:\n(?:  .*\n)+", lambda _: task, found, count=1)
    (line,) = told(tmp_path, found.replace("temperature: 1.0}", "temperature: 1.0, max_tokens: 64}"))
    assert "bases.qwen.prompting: a task in text says itself whether it asks in a chat. Declare task.chat, and" in line


@pytest.mark.parametrize(
    ("task", "old", "new", "field", "message"),
    [
        (DATASET, "revision: v1", "folder: x, revision: v1", "task.training.folder", "the set has a place already"),
        (DATASET, "revision: v1, ", "", "task.training.revision", "missing, and no folder instead. Give the commit"),
        (
            DATASET,
            "revision: v1",
            "revision: ../v1",
            "task.training.revision",
            '"../v1" is no revision. Write a commit',
        ),
        (
            DATASET,
            "folder: data/math-500",
            "folder: ../m",
            "task.evaluation.folder",
            '"../m" leads out of the project.',
        ),
        (DATASET, "folder: data/math-500", "folder: /m", "task.evaluation.folder", '"/m" leads out of the project.'),
        (DATASET, "split: test", "split: train", "task.evaluation.split", '"train" is none of math-500\'s: test.'),
        (
            DATASET,
            "math-500}",
            "math-500, difficulty: {below: 3.0}}",
            "task.evaluation.difficulty",
            "no column of that",
        ),
        (
            DATASET,
            "below: 7.0",
            "at_least: 8.0, below: 7.0",
            "task.training.difficulty.below",
            "7 is not above at_least 8",
        ),
        (DATASET, "{below: 7.0}", "{}", "task.training.difficulty", "declares no bound. Give at_least, below or both."),
        (
            DATASET,
            "split: train",
            "split: train, id: deepmath",
            "task.training.id",
            '"deepmath" is no name of a data set',
        ),
        (DATASET, "{question}", "{answer}", "task.prompt", "holds {question} 0 times. Write it once"),
        (DATASET, "{question}", "{question}{question}", "task.prompt", "holds {question} 2 times. Write it once"),
        (DATASET, "math-verify", "eval", "task.verifier", "\"eval\" is not one of 'math-verify'"),
        (DATASET, "template: tokenizer", "template: own", "task.chat.template", "is not one of 'tokenizer'"),
        (DATASET, "verifier: math", "validation_from: test\n  verifier: math", "task.validation_from", "is not one of"),
        (DATASET, "evaluation_problems: 500", "evaluation_problems: 400", "task.evaluation_problems", "500 or more"),
        (DATASET, "format: deepmath-103k", "format: table", "task.training.columns", "missing: a table has no layout"),
        (
            DATASET,
            "deepmath-103k, split: train, revision: v1, difficulty: {below: 7.0}",
            "table, split: train, revision: v1, columns: {question: q, answer: a}",
            "task.training.id",
            "missing: a table is no known set. Give its ORG/NAME on the Hub.",
        ),
        (
            GYM,
            "size: 1200",
            "size: 1005",
            "task.size",
            "1005 problems are made, evaluation, validation and training need",
        ),
        (GYM, "max_terms: 3", "seed: 3", "task.config", "seed stands beside config, not in it. Move it out."),
        (GYM, "dataset: chain_sum", "dataset: ../x", "task.dataset", "is no name"),
    ],
)
def test_a_mistake_in_a_task_in_text_is_told_at_its_field(
    task: str, old: str, new: str, field: str, message: str, tmp_path: Path
) -> None:
    assert old in task
    said = [line for line in told(tmp_path, in_text(task.replace(old, new, 1))) if " bases." not in line]
    assert [line.split(" ")[1] for line in said] == [f"{field}:"]
    assert message in said[0]


def test_an_answer_in_text_needs_a_length_and_an_exact_one_has_its_own(tmp_path: Path) -> None:
    said = [line for line in told(tmp_path, with_task(DATASET)) if " bases." not in line]
    assert [line.partition(" ")[2] for line in said] == [
        "evaluation.max_tokens: missing: an answer in text has no length of its own. Say how many tokens it may have."
    ]
    (exact,) = told(tmp_path, in_text(ARITHMETIC))
    assert "evaluation.max_tokens: is for tasks in text" in exact
