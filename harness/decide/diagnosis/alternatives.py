"""The worlds that a declaration is put to: the one its author believes in, and others that it should survive.

`declared` is `model` of the declaration. The others keep its cells and change what they give: `null` (all alike, no
collapse), `smooth` (the means fall evenly in log2 rank, collapses rise along a logistic), `bimodal` (every cell mixes
in collapses) and `pilot` (what protocol `tiny` gave). Worlds on the edges of predictions are in `edges`.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import groupby

import numpy as np

from harness.decide.diagnosis.worlds import ACCURACY, Behaviour, World
from harness.decide.sample import Landmarks
from harness.spec.arms import Given
from harness.spec.cell import Cell
from harness.spec.hypothesis import Hypothesis

MIXED_IN = 0.2
"""Share of the runs that collapses in `bimodal`, of those that would not have."""
STEEPNESS = 8.0
"""Of the logistic of `smooth`, over the whole range of log2 rank: from .02 to .98 of its rise."""
UNDECLARED_SD = 0.02
"""Spread between runs that is taken where no model is declared."""
PILOT = {
    "grpo": {8: 1.22, 16: 1.17, 32: 1.03, 64: 0.64, 128: 0.0, 256: 0.0},
    "sft": {8: 1.22, 128: 0.75},
}
"""Mean accuracy by rank as a share of the base's own, measured under protocol `tiny`."""


def declared(
    hypothesis: Hypothesis,
    landmarks: Landmarks,
    n_items: int,
    given: Given,
    healthy_gain: float,
    bounded: frozenset[str] = ACCURACY,
) -> World:
    """Return the world of the declaration's model; without a model, one in which every cell makes the healthy gain.

    Args:
        hypothesis: The declaration.
        landmarks: Those of a base with the model's accuracy.
        n_items: Problems behind an accuracy.
        given: What the protocol gives.
        healthy_gain: What the protocol's healthy arm gains over its base.
        bounded: Measures whose values are shares from 0 to 1; accuracy always is.
    """
    cells = dict.fromkeys(cell for p in hypothesis.predictions for cell in p.cells(given).values())
    model, base = hypothesis.model, landmarks.base or 0.0
    if model is None:
        healthy = Behaviour(min(base + healthy_gain, 1.0), UNDECLARED_SD)
        alike, spread = dict.fromkeys(cells, healthy), UNDECLARED_SD
        return World("healthy", alike, landmarks, n_items, given, bounded | ACCURACY, sd=spread)
    said = {
        arm.cell(given): Behaviour(expected.mean, model.sd if expected.sd is None else expected.sd, expected.collapse)
        for expected in model.expected
        for arm in expected.among.each()
    }
    # Of an association's arms a model may say nothing: there its slope is what matters.
    found = {cell: said.get(cell, Behaviour(base, model.sd)) for cell in cells}
    slope = model.slope or 0.0
    return World("declared", found, landmarks, n_items, given, bounded | ACCURACY, slope, model.sd)


def others(hypothesis: Hypothesis, world: World) -> tuple[World, ...]:
    """Return the worlds beside the declared one; `pilot` only where means are accuracies.

    Of an association only the slope matters, so there is but `null`.
    """
    if hypothesis.design.bases is not None:
        return (null(world),)
    found = [null(world), smooth(world), bimodal(world)]
    if all(0 <= behaves.mean <= 1 for behaves in world.cells.values()):
        found.append(pilot(world))
    return tuple(found)


def null(world: World) -> World:
    """Return the world in which every cell is like the first, without collapses, and no slope."""
    first = next(iter(world.cells.values()))
    alike = Behaviour(first.mean, first.sd)
    return replace(world, name="null", cells=dict.fromkeys(world.cells, alike), slope=0.0)


def smooth(world: World) -> World:
    """Return the world without a cliff: from the lowest to the highest rank, other factors equal, all change evenly."""
    cells = dict(world.cells)
    for _, group in groupby(sorted(cells, key=_other_factors), key=_other_factors):
        cells |= _evenly(sorted(group, key=_rank), world.cells)
    return replace(world, name="smooth", cells={cell: cells[cell] for cell in world.cells})


def bimodal(world: World) -> World:
    """Return the world in which, in every cell, a share of the runs that would not collapse does."""
    cells = {cell: replace(b, collapse=b.collapse + (1 - b.collapse) * MIXED_IN) for cell, b in world.cells.items()}
    return replace(world, name="bimodal", cells=cells)


def pilot(world: World) -> World:
    """Return the world that protocol `tiny` showed, between its ranks linear in log2 rank, whatever the scaling.

    It showed LoRA; cells of other methods stay as they are declared.
    """
    lora = {cell: cell.adapter.method == "lora" for cell in world.cells}
    cells = {cell: _as_measured(cell, b, world) if lora[cell] else b for cell, b in world.cells.items()}
    return replace(world, name="pilot", cells=cells)


def _as_measured(cell: Cell, behaves: Behaviour, world: World) -> Behaviour:
    measured = PILOT[cell.algorithm]
    at = [math.log2(rank) for rank in measured]
    share = float(np.interp(math.log2(_rank(cell)), at, list(measured.values())))
    return Behaviour(min(share * world.base, 1.0), behaves.sd, 0.0 if share else 1.0)


def _evenly(cells: Sequence[Cell], now: Mapping[Cell, Behaviour]) -> dict[Cell, Behaviour]:
    first, last = cells[0], cells[-1]
    low, high = math.log2(_rank(first)), math.log2(_rank(last))
    if low == high:
        return {cell: now[cell] for cell in cells}
    found: dict[Cell, Behaviour] = {}
    for cell in cells:
        way = (math.log2(_rank(cell)) - low) / (high - low)
        rise = 1 / (1 + math.exp(-STEEPNESS * (way - 0.5)))
        mean = now[first].mean + way * (now[last].mean - now[first].mean)
        collapse = now[first].collapse + rise * (now[last].collapse - now[first].collapse)
        found[cell] = Behaviour(mean, now[cell].sd, collapse)
    return found


def _rank(cell: Cell) -> int:
    return cell.rank or 1  # a method without a rank is alone in its group, where nothing goes by rank


def _other_factors(cell: Cell) -> str:
    if cell.rank is None:
        return cell.model_dump_json()
    return cell.model_copy(update={"adapter": cell.adapter.model_copy(update={"rank": 1})}).model_dump_json()
