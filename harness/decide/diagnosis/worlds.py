"""A simulated world: what every cell's runs give, and runs drawn from it as the store would hand them over.

A run collapses with its cell's probability; then it answers almost nothing, below the limit of the label. Otherwise its
accuracy is normal around the cell's mean, clipped alike on both sides so that the mean stays what it is, and the
problems are a binomial sample on top: the spread seen between runs is wider than `sd`. Labels follow from the simulated
accuracy, by the landmarks, as they do for real runs.

Limits: one mean a cell, so predictions on different measures share it; a measure that is no share from 0 to 1 has no
item noise, and a collapse says nothing about it. Problems differ in difficulty alike for all arms.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, gammaln, ndtri  # pyright: ignore[reportMissingTypeStubs] - scipy ships none

from harness.decide.associations import Unit
from harness.decide.sample import CellSample, Landmarks
from harness.record.verdict import RunLabel
from harness.spec.arms import Given
from harness.spec.cell import Cell
from harness.spec.design import Bases
from harness.spec.prediction import Association

Floats = NDArray[np.float64]

ACCURACY = frozenset({"accuracy"})
"""What is a share from 0 to 1 whatever else is."""
REMAINS = 0.1
"""Expected accuracy of a collapsed run, as a share of the limit below which it counts as collapsed."""
DIFFICULTY = 1.5
"""Standard deviation of the problems' difficulties, in logits."""
DRIFT = (0.5, 0.02)
"""By how much x (in standard deviations) and the gap grow from one budget to the next: a trend that strata take out."""
NODES = ndtri((np.arange(201) + 0.5) / 201)
"""Equally probable normal deviates, (n_nodes,), symmetric about 0: an expectation over them keeps a mean exactly."""


@dataclass(frozen=True, slots=True)
class Behaviour:
    """What the runs of one cell give, on the scale of the response."""

    mean: float
    """Over runs that do not collapse."""
    sd: float
    """Between runs that do not collapse, item sampling apart."""
    collapse: float = 0.0
    """Probability that a run collapses."""


@dataclass(frozen=True, slots=True)
class World:
    """What is taken to be true of every cell of a hypothesis."""

    name: str
    cells: Mapping[Cell, Behaviour]
    landmarks: Landmarks
    """All of them known."""
    n_items: int
    given: Given
    """What the protocol gives, with which arms become cells."""
    bounded: frozenset[str] = ACCURACY
    """Measures whose values are shares from 0 to 1."""
    slope: float = 0.0
    """Change of an association's gap for one standard deviation of x, or for one doubling of tokens."""
    sd: float = 0.0
    """Of an association's gap about its line."""
    edge_of: str = ""
    """Id of the prediction whose estimand lies on an edge; empty where none was put there."""

    @property
    def base(self) -> float:
        """The base's own accuracy."""
        assert self.landmarks.base is not None  # worlds are built with all landmarks
        return self.landmarks.base

    @property
    def limit(self) -> float:
        """The accuracy below which a run is collapsed."""
        assert self.landmarks.collapsed_below is not None  # likewise
        return self.landmarks.collapsed_below

    @property
    def trained(self) -> float:
        """The accuracy above which a run is trained."""
        assert self.landmarks.trained_above is not None  # likewise
        return self.landmarks.trained_above


@dataclass(frozen=True, slots=True, eq=False)
class Drawn:
    """One cell's simulated runs, in the order of their seeds."""

    accuracies: Floats
    """(n_runs,), 0 to 1."""
    responses: Floats
    """(n_runs,): what a measure without bounds gives."""
    labels: tuple[RunLabel, ...]
    items: Floats | None
    """(n_runs, n_items), where problems were drawn one by one."""


def draw(world: World, seeds: int, rng: np.random.Generator, *, by_item: bool = False) -> dict[Cell, Drawn]:
    """Draw `seeds` runs of every cell; `by_item` draws the answer to every problem, the same problems for all runs."""
    difficulties = DIFFICULTY * rng.standard_normal(world.n_items) if by_item else None
    return {cell: _drawn(world, behaves, seeds, rng, difficulties) for cell, behaves in world.cells.items()}


def sample(world: World, drawn: Mapping[Cell, Drawn], cell: Cell, measure: str, where: str | None = None) -> CellSample:
    """Return the runs of a cell, or of those the ones labelled `where`, as a decision is handed them."""
    runs = drawn[cell]
    kept = [i for i, label in enumerate(runs.labels) if where is None or label == where]
    bounded = measure in world.bounded
    values = runs.accuracies if bounded else runs.responses
    whole = len(kept) == len(runs.labels)
    return CellSample(
        values=values if whole else values[kept],
        labels=tuple(runs.labels[i] for i in kept),
        n_items=world.n_items,
        planned=len(runs.labels),
        seeds=tuple(kept),
        items=runs.items[kept] if runs.items is not None and bounded and kept else None,
        bounded=bounded,
        selected=where is not None,
        others=tuple(i for i in range(len(runs.labels)) if i not in kept),
    )


