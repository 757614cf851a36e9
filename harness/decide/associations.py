"""Whether a gap between two arms goes with a property of the base, across independent bases.

The unit is a base; its gap is the difference of two cell means. The slope and its limits come from permutations within
strata, so that nothing is assumed of the gap's distribution, and bases that differ in what the strata hold constant are
never compared. Without strata one mean a family is the unit: what is claimed is about families, and few of them cannot
show it.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from harness.decide.permutation import SlopeFit, jonckheere, leave_one_out_signs, partial_correlation, slope_fit
from harness.decide.ruling import STRADDLES, SUPPORTED, Finding, Ruling, interval, open_because, refuted
from harness.decide.sample import CellSample
from harness.decide.terms import Terms
from harness.record.verdict import EffectSize, Estimate, Outcome, Reason, Refutation
from harness.spec.canonical import digest
from harness.spec.prediction import Association


@dataclass(frozen=True, slots=True)
class Unit:
    """One independent base with its runs in the two arms."""

    base: str
    family: str
    budget: str
    log2_tokens: float
    x: float | None
    """The base's own measure; None where it has none."""
    a: CellSample
    b: CellSample

    @property
    def gap(self) -> float | None:
        """Mean of a less mean of b; None where an arm has no run."""
        return float(self.a.values.mean() - self.b.values.mean()) if self.a.n_runs and self.b.n_runs else None

    @property
    def complete(self) -> bool:
        """Whether nothing planned is missing."""
        return self.x is not None and not self.a.missing and not self.b.missing


@dataclass(frozen=True, slots=True)
class _Table:
    """What is compared, one entry a unit, (n_units,)."""

    x: list[float]
    gap: list[float]
    strata: list[str]
    families: list[str]


def find(prediction: Association, units: Sequence[Unit], terms: Terms, planned: int) -> Finding:
    """Decide whether the slope clears its margin.

    Args:
        prediction: What was declared.
        units: The bases that have results.
        terms: The one-sided levels; an association has a single look.
        planned: Bases that the design plans.
    """
    table = _table(prediction, units)
    if len(table.x) < 2:
        return Finding(Outcome.UNTESTED, Reason.NO_RUNS, why=f"{len(table.x)} bases with a gap and an x")
    if len(units) < planned or not all(unit.complete for unit in units):
        return open_because(Reason.MISSING_RUNS)
    fit = _fit(prediction, table)
    if fit.attainable_p > max(terms.alpha, terms.refute_alpha):
        why = f"the smallest p that {_sizes(table)} can give is {fit.attainable_p:.3f}"
        return Finding(Outcome.INCONCLUSIVE, Reason.UNDERPOWERED, settled=True, why=why)
    if _still(table):
        return open_because(Reason.NO_SPREAD, "the gap is the same at every base of a stratum")
    if fit.low(terms.alpha) > prediction.margin:
        return SUPPORTED
    below = prediction.margin if prediction.refute_below is None else prediction.refute_below
    if fit.high(terms.refute_alpha) < below:
        return refuted(Refutation.WRONG_SIGN if (fit.estimate or 0.0) < 0 else Refutation.TOO_SMALL)
    return STRADDLES


def rule(prediction: Association, units: Sequence[Unit], terms: Terms) -> Ruling:
    """Return the figures: the slope with its limits, the correlation, the trend, and the smallest p there could be."""
    table = _table(prediction, units)
    if len(table.x) < 2:
        return Ruling("")
    fit = _fit(prediction, table)
    estimate = _estimate(prediction, fit, terms)
    effects = _effects(prediction, table)
    without = leave_one_out_signs(table.x, table.gap, table.strata, table.families, _x_unit(prediction))
    signs = ", ".join(f"{name} {'n/a' if s is None else f'{s:+.3f}'}" for name, s in without.items())
    detail = f"{estimate.name} = {interval(estimate)} over {_sizes(table)}; without one family: {signs}"
    return Ruling(detail, (estimate,), effects, attainable_p=fit.attainable_p)


def _table(prediction: Association, units: Sequence[Unit]) -> _Table:
    sign = -1.0 if prediction.direction == "negative" else 1.0
    rows = [
        (sign * x, gap, "/".join(unit.family if by == "family" else unit.budget for by in prediction.strata), unit)
        for unit in sorted(units, key=lambda unit: unit.base)  # an order that does not depend on the one given
        if (x := unit.log2_tokens if prediction.x == "log2_tokens" else unit.x) is not None
        and (gap := unit.gap) is not None
    ]
    if prediction.strata:
        return _Table([r[0] for r in rows], [r[1] for r in rows], [r[2] for r in rows], [r[3].family for r in rows])
    families = list(dict.fromkeys(row[3].family for row in rows))
    of = {family: [row for row in rows if row[3].family == family] for family in families}
    x = [float(np.mean([row[0] for row in of[family]])) for family in families]
    gap = [float(np.mean([row[1] for row in of[family]])) for family in families]
    return _Table(x, gap, [""] * len(families), families)


def _fit(prediction: Association, table: _Table) -> SlopeFit:
    # The same declaration draws the same permutations, so that the same runs give the same verdict.
    rng = np.random.default_rng(int(digest(prediction.model_dump(mode="json"))[:16], 16))
    return slope_fit(table.x, table.gap, table.strata, rng, _x_unit(prediction))


def _x_unit(prediction: Association) -> float | None:
    """Return what of x the slope is for: one doubling of the tokens, or by default one standard deviation."""
    return 1.0 if prediction.x == "log2_tokens" else None


def _still(table: _Table) -> bool:
    of: dict[str, set[float]] = {}
    for stratum, gap in zip(table.strata, table.gap, strict=True):
        of.setdefault(stratum, set()).add(gap)
    return all(len(gaps) == 1 for gaps in of.values())


def _estimate(prediction: Association, fit: SlopeFit, terms: Terms) -> Estimate:
    per = "doubling of tokens" if prediction.x == "log2_tokens" else f"SD of {prediction.x}"
    within = f"within {' x '.join(prediction.strata)}" if prediction.strata else "across families"
    limits = (fit.low(terms.alpha), fit.high(terms.alpha), fit.low(terms.refute_alpha), fit.high(terms.refute_alpha))
    low, high, refute_low, refute_high = (x if np.isfinite(x) else None for x in limits)
    sign = "- " if prediction.direction == "negative" else ""
    return Estimate(
        name=f"{sign}slope of the gap for one {per}, {within}",
        unit="accuracy" if "accuracy" in prediction.measure else prediction.measure,
        value=fit.estimate,
        low=low,
        high=high,
        refute_low=refute_low,
        refute_high=refute_high,
        method=f"permutation {within}, {'all orders' if fit.exact else 'random orders'}",
        n_runs=fit.n_units,
    )


def _effects(prediction: Association, table: _Table) -> tuple[EffectSize, ...]:
    correlation = partial_correlation(table.x, table.gap, table.strata)
    trend = jonckheere(table.gap, table.x, table.strata, np.random.default_rng(0))
    sizes = [("partial correlation", correlation), ("concordance of pairs (Jonckheere)", trend.concordance)]
    return tuple(EffectSize(name=name, value=value) for name, value in sizes if value is not None)


def _sizes(table: _Table) -> str:
    strata = len(set(table.strata))
    return f"{len(table.x)} units" + (f" in {strata} strata" if strata > 1 else "")
