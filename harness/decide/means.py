"""Whether a contrast of means lies in its support region or its refute region: all kinds with one linear contrast.

Each kind is a row of weights, an offset and two regions. A two-sided support region (equivalence) needs both limits
inside it, each at alpha (two one-sided tests, Schuirmann 1987); where refutation has two sides, each is held to half
of its level. The raw contrast is the estimate; Hedges' g is secondary and given only where both spreads can carry it.
"""

import math
from collections.abc import Mapping
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from harness.decide.contrasts import ContrastFit, contrast, worst_case
from harness.decide.items import two_way
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
from harness.decide.sample import NOWHERE, CellSample, Landmarks
from harness.decide.scales import on_scale, variance_floor
from harness.decide.sequential import FinalLook, Regions, resolve_probability
from harness.decide.terms import Terms
from harness.record.verdict import EffectSize, Estimate, Reason, Refutation
from harness.spec.prediction import (
    Contrast,
    Equivalence,
    Interaction,
    MeanBound,
    MinEffect,
    NonInferiority,
    NonSuperiority,
)

Samples = Mapping[str, CellSample]

LARGEST_LOG = 700.0
"""Beyond it a ratio is no number that a computer has."""
LARGEST_G = 20
"""Hedges' g beyond which it tells nothing of the arms, only that their runs hardly differ."""


def regions(prediction: Contrast, landmarks: Landmarks) -> Regions:
    """Return the two regions of the contrast, on the scale compared.

    Raises:
        ValueError: The bound counts from a landmark that nobody knows.
    """
    match prediction:
        case NonInferiority():
            return Regions(support_above=-prediction.margin, refute_below=-prediction.margin)
        case NonSuperiority():
            return Regions(-math.inf, support_below=prediction.margin, refute_above=prediction.margin)
        case Equivalence():
            low, high = prediction.low, prediction.high
            return Regions(support_above=low, support_below=high, refute_below=low, refute_above=high)
        case MeanBound():
            return _bound(prediction, landmarks)
        case MinEffect():
            below = prediction.margin if prediction.refute_below is None else prediction.refute_below
            return Regions(support_above=prediction.margin, refute_below=below)
        case Interaction():
            return Regions(support_above=prediction.margin, refute_below=prediction.margin)


def weights(prediction: Contrast) -> tuple[float, ...]:
    """Return the weight of each arm, (n_arms,)."""
    return {"interaction": (1.0, -1.0, -1.0, 1.0), "mean_bound": (1.0,)}.get(prediction.kind, (1.0, -1.0))


def find(prediction: Contrast, samples: Samples, terms: Terms, landmarks: Landmarks) -> Finding:
    """Return where the contrast lies, the same for whatever the missing runs would have given."""
    failed = _failed(prediction, samples, landmarks)
    if failed is not None:
        return failed
    where, fit, missing = (
        regions(prediction, landmarks),
        contrast_of(prediction, samples, landmarks),
        missing_runs(samples.values()),
    )
    # Without missing runs both worst cases are the contrast itself, and fitting is most of what a simulation costs.
    lowest, highest = (_fit(prediction, samples, side, landmarks) if missing else fit for side in ("low", "high"))
    if _inside(where, terms.low(lowest, terms.alpha), terms.high(highest, terms.alpha)):
        return SUPPORTED
    level = terms.refute_alpha / _ways(where)
    if terms.high(highest, level) < where.refute_below:
        return refuted(_how(prediction, fit.estimate, below=True))
    if terms.low(lowest, level) > where.refute_above:
        return refuted(_how(prediction, fit.estimate, below=False))
    return open_because(Reason.MISSING_RUNS) if missing else STRADDLES


def futile(prediction: Contrast, samples: Samples, terms: Terms, landmarks: Landmarks, threshold: float) -> bool:
    """Return whether the last look is less likely than `threshold` to decide, by the flat-prior predictive."""
    look = terms.look
    fit = contrast_of(prediction, samples, landmarks)
    if look.last or not math.isfinite(fit.se) or fit.se <= 0:
        return False
    where, last = regions(prediction, landmarks), look.at_last()
    final = FinalLook(
        fraction=look.runs / last.runs,
        df=fit.pooled_df * (last.runs - 1) / (look.runs - 1),
        support_level=last.nominal(terms.alpha),
        refute_level=last.nominal(terms.refute_alpha / _ways(where)),
    )
    return resolve_probability(fit.estimate, fit.se, fit.pooled_df, where, final) < threshold


