"""Whether a prediction can come out both ways with the declared runs, decided before any of them.

A probability is bounded exactly (Clopper-Pearson), so with few runs even unanimity proves little: 5 of 5 are needed
to show more than one half at the level 0.05. A contrast of means needs a between-run variance. A permutation test's
smallest p is one over the number of permutations. The level is the one that is used, its Holm share included.
"""

import math
from collections.abc import Sequence

from harness.spec.design import LARGEST_ARM, SMALLEST_ARM, Bases, Design
from harness.spec.prediction import Association, CollapseProbability, Prediction
from harness.spec.problem import Problem


def unanimous_runs(alpha: float, probability: float) -> int:
    """Return the fewest runs, all with the event, whose exact lower bound exceeds `probability`.

    The one-sided Clopper-Pearson bound of n of n is alpha ** (1 / n).
    """
    runs = max(1, math.ceil(math.log(alpha) / math.log(probability)))
    return runs if alpha ** (1 / runs) > probability else runs + 1


def attainable_p(sizes: Sequence[int], alike: int = 1) -> float:
    """Return the smallest one-sided p that permuting within strata can give, prod((alike!)^(n / alike) / n!).

    Args:
        sizes: Units a stratum, (n_strata,).
        alike: Units that share one value of x, so that exchanging them changes nothing.
    """
    return math.prod(math.factorial(alike) ** (n // alike) / math.factorial(n) for n in sizes)


def too_few_for_means(predictions: dict[int, Prediction], seeds: int) -> list[Problem]:
    """Return the mistake of a design whose seeds give the contrasts of means among `predictions` no variance."""
    exact = CollapseProbability | Association
    names = [p.id for p in predictions.values() if not isinstance(p, exact)]
    if seeds >= SMALLEST_ARM or not names:
        return []
    rule = (
        f"{seeds} {'seed gives' if seeds == 1 else 'seeds give'} a cell no usable between-run variance, so neither "
        f"region of {', '.join(names)} can be reached. Write {SMALLEST_ARM} or more."
    )
    return [Problem(("design", "seeds"), rule)]


def unreachable(index: int, prediction: Prediction, design: Design, alpha: float, refute_alpha: float) -> list[Problem]:
    """Return the regions of `predictions[index]` that not even unanimous runs reach, at the levels that are used."""
    if isinstance(prediction, CollapseProbability):
        rules = _counts(prediction, design.seeds, alpha, refute_alpha)
        return [Problem(("predictions", index, "probability"), rule) for rule in rules]
    if isinstance(prediction, Association) and design.bases is not None and prediction.role != "exploratory":
        rules = _permutations(prediction, design, min(alpha, refute_alpha))
        return [Problem(("predictions", index, "strata"), rule) for rule in rules]
    return []


def _counts(prediction: CollapseProbability, seeds: int, alpha: float, refute_alpha: float) -> list[str]:
    above, cells = prediction.direction == "above", prediction.among.size()
    probability, per_cell = prediction.probability, prediction.quantifier == "each_cell"
    claimed = probability if above else 1 - probability
    rules: list[str] = []
    runs, where = (seeds, "a cell") if per_cell else (seeds * cells, "in all")
    if runs < (need := unanimous_runs(alpha, claimed)):
        bound = _bound(alpha, runs, lower=above)
        rules.append(
            f"the support region cannot be reached: with {_runs(runs, 'unanimous ')} {where} the best one-sided "
            f"bound is {bound}, never {prediction.direction} {probability:g}; it takes {_runs(need)}. "
            f"{_remedy(need if per_cell else math.ceil(need / cells))}"
        )
    if prediction.quantifier == "always":  # one exception refutes it, so it can always be refuted
        return rules
    by_cell = prediction.refute_by == "any_cell"
    level, runs = (refute_alpha / cells, seeds) if by_cell else (refute_alpha, seeds * cells)
    if runs < (need := unanimous_runs(level, 1 - claimed)):
        bound = _bound(level, runs, lower=not above)
        rules.append(
            f"the refute region cannot be reached: with {_runs(runs)} in {'a cell' if by_cell else 'all'}, every one "
            f"against the claim, the best one-sided bound at the level {level:g} is {bound}, never "
            f"{'below' if above else 'above'} {probability:g}; it takes {_runs(need)}. "
            f"{_remedy(need if by_cell else math.ceil(need / cells))}"
        )
    return rules


def _permutations(prediction: Association, design: Design, level: float) -> list[str]:
    assert design.bases is not None
    p = _smallest_p(prediction, design.bases)
    if p <= level:
        return []
    what = f"within {' x '.join(prediction.strata)}" if prediction.strata else "across families"
    return [
        f"neither region can be reached: the smallest one-sided permutation p {what} is {p:.3f} with "
        f"{_count(design.bases.families, 'family', 'families')} x {_count(design.bases.budgets, 'budget')} x "
        f"{_count(design.bases.seeds, 'seed')}, never at most {level:g}; {_enough(prediction, design, level)}"
    ]


def _smallest_p(prediction: Association, bases: Bases) -> float:
    alike = bases.seeds if prediction.x == "log2_tokens" and prediction.strata else 1
    return attainable_p(bases.strata(prediction.strata), alike)


def _enough(prediction: Association, design: Design, level: float) -> str:
    """Return the smallest change of one number of the design whose attainable p suffices."""
    assert design.bases is not None
    for field in ("families",) if not prediction.strata else ("seeds", "budgets", "families"):
        for n in range(getattr(design.bases, field) + 1, LARGEST_ARM):
            larger = design.bases.model_copy(update={field: n})
            p = _smallest_p(prediction, larger)
            if p <= level:
                return f"it takes {n} {field} (p {p:.2g}). Set design.bases.{field} to {n} or more."
            if p == _smallest_p(prediction, design.bases) == 1 and n > 20:
                break  # more of this gives no stratum a second unit
    return "no larger design does. Compare within fewer strata."


def _count(number: int, one: str, several: str | None = None) -> str:
    return f"{number} {one if number == 1 else several or one + 's'}"


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
