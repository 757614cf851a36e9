"""Singular values of what collapsed and trained runs changed, in units of the largest, against random updates.

Runs are compared within one form of update (algorithm, method and rank), as the spectrum follows the form. Differences
of rounded weights are left out, as their rounding reads as rank.
"""

from collections.abc import Iterator, Sequence
from typing import Any

from harness.publish.report.figures.canvas import (
    COLOURS,
    INK,
    SMALL,
    TEXT,
    Box,
    elided,
    grid,
    legend_below,
    legend_height,
    log2_axis,
    mark,
    panels,
    powers,
)
from harness.publish.report.figures.sketch import Row, Sketch, Subject, forms

LOOKS: dict[str, dict[str, Any]] = {
    "trained": {"color": COLOURS[0], "linestyle": "-"},
    "collapsed": {"color": COLOURS[1], "linestyle": (0, (4, 1.2))},
    "null": {"color": INK, "linestyle": (0, (1, 1.5)), "linewidth": 0.9},
}
NAMES = {"trained": "trained", "collapsed": "collapsed", "null": "random, of the same form"}
DENSE, GROWTH, LONGEST = 12, 1.15, 16384
"""Indices up to which all are drawn, by what factor later ones grow, and the last."""
MOST_PANELS = 6
ACROSS = 3
HIGH = 1.35
LEAST = 1e-8
"""Shares of the largest singular value below which nothing is drawn."""


