"""How often: exact one-sided bounds for a probability, and the collapse-probability decision built on them.

Supported: the bound of every cell, at alpha, lies on the claimed side (an intersection-union test, no correction); or
of the mean over the cells, where that is what was claimed. Refuted: the mean probability over the cells is shown, at
refute_alpha, to lie on the other side; or one cell is, at refute_alpha / number of cells (Bonferroni, the first Holm
step); or, where something was said to happen always, one run is shown to be an exception: there either of two ways may
refute, so each is held to half of refute_alpha. The mean is about the average cell, from the pooled count. All are
exact for runs that are independent within and between cells.

The final number of runs is fixed and curtailed: with runs missing, the decision is taken twice at the planned
number, as if all of them had the event and as if none had. Both outcomes move one way with each count, so two that
agree hold for whatever the missing runs would have given.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import lru_cache

from scipy.special import betaincinv  # pyright: ignore[reportMissingTypeStubs] - scipy ships none

from harness.decide.resolve import MOST
from harness.decide.ruling import STRADDLES, SUPPORTED, Finding, Ruling, figure, missing_note, open_because, refuted
from harness.decide.sample import CellSample, Landmarks
from harness.decide.terms import Terms
from harness.record.verdict import Estimate, Outcome, Reason, Refutation
from harness.spec.prediction import CollapseProbability

Count = tuple[int, int]
"""Runs with the event, and runs in all."""

Samples = Mapping[str, CellSample]

Bounds = tuple[float, float]
"""A lower and an upper limit, each one-sided."""


@lru_cache(maxsize=4096)
def clopper_pearson(events: int, runs: int, alpha: float) -> tuple[float, float]:
    """Return the exact one-sided lower and upper limits of a probability.

    Each limit holds at level `alpha` by itself: quantiles of beta distributions (Clopper and Pearson 1934, Biometrika
    26:404), taken directly because a simulation asks for millions of them.

    Args:
        events: Runs with the event.
        runs: Runs in all; with none, the limits are 0 and 1.
        alpha: One-sided level.
    """
    low = float(betaincinv(events, runs - events + 1, alpha)) if events else 0.0
    return low, float(betaincinv(events + 1, runs - events, 1 - alpha)) if events < runs else 1.0


def mean_bounds(counts: Sequence[Count], alpha: float) -> Bounds:
    """Return one-sided limits for the mean probability over cells that need not be alike, from the pooled count.

    With k events in N runs and unequal probabilities of mean m, the binomial tail bounds the true one where k >= N m
    + 1, and mirrored where k <= N m - 1 (Hoeffding 1956, Ann. Math. Statist. 27:713, theorem 4), so a lower limit is
    at most (k - 1) / N and an upper one at least (k + 1) / N. Unanimous counts need no condition: prod p_i <= (mean
    p)^N. One cell needs none either.
    The mean weighs each cell by its runs; designs give all cells the same number.

    Args:
        counts: Events and runs of each cell, (n_cells,).
        alpha: One-sided level.
    """
    events, runs = (sum(column) for column in zip(*counts, strict=True))
    low, high = clopper_pearson(events, runs, alpha)
    if len(counts) == 1 or events in (0, runs):
        return low, high
    return min(low, (events - 1) / runs), max(high, (events + 1) / runs)


def rule_counts(prediction: CollapseProbability, counts: Sequence[Count], terms: Terms) -> Finding:
    """Return the finding for complete cells, counterexamples apart.

    Args:
        prediction: The declared event, side, probability and quantifier.
        counts: Events and runs of each cell, (n_cells,).
        terms: The one-sided levels; counts have a single look.
    """
    below, limit = prediction.direction == "below", prediction.probability

    def claimed(bounds: Bounds) -> bool:
        return bounds[1] < limit if below else bounds[0] > limit

    def against(bounds: Bounds) -> bool:
        return bounds[0] > limit if below else bounds[1] < limit

    if prediction.quantifier == "each_cell":
        supported = all(claimed(clopper_pearson(*count, terms.alpha)) for count in counts)
    else:
        supported = claimed(mean_bounds(counts, terms.alpha))
    if supported:
        return SUPPORTED
    if prediction.refute_by == "any_cell":
        level = terms.refute_alpha / len(counts)
        refuting = any(against(clopper_pearson(*count, level)) for count in counts)
    else:
        refuting = against(mean_bounds(counts, _each_way(prediction, terms.refute_alpha)))
    return refuted(Refutation.OTHER_SIDE) if refuting else STRADDLES


def find(prediction: CollapseProbability, samples: Samples, terms: Terms, landmarks: Landmarks) -> Finding:
    """Decide how often runs collapse, or train; the same for whatever the missing runs would have given.

    Args:
        prediction: What was declared.
        samples: The runs of each cell, by the names of the prediction's arms.
        terms: The one-sided levels.
        landmarks: The limits of the labels, which a counterexample has to clear.
    """
    cells, event = tuple(samples.values()), prediction.event
    if not any(sample.n_runs for sample in cells):
        return Finding(Outcome.UNTESTED, Reason.NO_RUNS, why=f"no runs at {', '.join(samples)}")
    each = _each_way(prediction, terms.refute_alpha)
    if prediction.quantifier == "always" and exceptions(prediction, cells, each, landmarks):
        return refuted(Refutation.COUNTEREXAMPLE)
    least, most = (
        rule_counts(prediction, [(s.n_event(event) + fill * s.missing, s.planned) for s in cells], terms)
        for fill in (0, 1)
    )
    if least.outcome != most.outcome:
        return open_because(Reason.MISSING_RUNS)
    return replace(least, settled=True)


def _each_way(prediction: CollapseProbability, refute_alpha: float) -> float:
    """Return the level of each way to refute; what is said to happen always has two, its mean and an exception."""
    return refute_alpha / 2 if prediction.quantifier == "always" else refute_alpha


def exceptions(
    prediction: CollapseProbability, cells: Sequence[CellSample], refute_alpha: float, landmarks: Landmarks
) -> int:
    """Return how many runs are shown to be exceptions: their accuracy, as sampled, lies beyond the event's limit.

    Each run's exact one-sided bound (Clopper-Pearson over its problems) is held to refute_alpha / planned runs, so
    that searching all of them costs nothing. More answers a problem do not count.
    """
    limit = landmarks.collapsed_below if prediction.event == "collapsed" else landmarks.trained_above
    if limit is None:
        return 0
    level = refute_alpha / sum(cell.planned for cell in cells)
    high_is_exception = (prediction.event == "trained") == (prediction.direction == "below")
    found = 0
    for cell in cells:
        for value in cell.values:
            right = value * cell.n_items
            if high_is_exception:
                found += clopper_pearson(math.floor(right), cell.n_items, level)[0] > limit
            else:
                found += clopper_pearson(math.ceil(right), cell.n_items, level)[1] < limit
    return found


def rule(prediction: CollapseProbability, samples: Samples, terms: Terms, landmarks: Landmarks) -> Ruling:
    """Return the figures: the tally, every cell's bounds and the mean's, and the runs that would resolve it."""
    cells = tuple(samples.values())
    estimates = _estimates(prediction, samples, terms)
    each = _each_way(prediction, terms.refute_alpha)
    found = exceptions(prediction, cells, each, landmarks) if prediction.quantifier == "always" else 0
    shown = f"; {found} shown to be exceptions" if found else ""
    detail = (
        f"{prediction.event} {_tally(prediction, samples)}{_mean(estimates, len(cells))}{shown}{missing_note(cells)}"
    )
    return Ruling(detail, estimates, runs_to_resolve=_more(prediction, cells, terms))


def _more(prediction: CollapseProbability, cells: Sequence[CellSample], terms: Terms) -> int | None:
    """Return the further runs a cell that decide if each cell went on in its proportion."""
    if not all(cell.n_runs for cell in cells):
        return None
    shares = [cell.n_event(prediction.event) / cell.n_runs for cell in cells]
    least = min(cell.n_runs for cell in cells)

    def decided(n: int) -> bool:
        return rule_counts(prediction, [(round(share * n), n) for share in shares], terms).decided

    # One after the other: a proportion of n runs is rounded to whole ones, so a larger n may decide less.
    return next((n - least for n in range(least, MOST + 1) if decided(n)), None)


def _estimates(prediction: CollapseProbability, samples: Samples, terms: Terms) -> tuple[Estimate, ...]:
    counts = {name: (sample.n_event(prediction.event), sample.n_runs) for name, sample in samples.items()}
    levels = (terms.alpha, _each_way(prediction, terms.refute_alpha))
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


def _tally(prediction: CollapseProbability, samples: Samples) -> str:
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
    limits = f"[{figure(pooled.refute_low)}, {figure(pooled.refute_high)}]"
    return f"; mean over {n_cells} cells {limits} at the refuting level"
