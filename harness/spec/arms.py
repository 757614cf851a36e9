"""Which runs a prediction looks at: one cell, or every combination of several levels of its factors.

An arm may also select the runs of its cell by what became of them (`where`); how many there are is then random, and
whoever compares such arms compares outcomes, not treatments.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise, product
from typing import Annotated, Any, Literal, TypeVar

from pydantic import AfterValidator, Field, model_validator

from harness.spec.adapter import AdapterSpec, Lora, Rank, resolved
from harness.spec.cell import Algorithm, Batch, Cell, CheckpointName, Match, WarmUp
from harness.spec.declared import Declared, FieldError, unset
from harness.spec.problem import shown
from harness.spec.scaling import PositiveFloat, Proportional, Scaling, exact

T = TypeVar("T")


def _some_and_different(values: tuple[T, ...]) -> tuple[T, ...]:
    if not values:
        raise ValueError("[] is an empty list, which names no run. Name at least one value.")
    if len(set(values)) != len(values):
        raise ValueError(f"{shown(values)} repeats a value. Name each once.")
    return values


def sorted_ranks(ranks: tuple[int, ...]) -> tuple[int, ...]:
    """Return `ranks`; raise ValueError where they do not strictly increase."""
    if any(low >= high for low, high in pairwise(ranks)):
        raise ValueError(f"{shown(ranks)} is not strictly increasing. Sort the ranks and name each once.")
    return ranks


# 64 values are more than any factor is tried at; without a bound, four short lists multiply into millions of cells.
Several = Annotated[tuple[T, ...], Field(max_length=64), AfterValidator(_some_and_different)]
SortedRanks = Annotated[tuple[Rank, ...], Field(min_length=1, max_length=64), AfterValidator(sorted_ranks)]
MOST_KNOWN = 1 << 17
"""Cells that are remembered."""
Label = Literal["collapsed", "degraded", "no gain", "trained"]
"""What may become of a run; `harness.record.verdict.RunLabel` says when."""


@dataclass(frozen=True, slots=True)
class Given:
    """What an arm takes from the protocol where it names nothing itself."""

    scaling: Scaling
    batch: int
    """Completions an update."""
    rates: Mapping[Cell, float] = field(default_factory=dict[Cell, float])
    """For cells that are tuned, as they are at the protocol's rate: the multiple of it that was chosen; else 1."""


class Arm(Declared):
    """One cell, named by the factors that a hypothesis may set; what is left out follows the protocol's recipe.

    `rank`, with `scaling` where it departs from the recipe, is LoRA; any other update is declared as `adapter`.
    `batch` is in completions an update; a larger one makes fewer updates of the same prompts, unless `match` says
    `updates`. `warmup_steps` is a linear warm-up before whatever schedule the protocol has. `checkpoint` starts from
    another checkpoint of the base, by the protocol's name for it; its runs are labelled relative to that one. An arm
    that is `tuned` has the learning rate that the design's tuning chooses for it.
    """

    algorithm: Algorithm = "grpo"
    rank: Rank | None = None
    scaling: Scaling | None = None
    adapter: AdapterSpec | None = None
    learning_rate_scale: PositiveFloat = 1.0
    batch: Annotated[Batch | None, Field(exclude_if=unset(None))] = None
    match: Annotated[Match, Field(exclude_if=unset("samples"))] = "samples"
    warmup_steps: Annotated[WarmUp, Field(exclude_if=unset(0))] = 0
    checkpoint: Annotated[CheckpointName | None, Field(exclude_if=unset(None))] = None
    tuned: Annotated[bool, Field(exclude_if=unset(False))] = False
    where: Label | None = None

    @model_validator(mode="after")
    def _one_update(self) -> "Arm":
        _one_of(self.rank is not None, self.adapter is not None, self.scaling is not None)
        _matched(self.match == "updates", self.batch is not None)
        _one_rate(self.tuned, self.learning_rate_scale != 1)
        return self

    def cell(self, given: Given) -> Cell:
        """Return the cell, with what the protocol has given where the arm names nothing itself."""
        spec = self.adapter if self.adapter is not None else _lora(self.rank or 1, self.scaling)
        other = self.batch if self.batch != given.batch else None
        kept = self.match if other is not None else "samples"
        factors = (self.algorithm, self.learning_rate_scale, other, kept, self.warmup_steps, self.checkpoint)
        shared = _resolved(spec, given.scaling)
        cell = _CELLS.get((id(shared), *factors)) or _cell(shared, *factors)
        return _given(cell, given, tuned=self.tuned)

    def in_words(self) -> str:
        """Return the arm as an estimate names it: `SFT r=128`, with the factors that differ from the recipe."""
        parts = [self.algorithm.upper(), self.adapter.in_words() if self.adapter else f"r={self.rank}"]
        parts += [self.scaling.in_words()] if self.scaling is not None else []
        parts += [f"lr x{self.learning_rate_scale:g}"] if self.learning_rate_scale != 1 else []
        parts += ["at its own best rate"] if self.tuned else []
        parts += [f"batch {self.batch}"] if self.batch is not None else []
        parts += ["at equal updates"] if self.match == "updates" else []
        parts += [f"warm-up {self.warmup_steps}"] if self.warmup_steps else []
        parts += [f"from {self.checkpoint}"] if self.checkpoint else []
        parts += [f"({self.where} runs)"] if self.where is not None else []
        return " ".join(parts)


