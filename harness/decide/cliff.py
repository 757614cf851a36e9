"""Whether one step of rank carries most of the drop: a linear contrast, and the share of the drop with its interval.

With D = m_first - m_last, the contrast of gap j is C_j = (m_j - m_(j+1)) - share x D. Supported: D exceeds
`min_total_drop` and C_j exceeds 0 at the declared location, both at alpha; without a location some C_j does, at
alpha / number of gaps. Refuted: D is shown to be smaller (too small), or every C_j, or the declared one, is shown to be
negative (too gradual). Either may refute, so each is held to half of refute_alpha.

A grid of ranks cannot show a discontinuity: what is shown is a transition narrower than one step. For a logistic in
log2 rank, a share of .8 in one octave is a 10-90 % width of one octave.
"""

import math
from collections.abc import Callable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import brentq  # pyright: ignore[reportMissingTypeStubs, reportUnknownVariableType] - scipy ships none

from harness.decide.contrasts import contrast, worst_case
from harness.decide.means import mean_estimate
from harness.decide.resolve import runs_to_resolve
from harness.decide.ruling import (
    STRADDLES,
    SUPPORTED,
    Finding,
    Ruling,
    interval,
    mean_assumption_failed,
    missing_note,
    missing_runs,
    open_because,
    refuted,
)
from harness.decide.sample import CellSample, Landmarks
from harness.decide.sequential import FinalLook, Regions, resolve_probability
from harness.decide.terms import Terms
from harness.record.verdict import Estimate, Reason, Refutation
from harness.spec.prediction import Cliff

Samples = Mapping[str, CellSample]

Limits = tuple[float | None, float | None]
"""A lower and an upper limit; None is unbounded."""

WIDEST = 2.0**20
"""How far from the estimated share a limit is sought; a share beyond it is reported as unbounded."""


def total_drop(n_ranks: int) -> NDArray[np.float64]:
    """Return the weights (n_ranks,) of m_first - m_last."""
    weights = np.zeros(n_ranks)
    weights[0], weights[-1] = 1.0, -1.0
    return weights


def excess(gap: int, share: float, n_ranks: int) -> NDArray[np.float64]:
    """Return the weights (n_ranks,) of C_gap = (m_gap - m_(gap+1)) - share x (m_first - m_last)."""
    weights = -share * total_drop(n_ranks)
    weights[gap] += 1.0
    weights[gap + 1] -= 1.0
    return weights


def fieller(gap: int, cells: Sequence[CellSample], alpha: float, terms: Terms) -> Limits:
    """Return the shares that the contrast of `gap` does not reject at `alpha`, one-sided at each end.

    Fieller's interval (Fieller 1954, JRSS B 16:175) with the contrast's own degrees of freedom at every share, so
    that its lower limit exceeds a share exactly when that contrast is shown to be positive. While the total drop
    is not shown to be positive, the set is unbounded and no limit is given.

    Args:
        gap: Index of the lower rank.
        cells: One a rank, (n_ranks,), in the order of the ranks.
        alpha: One-sided level, over all looks.
        terms: The look.
    """
    n = len(cells)
    drop = contrast(total_drop(n), cells)
    if terms.low(drop, alpha) <= 0:
        return None, None
    centre = (float(cells[gap].values.mean()) - float(cells[gap + 1].values.mean())) / drop.estimate
    low = _root(lambda share: terms.low(contrast(excess(gap, share, n), cells), alpha), centre, -1.0)
    return low, _root(lambda share: terms.high(contrast(excess(gap, share, n), cells), alpha), centre, 1.0)


def find(prediction: Cliff, samples: Samples, terms: Terms, _: Landmarks) -> Finding:
    """Decide whether one step carries the drop, the same for whatever the missing runs would have given.

    Args:
        prediction: What was declared.
        samples: The runs at each rank, by the names of the prediction's arms.
        terms: The one-sided levels and the look; each of the two ways to refute gets half of the level.
        _: No landmark is needed.
    """
    failed = mean_assumption_failed(samples)
    if failed is not None:
        return failed
    cells = [samples[name] for name in prediction.arms()]
    n, gaps, half = len(cells), _gaps(prediction), terms.refute_alpha / 2
    drop, contrasts = total_drop(n), [excess(gap, prediction.share, n) for gap in gaps]
    large = terms.low(worst_case(drop, cells, "low"), terms.alpha) > prediction.min_total_drop
    if large and any(terms.low(worst_case(c, cells, "low"), terms.alpha / len(gaps)) > 0 for c in contrasts):
        return SUPPORTED
    if terms.high(worst_case(drop, cells, "high"), half) < prediction.min_total_drop:
        return refuted(Refutation.TOO_SMALL)
    if all(terms.high(worst_case(c, cells, "high"), half) < 0 for c in contrasts):
        return refuted(Refutation.TOO_GRADUAL)
    return open_because(Reason.MISSING_RUNS) if missing_runs(cells) else STRADDLES


