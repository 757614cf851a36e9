"""Predictions side by side: every estimate with its limits, over the regions that were declared to support and refute.

Estimates of one unit share an axis. Points and limits are those of the verdict; nothing is estimated here.
"""

import math
from collections.abc import Iterator, Sequence
from importlib import import_module
from typing import Any

from harness.publish.report.figures.canvas import (
    ALPHA,
    COLOURS,
    INK,
    SMALL,
    TEXT,
    Box,
    elided,
    legend_below,
    legend_height,
    mark,
    panels,
    patch,
)
from harness.publish.report.figures.sketch import Plotted, Row, Sketch, Subject, asked, counted
from harness.publish.report.placed import regional
from harness.publish.report.written import MINUS
from harness.store.schema import literal

ROW = 0.165
"""Inches of a row."""
LEFT, RIGHT = 3.65, 0.85
NAMES = 1.62
"""Inches at which the names of estimates begin."""
BETWEEN = 0.52
"""Inches from panel to panel."""
MOST_ROWS = 40
"""Rows of a page of the whole report."""
UNITS = {"probability": "probability", "share": "share", "accuracy": "points of accuracy", "log ratio": "log ratio"}
"""Axes in their order; other units follow."""
SCALE = {"accuracy": 100.0}
EDGES = ("support_above", "support_below", "refute_below_edge", "refute_above_edge")
SUPPORT: dict[str, Any] = {"facecolor": COLOURS[0], "alpha": 0.2, "linewidth": 0}
REFUTE: dict[str, Any] = {"facecolor": "none", "edgecolor": COLOURS[1], "hatch": "/////", "linewidth": 0, "alpha": 0.7}
DECIDED = ("supported", "refuted")
SHORT = (
    (" at its own best rate", " (tuned)"),
    (" at every rank", ""),
    ("alpha", ALPHA),
    ("slope of the gap for one ", "slope per "),
    (" - ", f" {MINUS} "),
)


def predictions_of(subject: Subject) -> Iterator[Sketch]:
    """Yield the figure of a verdict's estimates."""
    plotted = _plotted([subject])
    if not plotted.values:
        return
    rows = list(plotted)
    grpo = not any("SFT" in row["name"] for row in rows)
    labels = [("" if _follows(rows, i) else row["id"], _short(row["name"], grpo)) for i, row in enumerate(rows)]
    figure = forest(rows, labels)
    without = len(subject.chapter.verdict.predictions) - len({row["id"] for row in rows})
    caption = f"""Predictions of {subject.named}: every estimate with its limits.{_meaning(rows)}"""
    caption += f" {counted(without, 'prediction')} without an estimate {'is' if without == 1 else 'are'} left out." * (
        without > 0
    )
    yield subject.sketch("predictions", "Predictions", caption, _alt(rows), plotted, figure)


def predictions(found: Sequence[Subject]) -> Iterator[Sketch]:
    """Yield the figures of the whole report: one estimate a prediction, on several pages where they are many."""
    if len(found) < 2:
        return
    pages = _pages(found)
    for number, page in enumerate(pages, 1):
        plotted = _plotted(page)
        kept = [i for i, row in enumerate(plotted) if row["overall"]]
        plotted = Plotted(plotted.sql, plotted.columns, tuple(plotted.values[i] for i in kept))
        rows = list(plotted)
        if not rows:
            continue
        figure = forest(rows, [(row["hypothesis"], row["id"]) for row in rows])
        part = f" ({number} of {len(pages)})" if len(pages) > 1 else ""
        caption = f"""Predictions of {counted(len(page), "verdict")}{part}, one estimate of each: of a probability over
        several cells the mean over them, though what is claimed may be each; of a cliff the share of the
        drop.{_meaning(rows)} Predictions without an estimate are left out."""
        name = "predictions" if len(pages) == 1 else f"predictions-{number}"
        yield Sketch(name, "", f"Predictions{part}", " ".join(caption.split()), _alt(rows), plotted, figure)


def _pages(found: Sequence[Subject]) -> list[list[Subject]]:
    """Return the chapters by page, none of more predictions than a page holds unless it is one chapter's."""
    pages: list[list[Subject]] = [[]]
    held = 0
    for subject in found:
        n = len(subject.chapter.verdict.predictions)
        if pages[-1] and held + n > MOST_ROWS:
            pages.append([])
            held = 0
        pages[-1].append(subject)
        held += n
    return pages


