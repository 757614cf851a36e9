"""What is true in a simulated world: each prediction's estimand, and whether it lies in the declared regions.

The truth comes from the world's own means and probabilities, collapses included where a kind takes the mean over all
runs; a simulation never estimates it, but for an estimand of the author's own, which is what it says of very many runs.
An edge belongs to neither region.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from harness.decide import means
from harness.decide.custom import Estimand, evaluated
from harness.decide.diagnosis.worlds import NODES, Floats, World, chances, draw, sample
from harness.record.verdict import RunLabel
from harness.spec.arms import Arm
from harness.spec.cell import Cell
from harness.spec.prediction import (
    Association,
    Cliff,
    CollapseProbability,
    Contrast,
    Custom,
    Prediction,
)

SLACK = 1e-9
"""How far beyond an edge an estimand must lie to be in a region: worlds on an edge are computed, and rounding is not
truth."""
VERY_MANY = 4000
"""Runs a cell whose estimate is taken as the truth of an author's own estimand."""
NEGLIGIBLE = 1e-12
"""Probability below which an accuracy, or a label, does not happen: a logarithm of zero would void an expectation."""
NEVER = 1e-6
"""Probability below which an exception to `always` counts as impossible."""


@dataclass(frozen=True, slots=True)
class Truth:
    """Where an estimand lies. Both can hold only for `always`, which exceptions refute without moving the mean."""

    supports: bool
    """In the support region."""
    refutes: bool
    """In the refute region."""

    @property
    def said(self) -> str:
        """The place in words."""
        if self.supports and self.refutes:
            return "either"
        return "support" if self.supports else "refute" if self.refutes else "neither"


def truth(prediction: Prediction, world: World, own: Estimand | None = None) -> Truth:
    """Return where a prediction's estimand lies in a world.

    Args:
        prediction: What was declared.
        world: The world.
        own: The author's function, for a custom prediction.

    Raises:
        ValueError: A custom prediction comes without its function.
    """
    match prediction:
        case CollapseProbability():
            return _of_counts(prediction, world)
        case Cliff():
            return _of_cliff(prediction, world)
        case Association():
            slope = world.slope if prediction.direction == "positive" else -world.slope
            below = prediction.margin if prediction.refute_below is None else prediction.refute_below
            return Truth(_over(slope, prediction.margin), _over(below, slope))
        case Custom():
            return _of_custom(prediction, world, own)
        case _:
            return _of_contrast(prediction, world)


def together(truths: Sequence[Truth], combine: str) -> Truth:
    """Return where a claim lies, from its primary predictions: a conjunction (`all`) or disjunction (`any`)."""
    supports, refutes = [t.supports for t in truths], [t.refutes for t in truths]
    return Truth(all(supports), any(refutes)) if combine == "all" else Truth(any(supports), all(refutes))


def contrast(prediction: Contrast, world: World) -> float:
    """Return a contrast of the world's means on the scale compared; not a number where a mean has no value there."""
    arms = zip(means.weights(prediction), prediction.arms().values(), strict=True)
    return sum(w * mean(world, arm, prediction.measure, prediction.scale) for w, arm in arms)


def mean(world: World, arm: Arm, measure: str, scale: str = "raw") -> float:
    """Return the mean response of an arm's runs, of all or of those with its label; nan where there are none."""
    behaves = world.cells[arm.cell(world.given)]
    if measure not in world.bounded:
        values = behaves.mean + behaves.sd * NODES
        return float(_scaled(values, scale, world.n_items).mean())
    chance, at = _chance(world, arm.cell(world.given))
    if arm.where is not None:
        chance = np.where([world.landmarks.label(float(x)) == arm.where for x in at], chance, 0.0)
    if chance.sum() <= NEGLIGIBLE:
        return float("nan")
    happens = chance > NEGLIGIBLE
    return float(chance[happens] @ _scaled(at[happens], scale, world.n_items) / chance.sum())


def probability(world: World, cell: Cell, event: str) -> float:
    """Return the probability that a run of a cell carries the label `event`."""
    chance, at = _chance(world, cell)
    carries = at < world.limit if event == RunLabel.COLLAPSED else at > world.trained
    return float(chance[carries].sum())


def excesses(prediction: Cliff, world: World) -> tuple[float, list[float]]:
    """Return the total drop, and for each gap that may carry it how far its drop exceeds the declared share."""
    levels = [mean(world, arm, prediction.measure) for arm in prediction.arms().values()]
    drop = levels[0] - levels[-1]
    steps = dict(zip(pairwise(prediction.ranks), (a - b for a, b in pairwise(levels)), strict=True))
    return drop, [
        step - prediction.share * drop
        for ranks, step in steps.items()
        if prediction.location is None or ranks == prediction.location
    ]


def _of_counts(prediction: CollapseProbability, world: World) -> Truth:
    sign = 1.0 if prediction.direction == "above" else -1.0
    found = [probability(world, arm.cell(world.given), prediction.event) for arm in prediction.arms().values()]
    beyond = [sign * (p - prediction.probability) for p in found]
    if prediction.quantifier == "each_cell":
        return Truth(all(x > SLACK for x in beyond), any(x < -SLACK for x in beyond))
    average = float(np.mean(beyond))
    exceptional = max(1 - p if sign > 0 else p for p in found) > NEVER
    refutes = average < -SLACK or (prediction.quantifier == "always" and exceptional)
    return Truth(average > SLACK, refutes)


def _of_cliff(prediction: Cliff, world: World) -> Truth:
    drop, found = excesses(prediction, world)
    small, gradual = _over(prediction.min_total_drop, drop), all(x < -SLACK for x in found)
    return Truth(_over(drop, prediction.min_total_drop) and any(x > SLACK for x in found), small or gradual)


def _of_contrast(prediction: Contrast, world: World) -> Truth:
    where, value = means.regions(prediction, world.landmarks), contrast(prediction, world)
    inside = _over(value, where.support_above) and _over(where.support_below, value)
    return Truth(inside, _over(where.refute_below, value) or _over(value, where.refute_above))


def _of_custom(prediction: Custom, world: World, own: Estimand | None) -> Truth:
    if own is None:
        raise ValueError(f"{prediction.id}: {prediction.estimand} was not loaded. Hand in the function.")
    drawn = draw(world, VERY_MANY, np.random.default_rng(0))  # the truth of a world is the same however often asked
    runs = {
        name: sample(world, drawn, arm.cell(world.given), prediction.measure) for name, arm in prediction.arms().items()
    }
    value = evaluated(prediction, runs, prediction.alpha, own)[0]
    beyond = prediction.value if prediction.refute_beyond is None else prediction.refute_beyond
    if prediction.direction == "above":
        return Truth(value > prediction.value, value < beyond)
    return Truth(value < prediction.value, value > beyond)


def _over(value: float, edge: float) -> bool:
    return value > edge + SLACK


def _chance(world: World, cell: Cell) -> tuple[Floats, Floats]:
    return (
        chances(world.cells[cell], world.n_items, world.limit),
        np.arange(world.n_items + 1) / world.n_items,
    )


def _scaled(values: Floats, scale: str, n_items: int) -> Floats:
    if scale == "logit":
        return np.log((values * n_items + 0.5) / (n_items - values * n_items + 0.5))
    if scale == "log_ratio":
        return np.log(np.where(values > 0, values, np.nan))
    return values