def draw_units(
    prediction: Association, world: World, bases: Bases, seeds: int, rng: np.random.Generator
) -> tuple[Unit, ...]:
    """Draw the bases of an association: families x budgets x seeds, each with its x and its gap.

    x is normal and then scaled so that what the slope is for, one standard deviation within strata, is one exactly;
    without strata it belongs to the family. The gap is slope times x, plus noise, plus a drift over budgets that x
    shares. For log2_tokens, x is the budget's number: one doubling from each to the next.
    """
    names = [(f, b, s) for f in range(bases.families) for b in range(bases.budgets) for s in range(bases.seeds)]
    strata = ["/".join(str(f if by == "family" else b) for by in prediction.strata) for f, b, _ in names]
    budget = np.array([b for _, b, _ in names], dtype=np.float64)
    noise = world.sd * rng.standard_normal(len(names))
    if prediction.x == "log2_tokens":
        x, gap = budget, world.slope * budget + noise
    else:
        groups = strata if prediction.strata else [str(f) for f, _, _ in names]
        own = _unit_spread(rng.standard_normal(len(names)), groups, within=bool(prediction.strata))
        x, gap = own + DRIFT[0] * budget, world.slope * own + noise + DRIFT[1] * budget
    return tuple(
        Unit(f"{f}-{b}-{s}", str(f), str(b), float(b), float(x[i]), _level(float(gap[i]), seeds), _level(0.0, seeds))
        for i, (f, b, s) in enumerate(names)
    )


@lru_cache(maxsize=4096)
def chances(behaves: Behaviour, n_items: int, limit: float) -> Floats:
    """Return the probability of each accuracy k / n_items of a run, (n_items + 1,)."""
    alive = _binomial(_clipped(behaves.mean, behaves.sd, NODES), n_items).mean(axis=0)
    dead = _binomial(np.array([REMAINS * limit]), n_items)[0]
    at = np.arange(n_items + 1) / n_items
    dead = np.where(at < limit, dead, 0.0)
    dead[0] += 1 - dead.sum()
    total: Floats = behaves.collapse * dead + (1 - behaves.collapse) * alive
    return total


def _drawn(
    world: World, behaves: Behaviour, seeds: int, rng: np.random.Generator, difficulties: Floats | None
) -> Drawn:
    deviates = rng.standard_normal(seeds)
    collapsed = rng.random(seeds) < behaves.collapse
    p = np.where(collapsed, REMAINS * world.limit, _clipped(behaves.mean, behaves.sd, deviates))
    items: Floats | None = None
    if difficulties is None:
        accuracies = rng.binomial(world.n_items, p) / world.n_items
    else:
        right: Floats = expit(_ability(p)[:, None] + difficulties)
        items = (rng.random(right.shape) < right).astype(np.float64)
        accuracies = items.mean(axis=1)
    lifted = collapsed & (accuracies >= world.limit)  # by item noise, with few problems: what collapsed stays so
    accuracies = np.where(lifted, 0.0, accuracies)
    if items is not None:
        items[lifted] = 0.0
    labels = tuple(_label(world.landmarks, float(accuracy)) for accuracy in accuracies)
    return Drawn(accuracies, behaves.mean + behaves.sd * deviates, labels, items)


def _label(landmarks: Landmarks, accuracy: float) -> RunLabel:
    label = landmarks.label(accuracy)
    assert label is not None  # worlds are built with all landmarks
    return label


def _clipped(mean: float, sd: float, deviates: Floats) -> Floats:
    """Return accuracies about `mean`, none beyond 0 or 1, clipped alike on both sides."""
    centre = min(max(mean, 0.0), 1.0)
    room = min(centre, 1 - centre)
    return centre + np.clip(sd * deviates, -room, room)


def _binomial(p: Floats, n: int) -> Floats:
    """Return the probabilities of 0 to n events for each p, (n_p, n + 1)."""
    k = np.arange(n + 1)
    coefficients = gammaln(n + 1) - gammaln(k + 1) - gammaln(n - k + 1)
    inner = np.clip(p, 1e-300, 1 - 1e-16)[:, None]
    found: Floats = np.exp(coefficients + k * np.log(inner) + (n - k) * np.log1p(-inner))
    return found


def _ability(p: Floats) -> Floats:
    """Return the logits at which runs are right on the share `p` of all problems, (n_runs,)."""
    logits, shares = _abilities()
    return np.interp(p, shares, logits)


@lru_cache(maxsize=1)
def _abilities() -> tuple[Floats, Floats]:
    logits = np.linspace(-20, 20, 2001)
    return logits, expit(logits[:, None] + DIFFICULTY * NODES).mean(axis=1)


def _unit_spread(draws: Floats, groups: Sequence[str], *, within: bool) -> Floats:
    """Return draws with a pooled deviation of 1 within groups, or one draw a group with a deviation of 1 over them."""
    places = {group: i for i, group in enumerate(dict.fromkeys(groups))}
    index = np.array([places[group] for group in groups])
    if not within:
        one = draws[: len(places)]
        spread = float(one.std(ddof=1)) if one.size > 1 else 0.0
        return (one / spread if spread else one)[index]
    sums, counts = np.bincount(index, draws), np.bincount(index)
    inside = draws - (sums / counts)[index]
    df = draws.size - len(places)
    spread = float(np.sqrt(np.square(inside).sum() / df)) if df else 0.0
    return draws / spread if spread else draws


def _level(value: float, seeds: int) -> CellSample:
    """Return runs that all give `value`: what an association sees of an arm is its mean."""
    labels = (RunLabel.TRAINED,) * seeds
    return CellSample(np.full(seeds, value), labels, n_items=1, planned=seeds, bounded=False)
