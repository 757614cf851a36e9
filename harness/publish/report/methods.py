"""The methods of a verdict in sentences, from its declaration, its protocol and the terms under which it was decided.

Nothing is said that the declaration does not say: a sentence that has nothing to tell is left out. Where a hypothesis
is no longer declared, only what the verdict itself holds is told.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from harness.campaign.findings import Chapter
from harness.publish.report.regions import regions
from harness.record.verdict import PredictionVerdict
from harness.spec import Hypothesis
from harness.spec.prediction import Association, CollapseProbability, Custom, Prediction

KINDS = {
    "min_effect": "a minimum effect",
    "non_superiority": "non-superiority",
    "non_inferiority": "non-inferiority",
    "equivalence": "equivalence",
    "interaction": "an interaction",
    "mean_bound": "a bound on a mean",
    "collapse_probability": "a probability",
    "cliff": "a cliff",
    "association": "an association",
    "custom": "an estimand of the author's own",
}


@dataclass(frozen=True, slots=True)
class Described:
    """One prediction as methods tell it."""

    id: str
    role: str
    statement: str
    sentences: str
    """Estimand, regions, levels, looks and reasons."""


@dataclass(frozen=True, slots=True)
class Methods:
    """The methods of one verdict."""

    claim: str
    paragraphs: tuple[str, ...]
    predictions: tuple[Described, ...]


def methods(chapter: Chapter) -> Methods:
    """Return the methods of a chapter."""
    declared = {p.id: p for p in chapter.hypothesis.predictions} if chapter.hypothesis else {}
    return Methods(
        claim=chapter.verdict.claim,
        paragraphs=tuple(_paragraphs(chapter)),
        predictions=tuple(_described(said, declared.get(said.id)) for said in chapter.verdict.predictions),
    )


def _paragraphs(chapter: Chapter) -> Iterator[str]:
    verdict, hypothesis = chapter.verdict, chapter.hypothesis
    yield f"Recipe: {'; '.join(verdict.recipe)}."
    if hypothesis is not None:
        yield f"The claim is from: {hypothesis.source.rstrip('.')}."
        yield " ".join(_design(hypothesis))
        yield _families(hypothesis)
    else:
        yield "The hypothesis is declared otherwise by now, no more, or cannot be read here; only its verdict is told."
    if verdict.base_accuracy is not None:
        yield _labels(chapter)
    yield _registration(chapter)


def _design(hypothesis: Hypothesis) -> Iterator[str]:
    design = hypothesis.design
    seeds = "one run" if design.seeds == 1 else f"{design.seeds} runs that differ in a derived training seed alone"
    unit = "the run is the unit of analysis" if design.bases is None else "the base is the unit of analysis"
    yield f"The design plans {seeds} in each cell; {unit}."
    if design.sequential == "always_valid":
        yield "Means may be examined after every run, with always-valid intervals."
    if design.bases is not None:
        bases = design.bases
        yield (
            f"One verdict combines {bases.families} families of bases, {bases.budgets} budgets of pre-training each "
            f"and {bases.seeds} pre-training seeds of every budget; bases, not runs, are exchangeable units."
        )
    if design.tuning is not None:
        tuning = design.tuning
        rates = ", ".join(f"{scale:g}" for scale in tuning.learning_rate_scales)
        yield (
            f"The learning rate of every tuned arm was chosen on the validation split, by seeds that no verdict uses: "
            f"of {rates} times the protocol's rate, each with one seed, the {tuning.finalists} best went on to "
            f"{tuning.seeds} seeds, and the best mean was taken."
        )
    if design.futility and any(_stops(hypothesis, prediction) for prediction in hypothesis.predictions):
        yield (
            f"A prediction on means stops at a look where the predictive probability that the last look decides it is "
            f"below {design.futility:g}; no error rate rests on that rule."
        )


def _families(hypothesis: Hypothesis) -> str:
    primaries = len(hypothesis.primary())
    if not primaries:
        return "No prediction is primary, so nothing decides the claim."
    others = (
        "Auxiliary predictions are decided for themselves; exploratory ones are never more than suggestive, at a false "
        "discovery rate of the same level (Benjamini and Hochberg)."
    )
    if primaries == 1:
        return f"The claim is its one primary prediction. {others}"
    if hypothesis.combine == "all":
        rule = (
            f"The claim holds if all {primaries} primary predictions do: each is tested at its own level "
            "(an intersection-union test), and the claim is refuted if one of them is, at its level divided by "
            f"{primaries}"
        )
    else:
        rule = (
            f"The claim holds if any of its {primaries} primary predictions does, each tested at its level divided by "
            f"{primaries}, and is refuted if all of them are"
        )
    return f"{rule}. {others}"


def _stops(hypothesis: Hypothesis, prediction: Prediction) -> bool:
    """Return whether the rule of futility can ever stop a prediction: it is on means and has several looks."""
    return len(hypothesis.schedule(prediction)) > 1 and not isinstance(
        prediction, CollapseProbability | Association | Custom
    )


def _labels(chapter: Chapter) -> str:
    verdict = chapter.verdict
    trained = "" if verdict.trained_above is None else f" and trained above {verdict.trained_above:.3f}"
    source = chapter.protocol.thresholds.source if chapter.protocol else ""
    of = "its held-out problems" if verdict.n_items is None else f"{verdict.n_items} held-out problems"
    return (
        f"The base answers {verdict.base_accuracy:.3f} of {of} before training. A run "
        f"is called collapsed below {verdict.collapsed_below:.3f}{trained}" + (f" ({source})." if source else ".")
    )


def _registration(chapter: Chapter) -> str:
    registered = chapter.verdict.registered
    if registered.confirmatory:
        table = chapter.verdict.base_id.startswith("table ")
        what = "before the table of results was adopted" if table else "before the first run that it governs"
        return f"The declaration was registered {what} (SHA-256 {registered.hash[:12]})."
    return f"The verdict is exploratory: {'; '.join(registered.deviations)}."


def _described(said: PredictionVerdict, declared: Prediction | None) -> Described:
    parts = [f"Decided as {KINDS.get(said.kind, said.kind)}"]
    if declared is not None:
        estimand, support, refute = regions(declared)
        parts = [f"Estimand: {estimand}", f"Supported if {support}; refuted if {refute}"]
    refuting = "" if said.refute_alpha == said.alpha else f", refuted at {said.refute_alpha:.3g}"
    looks = ", ".join(map(str, said.looks))
    runs = f"runs a cell at {'each look' if len(said.looks) > 1 else 'its one look'}: {looks}"
    parts.append(f"One-sided level {said.alpha:g}{refuting}; {runs}")
    if declared is not None:
        parts.append(f"Why this boundary: {declared.rationale.rstrip('.')}")
    parts.append(f"Conditions on: {said.assumptions}")
    return Described(said.id, said.role, said.statement, ". ".join(parts) + ".")
