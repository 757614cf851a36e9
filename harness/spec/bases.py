"""What runs start from: a base that is made on the spot from a recipe."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from harness.spec.declared import Declared, FieldError
from harness.spec.scaling import PositiveFloat

Count = Annotated[int, Field(ge=1)]


class Pretraining(Declared):
    """How a base is made on the spot: AdamW at a constant rate after a linear warm-up, loss on the answer tokens.

    With `until_accuracy`, training stops at the first look, every `look_every` steps, at which the sampled accuracy on
    the validation split reaches it, and fails if `steps` pass without: addition is learnt in a jump whose moment
    depends on the seed, so bases of equal steps are not of equal maturity.
    """

    steps: Count
    until_accuracy: Annotated[float, Field(gt=0, lt=1)] | None = None
    look_every: Count = 25
    batch_size: Count
    learning_rate: PositiveFloat
    warmup_steps: Annotated[int, Field(ge=0)] = 50
    weight_decay: Annotated[float, Field(ge=0)] = 0.01
    adam_beta2: Annotated[float, Field(gt=0, lt=1)] = 0.98
    seed: Annotated[int, Field(ge=0, lt=2**31)]

    def budget(self) -> str:
        """Return what the recipe lets a base train on, in words: bases of equal budget are compared with each other."""
        until = "" if self.until_accuracy is None else f", until {self.until_accuracy:g}"
        return f"{self.steps} x {self.batch_size}{until}"


class BaseRecipe(Declared):
    """A base model: an architecture of a shape, pre-trained deterministically from a seed."""

    architecture: Literal["llama", "qwen3", "olmo2"]
    hidden_size: Annotated[int, Field(ge=8, le=8192)]
    layers: Annotated[int, Field(ge=1, le=128)]
    heads: Annotated[int, Field(ge=1, le=128)]
    intermediate_size: Annotated[int, Field(ge=8, le=65536)]
    pretraining: Pretraining

    @model_validator(mode="after")
    def _heads_fit(self) -> "BaseRecipe":
        if self.hidden_size % (2 * self.heads):  # rotary positions turn pairs of a head's coordinates
            raise FieldError(
                "heads", f"{self.heads} heads do not divide a width of {self.hidden_size} into even parts. Change one."
            )
        return self
