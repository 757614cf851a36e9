"""Published sets of mathematical questions, scored by math-verify: GSM8K, MATH-500, DeepMath-103K, or columns named.

A set is had from the Hub at a revision, or from a folder of the project that holds its files. Files are Parquet or
JSON; nothing in them is ever run.
"""

import re
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, model_validator

from harness.spec.code import Sha256
from harness.spec.declared import Declared, FieldError, unset
from harness.spec.problem import shown
from harness.spec.task.common import HeldOut
from harness.spec.task.text import TextTask

COMMIT = re.compile(r"[0-9a-f]{40}")
_HUB = re.compile(r"[\w.-]{1,96}/[\w.-]{1,96}")
_REF = re.compile(r"[\w.-][\w./-]{0,254}")


def _hub_id(value: str) -> str:
    if not _HUB.fullmatch(value) or ".." in value:
        raise ValueError(f"{shown(value)} is no name of a data set on the Hub. Write ORG/NAME.")
    return value


def _ref(value: str) -> str:
    if not _REF.fullmatch(value) or ".." in value:
        raise ValueError(f"{shown(value)} is no revision. Write a commit, a tag or a branch.")
    return value


def _inside(value: str) -> str:
    path = PurePosixPath(value)
    if path.is_absolute() or ".." in path.parts or "\\" in value or not value.isprintable() or path == PurePosixPath():
        raise ValueError(f"{shown(value)} leads out of the project. Name a folder in it, e.g. data/gsm8k.")
    return value


class Columns(Declared):
    """The names of a set's columns."""

    question: Annotated[str, Field(min_length=1, max_length=100)]
    answer: Annotated[str, Field(min_length=1, max_length=100)]
    difficulty: Annotated[str, Field(min_length=1, max_length=100)] | None = None
    solution: Annotated[str, Field(min_length=1, max_length=100)] | None = None
    """What SFT learns to write; without one it learns the boxed answer."""


@dataclass(frozen=True, slots=True)
class Format:
    """How a published set is laid out."""

    id: str
    splits: tuple[str, ...]
    columns: Columns
    files: tuple[str, ...]
    """Patterns of the files of a split on the Hub, `{split}` in its place."""


FORMATS = {
    "gsm8k": Format(
        "openai/gsm8k",
        ("train", "test"),
        Columns(question="question", answer="answer", solution="answer"),
        ("main/{split}-*.parquet",),
    ),
    "math-500": Format(
        "HuggingFaceH4/MATH-500",
        ("test",),
        Columns(question="problem", answer="answer", solution="solution"),
        ("{split}.jsonl",),
    ),
    "deepmath-103k": Format(
        "zwhe99/DeepMath-103K",
        ("train",),
        Columns(question="question", answer="final_answer", difficulty="difficulty"),
        ("data/{split}-*.parquet",),
    ),
}
"""The sets whose layout is known. Rows: GSM8K 7,473 and 1,319; MATH-500 500; DeepMath-103K about 103,000."""


class Difficulty(Declared):
    """A range of a set's own difficulty: from `at_least`, below `below`."""

    at_least: float | None = None
    below: float | None = None

    @model_validator(mode="after")
    def _not_empty(self) -> "Difficulty":
        low, high = self.at_least, self.below
        if low is None and high is None:
            raise ValueError("declares no bound. Give at_least, below or both.")
        if low is not None and high is not None and low >= high:
            raise FieldError("below", f"{high:g} is not above at_least {low:g}: no row would be left. Raise it.")
        return self

    def holds(self, value: float) -> bool:
        """Return whether a difficulty lies in the range."""
        return (self.at_least is None or value >= self.at_least) and (self.below is None or value < self.below)


