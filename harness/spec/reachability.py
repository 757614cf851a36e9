"""Whether a prediction can come out both ways with the declared seeds, decided before any run.

A probability is bounded exactly (Clopper-Pearson), so with few runs even unanimity proves little: 5 of 5 are needed
to show more than one half at the level 0.05. A contrast of means needs a between-run variance.
"""

import math

from harness.spec.prediction import CollapseProbability, Prediction
from harness.spec.problem import Problem

SMALLEST_ARM = 3
"""Fewest runs a cell needs before its between-run variance is worth an interval (a t quantile on 2 df is 2.9)."""
LARGEST_ARM = 1000
"""Most seeds a cell that a design may ask for."""


def unanimous_runs(alpha: float, probability: float) -> int:
    """Return the fewest runs, all with the event, whose exact lower bound exceeds `probability`.

    The one-sided Clopper-Pearson bound of n of n is alpha ** (1 / n).
    """
    runs = max(1, math.ceil(math.log(alpha) / math.log(probability)))
    return runs if alpha ** (1 / runs) > probability else runs + 1


def too_few_for_means(predictions: dict[int, Prediction], seeds: int) -> list[Problem]:
    """Return the mistake of a design whose seeds give the contrasts of means among `predictions` no variance."""
    names = [p.id for p in predictions.values() if not isinstance(p, CollapseProbability)]
    if seeds >= SMALLEST_ARM or not names:
        return []
    rule = (
        f"{seeds} {'seed gives' if seeds == 1 else 'seeds give'} a cell no usable between-run variance, so neither "
        f"region of {', '.join(names)} can be reached. Write {SMALLEST_ARM} or more."
    )
    return [Problem(("design", "seeds"), rule)]


def unreachable(index: int, prediction: Prediction, seeds: int, refute_alpha: float) -> list[Problem]:
    """Return the regions of `predictions[index]` that not even unanimous runs reach, at `seeds` runs a cell."""
    if not isinstance(prediction, CollapseProbability):
        return []
    above = prediction.direction == "above"
    probability = prediction.probability
    claimed = probability if above else 1 - probability
    pooled = seeds * prediction.among.size()
    rules: list[str] = []
    if seeds < (need := unanimous_runs(prediction.alpha, claimed)):
        bound = _bound(prediction.alpha, seeds, lower=above)
        rules.append(
            f"the support region cannot be reached: with {_runs(seeds, 'unanimous ')} a cell the best one-sided "
            f"bound is {bound}, never {prediction.direction} {probability:g}; it takes {_runs(need)}. {_remedy(need)}"
        )
    if pooled < (need := unanimous_runs(refute_alpha, 1 - claimed)):
        bound = _bound(refute_alpha, pooled, lower=not above)
        rules.append(
            f"the refute region cannot be reached: with {_runs(pooled)} in all, every one against the claim, the best "
            f"one-sided bound at the level {refute_alpha:g} is {bound}, never {'below' if above else 'above'} "
            f"{probability:g}; it takes {_runs(need)}. {_remedy(math.ceil(need / prediction.among.size()))}"
        )
    return [Problem(("predictions", index, "probability"), rule) for rule in rules]


def _bound(alpha: float, runs: int, *, lower: bool) -> str:
    """Return the exact bound of a unanimous sample: the lower one of n of n, or the upper one of 0 of n."""
    unanimous = alpha ** (1 / runs)
    return f"{unanimous if lower else 1 - unanimous:.3f}"


def _runs(count: int, kind: str = "") -> str:
    return f"{count} {kind}run{'' if count == 1 else 's'}"


def _remedy(seeds: int) -> str:
    if seeds > LARGEST_ARM:
        return f"No design has that many (at most {LARGEST_ARM} a cell). Move the probability towards 0.5."
    return f"Set design.seeds to {seeds} or more."
