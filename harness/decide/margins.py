"""Whether a difference of means clears its margin: minimum effect, non-inferiority and interaction.

All three are one contrast with two regions: support above one limit, refutation below another. The raw difference
in accuracy is the estimate; Hedges' g is secondary and given only where both spreads can carry it.
"""

import math
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from harness.decide.contrasts import ContrastFit, contrast, item_variance, region, worst_case
from harness.decide.ruling import DECIDED, Ruling, interval, mean_assumption_failed, missing_note, missing_runs
from harness.decide.sample import CellSample
from harness.record.verdict import EffectSize, Estimate, Outcome, Reason
from harness.spec.prediction import Interaction, MinEffect, NonInferiority

Margin = MinEffect | NonInferiority | Interaction
"""The predictions whose estimand is one difference, or one difference of differences."""


def limits(prediction: Margin) -> tuple[float, float]:
    """Return where support begins and where refutation ends, both on the contrast's scale (accuracy)."""
    if isinstance(prediction, NonInferiority):
        return -prediction.margin, -prediction.margin
    below = prediction.refute_below if isinstance(prediction, MinEffect) else None
    return prediction.margin, prediction.margin if below is None else below


def rule_margin(prediction: Margin, samples: Mapping[str, CellSample], refute_alpha: float) -> Outcome:
    """Return the outcome of the two regions, the same for whatever the missing runs would have given.

    Args:
        prediction: What was declared.
        samples: The runs of each arm, each with at least one.
        refute_alpha: One-sided level at which it may be refuted.
    """
    weights, cells = _weights(prediction), [samples[name] for name in prediction.arms()]
    low = worst_case(weights, cells, "low").low(prediction.alpha)
    high = worst_case(weights, cells, "high").high(refute_alpha)
    return region(low, high, *limits(prediction))


def margin(prediction: Margin, samples: Mapping[str, CellSample], refute_alpha: float) -> Ruling:
    """Decide whether a contrast of means clears its margin.

    Args:
        prediction: What was declared.
        samples: The runs of each arm, by the names of the prediction's arms.
        refute_alpha: One-sided level at which it may be refuted.
    """
    failed = mean_assumption_failed(samples)
    if failed is not None and failed[0] is Outcome.UNTESTED:
        return Ruling(*failed)
    cells = [samples[name] for name in prediction.arms()]
    estimate = mean_estimate(
        _name(prediction), contrast(_weights(prediction), cells), prediction.alpha, refute_alpha, cells
    )
    effects = _effect_sizes(prediction, samples)
    if failed is not None:
        return Ruling(*failed, (estimate,), effects)
    outcome = rule_margin(prediction, samples, refute_alpha)
    undecided = Reason.MISSING_RUNS if missing_runs(cells) else Reason.STRADDLES
    detail = f"{estimate.name} = {interval(estimate)}{missing_note(cells)}"
    return Ruling(outcome, DECIDED.get(outcome, undecided), detail, (estimate,), effects)


def mean_estimate(name: str, fit: ContrastFit, alpha: float, refute_alpha: float, cells: list[CellSample]) -> Estimate:
    """Return a contrast of means as an estimate on the accuracy scale.

    Args:
        name: What is estimated.
        fit: The contrast over the runs observed.
        alpha: One-sided level of `low` and `high`.
        refute_alpha: One-sided level of `refute_low` and `refute_high`.
        cells: The cells it rests on.
    """
    low, high, refute_low, refute_high = (
        x if math.isfinite(x) else None for a in (alpha, refute_alpha) for x in (fit.low(a), fit.high(a))
    )
    return Estimate(
        name=name,
        unit="accuracy",
        value=fit.estimate,
        low=low,
        high=high,
        refute_low=refute_low,
        refute_high=refute_high,
        method=f"t over runs, Satterthwaite df {fit.df:.1f}, variance at least item sampling",
        n_runs=sum(cell.n_runs for cell in cells),
    )


def _weights(prediction: Margin) -> tuple[float, ...]:
    return (1.0, -1.0, -1.0, 1.0) if isinstance(prediction, Interaction) else (1.0, -1.0)


def _name(prediction: Margin) -> str:
    arms = [arm.in_words() for arm in prediction.arms().values()]
    pairs = [f"{first} - {second}" for first, second in zip(arms[::2], arms[1::2], strict=True)]
    return pairs[0] if len(pairs) == 1 else " - ".join(f"({pair})" for pair in pairs)


def _effect_sizes(prediction: Margin, samples: Mapping[str, CellSample]) -> tuple[EffectSize, ...]:
    """Return Hedges' g of a against b, or nothing: with spreads below item sampling, g = 30 says nothing."""
    if isinstance(prediction, Interaction) or not all(_sane_spread(samples[name]) for name in ("a", "b")):
        return ()
    return (EffectSize(name="Hedges g (a - b)", value=_hedges_g(samples["a"].values, samples["b"].values)),)


def _sane_spread(sample: CellSample) -> bool:
    if sample.n_runs < 2:
        return False
    return float(sample.values.var(ddof=1)) >= item_variance(float(sample.values.mean()), sample.n_items)


def _hedges_g(a: NDArray[np.float64], b: NDArray[np.float64]) -> float:
    import pingouin  # pyright: ignore[reportMissingTypeStubs] - here, because importing it takes two seconds

    # Untyped in the library; it returns one number.
    return float(pingouin.compute_effsize(a, b, eftype="hedges"))  # pyright: ignore[reportUnknownMemberType, reportUnknownArgumentType]