class Arms(Declared):
    """Several cells: every combination of the values that each factor lists, of LoRA's ranks or of other adapters."""

    algorithm: Several[Algorithm] = ("grpo",)
    rank: SortedRanks | None = None
    scaling: Several[Scaling] | None = None
    adapter: Several[AdapterSpec] | None = None
    learning_rate_scale: Several[PositiveFloat] = (1.0,)
    batch: Annotated[Several[Batch] | None, Field(exclude_if=unset(None))] = None
    match: Annotated[Several[Match], Field(exclude_if=unset(("samples",)))] = ("samples",)
    warmup_steps: Annotated[Several[WarmUp], Field(exclude_if=unset((0,)))] = (0,)
    checkpoint: Annotated[Several[CheckpointName] | None, Field(exclude_if=unset(None))] = None
    tuned: Annotated[bool, Field(exclude_if=unset(False))] = False

    @model_validator(mode="after")
    def _one_update(self) -> "Arms":
        _one_of(self.rank is not None, self.adapter is not None, self.scaling is not None)
        _matched("updates" in self.match, self.batch is not None)
        _one_rate(self.tuned, self.learning_rate_scale != (1.0,))
        return self

    def size(self) -> int:
        """Return the number of cells."""
        return len(self.rank or self.adapter or ()) * math.prod(len(values) for values in self._others())

    def each(self) -> Iterator[Arm]:
        """Yield one arm for every combination, the rank varying fastest."""
        for algorithm, scaling, scale, batch, match, warmup, checkpoint in product(*self._others()):
            common: Any = {"algorithm": algorithm, "learning_rate_scale": scale, "batch": batch, "match": match}
            common |= {"warmup_steps": warmup, "checkpoint": checkpoint, "tuned": self.tuned}
            for rank in self.rank or ():
                yield Arm(rank=rank, scaling=scaling, **common)
            for adapter in self.adapter or ():
                yield Arm(adapter=adapter, **common)

    def _specs(self, scaling: Scaling | None) -> Sequence[AdapterSpec]:
        return self.adapter or [_lora(rank, scaling) for rank in self.rank or ()]

    def _others(self) -> tuple[tuple[Any, ...], ...]:
        """Return the levels of every factor but the update itself."""
        scaling, batch, checkpoint = self.scaling or (None,), self.batch or (None,), self.checkpoint or (None,)
        return self.algorithm, scaling, self.learning_rate_scale, batch, self.match, self.warmup_steps, checkpoint

    def cells(self, given: Given) -> tuple[Cell, ...]:
        """Return the cells of `each`; what is checked of an arm was checked of all of them together."""
        found: list[Cell] = []
        algorithms, scalings, *others = self._others()
        updates = [[_resolved(spec, given.scaling) for spec in self._specs(scaling)] for scaling in scalings]
        for algorithm, specs, scale, batch, match, *rest in product(algorithms, updates, *others):
            other = batch if batch != given.batch else None
            factors = (algorithm, scale, other, match if other is not None else "samples", *rest)
            found += [_CELLS.get((id(spec), *factors)) or _cell(spec, *factors) for spec in specs]
        return tuple(_given(cell, given, tuned=True) for cell in found) if self.tuned else tuple(found)

    def named(self) -> dict[str, Arm]:
        """Return one arm a cell, named by the factors of which several levels are listed."""
        return {self._name(arm): arm for arm in self.each()}

    def _name(self, arm: Arm) -> str:
        parts = [arm.algorithm] if len(self.algorithm) > 1 else []
        parts.append(arm.adapter.in_words() if arm.adapter else f"r={arm.rank}")
        if len(self.scaling or ()) > 1 and arm.scaling is not None:
            scaling = arm.scaling
            by = f"{exact(scaling.factor)}r" if isinstance(scaling, Proportional) else exact(scaling.alpha)
            parts.append(f"{arm.scaling.policy} {by}")
        parts += [f"lr x{exact(arm.learning_rate_scale)}"] if len(self.learning_rate_scale) > 1 else []
        parts += [f"batch {arm.batch}"] if len(self.batch or ()) > 1 else []
        parts += [f"equal {arm.match}"] if len(self.match) > 1 else []
        parts += [f"warm-up {arm.warmup_steps}"] if len(self.warmup_steps) > 1 else []
        parts += [f"from {arm.checkpoint}"] if len(self.checkpoint or ()) > 1 else []
        return " ".join(parts)


