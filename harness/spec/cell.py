"""The cell of factors that a run belongs to: everything that a prediction compares, but the seed and the base."""

from typing import Annotated, Literal

from pydantic import Field

from harness.spec.adapter import AdapterSpec
from harness.spec.declared import Declared, unset
from harness.spec.scaling import PositiveFloat, exact

Algorithm = Literal["grpo", "sft"]
Batch = Annotated[int, Field(ge=2, le=65536)]
"""Completions an update; under SFT, as many examples as GRPO has prompts."""
Match = Literal["samples", "updates"]
WarmUp = Annotated[int, Field(ge=0, le=100_000)]
CheckpointName = Annotated[str, Field(pattern=r"^[a-z][a-z0-9-]{0,30}$")]


class Cell(Declared):
    """One setting of all factors except the seed and the base: what a prediction compares.

    Factors that follow the protocol are in no identity, so that cells are what they were before there were any.
    """

    algorithm: Algorithm = "grpo"
    adapter: AdapterSpec
    learning_rate_scale: PositiveFloat = 1.0
    batch: Annotated[Batch | None, Field(exclude_if=unset(None))] = None
    """Completions an update, where they are not the protocol's."""
    match: Annotated[Match, Field(exclude_if=unset("samples"))] = "samples"
    """What a larger batch leaves equal: the prompts that are seen, or the updates that are made."""
    warmup_steps: Annotated[WarmUp, Field(exclude_if=unset(0))] = 0
    checkpoint: Annotated[CheckpointName | None, Field(exclude_if=unset(None))] = None
    """The checkpoint of the base that runs start from, where it is not the base itself."""

    @property
    def rank(self) -> int | None:
        """The adapter's declared rank; None where its method has none."""
        return getattr(self.adapter, "rank", None)

    def at_rate(self, scale: float) -> "Cell":
        """Return the cell at a multiple of the protocol's learning rate."""
        return self.model_copy(update={"learning_rate_scale": scale})

    def slug(self) -> str:
        """Return a readable name, distinct for distinct cells."""
        parts = [self.algorithm, self.adapter.slug()]
        parts += [f"lrx{exact(self.learning_rate_scale)}"] if self.learning_rate_scale != 1 else []
        parts += [f"b{self.batch}{'u' if self.match == 'updates' else ''}"] if self.batch is not None else []
        parts += [f"w{self.warmup_steps}"] if self.warmup_steps else []
        parts += [f"from-{self.checkpoint}"] if self.checkpoint else []
        return "-".join(parts)
