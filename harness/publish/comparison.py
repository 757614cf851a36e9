"""The lines of a comparison: what differs, field by field; what is the same, as a count; unknown as unknown."""

from collections.abc import Iterator
from itertools import groupby
from typing import Any

from harness.campaign.comparison import Comparison
from harness.spec.problem import shown

DEFAULT = "library_defaults"
NAMES = {"library_defaults": "library default", "set_by_harness": "set by the harness", "declared": "declared"}


def comparison_lines(found: Comparison) -> Iterator[str]:
    """Yield the lines of a comparison."""
    yield f"a  {found.a.id}{'  adopted' if found.a.adopted else ''}"
    yield f"b  {found.b.id}{'  adopted' if found.b.adopted else ''}"
    equal = found.equal()
    for section, rows in groupby(found.fields(), key=lambda row: row["section"]):
        yield f"{section}  {equal[section]} fields equal"
        yield from _fields(list(rows))
    told = {row["section"] for row in found.fields()}
    if same := [f"{section} ({count})" for section, count in equal.items() if section not in told and count]:
        yield f"equal  {', '.join(same)}"
    yield "results"
    rows = [(row["name"], _number(row, "a"), _number(row, "b"), _difference(row)) for row in found.results()]
    yield from _columns([("", "a", "b", "b - a"), *rows])
    yield from _problems(found)


def _fields(rows: list[dict[str, Any]]) -> Iterator[str]:
    """Yield a line a field; library defaults that are known of one run alone are told as a count."""
    folded = [row for row in rows if row["unknown"] and DEFAULT in row["origin"]]
    lines = [
        (row["field"], *(_value(row, which, i) for i, which in enumerate("ab"))) for row in rows if row not in folded
    ]
    yield from _columns(lines)
    if folded:
        yield f"  {len(folded)} library defaults of one, unknown of the other"


def _value(row: dict[str, Any], which: str, position: int) -> str:
    if which in row["unknown"]:
        return "unknown"
    origin = row["origin"][position]
    said = "-" if row[which] is None and origin is None else shown(row[which])
    return f"{said} ({NAMES[origin]})" if origin and origin != "declared" else said


def _number(row: dict[str, Any], which: str) -> str:
    value = row[which]
    if value is None:
        return "unknown"
    return f"{value:.6g}" + (" as stated" if which in row["stated"] else "")


def _difference(row: dict[str, Any]) -> str:
    return "" if row["difference"] is None else f"{row['difference']:+.4g}"


def _columns(rows: list[tuple[str, ...]]) -> Iterator[str]:
    if not rows:
        return
    wide = [min(44, max(len(row[i]) for row in rows)) for i in range(len(rows[0]))]
    for row in rows:
        yield ("  " + "  ".join(f"{cell:<{width}}" for cell, width in zip(row, wide, strict=True))).rstrip()


def _problems(found: Comparison) -> Iterator[str]:
    counts, why = found.problems()
    if counts is None:
        yield f"problems  not paired: {why}"
        return
    yield (
        f"problems  {counts['problems']} answered by both; most likely answer right: both {counts['both']}, "
        f"only a {counts['only_a']}, only b {counts['only_b']}, neither {counts['neither']}"
    )
    yield (
        f"          sampled answers right more often: a {counts['more_often_a']}, b {counts['more_often_b']}, "
        f"equally often {counts['equally_often']}"
    )
    yield "          Two runs decide nothing about their cells: the run is the unit, not the problem."
