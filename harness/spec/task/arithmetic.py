"""Arithmetic that the harness makes itself: addition, and expressions of several terms with a hard part.

Answers are exact integers, `-12` where they are negative; a product binds stronger than a sum, as on paper. What is
hard is declared as thresholds, not felt: a problem is hard that reaches one of them.
"""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from harness.spec.declared import Declared, FieldError
from harness.spec.task.common import HeldOut, SplitSeed, TrainingPrompts

MOST_PROBLEMS = 200_000
"""Problems that are listed and ordered whenever runs are planned: half a second."""

Operation = Literal["+", "-", "*"]
Terms = Annotated[int, Field(ge=2, le=4)]


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


class Hard(Declared):
    """When a problem is hard: it has so many terms, an operand so large, or one of these operations.

    What is held out is then all hard, and training is all easy. `pretraining` says whether a base has met the hard
    problems that are not held out: a base that never saw a kind of problem seldom earns a first reward on it.
    """

    from_terms: Terms | None = None
    from_operand: Annotated[int, Field(ge=1, le=999)] | None = None
    operations: Annotated[tuple[Operation, ...], Field(min_length=1)] | None = None
    pretraining: Literal["all", "easy"]

    @model_validator(mode="after")
    def _says_something(self) -> "Hard":
        if self.from_terms is None and self.from_operand is None and self.operations is None:
            raise ValueError("declares no threshold. Give from_terms, from_operand or operations.")
        return self


class Arithmetic(Declared):
    """Expressions of integers from 0 to `largest_operand`, written `a*b-c=`; the reward is that of addition.

    All expressions of these numbers of terms and operations are shuffled once by `split_seed` and cut into disjoint
    parts. With `hard`, evaluation and validation are cut from the hard ones and training from the others.
    """

    name: Literal["arithmetic"]
    operations: Annotated[tuple[Operation, ...], Field(min_length=1)]
    terms: Annotated[tuple[Terms, ...], Field(min_length=1)]
    largest_operand: Annotated[int, Field(ge=2, le=999)]
    hard: Hard | None = None
    split_seed: SplitSeed
    evaluation_problems: HeldOut
    validation_problems: HeldOut
    training_prompts: TrainingPrompts

    @model_validator(mode="after")
    def _each_once(self) -> "Arithmetic":
        if len(set(self.operations)) < len(self.operations):
            raise FieldError("operations", f"{list(self.operations)} repeats one. Name each operation once.")
        if len(set(self.terms)) < len(self.terms):
            raise FieldError("terms", f"{list(self.terms)} repeats one. Name each number of terms once.")
        return self

    @model_validator(mode="after")
    def _parts_fit(self) -> "Arithmetic":
        made = self.problems
        if made > MOST_PROBLEMS:
            rule = f"these terms and operations make {made} problems, and at most {MOST_PROBLEMS} are made"
            raise FieldError("largest_operand", f"{rule}. Lower it, or declare fewer terms or operations.")
        held_out, easy = self.evaluation_problems + self.validation_problems, self.easy_problems
        hard = made - easy
        if self.hard is None and held_out + self.training_prompts > made:
            want = held_out + self.training_prompts
            rule = f"{made} problems, evaluation, validation and training need {want}"
            raise FieldError("largest_operand", f"{rule}. Raise largest_operand or ask for fewer problems.")
        if self.hard is not None and held_out > hard:
            rule = f"{hard} of {made} problems are hard, evaluation and validation need {held_out}"
            raise FieldError("hard", f"{rule}. Lower a threshold or ask for fewer problems.")
        if self.hard is not None and self.training_prompts > easy:
            rule = f"{easy} of {made} problems are easy, training needs {self.training_prompts}"
            raise FieldError("hard", f"{rule}. Raise a threshold or ask for fewer prompts.")
        return self

    @property
    def problems(self) -> int:
        """How many different problems there are."""
        return _expressions(self.terms, self.largest_operand + 1, len(self.operations))

    @property
    def easy_problems(self) -> int:
        """How many of them reach no threshold; all where none is declared."""
        if self.hard is None:
            return self.problems
        limit = self.hard.from_terms
        terms = tuple(n for n in self.terms if limit is None or n < limit)
        operands = min(self.largest_operand + 1, self.hard.from_operand or self.largest_operand + 1)
        return _expressions(terms, operands, len(set(self.operations) - set(self.hard.operations or ())))

    @property
    def longest_answer(self) -> int:
        """Characters of the longest answer that some problem has at most."""
        n, most = self.largest_operand, max(self.terms)
        product = "*" in self.operations
        largest = n**most if product else n * most if "+" in self.operations else n
        least = (n ** (most - 1) if product else n * (most - 1)) if "-" in self.operations else 0
        return max(len(str(largest)), len(str(-least)))


def _expressions(terms: tuple[int, ...], operands: int, operations: int) -> int:
    return sum(operands**n * operations ** (n - 1) for n in terms)
