"""What is learnt: a task whose answers a program can check, and how its problems are split."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, PrivateAttr, TypeAdapter, model_validator

from harness.spec.code import CodeName, Sha256, read
from harness.spec.declared import Declared, FieldError
from harness.spec.problem import shown

CONTEXT = 64
"""Positions of a base that is made on the spot: a prompt with its answer, a beginning and an end fit into them."""
LONGEST_ANSWER = CONTEXT - 3
"""Characters of an answer that leave room for a prompt of one."""
RESERVED = ("<pad>", "<bos>", "<eos>", "<unk>")
"""Tokens that are no characters: padding, beginning, end, unknown."""

SplitSeed = Annotated[int, Field(ge=0)]
HeldOut = Annotated[int, Field(ge=500)]
TrainingPrompts = Annotated[int, Field(ge=1)]


def _characters(value: str) -> str:
    if not value.isprintable():
        raise ValueError(f"{shown(value)} holds a character that cannot be printed. Leave it out.")
    if repeated := next((c for i, c in enumerate(value) if c in value[:i]), None):
        raise ValueError(f"{shown(value)} repeats {shown(repeated)}. Name each character once.")
    return value


class Addition(Declared):
    """Addition of two operands, written `a+b=`; the reward is 1 for the exact sum followed by end of sequence.

    All pairs of operands from 0 to `largest_operand` are shuffled once by `split_seed` and cut into disjoint parts.
    """

    name: Literal["addition"]
    largest_operand: Annotated[int, Field(ge=9, le=999)]
    split_seed: SplitSeed
    evaluation_problems: HeldOut
    validation_problems: HeldOut
    training_prompts: TrainingPrompts

    @model_validator(mode="after")
    def _parts_fit(self) -> "Addition":
        have = (self.largest_operand + 1) ** 2
        want = self.evaluation_problems + self.validation_problems + self.training_prompts
        if want > have:
            raise FieldError(
                "largest_operand",
                f"operands up to {self.largest_operand} make {have} problems, evaluation, validation and training need "
                f"{want}. Raise largest_operand or ask for fewer problems.",
            )
        return self


class CustomTask(Declared):
    """Problems that a function of the project makes; they are ordered and cut like those of addition.

    The function takes nothing and returns a list of (prompt, answer), both text in the declared `alphabet`. A task
    that was only read, from YAML or from a job, may run nothing: its problems can be had from what `permitted`
    returns. `sha256` is that of the function's file; left out, it is filled in then.
    """

    name: Literal["custom"]
    code: CodeName
    sha256: Sha256 | None = None
    alphabet: Annotated[str, Field(min_length=1, max_length=1000), AfterValidator(_characters)]
    longest_answer: Annotated[int, Field(ge=1, le=LONGEST_ANSWER)]
    split_seed: SplitSeed
    evaluation_problems: HeldOut
    validation_problems: HeldOut
    training_prompts: TrainingPrompts

    _root: Path | None = PrivateAttr(default=None)

    @property
    def root(self) -> Path | None:
        """The project whose code may be run for this task, or None where none may."""
        return self._root

    def permitted(self, root: Path) -> "CustomTask":
        """Return the task with permission to run its function from the project `root`, and with its file's hash.

        Raises:
            CodeError: the function is not there.
        """
        task = self.model_copy(update={"sha256": self.sha256 or read(root, self.code).sha256})
        task._root = root
        return task


Task = Annotated[Addition | CustomTask, Field(discriminator="name")]

_TASK: TypeAdapter[Task] = TypeAdapter(Task)


def read_task(said: Mapping[str, Any]) -> Task:
    """Return the task that an identity holds; raise ValidationError where it holds none."""
    return _TASK.validate_python(said)