def rule(prediction: Contrast, samples: Samples, terms: Terms, landmarks: Landmarks) -> Ruling:
    """Return the figures: the estimate with its intervals, effect sizes, and the runs that would resolve it."""
    cells = [samples[name] for name in prediction.arms()]
    failed = _failed(prediction, samples, landmarks)
    if failed is not None and failed.reason in (
        Reason.NO_RUNS,
        Reason.TOO_FEW,
        Reason.NO_INFORMATION,
        Reason.OFF_SCALE,
    ):
        return Ruling("")
    fit, where = contrast_of(prediction, samples, landmarks), regions(prediction, landmarks)
    landmark = _reference(prediction, landmarks) if isinstance(prediction, MeanBound) else 0.0
    beyond = replace(fit, estimate=fit.estimate - landmark)
    estimate = mean_estimate(in_words(prediction), unit(prediction), beyond, terms, _ways(where))
    estimate = estimate.model_copy(update={"n_runs": sum(cell.n_runs for cell in cells)})
    detail = f"{estimate.name} = {interval(estimate)}{missing_note(cells)}"
    # More runs do not lower the variance over problems, so they need not resolve a claim about other problems.
    by_runs = prediction.generalise_to == "benchmark"
    more = runs_to_resolve(fit, where, terms, min(cell.planned for cell in cells)) if by_runs else None
    return Ruling(detail, (estimate,), _effect_sizes(prediction, samples, fit), more)


def contrast_of(prediction: Contrast, samples: Samples, landmarks: Landmarks = NOWHERE) -> ContrastFit:
    """Fit the contrast of the runs observed, over problems too where the declaration says so."""
    return _fit(prediction, samples, None, landmarks)


def mean_estimate(name: str, unit: str, fit: ContrastFit, terms: Terms, ways: int = 1) -> Estimate:
    """Return a contrast of means as an estimate; `ways` is how many sides share the refuting level."""
    levels = (terms.alpha, terms.refute_alpha / ways)
    low, high, refute_low, refute_high = (
        x if math.isfinite(x) else None for a in levels for x in (terms.low(fit, a), terms.high(fit, a))
    )
    return Estimate(
        name=name,
        unit=unit,
        value=fit.estimate,
        low=low,
        high=high,
        refute_low=refute_low,
        refute_high=refute_high,
        method=f"{terms.in_words(terms.alpha)}, Satterthwaite df {fit.df:.1f}",
        n_runs=0,
    )


def unit(prediction: Contrast) -> str:
    """Return the unit of the contrast: `accuracy`, `log ratio`, `logit`, or the measure's own."""
    if prediction.scale != "raw":
        return prediction.scale.replace("_", " ")
    return "accuracy" if "accuracy" in prediction.measure else prediction.measure


def in_words(prediction: Contrast) -> str:
    """Return what is estimated: `GRPO r=8 - GRPO r=128`."""
    arms = [arm.in_words() for arm in prediction.arms().values()]
    if isinstance(prediction, MeanBound):
        landmark = "" if prediction.reference == "zero" else f" - {prediction.reference.replace('_', ' ')}"
        return f"mean of {arms[0]}{landmark}"
    pairs = [f"{first} - {second}" for first, second in zip(arms[::2], arms[1::2], strict=True)]
    return pairs[0] if len(pairs) == 1 else " - ".join(f"({pair})" for pair in pairs)


def _bound(prediction: MeanBound, landmarks: Landmarks) -> Regions:
    value = prediction.value + _reference(prediction, landmarks)
    if prediction.direction == "above":
        return Regions(support_above=value, refute_below=value)
    return Regions(-math.inf, support_below=value, refute_above=value)


def _reference(prediction: MeanBound, landmarks: Landmarks) -> float:
    known = {
        "zero": 0.0,
        "base": landmarks.base,
        "collapsed_below": landmarks.collapsed_below,
        "trained_above": landmarks.trained_above,
    }[prediction.reference]
    if known is None:
        raise ValueError(f"{prediction.id}: nobody knows {prediction.reference}. Give the base's own accuracy.")
    return known


