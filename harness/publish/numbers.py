"""Digits: numbers as cards and tables print them. Rounding happens here, after every comparison has been made."""

from harness.record.verdict import Estimate

MISSING = "n/a"


def short(value: float | None, digits: int = 2) -> str:
    """Return `.52`, `-.04` or `1.00` for a number on the scale from -1 to 1; `n/a` for None."""
    if value is None:
        return MISSING
    text = f"{value:.{digits}f}"
    if float(text) == 0:
        text = text.lstrip("-")
    return text.replace("0.", ".", 1) if text.lstrip("-").startswith("0.") else text


def estimate(said: Estimate) -> str:
    """Return an estimate in its own unit: accuracy differences in points, probabilities and shares as they are."""
    if said.unit == "accuracy":
        limits = ", ".join(
            "-inf" if v is None and i == 0 else "inf" if v is None else _points(v)
            for i, v in enumerate((said.low, said.high))
        )
        value = MISSING if said.value is None else _points(said.value)
        return f"{value} [{limits}] points"
    if said.unit not in ("probability", "share"):
        value, low, high = (significant(x) for x in (said.value, said.low, said.high))
        low, high = ("-inf" if said.low is None else low), ("inf" if said.high is None else high)
        return f"{value} [{low}, {high}] {said.unit}"
    low = "-inf" if said.low is None else short(said.low)
    high = "inf" if said.high is None else short(said.high)
    return f"{short(said.value)} [{low}, {high}]"


def significant(value: float | None) -> str:
    """Return three significant digits; `n/a` for None."""
    return MISSING if value is None else f"{value:.3g}"


def _points(value: float) -> str:
    """Return a difference of accuracies in points, with no sign on a zero."""
    text = f"{100 * value:.1f}"
    return text.lstrip("-") if float(text) == 0 else text
