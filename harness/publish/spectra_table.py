"""The rows of `harness spectra` as text: one line a matrix, or means where there are many. Digits end here."""

import statistics
import textwrap
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from harness.publish.numbers import MISSING

MANY = 40
"""Matrices above which lines are means over layers, and over the modules of a layer."""

Row = dict[str, Any]
Column = tuple[str, Callable[[Row], float | None]]


def table(rows: Sequence[Row], width: int) -> list[str]:
    """Return lines no wider than `width`: columns that do not fit are left out, from the right, and told."""
    if len({row["module"] for row in rows}) <= MANY:
        heads, lines = ("module", "shape"), [((_called(row), _shape(row)), [row]) for row in rows]
        return _set(heads, lines, rows, width)
    parts, layers = _grouped(rows, lambda row: _named(row, "part")), _grouped(rows, lambda row: _named(row, "layer"))
    count = len({row["module"] for row in rows})
    told = f"{count} matrices: means by module over the layers, then by layer; each of them is in --json and --parquet"
    return [
        *textwrap.wrap(told, width),
        "",
        *_set(("module", "n"), parts, rows, width),
        "",
        *_set(("layer", "n"), layers, rows, width),
    ]


def _grouped(rows: Sequence[Row], name: Callable[[Row], str]) -> list[tuple[tuple[str, str], list[Row]]]:
    groups: dict[str, list[Row]] = {}
    for row in rows:
        groups.setdefault(name(row), []).append(row)
    return [((key, str(len(group))), group) for key, group in groups.items()]


def _set(
    heads: tuple[str, str], lines: Sequence[tuple[tuple[str, str], Sequence[Row]]], rows: Sequence[Row], width: int
) -> list[str]:
    """Return a head and lines, numbers to the right, cut to `width`."""
    columns = [column for column in _columns() if any(column[1](row) is not None for row in rows)]
    cells = [[*heads, *(name for name, _ in columns)]]
    cells += [[*names, *(number(_mean(group, read)) for _, read in columns)] for names, group in lines]
    wide = [max(len(line[i]) for line in cells) for i in range(len(cells[0]))]
    wide[0] = max(6, min(wide[0], width - 30))
    shown = len(wide)
    while shown > 3 and sum(wide[:shown]) + 2 * (shown - 1) > width:
        shown -= 1
    text = [_line(line[:shown], wide) for line in cells]
    left = cells[0][shown:]
    return [*text, *textwrap.wrap(f"not shown at this width: {', '.join(left)}" if left else "", width)]


def _line(line: Sequence[str], wide: Sequence[int]) -> str:
    name = line[0] if len(line[0]) <= wide[0] else "…" + line[0][len(line[0]) - wide[0] + 1 :]
    return "  ".join([f"{name:<{wide[0]}}", *(f"{cell:>{w}}" for cell, w in zip(line[1:], wide[1:], strict=False))])


def _columns() -> Iterator[Column]:
    """Yield what is printed, the most asked for first."""
    yield "sigma_1", _largest
    yield "frobenius", lambda row: row["frobenius"]
    yield "eff. rank", lambda row: row["effective_rank"]
    yield "stable", lambda row: row["stable_rank"]
    yield "particip.", lambda row: row["participation_ratio"]
    yield "top-1", lambda row: row["top_energy"][0] if row["top_energy"] else None
    yield "alpha", lambda row: row["alpha"]
    yield "ks", lambda row: row["alpha_ks"]
    yield "changed", lambda row: row["changed_share"]
    yield "overlap", lambda row: row["overlap"]
    yield "intruders", lambda row: row["intruders"]
    yield "at .3", lambda row: row["intruder_sweep"][0] if row["intruder_sweep"] else None
    yield "at .7", lambda row: row["intruder_sweep"][2] if row["intruder_sweep"] else None
    yield "borderline", lambda row: sum(row["intruders_borderline"]) if row["intruders_borderline"] else None
    yield "eff. (energy)", lambda row: row["effective_rank_energy"]


def _mean(group: Sequence[Row], read: Callable[[Row], float | None]) -> float | None:
    values = [value for row in group if (value := read(row)) is not None]
    return statistics.fmean(values) if values else None


def number(value: float | None) -> str:
    """Return three significant digits, trailing zeros kept so that columns line up."""
    return MISSING if value is None else f"{value:#.3g}".rstrip(".")


def _largest(row: Row) -> float | None:
    """Return sigma_1; an update without any direction, as AdaLoRA prunes some, has no values and is zero."""
    if row["singular_values"]:
        return row["singular_values"][0]
    return 0.0 if row["frobenius"] == 0 else None


def _called(row: Row) -> str:
    return row["module"] + (" (null)" if row["target"] == "null" else "")


def _shape(row: Row) -> str:
    return f"{row['rows']}x{row['columns']}"


def _named(row: Row, by: str) -> str:
    name = str(row[by]) if by == "part" or row["layer"] >= 0 else f"({row['role']})"
    return name + (" (null)" if row["target"] == "null" else "")