def _plotted(page: Sequence[Subject]) -> Plotted:
    """Return the estimates of verdicts with the edges of their regions."""
    listed = ", ".join(literal(subject.chapter.verdict_id) for subject in page)
    found = asked(
        page[0].store,
        f"""SELECT p.verdict_id, v.hypothesis, p.id, p.kind, p.role, p.outcome, p.reason, p.needs, p.alpha,
    p.refute_alpha, e.position, e.name, e.unit, e.value, e.low, e.high, e.refute_low, e.refute_high, e.n_runs,
    e.method, e.position = if(p.kind = 'collapse_probability', len(from_json(p.estimates, '["JSON"]')), 1) AS overall
FROM prediction AS p JOIN verdict AS v USING (verdict_id)
    JOIN estimate AS e ON e.verdict_id = p.verdict_id AND e.prediction = p.id
WHERE p.verdict_id IN ({listed}) AND e.n_runs > 0
ORDER BY v.protocol, v.hypothesis, v.base, p.verdict_id, p.position, e.position""",
    )
    declared = {subject.chapter.verdict_id: regional(subject.chapter) for subject in page}
    edges = [declared[row["verdict_id"]].of(row["id"], row["position"]) for row in found]
    computed = [(e.support_above, e.support_below, e.refute_below, e.refute_above) for e in edges]
    return found.with_columns(EDGES, computed)


def _follows(rows: Sequence[Row], i: int) -> bool:
    """Return whether the row before is of the same prediction and on the same axis."""
    return i > 0 and (rows[i - 1]["id"], rows[i - 1]["unit"]) == (rows[i]["id"], rows[i]["unit"])


def forest(rows: Sequence[Row], labels: Sequence[tuple[str, str]]) -> Any:
    """Return the figure of estimates, each labelled by two texts, of which the first is empty where it is as above."""
    units = sorted(
        {row["unit"] for row in rows}, key=lambda unit: (list(UNITS).index(unit) if unit in UNITS else 99, unit)
    )
    groups = [[i for i, row in enumerate(rows) if row["unit"] == unit] for unit in units]
    handles = _handles(rows)
    foot = 0.42 + legend_height(handles, TEXT - 0.2)
    height = 0.06 + sum(len(group) * ROW for group in groups) + (len(groups) - 1) * BETWEEN + foot
    figure, _ = panels(Box(TEXT, height, LEFT, RIGHT, foot, 0.06), 0)
    top = 0.06
    for unit, group in zip(units, groups, strict=True):
        high = len(group) * ROW
        place = (LEFT / TEXT, 1 - (top + high) / height, (TEXT - LEFT - RIGHT) / TEXT, high / height)
        axes = figure.add_axes(place)
        _panel(axes, unit, [rows[i] for i in group])
        for y, i in enumerate(group):
            first, second = labels[i]
            _written(axes, y, rows[i], first, second)
        top += high + BETWEEN
    legend_below(figure, handles, 0.08)
    return figure


def _panel(axes: Any, unit: str, rows: Sequence[Row]) -> None:
    scale = SCALE.get(unit, 1.0)
    low, high = _range(unit, rows, scale)
    axes.set_xlim(low, high)
    axes.set_ylim(len(rows) - 0.5, -0.5)
    for y, row in enumerate(rows):
        _regions(axes, y, [scale * row[name] for name in EDGES], low, high)
        _interval(axes, y, row, scale, low, high)
    if low < 0 < high:
        axes.axvline(0, color=INK, linewidth=0.5, alpha=0.5, zorder=1)
    axes.set_yticks([])
    axes.spines["left"].set_visible(False)
    axes.tick_params(labelsize=SMALL)
    axes.set_xlabel(UNITS.get(unit, unit.replace("_", " ")), fontsize=SMALL, labelpad=1.5)


def _range(unit: str, rows: Sequence[Row], scale: float) -> tuple[float, float]:
    if unit == "probability":
        return -0.03, 1.03
    names = ("value", "low", "high", "refute_low", "refute_high", *EDGES)
    ends = [scale * row[name] for row in rows for name in names if row[name] is not None and math.isfinite(row[name])]
    ends.append(0.0)
    margin = 0.07 * ((max(ends) - min(ends)) or 1.0)
    return min(ends) - margin, max(ends) + margin


