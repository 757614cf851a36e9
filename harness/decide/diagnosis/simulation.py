"""How a declaration behaves in a world: how often it comes out which way, how often wrongly, and what that costs.

Runs are simulated and decided by `course` under `rules_of`, the path that `harness test` takes; nothing about a
decision is repeated here (declare, diagnose, redesign: Blair et al. 2019, American Political Science Review 113:838).
Rates carry a Monte Carlo standard error. Runs are counted as they would be spent: look by look, a prediction that is
settled wants no more, and cells are shared.

Exploratory predictions are never supported or refuted, and are left out; so is a base at the floor.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from harness.decide import cliff, means
from harness.decide.claim import rules_of, together
from harness.decide.contrasts import ContrastFit, contrast
from harness.decide.counts import limits
from harness.decide.custom import Estimand
from harness.decide.diagnosis import truth
from harness.decide.diagnosis.characteristics import CLAIM, Characteristics, Diagnosis, Rate
from harness.decide.diagnosis.truth import Truth
from harness.decide.diagnosis.worlds import Drawn, World, draw, draw_units, sample
from harness.decide.prediction import Results, at_floor, course, seen
from harness.decide.ruling import Finding
from harness.decide.terms import Terms
from harness.record.verdict import Outcome, Reason
from harness.spec.cell import Cell
from harness.spec.hypothesis import Hypothesis
from harness.spec.prediction import Association, Cliff, CollapseProbability, Custom, Prediction

NO_INTERVAL = (Reason.NO_RUNS, Reason.TOO_FEW, Reason.NO_INFORMATION, Reason.OFF_SCALE, Reason.MIXED_CELLS)
"""Where no interval may decide."""

Watch = Callable[[str, int, int], None]
"""Told a world's name, how many of its simulations are done, and of how many."""
Estimands = Mapping[str, Estimand]
"""The authors' functions, by the name in the declaration."""


@dataclass(frozen=True, slots=True)
class _Decided:
    """One prediction in one simulation."""

    finding: Finding
    seeds: int
    """Seeds a cell at which it was settled."""
    covered: tuple[bool, ...]
    """For each of its intervals that may decide, whether it holds the truth."""


@dataclass(frozen=True, slots=True)
class _Asked:
    """A declaration in a world, as every simulation of it needs them."""

    hypothesis: Hypothesis
    world: World
    predictions: tuple[Prediction, ...]
    estimands: Estimands

    @property
    def by_item(self) -> bool:
        return any(getattr(p, "generalise_to", "") == "items" for p in self.predictions)


def diagnose(
    hypothesis: Hypothesis,
    world: World,
    sims: int,
    rng: np.random.Generator,
    *,
    only: Sequence[Prediction] | None = None,
    estimands: Estimands | None = None,
    watch: Watch | None = None,
) -> Diagnosis:
    """Simulate a declaration in a world.

    Args:
        hypothesis: The declaration.
        world: What is true.
        sims: How often, at least once.
        rng: Draws the runs.
        only: Predictions to decide, the primary ones included (default: all but exploratory ones).
        estimands: The functions of custom predictions.
        watch: Told how far it is.
    """
    wanted = [p for p in hypothesis.predictions if p.role != "exploratory"] if only is None else only
    asked = _Asked(hypothesis, world, tuple(wanted), estimands or {})
    targets = {p.id: truth.truth(p, world, asked.estimands.get(getattr(p, "estimand", ""))) for p in wanted}
    values = {p.id: _values(p, world) for p in wanted}
    taken: list[dict[str, _Decided]] = []
    for number in range(sims):
        taken.append(_once(asked, values, rng))
        if watch is not None:
            watch(world.name, number + 1, sims)
    return _summed(asked, taken, targets)


def units_of(hypothesis: Hypothesis) -> int:
    """Return how many bases one verdict takes."""
    bases = hypothesis.design.bases
    return bases.families * bases.budgets * bases.seeds if bases else 1


def _once(asked: _Asked, values: Mapping[str, tuple[float, ...]], rng: np.random.Generator) -> dict[str, _Decided]:
    hypothesis, world = asked.hypothesis, asked.world
    drawn = draw(world, hypothesis.design.seeds, rng, by_item=asked.by_item)
    found: dict[str, _Decided] = {}
    for prediction in asked.predictions:
        results = _results(prediction, asked, drawn, rng)
        finding, terms = course(prediction, results, rules_of(hypothesis, prediction))
        covered = _covered(prediction, results, terms, finding, values[prediction.id])
        found[prediction.id] = _Decided(finding, terms.look.runs, covered)
    return found