def _fit(prediction: Contrast, samples: Samples, side: str | None, landmarks: Landmarks) -> ContrastFit:
    cells = [samples[name] for name in prediction.arms()]
    if prediction.generalise_to == "items":
        return two_way(weights(prediction), cells)
    if side is None:
        fit = contrast(weights(prediction), cells, prediction.scale)
    else:
        fit = worst_case(weights(prediction), cells, "low" if side == "low" else "high", prediction.scale)
    return fit.widened(_reference_variance(prediction, landmarks))


def _reference_variance(prediction: Contrast, landmarks: Landmarks) -> float:
    """Return the variance of the landmark that a bound counts from: the base's accuracy was sampled too."""
    if not isinstance(prediction, MeanBound) or prediction.reference == "zero" or not landmarks.base:
        return 0.0
    low = landmarks.collapsed_below or 0.0
    slope = low / landmarks.base if prediction.reference == "collapsed_below" else 1.0
    return (slope * landmarks.base_se) ** 2


def _failed(prediction: Contrast, samples: Samples, landmarks: Landmarks) -> Finding | None:
    failed = mean_assumption_failed(samples)
    if failed is not None and failed.reason is not Reason.NO_SPREAD:
        return failed
    if isinstance(prediction, MeanBound) and prediction.reference != "zero" and landmarks.base is None:
        return open_because(Reason.NO_INFORMATION, "the base's own accuracy is not known")
    if not all(np.isfinite(on_scale(sample, prediction.scale)).all() for sample in samples.values()):
        zero = [name for name, s in samples.items() if not np.isfinite(on_scale(s, prediction.scale)).all()]
        return open_because(Reason.OFF_SCALE, f"a response at {', '.join(zero)} is not positive")
    return failed


def _inside(where: Regions, low: float, high: float) -> bool:
    above = where.support_above == -math.inf or low > where.support_above
    return above and (where.support_below == math.inf or high < where.support_below)


def _ways(where: Regions) -> int:
    return max(1, (where.refute_below > -math.inf) + (where.refute_above < math.inf))


def _how(prediction: Contrast, estimate: float, *, below: bool) -> Refutation:
    if isinstance(prediction, MeanBound):
        return Refutation.OTHER_SIDE
    if not below or not isinstance(prediction, MinEffect | Interaction):
        return Refutation.TOO_LARGE
    return Refutation.WRONG_SIGN if estimate < 0 else Refutation.TOO_SMALL


def _effect_sizes(prediction: Contrast, samples: Samples, fit: ContrastFit) -> tuple[EffectSize, ...]:
    """Return the ratio of geometric means on the log scale, and Hedges' g of a against b where the spreads are sane.

    With spreads below what item sampling gives, or far below the contrast, g = 30 says only that they are small.
    """
    sizes: list[EffectSize] = []
    if prediction.scale == "log_ratio" and abs(fit.estimate) < LARGEST_LOG:
        sizes.append(EffectSize(name="ratio of geometric means", value=math.exp(fit.estimate)))
    if isinstance(prediction, Interaction | MeanBound) or not all(_sane(samples[n], prediction) for n in ("a", "b")):
        return tuple(sizes)
    a, b = (on_scale(samples[name], prediction.scale) for name in ("a", "b"))
    g = _hedges_g(a, b)
    return (*sizes, EffectSize(name="Hedges g (a - b)", value=g)) if abs(g) <= LARGEST_G else tuple(sizes)


def _sane(sample: CellSample, prediction: Contrast) -> bool:
    if sample.n_runs < 2:
        return False
    spread = float(on_scale(sample, prediction.scale).var(ddof=1))
    return spread > 0 and spread >= variance_floor(sample, prediction.scale)


def _hedges_g(a: NDArray[np.float64], b: NDArray[np.float64]) -> float:
    import pingouin  # pyright: ignore[reportMissingTypeStubs] - here, because importing it takes two seconds

    # Untyped in the library; it returns one number.
    return float(pingouin.compute_effsize(a, b, eftype="hedges"))  # pyright: ignore[reportUnknownMemberType, reportUnknownArgumentType]
