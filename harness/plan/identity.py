"""Identities of many runs at once: what they share is made and written once, and only the seed is filled in.

A run's id is the hash of the canonical JSON of its identity. Of 100,000 runs under one protocol that text differs in
the seed alone within a cell, and between cells in the cell and the trainer's fields; so a cell's text is written once
with a gap where the seed goes, and a seed is derived once for all cells. The ids are to the letter those of hashing
every identity by itself.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from harness.plan.recipe import task_of, trainer_of
from harness.source import derived_seed, evaluation_hash
from harness.spec import Cell, Protocol
from harness.spec.canonical import canonical_json

if TYPE_CHECKING:
    from harness.plan.runset import PlannedBase

SCHEMA = 1
"""Version of the identity fields; a change of their meaning, not an addition with the old behaviour as default."""
DIGITS = 12
"""Of the hash of its identity in a run's id."""


@dataclass(frozen=True, slots=True)
class OfCell:
    """The identity of runs of one cell on one base, with a gap for the seed."""

    slug: str
    head: Mapping[str, Any]
    """Fields before the seed, in the order in which they are recorded."""
    tail: Mapping[str, Any]
    before: str
    """The canonical JSON up to the seed."""
    after: str

    def at(self, seed: int) -> tuple[str, dict[str, Any]]:
        """Return id and identity of the run with this seed."""
        text = f"{self.before}{seed}{self.after}"
        known = hashlib.sha256(text.encode()).hexdigest()[:DIGITS]
        return f"{self.slug}-{known}", {**self.head, "seed": seed, **self.tail}


class Identities:
    """The identities of runs under one protocol; `validate_at` lists updates after which they are validated."""

    def __init__(self, protocol: Protocol, validate_at: tuple[int, ...] = ()):
        self._protocol = protocol
        self._evaluation_set = evaluation_hash(protocol.task)
        self._training = protocol.model_dump(mode="json", include={"task", "recipe", "grpo", "sft", "evaluation"})
        self._task: dict[str, Any] = protocol.task.model_dump(mode="json")
        self._tail: dict[str, Any] = {
            "evaluation_set": self._evaluation_set,
            "evaluation": protocol.evaluation.model_dump(mode="json"),
            "recipe": protocol.recipe.model_dump(mode="json"),
        }
        self._last: dict[str, Any] = {"validate_at": list(validate_at)}
        if protocol.spectra_at:
            self._last["spectra_at"] = list(protocol.spectra_at)
        between = {"kind": "run", "schema": SCHEMA, **self._tail}
        assert all("cell" < key < "seed" for key in between), "the parts of the text are in the order of the keys"
        self._between = f"{canonical_json(between)[1:-1]},"
        self._rests: dict[tuple[Any, ...], _Rest] = {}
        self._adapters: dict[int, _Written] = {}
        """By the object's number."""
        self._bases: dict[str, tuple[str, str]] = {}
        """Readable part and canonical JSON of the ids of bases."""
        self._seeds: dict[tuple[str, int, str], int] = {}

    def seed(self, base_id: str, index: int, block: str) -> int:
        """Return derived seed number `index` of a block, which the runs of all cells on a base share."""
        key = (base_id, index, block)
        if key not in self._seeds:
            self._seeds[key] = derived_seed(self._training, self._evaluation_set, base_id, index, block)
        return self._seeds[key]

    def of(self, base: "PlannedBase", cell: Cell) -> OfCell:
        """Return what identifies runs of a cell on a base, but for their seed."""
        factors = cell.model_copy(update={"checkpoint": None}) if cell.checkpoint else cell  # the base's id says which
        rest, adapter = self._of_rest(factors), self._of_adapter(factors)
        cell_text = f'{{"adapter":{adapter.text},{rest.text}'  # the first of its keys by the alphabet
        return OfCell(
            slug=f"{self._prefix(base)}-{cell.algorithm}-{adapter.slug}{rest.slug}",
            head={
                "schema": SCHEMA,
                "kind": "run",
                "base_id": base.id,
                "cell": {**rest.fields, "adapter": adapter.fields},
            },
            tail=rest.tail,
            before=f'{{"base_id":{self._bases[base.id][1]},"cell":{cell_text},{self._between}"seed":',
            after=rest.after,
        )

    def _prefix(self, base: "PlannedBase") -> str:
        if base.id not in self._bases:
            self._bases[base.id] = shape_slug(base), canonical_json(base.id)
        return self._bases[base.id][0]

    def _of_rest(self, cell: Cell) -> "_Rest":
        """Return what follows from all of a cell but its adapter, which many cells share."""
        key = (cell.algorithm, cell.learning_rate_scale, cell.batch, cell.match, cell.warmup_steps)
        if key not in self._rests:
            task, trainer = task_of(cell, self._protocol), trainer_of(cell, self._protocol)
            asked = self._task if task is self._protocol.task else task.model_dump(mode="json")
            tail = {"task": asked, **self._tail, "trainer": trainer, **self._last}
            after = canonical_json({key: value for key, value in tail.items() if key > "seed"})
            fields = {**cell.model_dump(mode="json"), "adapter": None}  # which keeps its place among the fields
            text = canonical_json({key: value for key, value in fields.items() if key != "adapter"})[1:]
            slug = cell.slug().removeprefix(f"{cell.algorithm}-{cell.adapter.slug()}")
            self._rests[key] = _Rest(fields, text, slug, tail, f",{after[1:]}")
        return self._rests[key]

    def _of_adapter(self, cell: Cell) -> "_Written":
        """Return an adapter as it is written, from before if there was the same object."""
        known = self._adapters.get(id(cell.adapter))
        if known is None:
            fields = cell.adapter.model_dump(mode="json")
            known = _Written(fields, canonical_json(fields), cell.adapter.slug(), cell.adapter)
            self._adapters[id(cell.adapter)] = known
        return known


@dataclass(frozen=True, slots=True)
class _Written:
    """An adapter as identities have it."""

    fields: dict[str, Any]
    text: str
    slug: str
    adapter: object
    """Kept, so that no other object is given its number."""


@dataclass(frozen=True, slots=True)
class _Rest:
    """What cells have in common that differ in their adapters alone."""

    fields: dict[str, Any]
    """All of the cell, with None in the place of the adapter."""
    text: str
    """The canonical JSON of the cell after its adapter."""
    slug: str
    """What of the cell's name follows the adapter's."""
    tail: dict[str, Any]
    after: str


def shape_slug(base: "PlannedBase") -> str:
    """Return the readable part of a base's id."""
    return base.id.rsplit("-", 1)[0]


def run_slug(base: "PlannedBase", cell: Cell) -> str:
    """Return the readable part of a run's id: the base's shape and the cell."""
    return f"{shape_slug(base)}-{cell.slug()}"
