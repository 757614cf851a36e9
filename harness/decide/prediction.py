"""From a declared prediction and its runs to a finding: one procedure a kind, chosen by the declaration alone.

The procedure never depends on what the runs look like: a test that switches once it sees two modes fails exactly
when it is needed, because few runs often show only one. Looks are taken in their order and the first that settles the
prediction stands; runs beyond it can only take a decision on means away, where they show a mixed cell. So the same runs
under the same declaration give the same bytes.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from harness.decide import associations, cliff, counts, custom, means
from harness.decide.associations import Unit
from harness.decide.custom import Estimand
from harness.decide.ruling import Finding, Ruling, mixed_cells
from harness.decide.sample import NOWHERE, CellSample, Landmarks
from harness.decide.scales import item_variance
from harness.decide.terms import Look, Terms
from harness.record.verdict import Outcome, Reason
from harness.spec.design import Design
from harness.spec.prediction import (
    Association,
    Cliff,
    CollapseProbability,
    Custom,
    Equivalence,
    Interaction,
    MeanBound,
    MinEffect,
    NonInferiority,
    NonSuperiority,
    Prediction,
)

FLOOR = 5.0
"""Standard errors of item sampling that a base must be above zero before a fall from it, or none, means anything."""
OF_MEANS = MinEffect | NonSuperiority | NonInferiority | Equivalence | Interaction | MeanBound | Cliff
"""The kinds that condition on cells with one mode."""


def at_floor(base: float, n_items: int) -> str:
    """Return why a base of this accuracy on so many problems can decide nothing; empty where it can."""
    if base > FLOOR * item_variance(base, n_items) ** 0.5:
        return ""
    return f"base accuracy {base:.3f} on {n_items} problems"


@dataclass(frozen=True, slots=True, eq=False)
class Results:
    """All that a prediction is decided on.

    Attributes:
        samples: The runs of each arm at the full number of seeds, by the names of `prediction.arms()`; an arm without
            runs has an empty sample. Empty for an association.
        reached: How many seeds a cell have been executed, whether they gave a result or not.
        once: Whether the runs came all at once, as an adopted table does: then they are decided once, on all of them.
        floor: Why a base is at the floor, where nothing can be decided; empty where none is.
        landmarks: Accuracies that labels and bounds are relative to.
        units: The bases of an association.
        estimand: The author's function, for a custom prediction.
    """

    samples: Mapping[str, CellSample]
    reached: int
    landmarks: Landmarks = NOWHERE
    units: tuple[Unit, ...] = ()
    estimand: Estimand | None = None
    once: bool = False
    floor: str = ""


@dataclass(frozen=True, slots=True)
class Rules:
    """The declared terms: levels over all looks, runs a cell at each look, and when to give up."""

    alpha: float
    refute_alpha: float
    sizes: tuple[int, ...]
    design: Design

    def terms(self, number: int) -> Terms:
        """Return the terms at a look."""
        return Terms(
            self.alpha, self.refute_alpha, Look(number, self.sizes, self.design.sequential, self.design.spending)
        )


def course(prediction: Prediction, results: Results, rules: Rules) -> tuple[Finding, Terms]:
    """Take the looks that the runs have reached, in their order; return what the first that settles says, or the last.

    Where not even the first look is reached, it is taken with its runs as missing.
    """
    if results.floor:
        return Finding(Outcome.INCONCLUSIVE, Reason.AT_FLOOR, settled=True, why=results.floor), rules.terms(1)
    found, terms = _at_once(prediction, results, rules) if results.once else _by_looks(prediction, results, rules)
    if found.decided and isinstance(prediction, OF_MEANS):
        mixed = mixed_cells(results.samples)  # also in runs that no look had to see: what is known is known
        found = mixed if mixed is not None else found
    return found, terms


def _by_looks(prediction: Prediction, results: Results, rules: Rules) -> tuple[Finding, Terms]:
    due = [number for number, size in enumerate(rules.sizes, 1) if size <= results.reached] or [1]
    terms = rules.terms(due[0])
    found = at_terms(prediction, results, terms, rules.design)
    for number in due:
        terms = rules.terms(number)
        found = at_terms(prediction, results, terms, rules.design) if number != due[0] else found
        if not found.settled and _gives_up(prediction, results, rules, terms, found):
            found = replace(found, reason=Reason.FUTILITY, settled=True)
        if found.settled:
            return found, terms
    ended = terms.look.last and results.reached >= terms.look.runs
    return (replace(found, settled=True) if ended else found), terms


def _at_once(prediction: Prediction, results: Results, rules: Rules) -> tuple[Finding, Terms]:
    """Decide on all runs at the first look that holds them, at that look's own level, which no other look needs."""
    holds = (number for number, size in enumerate(rules.sizes, 1) if size >= results.reached)
    terms = rules.terms(next(holds, len(rules.sizes)))
    return replace(at_terms(prediction, results, terms, rules.design), settled=True), terms