class DataSet(Declared):
    """One split of a set of questions; `sha256`, of its rows, and the commit of `revision` are filled in."""

    format: Literal["gsm8k", "math-500", "deepmath-103k", "table"]
    id: Annotated[str, AfterValidator(_hub_id)] | None = None
    """The repository on the Hub; left out, that of the format."""
    revision: Annotated[str, AfterValidator(_ref)] | None = None
    folder: Annotated[str, AfterValidator(_inside)] | None = None
    split: Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{1,40}$")]
    columns: Columns | None = None
    difficulty: Difficulty | None = None
    without: tuple[Annotated[int, Field(ge=0)], ...] = ()
    """Rows, counted from 0 over the split, that are left out, such as those whose answer no verifier reads."""
    sha256: Annotated[Sha256 | None, Field(exclude_if=unset(None))] = None

    @model_validator(mode="after")
    def _has_a_place(self) -> "DataSet":
        if self.revision is not None and self.folder is not None:
            raise FieldError("folder", "the set has a place already, a revision on the Hub. Declare one of them.")
        if self.revision is None and self.folder is None and self.sha256 is None:
            raise FieldError("revision", "missing, and no folder instead. Give the commit of the set on the Hub.")
        return self

    @model_validator(mode="after")
    def _laid_out(self) -> "DataSet":
        known = FORMATS.get(self.format)
        if known is None and self.columns is None:
            raise FieldError("columns", "missing: a table has no layout of its own. Name question and answer.")
        if known is None and self.id is None and self.revision is not None:
            raise FieldError("id", "missing: a table is no known set. Give its ORG/NAME on the Hub.")
        if known is not None and self.split not in known.splits:
            raise FieldError("split", f"{shown(self.split)} is none of {self.format}'s: {', '.join(known.splits)}.")
        if self.difficulty is not None and self.read.difficulty is None:
            raise FieldError("difficulty", f"{self.format} has no column of that. Name columns.difficulty.")
        return self

    @property
    def repository(self) -> str | None:
        """The repository on the Hub, or None for a table that is known by its rows alone."""
        return self.id or (FORMATS[self.format].id if self.format in FORMATS else None)

    @property
    def read(self) -> Columns:
        """The columns that are read."""
        return self.columns or FORMATS[self.format].columns

    @property
    def patterns(self) -> tuple[str, ...]:
        """Patterns of the files that hold the split on the Hub."""
        known = FORMATS.get(self.format)
        if known is not None:
            return tuple(pattern.format(split=self.split) for pattern in known.files)
        stems = (f"{self.split}", f"{self.split}-*", f"*/{self.split}", f"*/{self.split}-*")
        return tuple(f"{stem}.{suffix}" for stem in stems for suffix in ("parquet", "jsonl", "json"))

    @property
    def pinned(self) -> bool:
        """Whether the rows are known by their hash, and their commit if they are the Hub's."""
        return self.sha256 is not None and (self.revision is None or COMMIT.fullmatch(self.revision) is not None)

    def told(self) -> str:
        """Return the set as messages name it."""
        if self.folder is not None:
            return f"{self.format} in {self.folder}"
        return f"{self.repository or self.format}@{self.revision or 'rows'}"


class DatasetTask(TextTask):
    """Questions of published sets, disjoint by their text, scored by math-verify.

    Evaluation problems come from the set `evaluation`, or else are held out from `training`; validation problems come
    from the one that `validation_from` names. A question that is held out is in no training split, however spaced.
    """

    name: Literal["dataset"]
    training: DataSet
    evaluation: DataSet | None = None
    validation_from: Literal["training", "evaluation"] = "training"
    validation_problems: HeldOut
    verifier: Literal["math-verify"]

    @model_validator(mode="after")
    def _has_what_it_cuts(self) -> "DatasetTask":
        if self.validation_from == "evaluation" and self.evaluation is None:
            raise FieldError("validation_from", "names an evaluation set, and none is declared. Declare evaluation.")
        large = self.evaluation is None or self.evaluation.format in FORMATS
        if large and self.evaluation_problems < 500:
            rule = f"{self.evaluation_problems} is out of range: this set has 500 or more, so it must be at least 500"
            raise FieldError("evaluation_problems", f"{rule}. Change it.")
        return self

    @property
    def sets(self) -> tuple[DataSet, ...]:
        """The sets that rows are taken from: training, then evaluation where it is another."""
        return (self.training,) if self.evaluation is None else (self.training, self.evaluation)

    def unpinned(self) -> tuple[str, ...]:
        """Return what is not known yet, in words; empty where the task is pinned."""
        unknown = [one.told() for one in self.sets if not one.pinned]
        return (*unknown, *(() if self.verifier_version else ("the version of math-verify",)))

    def evaluated_on(self) -> tuple[str, ...]:
        """Return the fields that decide the evaluation problems, as a model reads them."""
        return (*super().evaluated_on(), "training" if self.evaluation is None else "evaluation")