def _results(prediction: Prediction, asked: _Asked, drawn: Mapping[Cell, Drawn], rng: np.random.Generator) -> Results:
    world, design = asked.world, asked.hypothesis.design
    if isinstance(prediction, Association):
        assert design.bases is not None  # a declaration of an association without bases does not load
        return Results({}, design.seeds, units=draw_units(prediction, world, design.bases, design.seeds, rng))
    measure = "accuracy" if isinstance(prediction, CollapseProbability) else prediction.measure
    samples = {
        name: sample(world, drawn, arm.cell(world.given), measure, arm.where) for name, arm in prediction.arms().items()
    }
    own = asked.estimands.get(prediction.estimand) if isinstance(prediction, Custom) else None
    floor = at_floor(world.base, world.n_items)
    return Results(samples, design.seeds, world.landmarks, estimand=own, floor=floor)


def _values(prediction: Prediction, world: World) -> tuple[float, ...]:
    """Return the true values of what a prediction's intervals estimate; empty where coverage is not counted."""
    match prediction:
        case CollapseProbability():
            cells = prediction.cells(world.given).values()
            return tuple(truth.probability(world, cell, prediction.event) for cell in cells)
        case Cliff():
            return (truth.excesses(prediction, world)[0],)
        case Association() | Custom():
            return ()
        case _:
            return (truth.contrast(prediction, world),)


def _covered(
    prediction: Prediction, results: Results, terms: Terms, finding: Finding, values: tuple[float, ...]
) -> tuple[bool, ...]:
    if not values or finding.reason in NO_INTERVAL:
        return ()
    cells = seen(results, terms)
    match prediction:
        case CollapseProbability():
            return tuple(
                _holds(limits([(cell.n_event(prediction.event), cell.n_runs)], terms.alpha, terms.look), value)
                for cell, value in zip(cells.values(), values, strict=True)
            )
        case Cliff():
            fit = contrast(cliff.total_drop(len(cells)), list(cells.values()))
        case Association() | Custom():
            return ()
        case _:
            fit = means.contrast_of(prediction, cells, results.landmarks)
    return (_holds(_limits(fit, terms), values[0]),)


def _limits(fit: ContrastFit, terms: Terms) -> tuple[float, float]:
    return terms.low(fit, terms.alpha), terms.high(fit, terms.alpha)


def _holds(limits: tuple[float, float], value: float) -> bool:
    return limits[0] <= value <= limits[1]


def _summed(asked: _Asked, taken: Sequence[Mapping[str, _Decided]], targets: Mapping[str, Truth]) -> Diagnosis:
    hypothesis, world = asked.hypothesis, asked.world
    primary = [p.id for p in hypothesis.primary() if p.id in targets]
    each = tuple(
        _characteristics(p.id, p.role, targets[p.id], [sim[p.id].finding.outcome for sim in taken], taken)
        for p in asked.predictions
    )
    whole = [together([sim[name].finding.outcome for name in primary], hypothesis.combine) for sim in taken]
    target = truth.together([targets[name] for name in primary], hypothesis.combine)
    spent = [_runs(asked, sim) for sim in taken]
    return Diagnosis(
        world=world.name,
        edge_of=world.edge_of,
        predictions=each,
        claim=_characteristics(CLAIM, "primary", target, whole, taken, primary),
        runs=float(np.mean(spent)),
        runs_se=float(np.std(spent)) / math.sqrt(len(spent)),
        planned=_cells(asked) * hypothesis.design.seeds * units_of(hypothesis),
    )


def _characteristics(
    name: str,
    role: str,
    target: Truth,
    outcomes: Sequence[Outcome],
    taken: Sequence[Mapping[str, _Decided]],
    parts: Sequence[str] = (),
) -> Characteristics:
    n = len(outcomes)
    supported, refuted = outcomes.count(Outcome.SUPPORTED), outcomes.count(Outcome.REFUTED)
    covered = [] if parts else [holds for sim in taken for holds in sim[name].covered]
    seeds = [max(sim[part].seeds for part in parts or (name,)) for sim in taken]
    return Characteristics(
        id=name,
        role=role,
        truth=target,
        supported=Rate(supported, n),
        refuted=Rate(refuted, n),
        open=Rate(n - supported - refuted, n),
        coverage=Rate(sum(covered), len(covered)) if covered else None,
        seeds=float(np.mean(seeds)),
    )


def _runs(asked: _Asked, sim: Mapping[str, _Decided]) -> int:
    """Return the runs that one simulation took: in every cell, as many seeds as its most demanding prediction."""
    wanted: dict[Cell, int] = {}
    for prediction in asked.predictions:
        for cell in prediction.cells(asked.world.given).values():
            wanted[cell] = max(wanted.get(cell, 0), sim[prediction.id].seeds)
    return sum(wanted.values()) * units_of(asked.hypothesis)


def _cells(asked: _Asked) -> int:
    cells = (cell for p in asked.predictions for cell in p.cells(asked.world.given).values())
    return len(dict.fromkeys(cells))
