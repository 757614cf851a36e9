"""The smallest set of runs that can decide the hypotheses asked for: each run once, with the reasons for it.

A run's identity holds what is meant to change its result; executors, paths, threads and library versions do not
belong to it. Two hypotheses share a run if they need the same cell with the same seed: equal block, equal index.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product
from operator import itemgetter
from typing import Any

from harness.plan.identity import Identities
from harness.plan.recipe import updates_of
from harness.source import base_identity, evaluation_hash
from harness.source.seeds import CONFIRM, TUNE
from harness.spec import Cell, Given, HubBase, Hypothesis, Protocol
from harness.spec.canonical import digest
from harness.spec.protocol import AT


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
    wanted: dict[str, _Wanted] = {}
    for name, hypothesis in hypotheses.items():
        block = (blocks or {}).get(name, CONFIRM)
        for base in bases_of(hypothesis, protocol, bases):
            on_base = wanted.setdefault(base, _Wanted())
            for prediction in hypothesis.predictions:
                count = (seeds or {}).get((name, prediction.id), hypothesis.design.seeds)
                on_base.add(f"{name}/{prediction.id}", prediction.unnamed_cells(given), block, count)
    planned = {name: planned_base(name, protocol) for name in wanted}
    starts = {(name, cell.checkpoint): start_of(name, cell) for name, on in wanted.items() for cell in on.cells()}
    planned |= {name: planned_base(name, protocol) for name in starts.values() if name not in planned}
    identities, runs = Identities(protocol), list[PlannedRun]()
    for base, on_base in wanted.items():
        by_point = {point: planned[start] for (name, point), start in starts.items() if name == base}
        runs += on_base.runs(by_point, identities)
    return RunSet(tuple(planned.values()), tuple(runs))


@dataclass(slots=True)
class _Slot:
    """The runs of one cell in one seed block on a base."""

    cell: Cell
    block: str
    asked: list[tuple[str, int, int]]
    """Who asks for it, for how many seeds, and the how-manieth question this was."""

    def entries(self) -> Iterator[tuple[int, int, tuple[str, ...]]]:
        """Yield, for every seed, its number, the question that asked for it first, and all who ask for it."""
        everybody = tuple([reason for reason, _, _ in self.asked])
        fewest = min([count for _, count, _ in self.asked])
        there = 0
        for _, count, question in self.asked:
            for index in range(there, count):
                yield index, question, everybody if index < fewest else self._who(index)
            there = max(there, count)

    def _who(self, index: int) -> tuple[str, ...]:
        return tuple(reason for reason, count, _ in self.asked if count > index)


class _Wanted:
    """What is asked for on one base. A cell is hashed once; the same object is then known by its number."""

    def __init__(self):
        self._slots: dict[tuple[Cell, str], _Slot] = {}
        self._known: dict[str, dict[int, _Slot]] = {}
        self._alive: list[Cell] = []
        """The cells that are known by their number, which would otherwise be given to others."""
        self._questions = 0

    def add(self, reason: str, cells: Sequence[Cell], block: str, count: int) -> None:
        """Ask for the first `count` seeds of cells."""
        known = self._known.setdefault(block, {})
        for question, cell in enumerate(cells, self._questions):
            if (slot := known.get(id(cell))) is None:
                slot = self._slots.setdefault((cell, block), _Slot(cell, block, []))
                known[id(cell)] = slot
                self._alive.append(cell)
            if not slot.asked or slot.asked[-1][0] is not reason:  # else factors have come to a cell once more
                slot.asked.append((reason, count, question))
        self._questions += len(cells)

    def cells(self) -> Iterator[Cell]:
        """Yield the cells that some run is asked of, in the order in which they were first."""
        return (slot.cell for slot in self._slots.values() if any(count > 0 for _, count, _ in slot.asked))

    def runs(self, by_point: Mapping[str | None, PlannedBase], identities: Identities) -> list[PlannedRun]:
        """Return the runs, ordered by seed and then as they were first asked for."""
        listed: list[tuple[int, int, PlannedRun]] = []
        for slot in self._slots.values():
            if (base := by_point.get(slot.cell.checkpoint)) is None:
                continue  # nothing but zero seeds was asked for
            made = identities.of(base, slot.cell)
            for index, question, reasons in slot.entries():
                run_id, identity = made.at(identities.seed(base.id, index, slot.block))
                run = PlannedRun(run_id, base, slot.cell, slot.block, index, identity, reasons)
                listed.append((index, question, run))
        return [run for _, _, run in sorted(listed, key=itemgetter(0, 1))]


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
    identities = Identities(protocol, validate_at)
    run_id, identity = identities.of(base, cell).at(identities.seed(base.id, index, space))
    return PlannedRun(run_id, base, cell, space, index, identity, ())


def registration_hash(hypothesis: Hypothesis, protocol: Protocol) -> str:
    """Return the SHA-256 over declaration, protocol and evaluation set: what a registration freezes."""
    parts = [hypothesis.model_dump(mode="json"), protocol.registered()]
    return digest([*parts, evaluation_hash(protocol.task)])
