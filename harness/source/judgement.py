"""What became of an answer, and its score."""

from dataclasses import dataclass
from enum import StrEnum


class Judgement(StrEnum):
    """What became of an answer; only a right one is correct."""

    RIGHT = "right"
    """The verifier takes it for the correct answer."""
    WRONG = "wrong"
    """It was read, and is another answer."""
    UNPARSABLE = "unparsable"
    """No answer could be read in it."""
    TRUNCATED = "truncated"
    """It was cut off before it ended, whatever it holds."""
    EXHAUSTED = "exhausted"
    """Reading or comparing it took more time or memory than an answer is given."""


@dataclass(frozen=True, slots=True)
class Judged:
    """A judgement with the score that the verifier gave, from 0 to 1."""

    judgement: Judgement
    score: float

    @property
    def correct(self) -> bool:
        """Whether the answer counts as correct."""
        return self.judgement is Judgement.RIGHT


TRUNCATED = Judged(Judgement.TRUNCATED, 0.0)
EXHAUSTED = Judged(Judgement.EXHAUSTED, 0.0)
