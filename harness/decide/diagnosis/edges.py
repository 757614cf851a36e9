"""Worlds on the edge of a prediction: its estimand exactly where support, or refutation, begins; the rest as declared.

There a verdict is wrong as often as it ever is, so these worlds check the levels. Of many ways to put an estimand on
its edge the least favourable one that is simple is taken: for support of a claim about each cell, one cell at the edge
and the others as declared, or there too where that is not on the claimed side; for its refutation, all of them at the
edge; for a contrast, the first arm that can be moved there is moved; for a cliff, the rank inside, or the total drop.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from itertools import pairwise

from scipy.optimize import brentq  # pyright: ignore[reportMissingTypeStubs, reportUnknownVariableType] - scipy ships none

from harness.decide import means
from harness.decide.diagnosis import truth
from harness.decide.diagnosis.worlds import Behaviour, World
from harness.spec.cell import Cell
from harness.spec.prediction import Association, Cliff, CollapseProbability, Contrast, Custom, Prediction

REACH = 5.0
"""How far a mean that is no accuracy is moved in search of an edge, in units of the larger of it and 1."""
CLEAR = 8.0
"""Standard errors of item sampling, with the spread between runs, that a mode is put away from a label's limit."""


def support_edge(prediction: Prediction, declared: World) -> World | None:
    """Return a world in which the prediction's estimand is where support begins; None where none was found."""
    match prediction:
        case CollapseProbability():
            arms = list(prediction.cells(declared.given).values())
            if prediction.quantifier == "each_cell":
                arms = [cell for cell in arms if cell == arms[-1] or not _claimed(prediction, cell, declared)]
            cells = _at_probability(prediction, arms, declared)
        case Cliff():
            cells = _share_edge(prediction, declared)
        case Association():
            return _named(replace(declared, slope=_signed(prediction, prediction.margin)), prediction, "support")
        case Custom():
            return None
        case _:
            cells = _moved(prediction, declared, _nearest(prediction, declared))
    return None if cells is None else _named(replace(declared, cells=cells), prediction, "support")


def refute_edge(prediction: Prediction, declared: World) -> World | None:
    """Return a world in which the estimand is where refutation begins; None where that is `support_edge` or unknown."""
    match prediction:
        case CollapseProbability():
            arms = list(prediction.cells(declared.given).values())
            if prediction.quantifier != "each_cell" or len(arms) == 1:
                return None
            cells = _at_probability(prediction, arms, declared)
        case Cliff():
            cells = _drop_edge(prediction, declared)
        case Association():
            below = prediction.refute_below
            if below is None or below == prediction.margin:
                return None
            return _named(replace(declared, slope=_signed(prediction, below)), prediction, "refute")
        case Custom():
            return None
        case _:
            where = means.regions(prediction, declared.landmarks)
            if where.refute_below in (where.support_above, -float("inf")):
                return None
            cells = _moved(prediction, declared, where.refute_below)
    return None if cells is None else _named(replace(declared, cells=cells), prediction, "refute")


def edges(predictions: Iterable[Prediction], declared: World) -> tuple[World, ...]:
    """Return every world on an edge of one of the predictions."""
    found = [edge(prediction, declared) for prediction in predictions for edge in (support_edge, refute_edge)]
    return tuple(world for world in found if world is not None)


def _named(world: World, prediction: Prediction, side: str) -> World:
    return replace(world, name=f"{side} edge of {prediction.id}", edge_of=prediction.id)


def _signed(prediction: Association, slope: float) -> float:
    return slope if prediction.direction == "positive" else -slope


def _at_probability(prediction: CollapseProbability, cells: list[Cell], world: World) -> Mapping[Cell, Behaviour]:
    """Return the world's cells, those given with the event exactly as often as the prediction's probability says.

    Runs that do not collapse are put well clear of the event's limit, so that collapses alone set the probability.
    """
    found, collapsed = dict(world.cells), prediction.event == "collapsed"
    for cell in cells:
        behaves = world.cells[cell]
        spread = CLEAR * (behaves.sd**2 + 0.25 / world.n_items) ** 0.5
        least = (world.limit if collapsed else world.trained) + spread
        p = prediction.probability
        found[cell] = Behaviour(max(behaves.mean, min(least, 1.0)), behaves.sd, p if collapsed else 1 - p)
    return found