def spectra_of_runs(subject: Subject) -> Iterator[Sketch]:
    """Yield the figure of a verdict that has collapsed and trained runs with spectra."""
    if not {"collapsed", "trained"} <= {run.label for run in subject.runs}:
        return
    plotted = subject.ask(
        f"""WITH one AS (SELECT j.run_id, j.label, r.algorithm, r.method, r.rank, r.updates, min(j.cell) AS cell
    FROM judged AS j JOIN run AS r USING (run_id)
    WHERE j.verdict_id = {subject.id} AND j.label IN ('collapsed', 'trained') GROUP BY ALL),
value AS (SELECT one.algorithm, one.method, one.rank, if(s.target = 'null', 'null', one.label) AS what, one.cell,
        s.run_id, s.module, i, greatest(s.singular_values[i] / s.singular_values[1], s.floor) AS share
    FROM one JOIN spectrum AS s USING (run_id), unnest({indices()}) AS t(i)
    WHERE s.step = one.updates AND s.target IN ('update', 'null') AND i <= len(s.singular_values)
        AND s.source <> 'low_precision_difference' AND s.singular_values[1] > 0)
SELECT algorithm, method, rank, what, i AS "index", min(cell) AS a_cell, count(DISTINCT run_id) AS runs,
    count(*) AS matrices, median(share) AS median, min(share) AS low, max(share) AS high
FROM value GROUP BY algorithm, method, rank, what, i
ORDER BY algorithm, method, rank NULLS LAST, what, i"""
    )
    rows = list(plotted)
    if not {"collapsed", "trained"} <= {row["what"] for row in rows}:
        return
    of = _forms(subject, rows)
    shown = list(of)[:MOST_PANELS]
    wide = min(ACROSS, len(shown))
    high = -(-len(shown) // wide)
    there = [what for what in LOOKS if any(row["what"] == what for row in rows)]
    handles = [mark(NAMES[what], **LOOKS[what]) for what in there]
    foot = legend_height(handles, _width(wide) - 0.65)
    box = Box(_width(wide), 0.34 + high * HIGH + (high - 1) * 0.56 + 0.4 + foot, 0.6, 0.08, 0.4 + foot, 0.34)
    figure, drawn = panels(box, high, wide, across=0.16, down=0.56)
    least = max(LEAST, 0.5 * min((row["median"] for row in rows if row["median"] > 0), default=LEAST))
    for i, axes in enumerate(drawn):
        if i >= len(shown):
            axes.remove()
            continue
        _panel(axes, shown[i], of[shown[i]], least)
        if i % wide:
            axes.tick_params(labelleft=False)
    middle = (box.bottom + (box.height - box.bottom) / 2) / box.height
    figure.text(0.06 / box.width, middle, "σᵢ / σ₁", rotation=90, va="center")
    figure.text(box.left / box.width, (foot + 0.1) / box.height, "index i of the singular value")
    legend_below(figure, handles, box.left)
    yield subject.sketch(
        "spectra",
        "Singular values of updates",
        _caption(subject, rows, len(of), len(shown)),
        _alt(of, shown),
        plotted,
        figure,
    )


def indices() -> list[int]:
    """Return the indices that are drawn, from 1: all of the first, later ones ever further apart, and powers of two."""
    found = set(range(1, DENSE + 1)) | {2**n for n in range(LONGEST.bit_length())}
    at = float(DENSE)
    while at < LONGEST:
        at *= GROWTH
        found.add(round(at))
    return sorted(i for i in found if i <= LONGEST)


def _width(panels: int) -> float:
    return TEXT if panels > 2 else 0.68 + 2.4 * panels


def _forms(subject: Subject, rows: Sequence[Row]) -> dict[str, list[Row]]:
    """Return rows by the form of the update in words, those with both collapsed and trained runs first."""
    words = forms(subject.runs)
    found: dict[str, list[Row]] = {}
    for row in rows:
        found.setdefault(words[row["a_cell"]], []).append(row)
    both = {name: {"collapsed", "trained"} <= {row["what"] for row in own} for name, own in found.items()}
    return dict(sorted(found.items(), key=lambda pair: not both[pair[0]]))


def _panel(axes: Any, name: str, rows: Sequence[Row], least: float) -> None:
    said: list[str] = []
    for what, look in LOOKS.items():
        own = [row for row in rows if row["what"] == what and row["median"] > 0]
        if not own:
            continue
        x = [row["index"] for row in own]
        if what != "null":
            low, high = [max(row["low"], least) for row in own], [row["high"] for row in own]
            axes.fill_between(x, low, high, color=look["color"], alpha=0.18, linewidth=0)
            said.append(f"{max(row['runs'] for row in own)} {what}")
        axes.plot(x, [row["median"] for row in own], **look)
    longest = max(row["index"] for row in rows)
    ticks = [n for n in (1, 4, 16, 64, 256, 1024, 4096, 16384) if n <= longest]
    log2_axis(axes.xaxis, [*ticks, *([longest] if longest >= 1.9 * ticks[-1] else [])])
    axes.set_xlim(0.92, max(longest, 4) * 1.08)
    axes.set_yscale("log")
    axes.set_ylim(least, 1.3)
    powers(axes.yaxis)
    axes.tick_params(labelsize=SMALL)
    axes.text(0, 1.14, elided(name, 30), transform=axes.transAxes, fontsize=SMALL, va="bottom")
    axes.text(0, 1.02, ", ".join(said), transform=axes.transAxes, fontsize=SMALL, va="bottom", alpha=0.75)
    grid(axes)


def _caption(subject: Subject, rows: Sequence[Row], of: int, shown: int) -> str:
    n = dict.fromkeys(("collapsed", "trained"), 0)
    for what in n:
        most: dict[tuple[Any, ...], int] = {}
        for row in rows:
            if row["what"] == what:
                key = (row["algorithm"], row["method"], row["rank"])
                most[key] = max(most.get(key, 0), row["runs"])
        n[what] = sum(most.values())
    left = f" {shown} of {of} forms are shown." if shown < of else ""
    return f"""Singular values of updates in units of the largest, after the last update, {subject.named}:
    {n["collapsed"]} collapsed and {n["trained"]} trained runs, by the form of the update (others are left out). Lines
    are medians and bands the whole range, from least to largest, over runs and modules, of those that have an i-th
    value; the run is the unit of analysis, and modules of a run are not independent. Dotted: random updates of the same
    form and norm. Values below what is resolved are drawn at that limit, and bands are cut at the
    foot of the panels.{left}"""


def _alt(of: dict[str, list[Row]], shown: Sequence[str]) -> str:
    said: list[str] = []
    for name in shown:
        for what in NAMES:
            own = [row for row in of[name] if row["what"] == what]
            if own:
                half = min(own, key=lambda row: abs(row["median"] - 0.1))
                said.append(f"{name} {NAMES[what]}: median falls to {half['median']:.2g} at index {half['index']}")
    return f"Singular values over their largest. {'; '.join(said)}."
