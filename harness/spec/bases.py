"""What runs start from: a base that is made on the spot from a recipe, or one that exists on the Hub or in a folder."""

from typing import Annotated, Any, Literal

from pydantic import Discriminator, Field, Tag, model_validator

from harness.spec.cell import CheckpointName
from harness.spec.declared import Declared, FieldError, unset
from harness.spec.found import HubBase, Shape
from harness.spec.problem import mapping
from harness.spec.scaling import PositiveFloat

__all__ = ["Base", "BaseRecipe", "Checkpoint", "Count", "HubBase", "Pretraining", "Shape"]

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


class Checkpoint(Declared):
    """Another point of a base's pre-training: the fields in which it departs from the base's own.

    It is pre-trained for just its `steps`, unless it names an accuracy too. One that is a `replicate` is an independent
    base of its family, with a seed of its own: claims that combine bases take all of a family's.
    """

    steps: Count
    until_accuracy: Annotated[float, Field(gt=0, lt=1)] | None = None
    seed: Annotated[int, Field(ge=0, lt=2**31)] | None = None
    replicate: bool = False


class BaseRecipe(Declared):
    """A base model: an architecture of a shape, pre-trained deterministically from a seed.

    `checkpoints` names other points of its pre-training, or of one from another seed: `llama@cold` is the checkpoint
    `cold` of the base `llama`.
    """

    architecture: Literal["llama", "qwen3", "olmo2"]
    hidden_size: Annotated[int, Field(ge=8, le=8192)]
    layers: Annotated[int, Field(ge=1, le=128)]
    heads: Annotated[int, Field(ge=1, le=128)]
    intermediate_size: Annotated[int, Field(ge=8, le=65536)]
    pretraining: Pretraining
    checkpoints: Annotated[
        dict[CheckpointName, Checkpoint], Field(max_length=256, default_factory=dict, exclude_if=unset({}))
    ]

    @property
    def family(self) -> str:
        """What bases of one kind share: their architecture."""
        return self.architecture

    def at(self, checkpoint: str) -> "BaseRecipe":
        """Return the recipe of one of the checkpoints; raise KeyError where there is none of this name."""
        point = self.checkpoints[checkpoint]
        seed = self.pretraining.seed if point.seed is None else point.seed
        changed = {"steps": point.steps, "until_accuracy": point.until_accuracy, "seed": seed}
        pretraining = self.pretraining.model_copy(update=changed)
        return self.model_copy(update={"pretraining": pretraining, "checkpoints": {}})

    @model_validator(mode="after")
    def _heads_fit(self) -> "BaseRecipe":
        if self.hidden_size % (2 * self.heads):  # rotary positions turn pairs of a head's coordinates
            raise FieldError(
                "heads", f"{self.heads} heads do not divide a width of {self.hidden_size} into even parts. Change one."
            )
        return self

    def matrices(self) -> tuple[tuple[int, int], ...]:
        """Return (rows, columns) of the linear layers of a block, each shape once."""
        h, f = self.hidden_size, self.intermediate_size
        return ((h, h), (f, h), (h, f))

    def slug(self) -> str:
        """Return the readable part of an id."""
        return f"{self.architecture}{self.hidden_size}"

    def budget(self) -> str:
        """Return what the base is trained on, in words."""
        return self.pretraining.budget()

    def in_words(self) -> str:
        """Return the base as a card names it."""
        return f"base of pre-training seed {self.pretraining.seed}"


def _where(said: Any) -> str:
    """Return which kind of base is declared: one that exists names where."""
    if isinstance(said, HubBase):
        return "found"
    return "found" if {"hub", "folder", "revision"} & mapping(said).keys() else "made"


Base = Annotated[Annotated[BaseRecipe, Tag("made")] | Annotated[HubBase, Tag("found")], Discriminator(_where)]
