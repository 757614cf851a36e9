"""The smallest set of runs that can decide the hypotheses asked for: each run once, with the reasons for it.

A run's identity holds what is meant to change its result; executors, paths, threads and library versions do not
belong to it. Two hypotheses share a run if they need the same cell with the same seed: equal block, equal index.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from harness.plan.recipe import task_of, trainer_of
from harness.source import base_identity, derived_seed, items_hash, splits
from harness.source.seeds import CONFIRM
from harness.spec import BaseRecipe, Cell, Hypothesis, Protocol
from harness.spec.canonical import digest

SCHEMA = 1
"""Version of the identity fields; a change of their meaning, not an addition with the old behaviour as default."""


@dataclass(frozen=True, slots=True)
class PlannedBase:
    """A base that runs start from, under the protocol's name for it."""

    id: str
    name: str
    identity: dict[str, Any]


@dataclass(frozen=True, slots=True)
class PlannedRun:
    """A cell with a seed on a base."""

    id: str
    base: PlannedBase
    cell: Cell
    block: str
    """The block that its seed is derived in."""
    index: int
    """Which of the block's derived seeds, from 0."""
    identity: dict[str, Any]
    needed_by: tuple[str, ...]
    """`hypothesis/prediction` of everything that asks for this run."""


@dataclass(frozen=True, slots=True)
class RunSet:
    """Bases first, then runs; no id twice."""

    bases: tuple[PlannedBase, ...]
    runs: tuple[PlannedRun, ...]


def plan(
    hypotheses: Mapping[str, Hypothesis],
    protocol: Protocol,
    bases: Sequence[str],
    *,
    blocks: Mapping[str, str] | None = None,
    seeds: Mapping[tuple[str, str], int] | None = None,
) -> RunSet:
    """Return the union of the runs that `hypotheses` (by name) need on `bases` (names in the protocol).

    `blocks` gives hypotheses their seed blocks (default: confirm). `seeds` says how many seeds are wanted now for a
    hypothesis's prediction, by name and id (default: all that the hypothesis declares). Runs are ordered by seed, then
    by cell, so that every cell has the same number of runs at any moment.
    """
    planned = [planned_base(name, protocol) for name in bases]
    wanted: dict[tuple[Cell, str, int], list[str]] = {}
    for name, hypothesis in hypotheses.items():
        block = (blocks or {}).get(name, CONFIRM)
        for prediction in hypothesis.predictions:
            count = (seeds or {}).get((name, prediction.id), hypothesis.design.seeds)
            for cell in dict.fromkeys(prediction.cells(protocol.given).values()):
                for index in range(count):
                    wanted.setdefault((cell, block, index), []).append(f"{name}/{prediction.id}")
    runs = [
        replace(planned_run(base, cell, index, protocol, space=block), needed_by=tuple(reasons))
        for base in planned
        for (cell, block, index), reasons in sorted(wanted.items(), key=lambda item: item[0][2])
    ]
    return RunSet(tuple(planned), tuple(runs))


def planned_base(name: str, protocol: Protocol) -> PlannedBase:
    """Return the base that the protocol calls `name`."""
    recipe = protocol.bases[name]
    identity = base_identity(recipe, protocol.task, protocol.evaluation)
    return PlannedBase(f"{_shape(recipe)}-{digest(identity)[:12]}", name, identity)


def planned_run(
    base: PlannedBase,
    cell: Cell,
    index: int,
    protocol: Protocol,
    *,
    space: str = CONFIRM,
    validate_at: tuple[int, ...] = (),
) -> PlannedRun:
    """Return the run of `cell` with derived seed number `index` of the block `space` on `base`.

    `validate_at` lists updates after which the policy is also scored on the validation split (pilots do).
    """
    evaluation_set = items_hash(splits(protocol.task).evaluation)
    identity: dict[str, Any] = {
        "schema": SCHEMA,
        "kind": "run",
        "base_id": base.id,
        "cell": cell.model_dump(mode="json"),
        "seed": derived_seed(_training_content(protocol), evaluation_set, base.id, index, space),
        "task": task_of(cell, protocol).model_dump(mode="json"),
        "evaluation_set": evaluation_set,
        "evaluation": protocol.evaluation.model_dump(mode="json"),
        "recipe": protocol.recipe.model_dump(mode="json"),
        "trainer": trainer_of(cell, protocol),
        "validate_at": list(validate_at),
    }
    if protocol.spectra_at:
        identity["spectra_at"] = list(protocol.spectra_at)
    slug = f"{run_slug(base, cell)}-{digest(identity)[:12]}"
    return PlannedRun(slug, base, cell, space, index, identity, ())


def run_slug(base: PlannedBase, cell: Cell) -> str:
    """Return the readable part of a run's id: the base's shape and the cell."""
    return f"{base.id.rsplit('-', 1)[0]}-{cell.slug()}"


def registration_hash(hypothesis: Hypothesis, protocol: Protocol) -> str:
    """Return the SHA-256 over declaration, protocol and evaluation set: what a registration freezes."""
    parts = [hypothesis.model_dump(mode="json"), protocol.model_dump(mode="json")]
    return digest([*parts, items_hash(splits(protocol.task).evaluation)])


def _training_content(protocol: Protocol) -> dict[str, Any]:
    return protocol.model_dump(mode="json", include={"task", "recipe", "grpo", "sft", "evaluation"})


def _shape(recipe: BaseRecipe) -> str:
    return f"{recipe.architecture}{recipe.hidden_size}"
