"""What is compared: an adapter with its scaling policy, and the cell of factors that a run belongs to.

The scaling policy is a factor in its own right. Practice sets alpha = 2r, so the multiplier alpha / r stays 2 while
the step grows with the rank; at constant alpha the multiplier falls as 1/r; rank-stabilised LoRA (Kalajdzievski 2023,
arXiv 2312.03732) divides by the square root of the rank.
"""

from typing import Annotated, Literal

from pydantic import Field

from harness.spec.declared import Declared

Algorithm = Literal["grpo", "sft"]
Rank = Annotated[int, Field(ge=1, le=65536)]
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


class AdapterSpec(Declared):
    """A trainable update of the frozen base: for now LoRA (Hu et al. 2021) of a rank, under a scaling policy."""

    method: Literal["lora"] = "lora"
    rank: Rank
    scaling: Scaling

    def alpha(self) -> float:
        """Return the numerator of the multiplier, PEFT's `lora_alpha`."""
        return self.scaling.factor * self.rank if isinstance(self.scaling, Proportional) else self.scaling.alpha

    def multiplier(self) -> float:
        """Return the nominal multiplier of BA."""
        return self.alpha() / (self.rank**0.5 if isinstance(self.scaling, RankStabilised) else self.rank)


class Cell(Declared):
    """One setting of all factors except the seed and the base: what a prediction compares."""

    algorithm: Algorithm = "grpo"
    adapter: AdapterSpec
    learning_rate_scale: PositiveFloat = 1.0

    def slug(self) -> str:
        """Return a readable name, distinct for distinct cells."""
        parts = [self.algorithm, self.adapter.method, f"r{self.adapter.rank}"]
        scaling = self.adapter.scaling
        if isinstance(scaling, Proportional):
            parts += [f"a{exact(scaling.factor)}r"] if scaling.factor != 2 else []
        else:
            parts.append(("a" if isinstance(scaling, Constant) else "rs") + exact(scaling.alpha))
        parts += [f"lrx{exact(self.learning_rate_scale)}"] if self.learning_rate_scale != 1 else []
        return "-".join(parts)
