"""An estimand of the author's own: a function of the runs that gives an estimate and two one-sided limits.

What its limits are worth is the author's to show; `harness diagnose` measures it. The function is loaded elsewhere,
with the user's leave, and is handed in.
"""

import math
from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray

from harness.decide.ruling import (
    STRADDLES,
    SUPPORTED,
    Finding,
    Ruling,
    interval,
    mean_assumption_failed,
    missing_runs,
    open_because,
    refuted,
)
from harness.decide.sample import CellSample
from harness.decide.terms import Terms
from harness.record.verdict import Estimate, Outcome, Reason, Refutation
from harness.spec import DeclarationError
from harness.spec.prediction import Custom

Estimand = Callable[[Mapping[str, NDArray[np.float64]], float], tuple[float, float, float]]
"""From the responses of each arm, each (n_runs,), and a one-sided level to estimate, lower and upper limit."""


def find(prediction: Custom, samples: Mapping[str, CellSample], terms: Terms, estimand: Estimand) -> Finding:
    """Decide on which side of the declared value the estimand lies; missing runs leave it open."""
    failed = mean_assumption_failed(samples)
    if failed is not None and failed.outcome is Outcome.UNTESTED:
        return failed
    if missing_runs(samples.values()):
        return open_because(Reason.MISSING_RUNS)
    beyond = prediction.value if prediction.refute_beyond is None else prediction.refute_beyond
    _, low, high = evaluated(prediction, samples, terms.look.nominal(terms.alpha), estimand)
    _, refute_low, refute_high = evaluated(prediction, samples, terms.look.nominal(terms.refute_alpha), estimand)
    if prediction.direction == "above":
        supporting, refuting = low > prediction.value, refute_high < beyond
    else:
        supporting, refuting = high < prediction.value, refute_low > beyond
    if supporting:
        return SUPPORTED
    return refuted(Refutation.OTHER_SIDE) if refuting else STRADDLES


def rule(prediction: Custom, samples: Mapping[str, CellSample], terms: Terms, estimand: Estimand) -> Ruling:
    """Return the estimate with its limits."""
    if not all(sample.n_runs for sample in samples.values()):
        return Ruling("")
    value, low, high = evaluated(prediction, samples, terms.look.nominal(terms.alpha), estimand)
    _, refute_low, refute_high = evaluated(prediction, samples, terms.look.nominal(terms.refute_alpha), estimand)
    limits = (x if math.isfinite(x) else None for x in (low, high, refute_low, refute_high))
    low_, high_, refute_low_, refute_high_ = limits
    estimate = Estimate(
        name=prediction.estimand.split(":")[1].replace("_", " "),
        unit="own",
        value=value,
        low=low_,
        high=high_,
        refute_low=refute_low_,
        refute_high=refute_high_,
        method=f"{prediction.estimand}, one-sided {terms.alpha:g}",
        n_runs=sum(sample.n_runs for sample in samples.values()),
    )
    return Ruling(f"{estimate.name} = {interval(estimate)}", (estimate,))


def evaluated(
    prediction: Custom, samples: Mapping[str, CellSample], alpha: float, estimand: Estimand
) -> tuple[float, float, float]:
    """Return what the author's function says at a level.

    Raises:
        DeclarationError: It did not return three numbers in the order low <= estimate <= high.
    """
    said = estimand({name: sample.values for name, sample in samples.items()}, alpha)
    try:
        value, low, high = (float(number) for number in said)
    except (TypeError, ValueError):
        raise DeclarationError([f"{prediction.estimand}: returned {said!r}. Return (estimate, low, high)."]) from None
    if not (math.isfinite(value) and low <= value <= high):
        rule = "is not low <= estimate <= high with a finite estimate. Return (estimate, low, high)."
        raise DeclarationError([f"{prediction.estimand}: ({value}, {low}, {high}) {rule}"])
    return value, low, high
