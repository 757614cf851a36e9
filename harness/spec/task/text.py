"""Tasks in text: questions that a model reads as prose or as a chat, and answers that a library's verifier scores.

What such a task needs but does not hold (the commit behind a revision, the hash of the rows, the version of the
verifier) is filled in when it is pinned. Until then its identities are provisional.
"""

from abc import abstractmethod
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, PrivateAttr

from harness.spec.declared import Declared, unset
from harness.spec.problem import shown
from harness.spec.task.common import HeldOut, SplitSeed, TrainingPrompts

MARK = "{question}"


def _prompt(value: str) -> str:
    if value.count(MARK) != 1:
        rule = f"{shown(value)} holds {MARK} {value.count(MARK)} times"
        raise ValueError(f"{rule}. Write it once, where a question goes.")
    return value


Prompt = Annotated[str, Field(max_length=10_000), AfterValidator(_prompt)]
Version = Annotated[str, Field(pattern=r"^[0-9][0-9A-Za-z.+-]{0,40}$")]


class Chat(Declared):
    """The prompt as a user's message, after a system message if there is one, in the tokenizer's own template."""

    system: Annotated[str, Field(min_length=1, max_length=10_000)] | None = None
    template: Literal["tokenizer"]


class TextTask(Declared):
    """What every task in text declares beside where its questions come from."""

    prompt: Prompt
    chat: Chat | None = None
    verifier_version: Annotated[Version | None, Field(exclude_if=unset(None))] = None
    """Filled in with that of the installed verifier; a worker that has another refuses the run."""
    split_seed: SplitSeed
    evaluation_problems: Annotated[int, Field(ge=30)]
    validation_problems: HeldOut
    training_prompts: TrainingPrompts

    _data: Path | None = PrivateAttr(default=None)

    @property
    def data(self) -> Path | None:
        """The folder that keeps the rows of data sets, or None where nobody said where it is."""
        return self._data

    def at(self, folder: Path) -> Self:
        """Return the task with the folder that keeps the rows of its sets."""
        task = self.model_copy()
        task._data = folder
        return task

    def asked(self, question: str) -> str:
        """Return the prompt for a question."""
        return self.prompt.replace(MARK, question)

    @abstractmethod
    def unpinned(self) -> tuple[str, ...]:
        """Return what is not known yet, in words; empty where the task is pinned."""

    def evaluated_on(self) -> tuple[str, ...]:
        """Return the fields that decide the evaluation problems, as a model reads them."""
        return ("name", "prompt", "chat", "split_seed", "evaluation_problems")
