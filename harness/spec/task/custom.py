"""A task of the user's own: problems that a function of the project makes."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, PrivateAttr

from harness.spec.code import CodeName, Sha256, read
from harness.spec.declared import Declared
from harness.spec.problem import shown
from harness.spec.task.common import LONGEST_ANSWER, HeldOut, SplitSeed, TrainingPrompts


def _characters(value: str) -> str:
    if not value.isprintable():
        raise ValueError(f"{shown(value)} holds a character that cannot be printed. Leave it out.")
    if repeated := next((c for i, c in enumerate(value) if c in value[:i]), None):
        raise ValueError(f"{shown(value)} repeats {shown(repeated)}. Name each character once.")
    return value


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
