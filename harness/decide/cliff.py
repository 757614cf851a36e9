"""Whether one step of rank carries most of the drop: a linear contrast, and the share of the drop with its interval.

With D = m_first - m_last, the contrast of gap j is C_j = (m_j - m_(j+1)) - share x D. Supported: D exceeds
`min_total_drop` and C_j exceeds 0 at the declared location, both at alpha; without a location some C_j does, at
alpha / number of gaps. Refuted: D is shown to be smaller (too small), or every C_j, or the declared one, is shown to be
negative (too gradual). Either may refute, so each is held to half of refute_alpha.

A grid of ranks cannot show a discontinuity: what is shown is a transition narrower than one step. For a logistic in
log2 rank, a share of .8 in one octave is a 10-90 % width of one octave.
"""

from collections.abc import Callable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import brentq  # pyright: ignore[reportMissingTypeStubs, reportUnknownVariableType] - scipy ships none

from harness.decide.contrasts import contrast, worst_case
from harness.decide.margins import mean_estimate
from harness.decide.ruling import DECIDED, Ruling, interval, mean_assumption_failed, missing_note, missing_runs
from harness.decide.sample import CellSample
from harness.record.verdict import Estimate, Outcome, Reason
from harness.spec.prediction import Cliff

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


def fieller(gap: int, cells: Sequence[CellSample], alpha: float) -> Limits:
    """Return the shares that the contrast of `gap` does not reject at `alpha`, one-sided at each end.

    Fieller's interval (Fieller 1954, JRSS B 16:175) with the contrast's own degrees of freedom at every share, so
    that its lower limit exceeds a share exactly when that contrast is shown to be positive. While the total drop
    is not shown to be positive, the set is unbounded and no limit is given.

    Args:
        gap: Index of the lower rank.
        cells: One a rank, (n_ranks,), in the order of the ranks.
        alpha: One-sided level.
    """
    n = len(cells)
    drop = contrast(total_drop(n), cells)
    if drop.low(alpha) <= 0:
        return None, None
    centre = (float(cells[gap].values.mean()) - float(cells[gap + 1].values.mean())) / drop.estimate
    low = _root(lambda share: contrast(excess(gap, share, n), cells).low(alpha), centre, -1.0)
    return low, _root(lambda share: contrast(excess(gap, share, n), cells).high(alpha), centre, 1.0)


def rule_cliff(prediction: Cliff, cells: Sequence[CellSample], refute_alpha: float) -> tuple[Outcome, str]:
    """Return the outcome, the same for whatever the missing runs would have given, and how it was refuted.

    Args:
        prediction: What was declared.
        cells: One a rank, (n_ranks,), in the order of the ranks, each with at least one run.
        refute_alpha: One-sided level at which it may be refuted.
    """
    n, gaps = len(cells), _gaps(prediction)
    drop, contrasts = total_drop(n), [excess(gap, prediction.share, n) for gap in gaps]
    large = worst_case(drop, cells, "low").low(prediction.alpha) > prediction.min_total_drop
    if large and any(worst_case(c, cells, "low").low(prediction.alpha / len(gaps)) > 0 for c in contrasts):
        return Outcome.SUPPORTED, ""
    if worst_case(drop, cells, "high").high(refute_alpha / 2) < prediction.min_total_drop:
        return Outcome.REFUTED, "the total drop is too small"
    if all(worst_case(c, cells, "high").high(refute_alpha / 2) < 0 for c in contrasts):
        return Outcome.REFUTED, "the drop is too gradual"
    return Outcome.INCONCLUSIVE, ""


def cliff(prediction: Cliff, samples: Mapping[str, CellSample], refute_alpha: float) -> Ruling:
    """Decide whether one step of rank carries more than the declared share of the drop.

    Args:
        prediction: What was declared.
        samples: The runs at each rank, by the names of the prediction's arms.
        refute_alpha: One-sided level at which it may be refuted; each of the two ways gets half.
    """
    failed = mean_assumption_failed(samples)
    if failed is not None and failed[0] is Outcome.UNTESTED:
        return Ruling(*failed)
    cells = [samples[name] for name in prediction.arms()]
    share, drop = _share_estimate(prediction, cells, refute_alpha), _drop_estimate(prediction, cells, refute_alpha)
    figures = (
        f"{share.name}: {interval(share)}, needs > {prediction.share:g}; "
        f"{drop.name}: {interval(drop)}, needs > {prediction.min_total_drop:g}{missing_note(cells)}"
    )
    if failed is not None:
        outcome, reason, why = failed
        return Ruling(outcome, reason, f"{why}; {figures}", (share, drop))
    outcome, how = rule_cliff(prediction, cells, refute_alpha)
    undecided = Reason.MISSING_RUNS if missing_runs(cells) else Reason.STRADDLES
    return Ruling(outcome, DECIDED.get(outcome, undecided), f"{how}; {figures}" if how else figures, (share, drop))


def _gaps(prediction: Cliff) -> list[int]:
    """Return the indices of the gaps that may carry the drop: the declared one, else all."""
    if prediction.location is not None:
        return [prediction.ranks.index(prediction.location[0])]
    return list(range(len(prediction.ranks) - 1))


def _drop_estimate(prediction: Cliff, cells: list[CellSample], refute_alpha: float) -> Estimate:
    name = f"total drop from r={prediction.ranks[0]} to r={prediction.ranks[-1]}"
    fit = contrast(total_drop(len(cells)), cells)
    return mean_estimate(name, fit, prediction.alpha, refute_alpha / 2, [cells[0], cells[-1]])


def _share_estimate(prediction: Cliff, cells: list[CellSample], refute_alpha: float) -> Estimate:
    """Return the share of the declared gap, or of the steepest one with its level divided by the number of gaps."""
    gaps, means = _gaps(prediction), [float(cell.values.mean()) for cell in cells]
    gap = max(gaps, key=lambda j: means[j] - means[j + 1])
    drop, levels = means[0] - means[-1], (prediction.alpha / len(gaps), refute_alpha / 2)
    (low, high), (refute_low, refute_high) = (fieller(gap, cells, alpha) for alpha in levels)
    kind = "" if prediction.location else "steepest step, "
    return Estimate(
        name=f"share of the drop, {kind}r={prediction.ranks[gap]} to r={prediction.ranks[gap + 1]}",
        unit="share",
        value=(means[gap] - means[gap + 1]) / drop if drop > 0 else None,
        low=low,
        high=high,
        refute_low=refute_low,
        refute_high=refute_high,
        method=f"Fieller, one-sided levels {levels[0]:g} (of {len(gaps)} steps) and {levels[1]:g}",
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
