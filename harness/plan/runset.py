"""The smallest set of runs that can decide the hypotheses asked for: each run once, with the reasons for it.

A run's identity holds what is meant to change its result; executors, paths, threads and library versions do not
belong to it. Two hypotheses share a run if they need the same cell with the same seed: equal block, equal index.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product
from typing import Any

from harness.plan.recipe import task_of, trainer_of, updates_of
from harness.source import base_identity, derived_seed, evaluation_hash
from harness.source.seeds import CONFIRM, TUNE
from harness.spec import Cell, Given, HubBase, Hypothesis, Protocol
from harness.spec.canonical import digest
from harness.spec.protocol import AT

SCHEMA = 1
"""Version of the identity fields; a change of their meaning, not an addition with the old behaviour as default."""


@dataclass(frozen=True, slots=True)
class PlannedBase:
    """A base that runs start from, under the protocol's name for it."""

    id: str
    name: str
    identity: dict[str, Any]
    provisional: bool = False
    """Whether its revision is not resolved to a commit yet, so that ids will change."""


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

    @property
    def subject(self) -> str:
        """The name of the base that a verdict on this run is about; a checkpoint that its cell names belongs to it."""
        return self.base.name.partition(AT)[0] if self.cell.checkpoint else self.base.name


@dataclass(frozen=True, slots=True)
class RunSet:
    """Bases first, those of checkpoints that cells name after the others; then runs; no id twice."""

    bases: tuple[PlannedBase, ...]
    runs: tuple[PlannedRun, ...]


def plan(
    hypotheses: Mapping[str, Hypothesis],
    protocol: Protocol,
    bases: Sequence[str] | None,
    *,
    blocks: Mapping[str, str] | None = None,
    seeds: Mapping[tuple[str, str], int] | None = None,
    given: Given | None = None,
) -> RunSet:
    """Return the union of the runs that `hypotheses` (by name) need on `bases`, or on the protocol's choice of them.

    `blocks` gives hypotheses their seed blocks (default: confirm). `seeds` says how many seeds are wanted now for a
    hypothesis's prediction, by name and id (default: all that the hypothesis declares). `given` is what arms take from
    the protocol, the rates that a tuning has chosen among it (default: none has). Runs are ordered by seed, then by
    cell, so that every cell has the same number of runs at any moment.
    """
    given = given or protocol.given
    wanted: dict[str, dict[tuple[Cell, str, int], list[str]]] = {}
    for name, hypothesis in hypotheses.items():
        block = (blocks or {}).get(name, CONFIRM)
        for base in bases_of(hypothesis, protocol, bases):
            on_base = wanted.setdefault(base, {})
            for prediction in hypothesis.predictions:
                count = (seeds or {}).get((name, prediction.id), hypothesis.design.seeds)
                for cell in dict.fromkeys(prediction.cells(given).values()):
                    for index in range(count):
                        on_base.setdefault((cell, block, index), []).append(f"{name}/{prediction.id}")
    planned = {name: planned_base(name, protocol) for name in wanted}
    starts = {(name, cell.checkpoint): start_of(name, cell) for name, on in wanted.items() for cell, _, _ in on}
    planned |= {name: planned_base(name, protocol) for name in starts.values() if name not in planned}
    runs: list[PlannedRun] = []
    for base, on_base in wanted.items():
        for (cell, block, index), reasons in sorted(on_base.items(), key=lambda item: item[0][2]):
            run = planned_run(planned[starts[base, cell.checkpoint]], cell, index, protocol, space=block)
            runs.append(replace(run, needed_by=tuple(reasons)))
    return RunSet(tuple(planned.values()), tuple(runs))


