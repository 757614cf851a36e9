"""The scale on which responses are compared: as they are, as logarithms, or as logits of a share.

Sampling variances follow by the delta method. A logit is the empirical one, log((k + 1/2) / (N - k + 1/2)) (Haldane
1956, Ann. Hum. Genet. 20:309), finite at 0 and 1. A logarithm has no value at zero, and none is invented.
"""

import math

import numpy as np
from numpy.typing import NDArray

from harness.decide.sample import CellSample
from harness.spec.prediction import Scale


def on_scale(sample: CellSample, scale: Scale) -> NDArray[np.float64]:
    """Return the responses on `scale`, (n_runs,); not finite where a response has no value there."""
    if scale == "raw":
        return sample.values
    if scale == "logit":
        k, n = sample.values * sample.n_items, sample.n_items
        return np.log((k + 0.5) / (n - k + 0.5))
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.log(sample.values)


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


def variance_floor(sample: CellSample, scale: Scale) -> float:
    """Return the least variance between runs that sampling of problems alone gives on `scale`; 0 where unknown."""
    if not sample.bounded:
        return 0.0
    mean = float(sample.values.mean())
    raw = item_variance(mean, sample.n_items)
    p = (mean * sample.n_items + 1) / (sample.n_items + 2)
    return raw / {"raw": 1.0, "log_ratio": p**2, "logit": (p * (1 - p)) ** 2}[scale]


def bounds(sample: CellSample, scale: Scale) -> tuple[float, float] | None:
    """Return the least and the largest response that a missing run could have given, or None where unbounded."""
    if not sample.bounded or scale == "log_ratio":
        return None
    if scale == "raw":
        return 0.0, 1.0
    most = math.log((sample.n_items + 0.5) / 0.5)
    return -most, most