def futile(prediction: Cliff, samples: Samples, terms: Terms, _: Landmarks, threshold: float) -> bool:
    """Return whether every contrast is unlikely to be decided by the last look.

    The chance is taken for the contrast of each gap by itself, support and refutation together, which is at least
    that of the whole rule: stopping is too rare rather than too frequent.
    """
    look, cells = terms.look, [samples[name] for name in prediction.arms()]
    if look.last:
        return False
    last, gaps = look.at_last(), _gaps(prediction)

    def chance(weights: NDArray[np.float64], edge: float, share: float) -> float:
        fit = contrast(weights, cells)
        if not 0 < fit.se < math.inf:
            return 1.0
        df = fit.pooled_df * (last.runs - 1) / (look.runs - 1)
        levels = last.nominal(terms.alpha * share), last.nominal(terms.refute_alpha / 2)
        final = FinalLook(look.runs / last.runs, df, *levels)
        return resolve_probability(fit.estimate, fit.se, fit.pooled_df, Regions(edge, refute_below=edge), final)

    n = len(cells)
    chances = [chance(excess(gap, prediction.share, n), 0.0, 1 / len(gaps)) for gap in gaps]
    return max(*chances, chance(total_drop(n), prediction.min_total_drop, 1.0)) < threshold


def rule(prediction: Cliff, samples: Samples, terms: Terms, _: Landmarks) -> Ruling:
    """Return the figures: the share of the drop, the drop, and the runs that would resolve it."""
    cells = [samples[name] for name in prediction.arms()]
    if not all(cell.n_runs for cell in cells):
        return Ruling("")
    share, drop = _share_estimate(prediction, cells, terms), _drop_estimate(prediction, cells, terms)
    detail = (
        f"{share.name}: {interval(share)}, needs > {prediction.share:g}; "
        f"{drop.name}: {interval(drop)}, needs > {prediction.min_total_drop:g}{missing_note(cells)}"
    )
    gap = _steepest(prediction, cells)
    fit = contrast(excess(gap, prediction.share, len(cells)), cells)
    planned = min(cell.planned for cell in cells)
    each = Terms(terms.alpha / len(_gaps(prediction)), terms.refute_alpha / 2, terms.look)
    more = runs_to_resolve(fit, Regions(support_above=0.0, refute_below=0.0), each, planned)
    return Ruling(detail, (share, drop), runs_to_resolve=more)


def _gaps(prediction: Cliff) -> list[int]:
    """Return the indices of the gaps that may carry the drop: the declared one, else all."""
    if prediction.location is not None:
        return [prediction.ranks.index(prediction.location[0])]
    return list(range(len(prediction.ranks) - 1))


def _drop_estimate(prediction: Cliff, cells: list[CellSample], terms: Terms) -> Estimate:
    name = f"total drop from r={prediction.ranks[0]} to r={prediction.ranks[-1]}"
    unit = "accuracy" if "accuracy" in prediction.measure else prediction.measure
    estimate = mean_estimate(name, unit, contrast(total_drop(len(cells)), cells), terms, ways=2)
    return estimate.model_copy(update={"n_runs": cells[0].n_runs + cells[-1].n_runs})


def _steepest(prediction: Cliff, cells: list[CellSample]) -> int:
    """Return the index of the declared gap, or of the steepest."""
    means = [float(cell.values.mean()) for cell in cells]
    return max(_gaps(prediction), key=lambda j: means[j] - means[j + 1])


def _share_estimate(prediction: Cliff, cells: list[CellSample], terms: Terms) -> Estimate:
    """Return the share of the declared gap, or of the steepest one with its level divided by the number of gaps."""
    gap, gaps = _steepest(prediction, cells), _gaps(prediction)
    means = [float(cell.values.mean()) for cell in cells]
    drop, levels = means[0] - means[-1], (terms.alpha / len(gaps), terms.refute_alpha / 2)
    (low, high), (refute_low, refute_high) = (fieller(gap, cells, alpha, terms) for alpha in levels)
    kind = "" if prediction.location else "steepest step, "
    return Estimate(
        name=f"share of the drop, {kind}r={prediction.ranks[gap]} to r={prediction.ranks[gap + 1]}",
        unit="share",
        value=(means[gap] - means[gap + 1]) / drop if drop > 0 else None,
        low=low,
        high=high,
        refute_low=refute_low,
        refute_high=refute_high,
        method=f"Fieller, {terms.in_words(levels[0])} (of {len(gaps)} steps), refuting {levels[1]:g}",
        n_runs=sum(cells[index].n_runs for index in {0, gap, gap + 1, len(cells) - 1}),
    )


def _root(limit: Callable[[float], float], centre: float, side: float) -> float | None:
    """Return where `limit` changes sign on one side of `centre`, or None within WIDEST of it."""
    step, sign = 1.0, limit(centre) > 0
    while (limit(centre + side * step) > 0) is sign:
        step *= 2
        if step > WIDEST:
            return None
    near, far = sorted((centre, centre + side * step))
    # Without full_output the result is the root alone; the inferred type also has the pair.
    return float(brentq(limit, near, far, xtol=1e-12))  # pyright: ignore[reportArgumentType, reportUnknownArgumentType]
