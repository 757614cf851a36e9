"""What tasks have in common: how much is held out, and what fits a base that is made on the spot."""

from typing import Annotated

from pydantic import Field

CONTEXT = 64
"""Positions of a base that is made on the spot: a prompt with its answer, a beginning and an end fit into them."""
LONGEST_ANSWER = CONTEXT - 3
"""Characters of an answer that leave room for a prompt of one."""
RESERVED = ("<pad>", "<bos>", "<eos>", "<unk>")
"""Tokens that are no characters: padding, beginning, end, unknown."""

SplitSeed = Annotated[int, Field(ge=0)]
HeldOut = Annotated[int, Field(ge=500)]
TrainingPrompts = Annotated[int, Field(ge=1)]
