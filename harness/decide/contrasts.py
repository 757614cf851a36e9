"""How much: a linear contrast of independent cell means, with a one-sided t interval over runs.

The estimate's variance is the sum of the cells' squared weights times s^2 / n, its degrees of freedom are
Satterthwaite's (with two cells this is Welch's t). Departures from the textbook: the between-run variance s^2 of a
cell is never taken below what item sampling alone gives at that accuracy, so that identical runs do not claim
certainty; and missing runs are answered by the two worst cases instead of being left out.

Satterthwaite's degrees of freedom are an approximation: the level is as good as simulation shows it, not a law.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtrit  # pyright: ignore[reportMissingTypeStubs] - scipy ships none

from harness.decide.sample import CellSample
from harness.record.verdict import Outcome

Weights = Sequence[float] | NDArray[np.float64]
"""One weight a cell, (n_cells,)."""


@dataclass(frozen=True, slots=True)
class ContrastFit:
    """A contrast's estimate with its standard error (both accuracy) and degrees of freedom."""

    estimate: float
    se: float
    df: float

    def low(self, alpha: float) -> float:
        """Return the one-sided lower limit at level `alpha`; minus infinity where no spread could be estimated."""
        return self.estimate - _t_quantile(self.df, 1 - alpha) * self.se

    def high(self, alpha: float) -> float:
        """Return the one-sided upper limit at level `alpha`; infinity where no spread could be estimated."""
        return self.estimate + _t_quantile(self.df, 1 - alpha) * self.se


@dataclass(frozen=True, slots=True)
class _Moments:
    """A cell's mean over runs, the variance of that mean and its degrees of freedom."""

    mean: float
    variance: float
    df: int


def item_variance(mean: float, n_items: int) -> float:
    """Return the item-sampling variance of one run's accuracy, p(1-p)/N with p = (k+1)/(N+2), k = mean x N.

    Laplace's p keeps it above zero at accuracies 0 and 1. On a fixed set of items the true value is lower, since
    items differ in difficulty; as a floor it errs towards wider intervals.

    Args:
        mean: Accuracy, 0 to 1.
        n_items: Size N of the evaluation set.
    """
    p = (mean * n_items + 1) / (n_items + 2)
    return p * (1 - p) / n_items


def contrast(weights: Weights, samples: Sequence[CellSample]) -> ContrastFit:
    """Fit sum_i weights_i x mean_i over the runs observed.

    Cells of weight zero play no part. A cell with a single run gives an infinite standard error: it shows no spread.

    Args:
        weights: One a cell, (n_cells,).
        samples: The cells, (n_cells,), each with at least one run where its weight is not zero.

    Returns:
        The fit, with Satterthwaite's degrees of freedom (Satterthwaite 1946, Biometrics Bulletin 2:110).
    """
    cells = [(weight, _observed(sample)) for weight, sample in _weighted(weights, samples)]
    terms = [weight**2 * cell.variance for weight, cell in cells]
    estimate = sum(weight * cell.mean for weight, cell in cells)
    if math.inf in terms:
        return ContrastFit(estimate, math.inf, 1.0)
    df = sum(terms) ** 2 / sum(term**2 / cell.df for term, (_, cell) in zip(terms, cells, strict=True))
    return ContrastFit(estimate, math.sqrt(sum(terms)), df)


def worst_case(weights: Weights, samples: Sequence[CellSample], toward: Literal["low", "high"]) -> ContrastFit:
    """Fit the contrast at the planned number of runs with every missing one at the accuracy that moves it most.

    Each missing run becomes 0 or 1, whichever lowers (raises) the contrast. The variance is the largest that any
    values of the missing runs could give and the degrees of freedom the fewest, so that a limit of this fit is
    beyond the limit of every possible completion. Without missing runs it is `contrast`.

    Args:
        weights: One a cell, (n_cells,).
        samples: The cells, (n_cells,), each with at least one run where its weight is not zero.
        toward: The side that the missing runs pull to.
    """
    arms = list(_weighted(weights, samples))
    if not any(sample.missing for _, sample in arms):
        return contrast(weights, samples)
    cells = [(weight, _filled(sample, (weight > 0) == (toward == "high"))) for weight, sample in arms]
    variance = sum(weight**2 * cell.variance for weight, cell in cells)
    return ContrastFit(sum(w * cell.mean for w, cell in cells), math.sqrt(variance), min(cell.df for _, cell in cells))


def region(low: float, high: float, support_above: float, refute_below: float) -> Outcome:
    """Return where an interval lies: above one limit, below the other, or neither.

    Args:
        low: Lower limit at the supporting level.
        high: Upper limit at the refuting level.
        support_above: Where the support region begins; its edge is not in it.
        refute_below: Where the refute region ends, at most `support_above`; its edge is not in it.
    """
    if low > support_above:
        return Outcome.SUPPORTED
    return Outcome.REFUTED if high < refute_below else Outcome.INCONCLUSIVE


def _weighted(weights: Weights, samples: Sequence[CellSample]) -> Iterator[tuple[float, CellSample]]:
    return ((float(w), sample) for w, sample in zip(weights, samples, strict=True) if w != 0)


def _observed(sample: CellSample) -> _Moments:
    mean, n = float(sample.values.mean()), sample.n_runs
    if n < 2:
        return _Moments(mean, math.inf, 1)
    spread = max(float(sample.values.var(ddof=1)), item_variance(mean, sample.n_items))
    return _Moments(mean, spread / n, n - 1)


def _filled(sample: CellSample, with_ones: bool) -> _Moments:
    """Return the moments at the planned n; the variance, convex in the missing values, is largest at 0s and 1s."""
    if not sample.missing:
        return _observed(sample)
    n, total = sample.planned, float(sample.values.sum())
    ones = np.arange(sample.missing + 1)
    variances = (float(np.square(sample.values).sum()) + ones - (total + ones) ** 2 / n) / (n - 1)
    spread = max(float(variances.max()), 0.25 / sample.n_items)  # no item-sampling variance exceeds 1/4 an item
    return _Moments((total + sample.missing * with_ones) / n, spread / n, n - 1)


def _t_quantile(df: float, probability: float) -> float:
    return float(stdtrit(df, probability))
