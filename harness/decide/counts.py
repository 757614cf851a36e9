"""How often: exact one-sided bounds for a probability, and the collapse-probability decision built on them.

Supported: the bound of every cell, at alpha, lies on the claimed side (an intersection-union test, no correction); or
of the mean over the cells, where that is what was claimed. Refuted: the mean probability over the cells is shown, at
refute_alpha, to lie on the other side; or one cell is, at refute_alpha / number of cells (Bonferroni, the first Holm
step); or, where something was said to happen always, one run is shown to be an exception: there either of two ways may
refute, so each is held to half of refute_alpha. The mean is about the average cell, from the pooled count. All are
exact for runs that are independent within and between cells.

Counts are looked at as often as the design plans, with exact limits at each look (`decide.exact`). With runs missing,
the decision is taken twice at the look's number, as if all of them had the event and as if none had. Both outcomes move
one way with each count, so two that agree hold for whatever the missing runs would have given. A look after which no
later one can decide any more, whatever its runs, is the last.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace

from harness.decide.exact import Bounds, clopper_pearson
from harness.decide.resolve import MOST
from harness.decide.ruling import STRADDLES, SUPPORTED, Finding, Ruling, figure, missing_note, open_because, refuted
from harness.decide.sample import CellSample, Landmarks
from harness.decide.terms import Look, Terms, fixed
from harness.record.verdict import Estimate, Outcome, Reason, Refutation
from harness.spec.prediction import CollapseProbability

Count = tuple[int, int]
"""Runs with the event, and runs in all."""

Samples = Mapping[str, CellSample]


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


def limits(counts: Sequence[Count], alpha: float, look: Look) -> Bounds:
    """Return one-sided limits at a look for the mean probability over cells, all looks together erring at `alpha`.

    Args:
        counts: Events and runs of each cell, (n_cells,).
        alpha: One-sided level of all looks.
        look: The look.
    """
    return mean_bounds(counts, look.of_counts(alpha, len(counts)))


def rule_counts(prediction: CollapseProbability, counts: Sequence[Count], terms: Terms) -> Finding:
    """Return the finding for complete cells, counterexamples apart.

    Args:
        prediction: The declared event, side, probability and quantifier.
        counts: Events and runs of each cell, (n_cells,).
        terms: The one-sided levels, and the look.
    """
    below, limit, look = prediction.direction == "below", prediction.probability, terms.look

    def claimed(bounds: Bounds) -> bool:
        return bounds[1] < limit if below else bounds[0] > limit

    def against(bounds: Bounds) -> bool:
        return bounds[0] > limit if below else bounds[1] < limit

    if prediction.quantifier == "each_cell":
        supported = all(claimed(limits([count], terms.alpha, look)) for count in counts)
    else:
        supported = claimed(limits(counts, terms.alpha, look))
    if supported:
        return SUPPORTED
    level = _refuting(prediction, terms.refute_alpha, len(counts))
    if prediction.refute_by == "any_cell":
        refuting = any(against(limits([count], level, look)) for count in counts)
    else:
        refuting = against(limits(counts, level, look))
    return refuted(Refutation.OTHER_SIDE) if refuting else STRADDLES


def out_of_reach(prediction: CollapseProbability, cells: int, alpha: float, refute_alpha: float, look: Look) -> str:
    """Return the region that not even unanimous runs reach at any look, in words; empty where there is none.

    Args:
        prediction: What was declared.
        cells: Number of its cells.
        alpha: One-sided level of support over all looks.
        refute_alpha: One-sided level of refutation.
        look: Any look of the plan.
    """
    looks = [replace(look, number=n + 1) for n in range(len(look.sizes))]
    reached = {
        rule_counts(prediction, [(fill * each.runs, each.runs)] * cells, Terms(alpha, refute_alpha, each)).outcome
        for each in looks
        for fill in (0, 1)
    }
    if Outcome.SUPPORTED not in reached:
        return "support"
    return "" if Outcome.REFUTED in reached or prediction.quantifier == "always" else "refute"


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
    if prediction.quantifier == "always" and exceptions(prediction, cells, terms, landmarks):
        return refuted(Refutation.COUNTEREXAMPLE)
    least, most = (
        rule_counts(prediction, [(s.n_event(event) + fill * s.missing, s.planned) for s in cells], terms)
        for fill in (0, 1)
    )
    if least.outcome != most.outcome:
        return open_because(Reason.MISSING_RUNS)
    return replace(least, settled=least.decided or not _still_open(prediction, cells, terms))


def _still_open(prediction: CollapseProbability, cells: Sequence[CellSample], terms: Terms) -> bool:
    """Return whether a later look could decide: if all further runs had the event, or none, or one was an exception."""
    later = [replace(terms.look, number=n + 1) for n in range(terms.look.number, len(terms.look.sizes))]
    return bool(later and prediction.quantifier == "always") or any(
        rule_counts(prediction, _filled(prediction, cells, look.runs, fill), replace(terms, look=look)).decided
        for look in later
        for fill in (0, 1)
    )


def _filled(prediction: CollapseProbability, cells: Sequence[CellSample], runs: int, fill: int) -> list[Count]:
    return [(s.n_event(prediction.event) + fill * (runs - s.n_runs), runs) for s in cells]


def _each_way(prediction: CollapseProbability, refute_alpha: float) -> float:
    """Return the level of each way to refute; what is said to happen always has two, its mean and an exception."""
    return refute_alpha / 2 if prediction.quantifier == "always" else refute_alpha


def _refuting(prediction: CollapseProbability, refute_alpha: float, cells: int) -> float:
    """Return the level at which what may refute, a cell or the mean over cells, is held to do so."""
    return refute_alpha / cells if prediction.refute_by == "any_cell" else _each_way(prediction, refute_alpha)


def exceptions(prediction: CollapseProbability, cells: Sequence[CellSample], terms: Terms, landmarks: Landmarks) -> int:
    """Return how many runs are shown to be exceptions: their accuracy, as sampled, lies beyond the event's limit.

    Each run's exact one-sided bound (Clopper-Pearson over its problems) is held to this way's level / runs at the last
    look, so that searching all of them, at every look, costs nothing. More answers a problem do not count.
    """
    limit = landmarks.collapsed_below if prediction.event == "collapsed" else landmarks.trained_above
    if limit is None:
        return 0
    runs = max(sum(cell.planned for cell in cells), len(cells) * terms.look.sizes[-1])
    level = _each_way(prediction, terms.refute_alpha) / runs
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
    found = exceptions(prediction, cells, terms, landmarks) if prediction.quantifier == "always" else 0
    shown = f"; {found} shown to be exceptions" if found else ""
    detail = (
        f"{prediction.event} {_tally(prediction, samples)}{_mean(estimates, len(cells))}{shown}{missing_note(cells)}"
    )
    return Ruling(detail, estimates, runs_to_resolve=_more(prediction, cells, terms))


def _more(prediction: CollapseProbability, cells: Sequence[CellSample], terms: Terms) -> int | None:
    """Return the further runs a cell that decide, in one look, if each cell went on in its proportion."""
    if not all(cell.n_runs for cell in cells):
        return None
    shares = [cell.n_event(prediction.event) / cell.n_runs for cell in cells]
    least, single = min(cell.n_runs for cell in cells), fixed(terms.alpha, terms.refute_alpha)

    def decided(n: int) -> bool:
        return rule_counts(prediction, [(round(share * n), n) for share in shares], single).decided

    # One after the other: a proportion of n runs is rounded to whole ones, so a larger n may decide less.
    return next((n - least for n in range(least, MOST + 1) if decided(n)), None)


def _estimates(prediction: CollapseProbability, samples: Samples, terms: Terms) -> tuple[Estimate, ...]:
    counts = {name: (sample.n_event(prediction.event), sample.n_runs) for name, sample in samples.items()}
    held = replace(terms, refute_alpha=_refuting(prediction, terms.refute_alpha, len(counts)))
    each = [_estimate(f"P({prediction.event}) {name}", [count], held) for name, count in counts.items()]
    if len(counts) > 1:
        # Where a cell refutes, the mean does not and stands at the whole level.
        pooled = terms if prediction.refute_by == "any_cell" else held
        name = f"P({prediction.event}) mean over {len(counts)} cells"
        each.append(_estimate(name, list(counts.values()), pooled))
    return tuple(each)


def _estimate(name: str, counts: Sequence[Count], terms: Terms) -> Estimate:
    """Return the pooled probability with its limits at both levels of `terms`, those at which it is held."""
    events, runs = (sum(column) for column in zip(*counts, strict=True))
    low, high = limits(counts, terms.alpha, terms.look)
    refute_low, refute_high = limits(counts, terms.refute_alpha, terms.look)
    method = "Clopper-Pearson" if len(counts) == 1 else "Clopper-Pearson, pooled (Hoeffding 1956)"
    if len(terms.look.sizes) > 1:
        level = terms.look.of_counts(terms.alpha, len(counts))
        method += f", {level:.4f} at look {terms.look.number} of {len(terms.look.sizes)}"
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