def _regions(axes: Any, y: int, edges: Sequence[float], low: float, high: float) -> None:
    """Shade where a row's estimate would support, and where it would refute."""
    rectangle = import_module("matplotlib.patches").Rectangle
    above, below, under, over = edges
    spans = [
        (max(above, low), min(below, high), SUPPORT),
        (low, min(under, high), REFUTE),
        (max(over, low), high, REFUTE),
    ]
    for start, end, look in spans:
        if start < end:
            axes.add_patch(rectangle((start, y - 0.42), end - start, 0.84, zorder=0, **look))


def _interval(axes: Any, y: int, row: Row, scale: float, low: float, high: float) -> None:
    """Draw the estimate, limits at the supporting level thick and at the refuting level thin, open ends as arrows."""
    for names, width in ((("refute_low", "refute_high"), 0.7), (("low", "high"), 2.0)):
        ends = [row[name] for name in names]
        start, end = (
            edge if x is None else min(max(scale * x, low), high) for x, edge in zip(ends, (low, high), strict=True)
        )
        if row["value"] is not None or any(x is not None for x in ends):
            axes.plot([start, end], [y, y], color=INK, linewidth=width, solid_capstyle="butt", zorder=2)
        for x, edge, arrow in zip(ends, (low, high), ("<", ">"), strict=True):
            if x is None and (row["value"] is not None or any(each is not None for each in ends)):
                axes.plot([edge], [y], marker=arrow, color=INK, markersize=3.5, clip_on=False, zorder=2)
    if row["value"] is not None:
        axes.plot([scale * row["value"]], [y], zorder=3, **_point(row["outcome"]))


def _point(outcome: str) -> dict[str, Any]:
    shape, size = {"supported": ("o", 4.0), "refuted": ("s", 4.0)}.get(outcome, ("D", 5.0))
    face = INK if outcome in DECIDED else "none"
    return {"marker": shape, "color": INK, "markerfacecolor": face, "markersize": size, "linestyle": ""}


def _written(axes: Any, y: int, row: Row, first: str, second: str) -> None:
    at: Any = {"va": "center", "fontsize": SMALL, "transform": axes.get_yaxis_transform()}
    width = TEXT - LEFT - RIGHT
    axes.text((0.08 - LEFT) / width, y, elided(first, 27), **at)
    axes.text((NAMES - LEFT) / width, y, elided(second, 34), **at)
    if first:
        axes.text(1.04, y, row["outcome"], **at)


def _short(name: str, grpo: bool) -> str:
    """Return what is estimated in fewer words; the algorithm is left out where there is only GRPO."""
    for long, brief in SHORT:
        name = name.replace(long, brief)
    return name.replace("GRPO ", "") if grpo else name


def _handles(rows: Sequence[Row]) -> list[Any]:
    outcomes = {row["outcome"] if row["outcome"] in DECIDED else "neither" for row in rows}
    handles = [mark(name, **_point(name)) for name in (*DECIDED, "neither") if name in outcomes]
    handles += [
        mark("limits, supporting level", color=INK, linewidth=2.0),
        mark("refuting level", color=INK, linewidth=0.7),
    ]
    return [*handles, patch("support region", **SUPPORT), patch("refute region", **REFUTE)]


def _meaning(rows: Sequence[Row]) -> str:
    levels = sorted({row["alpha"] for row in rows})
    said = f"{levels[0]:g}" if len(levels) == 1 else f"{levels[0]:g} to {levels[-1]:g}"
    n = sorted({row["n_runs"] for row in rows})
    runs = f"{n[0]}" if len(n) == 1 else f"{n[0]} to {n[-1]}"
    return f""" Thick bars run between one-sided limits, each at its prediction's level ({said} over all looks),
    thin ones between those at the refuting level; an arrow is an unbounded side. Blue: declared support region;
    hatched: refute region, at the estimates that they are about. Full circles: supported, full squares: refuted, hollow
    diamonds: neither. Estimates rest on {runs} runs each, the unit of analysis (bases, for an association)."""


def _alt(rows: Sequence[Row]) -> str:
    ids = {(row["verdict_id"], row["id"]): row["outcome"] for row in rows}
    counts: dict[str, int] = {}
    for outcome in ids.values():
        counts[outcome] = counts.get(outcome, 0) + 1
    said = ", ".join(f"{n} {outcome}" for outcome, n in sorted(counts.items()))
    return f"Estimates of {counted(len(ids), 'prediction')} with limits against their regions: {said}."
