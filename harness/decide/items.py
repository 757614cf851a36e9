"""Generalising over problems as well as runs: the run x item variance of a contrast of means.

Every run answers the same problems, so a contrast varies with the runs drawn and with the problems drawn. With y of
shape (n_runs, n_items) in each cell, V = V_run + V_item - V_res, where V_run = sum_cells w^2 var(run means) / n, V_item
= var over items of the contrast of item means / N, and V_res, which both contain, = sum_cells w^2 MS_residual / (n N).
It is the algebra of multi-reader multi-case studies (Gallas 2006, Academic Radiology 13:353). V is never taken below
either part, nor below the variance that holds the problems fixed, with its floor; Satterthwaite's df over the three
mean squares. An approximation, checked by simulation only.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from harness.decide.contrasts import ContrastFit, Weights
from harness.decide.sample import CellSample
from harness.decide.scales import variance_floor


@dataclass(frozen=True, slots=True)
class _Parts:
    """One cell's share of the contrast: per-item means (n_items,), the two variances of its mean, and its runs."""

    item_means: NDArray[np.float64]
    run: float
    residual: float
    n: int


def two_way(weights: Weights, samples: Sequence[CellSample]) -> ContrastFit:
    """Fit sum_i weights_i x mean_i for runs and problems other than those observed.

    A cell with a single run, or without responses to each problem, gives an infinite standard error.

    Args:
        weights: One a cell, (n_cells,).
        samples: The cells, (n_cells,), all on the same problems, each with at least one run.
    """
    cells = [(float(w), sample) for w, sample in zip(weights, samples, strict=True) if w != 0]
    estimate = sum(w * float(sample.values.mean()) for w, sample in cells)
    n_eff = 1 / sum(w**2 / sample.n_runs for w, sample in cells)
    parts = [(w, _parts(sample)) for w, sample in cells]
    known = [(w, part) for w, part in parts if part is not None]
    if len(known) < len(parts):
        return ContrastFit(estimate, math.inf, 1.0, n_eff)
    items = known[0][1].item_means.size
    pooled = float(sum(part.n - 1 for _, part in known))
    runs = [
        w**2 * max(part.run, variance_floor(sample, "raw") / part.n)
        for (w, part), (_, sample) in zip(known, cells, strict=True)
    ]
    residuals = [w**2 * part.residual for w, part in known]
    item = float(np.var(sum(w * part.item_means for w, part in known), ddof=1)) / items
    observed = sum(w**2 * part.run for w, part in known)
    variance = max(observed + item - sum(residuals), sum(runs), item)
    if not variance:
        return ContrastFit(estimate, math.inf, 1.0, n_eff, pooled)
    spread = item**2 / (items - 1)
    for run, residual, (_, part) in zip(runs, residuals, known, strict=True):
        spread += run**2 / (part.n - 1) + residual**2 / ((part.n - 1) * (items - 1))
    return ContrastFit(estimate, math.sqrt(variance), variance**2 / spread, n_eff, pooled)


def _parts(sample: CellSample) -> _Parts | None:
    y, n = sample.items, sample.n_runs
    if y is None or n < 2 or sample.missing or y.shape[1] < 2:
        return None
    per_run, per_item = y.mean(axis=1), y.mean(axis=0)
    residual = y - per_run[:, None] - per_item[None, :] + y.mean()
    mean_square = float(np.square(residual).sum()) / ((n - 1) * (y.shape[1] - 1))
    return _Parts(per_item, float(per_run.var(ddof=1)) / n, mean_square / (n * y.shape[1]), n)
