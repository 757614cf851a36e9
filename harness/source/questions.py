"""The problems of tasks in text: questions of published sets or of reasoning-gym, cut into disjoint splits.

Two questions are one if their words are: white space does not tell them apart. One that is in the evaluation set is
taken out of training, and one that repeats counts once; both are counted, for whoever plans to be told.
"""

import hashlib
import json
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TypeVar

from harness.source.rows import DataError, Row, read_kept, rows_file
from harness.source.split import Item, Splits, cut, order
from harness.spec import DeclarationError
from harness.spec.canonical import canonical_json
from harness.spec.task import DataSet, DatasetTask, ReasoningTask, TextTask, read_task

T = TypeVar("T")
ENOUGH = 500
"""Evaluation problems that a set has to give where it has them."""
REMEDY = "`harness register` finds it out, from the Hub, the folder or the installed library."


@dataclass(frozen=True, slots=True)
class Removed:
    """What was left out of the splits."""

    repeated: int
    """Questions that stood in their set already."""
    overlap: int
    """Training questions that the evaluation set holds as well."""

    def told(self) -> str:
        """Return it in words; empty where nothing was left out."""
        parts = [f"{self.overlap} training questions are in the evaluation set"] if self.overlap else []
        parts += [f"{self.repeated} questions occur twice"] if self.repeated else []
        return f"{', '.join(parts)}: left out" if parts else ""


class Unpinned(DeclarationError):
    """A task whose problems are not at hand; the text says what is missing, and the remedy."""


def text_splits(task: TextTask) -> tuple[Splits, Removed]:
    """Return the splits of a task in text, and what was left out of them.

    Raises:
        Unpinned: its sets were never had, or are not in this store.
        DataError: fewer questions than are asked for, or rows that are not those of the pinned hash.
    """
    if task.unpinned():
        raise Unpinned([f"task: not known yet: {', '.join(task.unpinned())}. {REMEDY}"])
    return _splits(canonical_json(task.model_dump(mode="json")), task.data)


def words(question: str) -> str:
    """Return a question with single spaces, by which questions are told apart."""
    return " ".join(question.split())


@lru_cache(maxsize=4)
def _splits(declared: str, data: Path | None) -> tuple[Splits, Removed]:
    task = read_task(json.loads(declared))
    if isinstance(task, DatasetTask):
        return _of_sets(task, data)
    assert isinstance(task, ReasoningTask)
    from harness.source.reasoning import problems  # the library takes seconds

    made = problems(task)
    asked = [(question, Item(task.asked(question), answer, task.taught(answer), i)) for i, question, answer in made]
    items, repeated = _distinct(asked)
    parts = cut(_ordered(task.split_seed, items), *_counts(task))
    _enough(f"reasoning-gym {task.dataset}", "training", len(parts.training), task.training_prompts, "Raise task.size")
    return parts, Removed(repeated, 0)


def _of_sets(task: DatasetTask, data: Path | None) -> tuple[Splits, Removed]:
    training, repeated = _distinct(_asked(task, task.training, data))
    if task.evaluation is None:
        parts = cut(_ordered(task.split_seed, training), *_counts(task))
        _enough(task.training.told(), "training", len(parts.training), task.training_prompts)
        return parts, Removed(repeated, 0)
    held, again = _distinct(_asked(task, task.evaluation, data))
    both = training.keys() & held.keys()
    from_training = _ordered(task.split_seed, {key: item for key, item in training.items() if key not in both})
    from_held = _ordered(task.split_seed, held)
    evaluation, validation, prompts = _counts(task)
    shared = task.validation_from == "evaluation"
    if evaluation < ENOUGH <= len(from_held):
        rule = f"{evaluation} evaluation problems of a set that has {len(from_held)}: too few for a verdict"
        raise DataError([f"{task.evaluation.told()}: {rule}. Ask for {ENOUGH} or more."])
    _enough(task.evaluation.told(), "held-out", len(from_held), evaluation + (validation if shared else 0))
    _enough(task.training.told(), "training", len(from_training), prompts + (0 if shared else validation))
    own = cut(from_training, 0, 0 if shared else validation, prompts)
    theirs = cut(from_held, evaluation, validation if shared else 0, 0)
    parts = Splits(theirs.evaluation, theirs.validation or own.validation, own.training, own.pretraining)
    return parts, Removed(repeated + again, len(both))


def _counts(task: TextTask) -> tuple[int, int, int]:
    return task.evaluation_problems, task.validation_problems, task.training_prompts


def _enough(what: str, use: str, have: int, want: int, remedy: str = "Ask for fewer, or widen its difficulty") -> None:
    if have < want:
        raise DataError([f"{what}: {have} {use} questions where {want} are needed. {remedy}."])


def _asked(task: DatasetTask, data_set: DataSet, data: Path | None) -> list[tuple[str, Item]]:
    """Return the questions of a set that its declaration selects, each with its problem."""
    chosen = data_set.difficulty
    rows = ((i, row) for i, row in enumerate(rows_of(data_set, data)) if row is not None)
    return [
        (row.question, Item(task.asked(row.question), row.answer, row.solution or f"\\boxed{{{row.answer}}}", i))
        for i, row in rows
        if chosen is None or (row.difficulty is not None and chosen.holds(row.difficulty))
    ]


def _distinct(asked: list[tuple[str, T]]) -> tuple[dict[str, T], int]:
    """Return the first of each question, by its words, and how many came again."""
    first: dict[str, T] = {}
    for question, item in asked:
        first.setdefault(words(question), item)
    return first, len(asked) - len(first)


def _ordered(seed: int, items: dict[str, Item]) -> list[Item]:
    return [items[key] for key in sorted(items, key=lambda key: order(seed, key))]


def rows_of(data_set: DataSet, data: Path | None) -> list[Row | None]:
    """Return the rows that a pinned set names by their hash, from the folder that keeps them.

    Raises:
        Unpinned: they are not there.
        DataError: they are others than their name says.
    """
    assert data_set.sha256 is not None
    file = rows_file(data, data_set.sha256) if data is not None else None
    if file is None or not file.is_file():
        raise Unpinned([f"task: the rows of {data_set.told()} are not in this store. {REMEDY}"])
    return _rows(file, data_set.sha256)


@lru_cache(maxsize=4)
def _rows(file: Path, sha256: str) -> list[Row | None]:
    content = file.read_bytes()
    if hashlib.sha256(content).hexdigest() != sha256:
        raise DataError([f"{file}: damaged, not the rows of its name. Remove it, then repeat `harness register`."])
    return read_kept(content)
