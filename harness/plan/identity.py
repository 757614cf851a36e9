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
        self._recipes: dict[tuple[Any, ...], tuple[dict[str, Any], str]] = {}
        self._adapters: dict[int, tuple[str, object]] = {}
        """Written adapters by the object's number, with the object, so that no other is given it."""
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
        said: dict[str, Any] = factors.model_dump(mode="json")
        tail, after = self._of_recipe(cell)
        return OfCell(
            slug=run_slug(base, factors),
            head={"schema": SCHEMA, "kind": "run", "base_id": base.id, "cell": said},
            tail=tail,
            before=f'{{"base_id":{canonical_json(base.id)},"cell":{self._cell(factors, said)},{self._between}"seed":',
            after=after,
        )

    def _of_recipe(self, cell: Cell) -> tuple[dict[str, Any], str]:
        """Return fields and text after the seed; cells that differ in their adapters alone share them."""
        key = (cell.algorithm, cell.learning_rate_scale, cell.batch, cell.match, cell.warmup_steps)
        if key not in self._recipes:
            task, trainer = task_of(cell, self._protocol), trainer_of(cell, self._protocol)
            asked = self._task if task is self._protocol.task else task.model_dump(mode="json")
            tail = {"task": asked, **self._tail, "trainer": trainer, **self._last}
            written = canonical_json({key: value for key, value in tail.items() if key > "seed"})
            self._recipes[key] = tail, f",{written[1:]}"
        return self._recipes[key]

    def _cell(self, cell: Cell, said: Mapping[str, Any]) -> str:
        """Return a cell as it is written, its adapter from before if there was the same object."""
        known = self._adapters.get(id(cell.adapter))
        if known is None:
            known = self._adapters[id(cell.adapter)] = (canonical_json(said["adapter"]), cell.adapter)
        rest = {key: value for key, value in said.items() if key != "adapter"}
        return f'{{"adapter":{known[0]},{canonical_json(rest)[1:]}'  # the first of its keys by the alphabet


def run_slug(base: "PlannedBase", cell: Cell) -> str:
    """Return the readable part of a run's id: the base's shape and the cell."""
    return f"{base.id.rsplit('-', 1)[0]}-{cell.slug()}"