def _claimed(prediction: CollapseProbability, cell: Cell, world: World) -> bool:
    """Return whether a cell is on the claimed side already."""
    p = truth.probability(world, cell, prediction.event)
    return p > prediction.probability if prediction.direction == "above" else p < prediction.probability


def _nearest(prediction: Contrast, world: World) -> float:
    where, value = means.regions(prediction, world.landmarks), truth.contrast(prediction, world)
    finite = [edge for edge in (where.support_above, where.support_below) if abs(edge) < float("inf")]
    return min(finite, key=lambda edge: abs(edge - value))


def _moved(prediction: Contrast, world: World, edge: float) -> Mapping[Cell, Behaviour] | None:
    """Return the cells with the mean of the first arm that allows it moved until the contrast is at `edge`."""
    for arm in prediction.arms().values():
        cell = arm.cell(world.given)
        behaves = world.cells[cell]
        if behaves.collapse == 1:
            continue

        def with_mean(mean: float, cell: Cell = cell, behaves: Behaviour = behaves) -> dict[Cell, Behaviour]:
            return _with(world, cell, replace(behaves, mean=mean))

        def beyond(mean: float, changed: Callable[[float], dict[Cell, Behaviour]] = with_mean) -> float:
            return truth.contrast(prediction, replace(world, cells=changed(mean))) - edge

        ends = _span(prediction, world, behaves)
        if beyond(ends[0]) * beyond(ends[1]) < 0:
            # Without full_output the result is the root alone; the inferred type also has the pair.
            return with_mean(float(brentq(beyond, *ends, xtol=1e-14)))  # pyright: ignore[reportArgumentType, reportUnknownArgumentType]
    return None


def _span(prediction: Contrast, world: World, behaves: Behaviour) -> tuple[float, float]:
    """Return between which means an edge is sought; for a logarithm, those at which no run gives zero or less."""
    bounded, far = prediction.measure in world.bounded, REACH * max(abs(behaves.mean), 1.0)
    low, high = (0.0, 1.0) if bounded else (behaves.mean - far, behaves.mean + far)
    if prediction.scale == "log_ratio":  # of 40 expected events, none happens with probability 4e-18
        low = 3 * behaves.sd + (40 / world.n_items if bounded else abs(behaves.mean) / far)
    return low, high


def _share_edge(prediction: Cliff, world: World) -> Mapping[Cell, Behaviour] | None:
    """Return the cells with one rank inside moved so that the steepest step, or the declared one, is the share."""
    arms, levels = _ranked(prediction, world)
    drop, gap = levels[0] - levels[-1], _gap(prediction, levels)
    if drop <= 0:
        return None
    inside, level = (
        (gap, levels[gap + 1] + prediction.share * drop) if gap else (gap + 1, levels[gap] - prediction.share * drop)
    )
    moved = replace(world.cells[arms[inside]], mean=level, collapse=0.0)
    return _with(world, arms[inside], moved)


def _drop_edge(prediction: Cliff, world: World) -> Mapping[Cell, Behaviour] | None:
    """Return the cells with the whole drop shrunk to the least one claimed, each step keeping its share."""
    arms, levels = _ranked(prediction, world)
    drop = levels[0] - levels[-1]
    if drop <= 0:
        return None
    shrink = prediction.min_total_drop / drop
    found = dict(world.cells)
    for cell, level in zip(arms, levels, strict=True):
        found[cell] = Behaviour(levels[0] - shrink * (levels[0] - level), world.cells[cell].sd)
    return found


def _with(world: World, cell: Cell, behaves: Behaviour) -> dict[Cell, Behaviour]:
    cells = dict(world.cells)
    cells[cell] = behaves
    return cells


def _ranked(prediction: Cliff, world: World) -> tuple[list[Cell], list[float]]:
    arms = prediction.arms().values()
    return [arm.cell(world.given) for arm in arms], [truth.mean(world, arm, prediction.measure) for arm in arms]


def _gap(prediction: Cliff, levels: list[float]) -> int:
    if prediction.location is not None:
        return prediction.ranks.index(prediction.location[0])
    steps = [a - b for a, b in pairwise(levels)]
    return steps.index(max(steps))
