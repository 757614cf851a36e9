"""What is learnt: a task whose answers a program can check, and how its problems are split."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from harness.spec.declared import Declared, FieldError


class Task(Declared):
    """Addition of two operands, written `a+b=`; the reward is 1 for the exact sum followed by end of sequence.

    All pairs of operands from 0 to `largest_operand` are shuffled once by `split_seed` and cut into disjoint parts.
    """

    name: Literal["addition"]
    largest_operand: Annotated[int, Field(ge=9, le=999)]
    split_seed: Annotated[int, Field(ge=0)]
    evaluation_problems: Annotated[int, Field(ge=500)]
    validation_problems: Annotated[int, Field(ge=500)]
    training_prompts: Annotated[int, Field(ge=1)]

    @model_validator(mode="after")
    def _parts_fit(self) -> "Task":
        have = (self.largest_operand + 1) ** 2
        want = self.evaluation_problems + self.validation_problems + self.training_prompts
        if want > have:
            raise FieldError(
                "largest_operand",
                f"operands up to {self.largest_operand} make {have} problems, evaluation, validation and training need "
                f"{want}. Raise largest_operand or ask for fewer problems.",
            )
        return self
