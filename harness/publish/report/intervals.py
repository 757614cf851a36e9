"""Estimates as small drawings: the interval on a line, over the regions that support and refute its prediction.

The regions are those of the declaration as it stands now, and are drawn only where that still asks for what the
verdict says it needed. All estimates of one unit within a prediction share a scale. What a drawing shows stands beside
it as text, so that it is for the eye alone. Units are those of the estimate; an accuracy is on 0 to 1.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from harness.decide import means
from harness.decide.prediction import needs
from harness.decide.sample import Landmarks
from harness.record.verdict import Estimate, PredictionVerdict
from harness.spec import Hypothesis
from harness.spec.prediction import Association, Cliff, CollapseProbability, Custom, Prediction

WIDTH = 180.0
"""Units of the drawing from end to end."""
MARGIN = 6.0
FREE = 0.08
"""Share of the range that is left free on both sides where the scale has no ends of its own."""

MEAN = " mean over "
"""What names an estimate of counts that is pooled over cells."""

Band = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Regions:
    """Where an estimate's limits must lie to support or to refute; None where no single estimate decides that."""

    support: Band | None = None
    refute: tuple[Band, ...] = ()


@dataclass(frozen=True, slots=True)
class Interval:
    """An estimate, in places from 0 to WIDTH."""

    value: float | None
    low: float
    high: float
    open_low: bool
    """Whether the interval has no lower limit."""
    open_high: bool
    wide: Band
    """The interval at the level of refutation."""
    support: Band | None
    refute: tuple[Band, ...]
    zero: float | None
    """The place of zero, where it lies within."""


def intervals(said: PredictionVerdict, hypothesis: Hypothesis | None) -> list[Interval | None]:
    """Return the drawing of each estimate of a prediction; None where there is nothing to draw."""
    declared = next((p for p in hypothesis.predictions if p.id == said.id), None) if hypothesis else None
    asked = declared if declared is not None and declared.kind == said.kind and needs(declared) == said.needs else None
    regions = [_regions(asked, each) for each in said.estimates]
    scales: dict[str, Band] = {}
    for unit in dict.fromkeys(each.unit for each in said.estimates):
        scales[unit] = _scale(unit, [(e, r) for e, r in zip(said.estimates, regions, strict=True) if e.unit == unit])
    return [_interval(each, where, scales[each.unit]) for each, where in zip(said.estimates, regions, strict=True)]


def _regions(declared: Prediction | None, estimate: Estimate) -> Regions:
    match declared:
        case None:
            return Regions()
        case CollapseProbability():
            return _of_counts(declared, estimate)
        case Cliff():
            least = declared.share if estimate.unit == "share" else declared.min_total_drop
            return Regions((least, math.inf))
        case Association():
            below = declared.margin if declared.refute_below is None else declared.refute_below
            return Regions((declared.margin, math.inf), ((-math.inf, below),))
        case Custom():
            beyond = declared.value if declared.refute_beyond is None else declared.refute_beyond
            if declared.direction == "above":
                return Regions((declared.value, math.inf), ((-math.inf, beyond),))
            return Regions((-math.inf, declared.value), ((beyond, math.inf),))
        case _:
            # An estimate that is counted from a landmark has it taken off already.
            where = means.regions(declared, Landmarks(0.0, 0.0, 0.0))
            ends = ((-math.inf, where.refute_below), (where.refute_above, math.inf))
            refute = tuple((low, high) for low, high in ends if low < high)
            return Regions((where.support_above, where.support_below), refute)


def _of_counts(declared: CollapseProbability, estimate: Estimate) -> Regions:
    """Return the sides of the probability that this estimate may decide: of a cell, of the mean over cells, or both."""
    p, one = declared.probability, len(declared.among.named()) == 1
    below, above = (0.0, p), (p, 1.0)
    support, refute = (below, above) if declared.direction == "below" else (above, below)
    each, mean = declared.quantifier == "each_cell", MEAN in estimate.name
    by_cell = each and declared.refute_by == "any_cell"
    supports, refutes = one or mean != each, one or mean != by_cell
    return Regions(support if supports else None, (refute,) if refutes else ())


def _scale(unit: str, found: Sequence[tuple[Estimate, Regions]]) -> Band:
    if unit == "probability":
        return 0.0, 1.0
    ends = [x for e, _ in found for x in (e.value, e.low, e.high, e.refute_low, e.refute_high) if x is not None]
    ends += [x for _, r in found for band in (r.support, *r.refute) if band for x in band]
    finite = [x for x in ends if math.isfinite(x)]
    low, high = min(finite, default=0.0), max(finite, default=1.0)
    room = FREE * (high - low) or max(abs(high), 1.0) * FREE
    return low - room, high + room


def _interval(estimate: Estimate, regions: Regions, scale: Band) -> Interval | None:
    if estimate.value is None and estimate.low is None and estimate.high is None:
        return None

    def place(x: float) -> float:
        share = (min(max(x, scale[0]), scale[1]) - scale[0]) / (scale[1] - scale[0])
        return round(MARGIN + share * (WIDTH - 2 * MARGIN), 1)

    low, high = estimate.low, estimate.high
    return Interval(
        value=None if estimate.value is None else place(estimate.value),
        low=place(scale[0] if low is None else low),
        high=place(scale[1] if high is None else high),
        open_low=low is None,
        open_high=high is None,
        wide=(
            place(scale[0] if estimate.refute_low is None else estimate.refute_low),
            place(scale[1] if estimate.refute_high is None else estimate.refute_high),
        ),
        support=None if regions.support is None else (place(regions.support[0]), place(regions.support[1])),
        refute=tuple((place(low), place(high)) for low, high in regions.refute),
        zero=place(0.0) if scale[0] < 0 < scale[1] else None,
    )
