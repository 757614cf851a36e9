"""What a hypothesis comes to: its predictions decided, combined, and said in one sentence.

Supporting a conjunction needs no correction (an intersection-union test). Refuting it is a union over the parts, so
each primary prediction is refuted at its alpha divided by their number, the first Holm step; a disjunction is the
mirror image. Auxiliary predictions do not count. Exploratory ones, and all of a hypothesis that is not confirmatory,
are never supported or refuted: they are suggestive where their p, taken two-sided, passes Benjamini and Hochberg at
alpha, with its direction (Benjamini and Yekutieli 2005, JASA 100:71, on the direction).
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, cast

from harness.decide.prediction import (
    Results,
    Rules,
    assumptions,
    at_terms,
    course,
    figures,
    needs,
    seen,
)
from harness.decide.ruling import Finding, Ruling
from harness.decide.sample import CellSample, summary
from harness.decide.terms import Terms
from harness.record.verdict import Outcome, PredictionVerdict, Reason
from harness.spec.hypothesis import Hypothesis
from harness.spec.prediction import Prediction

SMALLEST, LARGEST, STEPS = 1e-6, 0.5, 16
"""Between which levels a p is sought, and how often the range is halved: to one part in two thousand."""


def rules_of(hypothesis: Hypothesis, prediction: Prediction) -> Rules:
    """Return the terms that a hypothesis sets for one of its predictions."""
    alpha, refute_alpha = hypothesis.levels(prediction)
    return Rules(alpha, refute_alpha, hypothesis.schedule(prediction), hypothesis.design)


def decide(hypothesis: Hypothesis, prediction: Prediction, results: Results) -> PredictionVerdict:
    """Decide one prediction. The same runs under the same declaration give the same bytes.

    Raises:
        ValueError: The samples are not those of the prediction's arms.
    """
    arms = tuple(prediction.arms())
    if prediction.kind != "association" and set(results.samples) != set(arms):
        given = sorted(results.samples)
        raise ValueError(f"{prediction.id}: samples of {given}, arms {sorted(arms)}. Give one sample an arm.")
    results = replace(results, samples={name: results.samples[name] for name in arms if name in results.samples})
    rules = rules_of(hypothesis, prediction)
    found, terms = course(prediction, results, rules)
    ruling = figures(prediction, results, terms)
    failed = _assumption_failed(found)
    ps = (None, None) if failed else p_values(prediction, results, terms, hypothesis)
    samples = seen(results, terms)
    return _said(prediction, found, terms, ruling, {name: samples[name] for name in arms if name in samples}, ps)


def untested(
    hypothesis: Hypothesis, prediction: Prediction, samples: Mapping[str, CellSample], why: str
) -> PredictionVerdict:
    """Return the verdict on a prediction of which the results say too little to decide anything."""
    found = Finding(Outcome.UNTESTED, Reason.NO_INFORMATION, settled=True, why=why)
    return _said(prediction, found, rules_of(hypothesis, prediction).terms(1), Ruling(""), samples, (None, None))


def _said(
    prediction: Prediction,
    found: Finding,
    terms: Terms,
    ruling: Ruling,
    samples: Mapping[str, CellSample],
    ps: tuple[float | None, float | None],
) -> PredictionVerdict:
    """Bind a finding and its figures to what was declared; `ps` are the p of support and of refutation."""
    failed = _assumption_failed(found)
    return PredictionVerdict(
        id=prediction.id,
        kind=prediction.kind,
        role=prediction.role,
        statement=prediction.statement,
        outcome=found.outcome,
        reason=found.reason,
        how=found.how,
        detail="; ".join(part for part in (found.why, ruling.detail) if part),
        needs=needs(prediction),
        alpha=terms.alpha,
        refute_alpha=terms.refute_alpha,
        look=terms.look.number,
        looks=terms.look.sizes,
        settled=found.settled,
        p_support=ps[0],
        p_refute=ps[1],
        attainable_p=ruling.attainable_p,
        q=None,
        runs_to_resolve=ruling.runs_to_resolve if found.outcome is Outcome.INCONCLUSIVE and not failed else None,
        assumptions=assumptions(prediction),
        failed_assumptions=failed,
        estimates=ruling.estimates,
        effect_sizes=ruling.effect_sizes,
        cells=tuple(summary(name, sample) for name, sample in samples.items()),
    )


def _assumption_failed(found: Finding) -> tuple[str, ...]:
    return (str(found.reason),) if str(found.reason).startswith("assumption failed") else ()


def p_values(
    prediction: Prediction, results: Results, terms: Terms, hypothesis: Hypothesis
) -> tuple[float | None, float | None]:
    """Return the smallest whole levels at which the runs of this look support and refute; None up to one half.

    The level of the other side stays as declared, since some kinds ask first whether that one holds. Found by halving,
    through the decision itself, so that it means the same for every kind; of the last interval the upper end is taken,
    so that a p is never too small.
    """

    def at(alpha: float, refute_alpha: float) -> Outcome:
        return at_terms(prediction, results, Terms(alpha, refute_alpha, terms.look), hypothesis.design).outcome

    return (
        _smallest(lambda level: at(level, terms.refute_alpha) is Outcome.SUPPORTED),
        _smallest(lambda level: at(terms.alpha, level) is Outcome.REFUTED),
    )


def _smallest(holds: Callable[[float], bool]) -> float | None:
    if not holds(LARGEST):
        return None
    if holds(SMALLEST):
        return SMALLEST
    low, high = SMALLEST, LARGEST
    for _ in range(STEPS):
        middle = (low * high) ** 0.5
        low, high = (low, middle) if holds(middle) else (middle, high)
    return high


def explored(verdicts: Sequence[PredictionVerdict]) -> list[PredictionVerdict]:
    """Return exploratory predictions as suggestive, or not, at the false discovery rate of their alpha.

    Each brings twice the smaller of its two p; one without either counts as 1, so that it costs the others nothing
    less than an honest test would.
    """
    tested = [verdict for verdict in verdicts if verdict.outcome is not Outcome.UNTESTED]
    ps = [min(1.0, 2 * min(v.p_support or 1.0, v.p_refute or 1.0)) for v in tested]
    qs = _benjamini_hochberg(ps) if ps else []
    by_id = {verdict.id: q for verdict, q in zip(tested, qs, strict=True)}
    return [_suggestive(verdict, by_id[verdict.id]) if verdict.id in by_id else verdict for verdict in verdicts]


def _benjamini_hochberg(ps: Sequence[float]) -> list[float]:
    from statsmodels.stats import multitest  # pyright: ignore[reportMissingTypeStubs] - here, because it takes a second

    # Untyped in the library; the second of what it returns is one adjusted p for each.
    said = cast(Any, multitest.multipletests(ps, method="fdr_bh"))  # pyright: ignore[reportUnknownMemberType]
    return [float(q) for q in said[1]]


def _suggestive(verdict: PredictionVerdict, q: float) -> PredictionVerdict:
    if verdict.reason is Reason.UNDERPOWERED or verdict.failed_assumptions:
        return verdict.model_copy(update={"q": q, "how": None})
    if q > verdict.alpha:
        decided = verdict.outcome in (Outcome.SUPPORTED, Outcome.REFUTED)
        reason = Reason.FALSE_DISCOVERY if decided else verdict.reason
        return verdict.model_copy(update={"outcome": Outcome.INCONCLUSIVE, "reason": reason, "how": None, "q": q})
    toward = (verdict.p_support or 1.0) <= (verdict.p_refute or 1.0)
    outcome = Outcome.SUGGESTIVE_FOR if toward else Outcome.SUGGESTIVE_AGAINST
    reason = Reason.IN_SUPPORT if toward else Reason.IN_REFUTE
    return verdict.model_copy(update={"outcome": outcome, "reason": reason, "q": q})


def combined(verdicts: Sequence[PredictionVerdict], combine: str = "all") -> tuple[Outcome, str]:
    """Return the outcome of all primary predictions together, and a sentence that says why.

    Raises:
        ValueError: No verdict is of a primary prediction.
    """
    primary = [verdict for verdict in verdicts if verdict.role == "primary"]
    if not primary:
        raise ValueError(f"{[v.id for v in verdicts]}: none is primary. Give the verdict of a primary prediction.")
    outcome = together([verdict.outcome for verdict in primary], combine)
    return outcome, _reading(outcome, primary, combine)


def together(outcomes: Sequence[Outcome], combine: str) -> Outcome:
    """Return the outcome of a conjunction (`all`) or disjunction (`any`) of predictions.

    One prediction that comes out the decisive way (refuted of all, supported of any) decides; the other way takes all
    of them; anything else is inconclusive.
    """
    present = set(outcomes)
    decisive = (
        (Outcome.REFUTED, Outcome.SUGGESTIVE_AGAINST)
        if combine == "all"
        else (Outcome.SUPPORTED, Outcome.SUGGESTIVE_FOR)
    )
    for outcome in decisive:
        if outcome in present:
            return outcome
    return present.pop() if len(present) == 1 else Outcome.INCONCLUSIVE


def _reading(outcome: Outcome, primary: Sequence[PredictionVerdict], combine: str) -> str:
    alike = [verdict for verdict in primary if verdict.outcome is outcome]
    said = str(outcome).capitalize()
    if outcome is Outcome.UNTESTED:
        return f"Untested: {'; '.join(f'{v.id}: {v.reason}' for v in primary)}."
    if outcome is Outcome.INCONCLUSIVE:
        holding = [v for v in primary if v.outcome in (Outcome.SUPPORTED, Outcome.SUGGESTIVE_FOR)]
        held = ", ".join(v.id for v in holding)
        rest = "; ".join(f"{v.id}: {v.reason}" for v in primary if v not in holding)
        return f"Inconclusive: {'held: ' + held + '; ' if held else ''}open: {rest}."
    if len(primary) == 1:
        return f"{said}: {primary[0].id} ({primary[0].detail})."
    if len(alike) == len(primary):
        return f"{said}: all {len(primary)} primary predictions are ({', '.join(v.id for v in primary)})."
    parts = "; ".join(f"{verdict.id} ({verdict.detail})" for verdict in alike)
    joined = "and all had to hold" if combine == "all" else "and one was enough"
    return f"{said}: {len(alike)} of {len(primary)} primary predictions, {joined}: {parts}."
