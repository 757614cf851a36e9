"""How the values of a column become text: digits by uncertainty, the same number of decimals down a column.

A figure is rounded so that the median uncertainty of its column (half the width of its interval) keeps two significant
digits; figures of different units in one column are rounded apart. Signs are typographic (a minus, an infinity), and
nothing is written where there is no value. Limits of counts are exact (Clopper and Pearson 1934, Biometrika 26:404).
"""

import math
from collections.abc import Callable, Sequence
from statistics import median
from typing import Any

from scipy.special import stdtrit  # pyright: ignore[reportMissingTypeStubs] - scipy ships none

from harness.decide import item_variance
from harness.decide.exact import clopper_pearson
from harness.spec.report_table import Written

Values = Sequence[Any]
"""What one row has in the columns that a printed column is written from."""
MINUS = "\N{MINUS SIGN}"
LEVEL = 0.95
"""Two-sided level of the intervals that tables compute themselves."""
MOST_DECIMALS = 4
UNITS = {"accuracy": "points"}
"""Units that are written otherwise than they are kept."""
SCALE = {"accuracy": 100.0}
SHARES = ("probability", "share", "accuracy, 0 to 1")
"""Units whose numbers are written without the zero before the point."""


def column_texts(written: Written, rows: Sequence[Values]) -> list[str]:
    """Return the text of each row of a column.

    Raises:
        ValueError: a value is not of the kind that is written so.
    """
    return _KINDS[written](rows)


def fixed(value: float | None, decimals: int, *, zero: bool = True) -> str:
    """Return a number with so many decimals, a typographic minus, and no sign on a zero; empty for None.

    Without `zero`, that before the point is left out, as is usual for shares.
    """
    if value is None or math.isnan(value):
        return ""
    if math.isinf(value):
        return "∞" if value > 0 else f"{MINUS}∞"
    if 0 < abs(value) < 0.5 * 10.0**-MOST_DECIMALS and decimals == MOST_DECIMALS:
        return f"{value:.1e}".replace("-", MINUS)  # it would read as zero
    text = f"{abs(value):.{decimals}f}"
    negative = value < 0 and float(text) != 0
    text = text if zero or not text.startswith("0.") else text[1:]
    return (MINUS if negative else "") + text


def decimals_for(uncertainties: Sequence[float]) -> int:
    """Return the decimals that leave the median uncertainty two significant digits, from 0 to 4; 2 without any."""
    known = [u for u in uncertainties if u > 0 and math.isfinite(u)]
    if not known:
        return 2
    return min(max(1 - math.floor(math.log10(median(known))), 0), MOST_DECIMALS)


def significant(value: float | None, digits: int = 3) -> str:
    """Return so many significant digits; powers of ten from a million and below a thousandth."""
    if value is None or math.isnan(value):
        return ""
    if value == 0 or 1e-3 <= abs(value) < 1e6:
        places = 0 if value == 0 else max(digits - 1 - math.floor(math.log10(abs(value))), 0)
        return fixed(value, places)
    return f"{value:.{digits - 1}e}".replace("-", MINUS)


def half_width(sd: float, n: int, mean: float, n_items: int | None) -> float:
    """Return half of the t interval for a mean over runs; the variance is at least what sampling of problems gives."""
    variance = max(sd**2, item_variance(mean, n_items)) if n_items else sd**2
    return float(stdtrit(n - 1, 0.5 + LEVEL / 2)) * math.sqrt(variance / n)


def exact_limits(count: int, n: int) -> tuple[float, float]:
    """Return the exact limits of a share that `count` of `n` runs estimate."""
    return clopper_pearson(count, n, (1 - LEVEL) / 2)


def _text(rows: Sequence[Values]) -> list[str]:
    return ["" if value is None else " ".join(str(value).split()) for (value,) in rows]


def _count(rows: Sequence[Values]) -> list[str]:
    return ["" if value is None else f"{int(value)}" for (value,) in rows]


def _number(rows: Sequence[Values]) -> list[str]:
    return [significant(value) for (value,) in rows]


