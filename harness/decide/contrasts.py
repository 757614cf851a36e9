"""How much: a linear contrast of independent cell means, with its standard error over runs.

The estimate's variance is the sum of the cells' squared weights times s^2 / n, its degrees of freedom are
Satterthwaite's (with two cells this is Welch's t). Departures from the textbook: the between-run variance s^2 of a
cell is never taken below what item sampling alone gives at that accuracy, so that identical runs do not claim
certainty; and missing runs are answered by the two worst cases instead of being left out.

Satterthwaite's degrees of freedom are an approximation: the level is as good as simulation shows it, not a law.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtrit  # pyright: ignore[reportMissingTypeStubs] - scipy ships none

from harness.decide.sample import CellSample
from harness.decide.scales import bounds, on_scale, variance_floor
from harness.spec.prediction import Scale

Weights = Sequence[float] | NDArray[np.float64]
"""One weight a cell, (n_cells,)."""


@dataclass(frozen=True, slots=True)
class ContrastFit:
    """A contrast's estimate with its standard error (both on the scale compared) and degrees of freedom."""

    estimate: float
    se: float
    df: float
    n_eff: float = 1.0
    """1 / sum_i (w_i^2 / n_i): the runs that carry the contrast, in units of one sample of its own."""
    pooled_df: float = math.inf
    """sum_i (n_i - 1): what the prediction of the last look goes by, which takes the cells' spreads as alike."""

    def widened(self, variance: float) -> "ContrastFit":
        """Return the fit with a further variance of which the degrees of freedom are not scarce."""
        if not variance or not math.isfinite(self.se):
            return self
        total = self.se**2 + variance
        df = math.inf if not self.se else self.df * (total / self.se**2) ** 2
        return replace(self, se=math.sqrt(total), df=min(df, 1e9))

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
    n: int


def contrast(weights: Weights, samples: Sequence[CellSample], scale: Scale = "raw") -> ContrastFit:
    """Fit sum_i weights_i x mean_i over the runs observed.

    Cells of weight zero play no part. A cell with a single run gives an infinite standard error: it shows no spread.
    So do cells that all show none and have no known sampling variance.

    Args:
        weights: One a cell, (n_cells,).
        samples: The cells, (n_cells,), each with at least one run where its weight is not zero.
        scale: The scale on which responses are compared.

    Returns:
        The fit, with Satterthwaite's degrees of freedom (Satterthwaite 1946, Biometrics Bulletin 2:110).
    """
    cells = [(weight, _observed(sample, scale)) for weight, sample in _weighted(weights, samples)]
    return _fit(cells)


def worst_case(
    weights: Weights, samples: Sequence[CellSample], toward: Literal["low", "high"], scale: Scale = "raw"
) -> ContrastFit:
    """Fit the contrast at the planned number of runs with every missing one at the response that moves it most.

    Each missing run becomes the least or largest possible response, whichever lowers (raises) the contrast. The
    variance is the largest that any values of the missing runs could give and the degrees of freedom the fewest, so
    that a limit of this fit is beyond the limit of every possible completion. Without missing runs it is `contrast`.
    Where responses are unbounded, or runs were selected by their label, nothing bounds what is missing: the standard
    error is infinite.

    Args:
        weights: One a cell, (n_cells,).
        samples: The cells, (n_cells,), each with at least one run where its weight is not zero.
        toward: The side that the missing runs pull to.
        scale: The scale on which responses are compared.
    """
    arms = list(_weighted(weights, samples))
    if not any(sample.missing for _, sample in arms):
        return contrast(weights, samples, scale)
    cells = [(weight, _filled(sample, (weight > 0) == (toward == "high"), scale)) for weight, sample in arms]
    fit = _fit(cells)
    return ContrastFit(fit.estimate, fit.se, min(cell.df for _, cell in cells), fit.n_eff, fit.pooled_df)


def _fit(cells: list[tuple[float, _Moments]]) -> ContrastFit:
    terms = [weight**2 * cell.variance for weight, cell in cells]
    estimate = sum(weight * cell.mean for weight, cell in cells)
    n_eff = 1 / sum(weight**2 / cell.n for weight, cell in cells)
    pooled = float(sum(cell.df for _, cell in cells))
    if math.inf in terms:
        return ContrastFit(estimate, math.inf, 1.0, n_eff, pooled)
    total = sum(terms)
    if not total:
        return ContrastFit(estimate, math.inf, 1.0, n_eff, pooled)
    df = total**2 / sum(term**2 / cell.df for term, (_, cell) in zip(terms, cells, strict=True))
    return ContrastFit(estimate, math.sqrt(total), df, n_eff, pooled)


def _weighted(weights: Weights, samples: Sequence[CellSample]) -> Iterator[tuple[float, CellSample]]:
    return ((float(w), sample) for w, sample in zip(weights, samples, strict=True) if w != 0)


def _observed(sample: CellSample, scale: Scale) -> _Moments:
    values, n = on_scale(sample, scale), sample.n_runs
    mean = float(values.mean())
    if n < 2:
        return _Moments(mean, math.inf, 1, n)
    # Equal values less their rounded mean may not be exactly zero.
    spread = max(float(values.var(ddof=1)) if np.ptp(values) else 0.0, variance_floor(sample, scale))
    return _Moments(mean, spread / n, n - 1, n)


def _filled(sample: CellSample, with_most: bool, scale: Scale) -> _Moments:
    """Return the moments at the planned n; the variance, convex in the missing values, is largest at the bounds."""
    if not sample.missing:
        return _observed(sample, scale)
    limits = None if sample.selected else bounds(sample, scale)
    if limits is None:
        return _Moments(float(on_scale(sample, scale).mean()), math.inf, 1, sample.planned)
    values, n, (least, most) = on_scale(sample, scale), sample.planned, limits
    at_most = np.arange(sample.missing + 1)
    filled = at_most * most + (sample.missing - at_most) * least
    squares = at_most * most**2 + (sample.missing - at_most) * least**2
    total = float(values.sum())
    variances = (float(np.square(values).sum()) + squares - (total + filled) ** 2 / n) / (n - 1)
    spread = max(float(variances.max()), _largest_floor(sample, scale))
    return _Moments((total + float(filled[-1 if with_most else 0])) / n, spread / n, n - 1, n)


def _largest_floor(sample: CellSample, scale: Scale) -> float:
    """Return the largest item-sampling variance at any mean: 1 / 4N raw; of a logit, the one at 0 or 1."""
    n = sample.n_items
    return 0.25 / n if scale == "raw" else (n + 2) ** 2 / (n * (n + 1))


def _t_quantile(df: float, probability: float) -> float:
    return float(stdtrit(df, probability))