def figures(prediction: Prediction, results: Results, terms: Terms) -> Ruling:
    """Return the figures at the look of `terms`."""
    match prediction:
        case Association():
            return associations.rule(prediction, results.units, terms)
        case CollapseProbability():
            return counts.rule(prediction, seen(results, terms), terms, results.landmarks)
        case Cliff():
            return cliff.rule(prediction, seen(results, terms), terms, results.landmarks)
        case Custom():
            return custom.rule(prediction, seen(results, terms), terms, _own(prediction, results))
        case _:
            return means.rule(prediction, seen(results, terms), terms, results.landmarks)


def at_terms(prediction: Prediction, results: Results, terms: Terms, design: Design) -> Finding:
    """Return what the runs up to one look say on these terms."""
    match prediction:
        case Association():
            planned = design.bases.families * design.bases.budgets * design.bases.seeds if design.bases else 0
            return associations.find(prediction, results.units, terms, planned)
        case CollapseProbability():
            return counts.find(prediction, seen(results, terms), terms, results.landmarks)
        case Cliff():
            return cliff.find(prediction, seen(results, terms), terms, results.landmarks)
        case Custom():
            return custom.find(prediction, seen(results, terms), terms, _own(prediction, results))
        case _:
            return means.find(prediction, seen(results, terms), terms, results.landmarks)


def seen(results: Results, terms: Terms) -> dict[str, CellSample]:
    """Return the runs that a look may see, by arm: those of its seeds."""
    return {name: sample.first(terms.look.runs) for name, sample in results.samples.items()}


def needs(prediction: Prediction) -> str:
    """Return the support region in words: `each P < 0.5`, `> -5 points`, `share > 0.8, total drop > 10 points`."""
    match prediction:
        case CollapseProbability():
            what = {"each_cell": "each P", "mean_over_cells": "mean P", "always": "no exception, mean P"}
            said = what[prediction.quantifier] if len(prediction.arms()) > 1 else "P"
            return f"{said} {'<' if prediction.direction == 'below' else '>'} {prediction.probability:g}"
        case Cliff():
            drop = _amount(prediction.min_total_drop, "raw", prediction.measure)
            return f"share > {prediction.share:g}, total drop > {drop}"
        case Association():
            return f"slope > {_amount(prediction.margin, 'raw', prediction.measure)}"
        case Custom():
            return f"{'>' if prediction.direction == 'above' else '<'} {prediction.value:g}"
        case _:
            where = means.regions(prediction, Landmarks(0.0, 0.0, 0.0))
            scale, measure = prediction.scale, prediction.measure
            above = _amount(where.support_above, scale, measure) if where.support_above > -float("inf") else ""
            below = _amount(where.support_below, scale, measure) if where.support_below < float("inf") else ""
            reference = getattr(prediction, "reference", "zero").replace("_", " ")
            since = "" if reference == "zero" else f" from {reference}"
            return " and ".join([*([f"> {above}{since}"] if above else []), *([f"< {below}{since}"] if below else [])])


def assumptions(prediction: Prediction) -> str:
    """Return what the decision conditions on, in words for the card."""
    match prediction:
        case CollapseProbability():
            return "independent runs; exact for counts, whatever the accuracies"
        case Association():
            return "bases of a stratum exchangeable but for x"
        case Custom():
            return "what the author's estimand assumes"
        case _ if any(arm.where for arm in prediction.arms().values()):
            return "runs compared by what became of them: an association, not an effect of a treatment"
        case _:
            return "no cell mixes collapsed and other runs, unseen ones included; spreads near normal"


def _gives_up(prediction: Prediction, results: Results, rules: Rules, terms: Terms, found: Finding) -> bool:
    """Return whether the design's futility rule stops here; it is for means whose look is complete."""
    threshold = rules.design.futility
    if not threshold or terms.look.last or found.reason is not Reason.STRADDLES:
        return False
    samples = seen(results, terms)
    if isinstance(prediction, Cliff):
        return cliff.futile(prediction, samples, terms, results.landmarks, threshold)
    if isinstance(prediction, CollapseProbability | Association | Custom):
        return False
    return means.futile(prediction, samples, terms, results.landmarks, threshold)


def _own(prediction: Custom, results: Results) -> Estimand:
    if results.estimand is None:
        raise ValueError(f"{prediction.id}: {prediction.estimand} was not loaded. Hand in the function.")
    return results.estimand


def _amount(value: float, scale: str, measure: str) -> str:
    if scale != "raw":
        return f"{value:g} ({scale.replace('_', ' ')})"
    return f"{100 * value:g} points" if "accuracy" in measure else f"{value:g}"