def _accuracy(rows: Sequence[Values]) -> list[str]:
    return [fixed(value, 3, zero=False) for (value,) in rows]


def _p(rows: Sequence[Values]) -> list[str]:
    return ["" if p is None else "<.001" if p < 0.001 else fixed(p, 3, zero=False) for (p,) in rows]


def _minutes(rows: Sequence[Values]) -> list[str]:
    return [fixed(None if seconds is None else seconds / 60, 1) for (seconds,) in rows]


def _unit(rows: Sequence[Values]) -> list[str]:
    return ["" if unit is None else UNITS.get(unit, str(unit)) for (unit,) in rows]


def _estimate(rows: Sequence[Values]) -> list[str]:
    """Write `value [low, high]` of (value, low, high, unit), rounded by the uncertainties of the rows of its unit."""
    units = dict.fromkeys(unit for *_, unit in rows)
    decimals = {unit: decimals_for([w for row in rows if row[3] == unit and (w := _reach(row))]) for unit in units}
    return [_limits(*_scaled(row), decimals[row[3]], zero=row[3] not in SHARES) for row in rows]


def _scaled(row: Values) -> tuple[float | None, float | None, float | None]:
    by = SCALE.get(row[3], 1.0)
    value, low, high = (None if x is None else by * x for x in row[:3])
    return value, low, high


def _reach(row: Values) -> float | None:
    """Return the distance from the value to its farther limit: half of the interval, or more."""
    value, low, high = _scaled(row)
    if value is None:
        return None
    return max(
        (abs(limit - value) for limit in (low, high) if limit is not None and math.isfinite(limit)), default=None
    )


def _limits(value: float | None, low: float | None, high: float | None, decimals: int, *, zero: bool) -> str:
    if value is None and low is None and high is None:
        return ""
    said = fixed(value, decimals, zero=zero) or "undefined"
    first = f"{MINUS}∞" if low is None else fixed(low, decimals, zero=zero)
    last = "∞" if high is None else fixed(high, decimals, zero=zero)
    return f"{said} [{first}, {last}]"


def _mean(rows: Sequence[Values]) -> list[str]:
    """Write means of accuracy with their intervals, of (mean, sd, n, problems, mixed)."""
    halves = [
        None if sd is None or mixed or n < 2 else half_width(sd, n, mean, n_items)
        for mean, sd, n, n_items, mixed in rows
    ]
    decimals = max(2, min(decimals_for([h for h in halves if h]), 3))
    return [_around(row[0], half, decimals) for row, half in zip(rows, halves, strict=True)]


def _around(mean: float | None, half: float | None, decimals: int) -> str:
    said = fixed(mean, decimals, zero=False)
    if mean is None or half is None:
        return said
    low, high = max(mean - half, 0.0), min(mean + half, 1.0)
    return f"{said} [{fixed(low, decimals, zero=False)}, {fixed(high, decimals, zero=False)}]"


def _spread(rows: Sequence[Values]) -> list[str]:
    """Write `mean (sd)` of (mean, sd), rounded by the standard deviations."""
    decimals = decimals_for([sd for _, sd in rows if sd])
    texts = (fixed(mean, decimals) + (f" ({fixed(sd, decimals)})" if sd is not None else "") for mean, sd in rows)
    return list(texts)


def _events(rows: Sequence[Values]) -> list[str]:
    """Write `k/n [low, high]` of (count, runs)."""
    return [_of(*row) for row in rows]


def _of(count: int | None, n: int) -> str:
    if count is None or n == 0:
        return f"0/{n}" if n == 0 else ""
    low, high = (fixed(limit, 2, zero=False) for limit in exact_limits(count, n))
    return f"{count}/{n} [{low}, {high}]"


_KINDS: dict[Written, Callable[[Sequence[Values]], list[str]]] = {
    "text": _text,
    "code": _text,
    "count": _count,
    "number": _number,
    "accuracy": _accuracy,
    "estimate": _estimate,
    "unit": _unit,
    "mean": _mean,
    "spread": _spread,
    "events": _events,
    "p": _p,
    "minutes": _minutes,
}
