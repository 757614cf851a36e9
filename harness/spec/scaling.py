"""How the multiplier of a low-rank update follows its rank: a factor in its own right.

Practice sets alpha = 2r, so the multiplier alpha / r stays 2 while the step grows with the rank; at constant alpha the
multiplier falls as 1/r; rank-stabilised LoRA (Kalajdzievski 2023, arXiv 2312.03732) divides by the square root of the
rank.
"""

from typing import Annotated, Literal

from pydantic import Field

from harness.spec.declared import Declared

PositiveFloat = Annotated[float, Field(gt=0)]


def exact(value: float) -> str:
    """Return the shortest text that reads back equal, whole numbers without a point: names must not merge values."""
    return repr(value).removesuffix(".0")


class Proportional(Declared):
    """alpha = factor x rank, so that the multiplier of BA is `factor` at every rank (PEFT practice: 2)."""

    policy: Literal["proportional"] = "proportional"
    factor: PositiveFloat = 2.0

    def in_words(self) -> str:
        """Return the policy as a recipe states it."""
        return f"alpha = {self.factor:g}r"


class Constant(Declared):
    """alpha the same at every rank: the multiplier of BA is alpha / rank."""

    policy: Literal["constant"]
    alpha: PositiveFloat

    def in_words(self) -> str:
        """Return the policy as a recipe states it."""
        return f"alpha = {self.alpha:g} at every rank"


class RankStabilised(Declared):
    """The multiplier of BA is alpha / sqrt(rank)."""

    policy: Literal["rank_stabilised"]
    alpha: PositiveFloat

    def in_words(self) -> str:
        """Return the policy as a recipe states it."""
        return f"rank-stabilised, alpha = {self.alpha:g}"


Scaling = Annotated[Proportional | Constant | RankStabilised, Field(discriminator="policy")]


def scaling_slug(scaling: Proportional | Constant | RankStabilised) -> list[str]:
    """Return the part of a cell's name that tells a policy from alpha = 2r; empty for that one."""
    if isinstance(scaling, Proportional):
        return [f"a{exact(scaling.factor)}r"] if scaling.factor != 2 else []
    return [("a" if isinstance(scaling, Constant) else "rs") + exact(scaling.alpha)]