def _given(cell: Cell, given: Given, *, tuned: bool) -> Cell:
    """Return a cell at the rate that was tuned for it."""
    return cell.at_rate(given.rates.get(cell, 1.0)) if tuned else cell


# Many claims name the same cells, and hashing one takes microseconds. So equal adapters are one object, cells are known
# by their factors with the adapter by its object's number, and equal cells are one object. A cell keeps its adapter, so
# that the number is given to no other.
_SPECS: dict[Any, Any] = {}
_CELLS: dict[tuple[Any, ...], Cell] = {}


def _lora(rank: int, scaling: Scaling | None) -> Lora:
    """Return LoRA of a rank, one and the same object whoever asks."""
    key = (rank, scaling)
    if key not in _SPECS:
        _remember(_SPECS, key, Lora(rank=rank, scaling=scaling))
    return _SPECS[key]


def _resolved(adapter: AdapterSpec, scaling: Scaling) -> AdapterSpec:
    """Return an adapter with the protocol's scaling, one and the same object for all that are equal."""
    key = (adapter, scaling)
    if key not in _SPECS:
        _remember(_SPECS, key, resolved(adapter, scaling))
    return _SPECS[key]


def _remember(known: dict[Any, Any], key: Any, value: object) -> None:
    if len(known) >= MOST_KNOWN:
        known.clear()
    known[key] = value


def _cell(
    adapter: AdapterSpec,
    algorithm: Algorithm,
    scale: float,
    batch: int | None,
    match: Match,
    warmup: int,
    checkpoint: str | None,
) -> Cell:
    """Return the cell of these factors, which is known from now on."""
    cell = Cell(
        algorithm=algorithm,
        adapter=adapter,
        learning_rate_scale=scale,
        batch=batch,
        match=match,
        warmup_steps=warmup,
        checkpoint=checkpoint,
    )
    if cell.adapter is adapter:
        _remember(_CELLS, (id(adapter), algorithm, scale, batch, match, warmup, checkpoint), cell)
    return cell


def _one_of(rank: bool, adapter: bool, scaling: bool) -> None:
    """Raise FieldError unless an update is declared exactly once."""
    if not rank and not adapter:
        raise FieldError("rank", "missing, and so is adapter: nothing is trained. Add rank (LoRA's), or an adapter.")
    if rank and adapter:
        raise FieldError("adapter", "declared beside rank, which is LoRA's. Put the rank into the adapter.")
    if scaling and not rank:
        raise FieldError("scaling", "declared beside adapter, which has its own. Put it into the adapter.")


def _one_rate(tuned: bool, scaled: bool) -> None:
    """Raise FieldError where a rate is both chosen by tuning and declared."""
    if tuned and scaled:
        raise FieldError("learning_rate_scale", "declared beside tuned, which chooses it. Leave one of them out.")


def _matched(updates: bool, batch: bool) -> None:
    """Raise FieldError where updates are matched without another batch."""
    if updates and not batch:
        raise FieldError("match", "updates are matched against the protocol's batch. Declare another batch.")


def different(**arms: Arm) -> None:
    """Raise FieldError at the first arm that is the same as one before it, or holds the same runs."""
    seen: dict[str, Arm] = {}
    for name, arm in arms.items():
        for other, before in seen.items():
            if arm == before:
                raise FieldError(name, f"{other} and {name} are the same cell. Contrast two different ones.")
            if overlap(arm, before):
                rule = f"{other} and {name} are one cell, of which one selects runs that the other has too"
                raise FieldError(name, f"{rule}. Select in both, by different labels.")
        seen[name] = arm


def overlap(one: Arm, other: Arm) -> bool:
    """Return whether two arms of one cell share runs, because at most one of them selects by label."""
    alike = one.model_copy(update={"where": None}) == other.model_copy(update={"where": None})
    return alike and (one.where is None or other.where is None)
