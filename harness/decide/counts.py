"""How often: exact one-sided bounds for a probability, and the collapse-probability decision built on them.

Supported: the bound of every cell, at alpha, lies on the claimed side (an intersection-union test, no correction).
Refuted: the mean probability over the cells is shown, at refute_alpha, to lie on the other side. It is a claim about
the average cell, from the pooled count. Both are exact for runs that are independent within and between cells.

The final number of runs is fixed and curtailed: with runs missing, the decision is taken twice at the planned
number, as if all of them had the event and as if none had. Both outcomes move one way with each count, so two that
agree hold for whatever the missing runs would have given.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import cast

from statsmodels.stats import proportion  # pyright: ignore[reportMissingTypeStubs] - statsmodels ships none

from harness.decide.ruling import DECIDED, Ruling, missing_note
from harness.decide.sample import CellSample
from harness.record.verdict import Estimate, Outcome, Reason
from harness.spec.prediction import CollapseProbability

Count = tuple[int, int]
"""Runs with the event, and runs in all."""

Bounds = tuple[float | None, float | None]
"""A lower and an upper limit, each one-sided; None where no valid one exists."""


_Confint = Callable[..., tuple[float, float]]


def clopper_pearson(events: int, runs: int, alpha: float) -> tuple[float, float]:
    """Return the exact one-sided lower and upper limits of a probability.

    Each limit holds at level `alpha` by itself: the two-sided interval at 2 alpha. The library's own one-sided
    option is not used, because it names the sides the other way round from scipy.

    Args:
        events: Runs with the event.
        runs: Runs in all; with none, the limits are 0 and 1.
        alpha: One-sided level.
    """
    if not runs:
        return 0.0, 1.0
    # The library's types also cover arrays and frames, some of them unknown without stubs.
    confint = cast(_Confint, proportion.proportion_confint)  # pyright: ignore[reportUnknownMemberType]
    low, high = confint(events, runs, alpha=2 * alpha, method="beta")
    return float(low), float(high)


def mean_bounds(counts: Sequence[Count], alpha: float) -> Bounds:
    """Return one-sided limits for the mean probability over cells that need not be alike, from the pooled count.

    With k events in N runs and unequal probabilities, the binomial tail bounds the true one where k >= N L + 1, and
    mirrored where k <= N U - 1 (Hoeffding 1956, Ann. Math. Statist. 27:713, theorem 4); a limit outside that is
    not given. Unanimous counts need no condition: prod p_i <= (mean p)^N. One cell needs none either.
    The mean weighs each cell by its runs; designs give all cells the same number.

    Args:
        counts: Events and runs of each cell, (n_cells,).
        alpha: One-sided level.
    """
    events, runs = (sum(column) for column in zip(*counts, strict=True))
    low, high = clopper_pearson(events, runs, alpha)
    alike = len(counts) == 1
    low_valid = alike or events in (0, runs) or events >= runs * low + 1
    high_valid = alike or events in (0, runs) or events <= runs * high - 1
    return low if low_valid else None, high if high_valid else None


def rule_counts(prediction: CollapseProbability, counts: Sequence[Count], refute_alpha: float) -> Outcome:
    """Return the outcome for complete cells.

    Args:
        prediction: The declared event, side, probability and alpha.
        counts: Events and runs of each cell, (n_cells,).
        refute_alpha: One-sided level at which the mean may refute.
    """
    below, limit = prediction.direction == "below", prediction.probability
    cells = [clopper_pearson(*count, prediction.alpha) for count in counts]
    if all(high < limit if below else low > limit for low, high in cells):
        return Outcome.SUPPORTED
    low, high = mean_bounds(counts, refute_alpha)
    against = low is not None and low > limit if below else high is not None and high < limit
    return Outcome.REFUTED if against else Outcome.INCONCLUSIVE


def collapse_probability(
    prediction: CollapseProbability, samples: Mapping[str, CellSample], refute_alpha: float
) -> Ruling:
    """Decide a prediction about how often runs collapse, or train.

    Args:
        prediction: What was declared.
        samples: The runs of each cell, by the names of the prediction's arms.
        refute_alpha: One-sided level at which it may be refuted.
    """
    cells, event = tuple(samples.values()), prediction.event
    estimates = _estimates(prediction, samples, refute_alpha)
    detail = f"{event} {_tally(prediction, samples)}{_mean(estimates, len(cells))}{missing_note(cells)}"
    if not any(sample.n_runs for sample in cells):
        return Ruling(Outcome.UNTESTED, Reason.NO_RUNS, f"no runs at {', '.join(samples)}", estimates)
    least, most = (
        rule_counts(prediction, [(s.n_event(event) + fill * s.missing, s.planned) for s in cells], refute_alpha)
        for fill in (0, 1)
    )
    if least != most:
        return Ruling(Outcome.INCONCLUSIVE, Reason.MISSING_RUNS, detail, estimates)
    return Ruling(least, DECIDED.get(least, Reason.STRADDLES), detail, estimates)


def _estimates(
    prediction: CollapseProbability, samples: Mapping[str, CellSample], refute_alpha: float
) -> tuple[Estimate, ...]:
    counts = {name: (sample.n_event(prediction.event), sample.n_runs) for name, sample in samples.items()}
    levels = (prediction.alpha, refute_alpha)
    each = [
        _estimate(f"P({prediction.event}) {name}", [count], levels, "Clopper-Pearson") for name, count in counts.items()
    ]
    if len(counts) > 1:
        name, method = (
            f"P({prediction.event}) mean over {len(counts)} cells",
            "Clopper-Pearson, pooled (Hoeffding 1956)",
        )
        each.append(_estimate(name, list(counts.values()), levels, method))
    return tuple(each)


def _estimate(name: str, counts: Sequence[Count], levels: tuple[float, float], method: str) -> Estimate:
    events, runs = (sum(column) for column in zip(*counts, strict=True))
    (low, high), (refute_low, refute_high) = (mean_bounds(counts, alpha) for alpha in levels)
    return Estimate(
        name=name,
        unit="probability",
        value=events / runs if runs else None,
        low=low,
        high=high,
        refute_low=refute_low,
        refute_high=refute_high,
        method=method,
        n_runs=runs,
    )


def _tally(prediction: CollapseProbability, samples: Mapping[str, CellSample]) -> str:
    """Return `0/5 at each of r=8, r=16; 1/5 at r=64`."""
    alike: dict[Count, list[str]] = {}
    for name, sample in samples.items():
        alike.setdefault((sample.n_event(prediction.event), sample.n_runs), []).append(name)
    return "; ".join(
        f"{events}/{runs} at {'each of ' if len(names) > 1 else ''}{', '.join(names)}"
        for (events, runs), names in alike.items()
    )


def _mean(estimates: Sequence[Estimate], n_cells: int) -> str:
    if n_cells == 1:
        return ""
    pooled = estimates[-1]
    low, high = (f"{x:.3f}" if x is not None else "no limit" for x in (pooled.refute_low, pooled.refute_high))
    return f"; mean over {n_cells} cells [{low}, {high}] at the refuting level"
