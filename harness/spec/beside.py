"""What a claim is shown beside: its rivals, and results that others have reported. Neither decides anything."""

from typing import Annotated

from pydantic import Field, model_validator

from harness.spec.arms import Arm
from harness.spec.declared import Declared, FieldError


class Rival(Declared):
    """Another hypothesis that would give the same observation; it is tested with the claim.

    `explains` names what it holds to be the cause, as a phrase: `the size of the first step`.
    """

    hypothesis: Annotated[str, Field(pattern=r"^[a-z][a-z0-9_.-]{0,62}$")]
    explains: Annotated[str, Field(min_length=3, max_length=120)]


class Reported(Declared):
    """A result of others, shown beside what is measured here and never part of a test.

    `setting` says what was run, `value` is a share from 0 to 1 (or `result` says it in words), `arm` is the cell here
    whose measured mean stands beside it.
    """

    setting: Annotated[str, Field(min_length=3, max_length=300)]
    value: Annotated[float, Field(ge=0, le=1)] | None = None
    spread: Annotated[float, Field(ge=0, le=1)] | None = None
    """Standard deviation or error, as the source gives it."""
    result: Annotated[str, Field(min_length=3, max_length=300)] | None = None
    source: Annotated[str, Field(min_length=3, max_length=300)]
    arm: Arm | None = None

    @model_validator(mode="after")
    def _says_something(self) -> "Reported":
        if (self.value is None) == (self.result is None):
            raise FieldError("value", "neither or both of value and result are said. Say one of them.")
        if self.spread is not None and self.value is None:
            raise FieldError("spread", "is the spread of no value. Say the value, or leave it out.")
        return self