def tuning(name: str, hypothesis: Hypothesis, protocol: Protocol, base: str) -> RunSet:
    """Return the runs by which the rates of the tuned arms of a hypothesis are chosen on `base`; none without one."""
    bases, runs = {base: planned_base(base, protocol)}, list[PlannedRun]()
    if (how := hypothesis.design.tuning) is None:
        return RunSet((), ())
    for cell in hypothesis.tuned(protocol.given):
        start, last = start_of(base, cell), (updates_of(cell, protocol),)
        bases.setdefault(start, planned_base(start, protocol))
        for index, scale in product(range(how.seeds), how.learning_rate_scales):
            run = planned_run(bases[start], cell.at_rate(scale), index, protocol, space=TUNE, validate_at=last)
            runs.append(replace(run, needed_by=(f"{name}/tuning",)))
    return RunSet(tuple(bases.values()), tuple(sorted(runs, key=lambda run: run.index)))


def union(parts: Sequence[RunSet]) -> RunSet:
    """Return the bases and runs of several sets, each once with all its reasons, ordered by seed."""
    bases = {base.id: base for part in parts for base in part.bases}
    runs: dict[str, PlannedRun] = {}
    for run in (run for part in parts for run in part.runs):
        before = runs[run.id].needed_by if run.id in runs else ()
        runs[run.id] = replace(run, needed_by=tuple(dict.fromkeys((*before, *run.needed_by))))
    return RunSet(tuple(bases.values()), tuple(sorted(runs.values(), key=lambda run: run.index)))


def bases_of(hypothesis: Hypothesis, protocol: Protocol, bases: Sequence[str] | None) -> tuple[str, ...]:
    """Return the bases that a hypothesis takes where `bases` are asked for: their replicates, if it combines bases.

    None asks for the protocol's own choice.
    """
    asked = own_bases(hypothesis, protocol) if bases is None else tuple(bases)
    if hypothesis.design.bases is None:
        return asked
    return tuple(dict.fromkeys(replicate for name in asked for replicate in protocol.replicates(name)))


def own_bases(hypothesis: Hypothesis, protocol: Protocol) -> tuple[str, ...]:
    """Return the protocol's choice of bases: its default ones, or every family with replicates, to combine."""
    families = tuple(name for name in protocol.bases if protocol.replicates(name) != (name,))
    return protocol.default_bases if hypothesis.design.bases is None else families or protocol.default_bases


def start_of(base: str, cell: Cell) -> str:
    """Return the name of what runs of `cell` start from, where a hypothesis is tested on `base`."""
    return f"{base}{AT}{cell.checkpoint}" if cell.checkpoint else base


def planned_base(name: str, protocol: Protocol) -> PlannedBase:
    """Return the base, or the checkpoint of one, that the protocol calls `name`."""
    base = protocol.base(name)
    identity = base_identity(base, protocol.task, protocol.evaluation, protocol.recipe.dtype)
    provisional = isinstance(base, HubBase) and base.pin is None
    return PlannedBase(f"{base.slug()}-{digest(identity)[:12]}", name, identity, provisional)


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
    evaluation_set = evaluation_hash(protocol.task)
    factors = cell.model_copy(update={"checkpoint": None})  # the base's id says from which one
    identity: dict[str, Any] = {
        "schema": SCHEMA,
        "kind": "run",
        "base_id": base.id,
        "cell": factors.model_dump(mode="json"),
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
    slug = f"{run_slug(base, factors)}-{digest(identity)[:12]}"
    return PlannedRun(slug, base, cell, space, index, identity, ())


def run_slug(base: PlannedBase, cell: Cell) -> str:
    """Return the readable part of a run's id: the base's shape and the cell."""
    return f"{base.id.rsplit('-', 1)[0]}-{cell.slug()}"


def registration_hash(hypothesis: Hypothesis, protocol: Protocol) -> str:
    """Return the SHA-256 over declaration, protocol and evaluation set: what a registration freezes."""
    parts = [hypothesis.model_dump(mode="json"), protocol.registered()]
    return digest([*parts, evaluation_hash(protocol.task)])


def _training_content(protocol: Protocol) -> dict[str, Any]:
    return protocol.model_dump(mode="json", include={"task", "recipe", "grpo", "sft", "evaluation"})
