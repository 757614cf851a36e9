"""Estimates as small drawings: the interval on a line, over the regions that support and refute its prediction.

The regions are those of the declaration as it stands now, and are drawn only where that still asks for what the
verdict says it needed. All estimates of one unit within a prediction share a scale. What a drawing shows stands beside
it as text, so that it is for the eye alone. Units are those of the estimate; an accuracy is on 0 to 1.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from harness.decide.sequential import Regions
from harness.publish.report.placed import NONE, regions, still_declared
from harness.record.verdict import Estimate, PredictionVerdict
from harness.spec import Hypothesis

WIDTH = 180.0
"""Units of the drawing from end to end."""
MARGIN = 6.0
FREE = 0.08
"""Share of the range that is left free on both sides where the scale has no ends of its own."""

Band = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Bands:
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
    declared = still_declared(said, hypothesis)
    found = [regions(declared, position) if declared else NONE for position in range(1, len(said.estimates) + 1)]
    bands = [_bands(where) for where in found]
    scales: dict[str, Band] = {}
    for unit in dict.fromkeys(each.unit for each in said.estimates):
        scales[unit] = _scale(unit, [(e, r) for e, r in zip(said.estimates, bands, strict=True) if e.unit == unit])
    return [_interval(each, where, scales[each.unit]) for each, where in zip(said.estimates, bands, strict=True)]


def _bands(where: Regions) -> Bands:
    ends = ((-math.inf, where.refute_below), (where.refute_above, math.inf))
    support = (where.support_above, where.support_below)
    return Bands(support if support[0] < support[1] else None, tuple((low, high) for low, high in ends if low < high))


def _scale(unit: str, found: Sequence[tuple[Estimate, Bands]]) -> Band:
    if unit == "probability":
        return 0.0, 1.0
    ends = [x for e, _ in found for x in (e.value, e.low, e.high, e.refute_low, e.refute_high) if x is not None]
    ends += [x for _, r in found for band in (r.support, *r.refute) if band for x in band]
    finite = [x for x in ends if math.isfinite(x)]
    low, high = min(finite, default=0.0), max(finite, default=1.0)
    room = FREE * (high - low) or max(abs(high), 1.0) * FREE
    return low - room, high + room


def _interval(estimate: Estimate, bands: Bands, scale: Band) -> Interval | None:
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
        support=None if bands.support is None else (place(bands.support[0]), place(bands.support[1])),
        refute=tuple((place(low), place(high)) for low, high in bands.refute),
        zero=place(0.0) if scale[0] < 0 < scale[1] else None,
    )
