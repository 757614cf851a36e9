"""Accuracy over rank: every run a point, cells as bars at their means, and the limits of the labels."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from harness.publish.report.figures.canvas import (
    COLOURS,
    INK,
    LABELS,
    TEXT,
    Box,
    beside,
    grid,
    jitter,
    legend_below,
    legend_height,
    log2_axis,
    mark,
    of_label,
    of_series,
    panels,
)
from harness.publish.report.figures.sketch import Plotted, Row, Sketch, Subject, asides, counted, series
from harness.publish.report.written import fixed

HIGH = 2.2
"""Height of the panel, inches."""
BESIDE = 1.25
"""Inches at the right for the names of lines."""
WITHIN = 0.07
"""Octaves to either side of its series over which the runs of a cell are spread."""
ASIDE, ROOM = 0.24, 0.6
"""Octaves from series to series at one rank, and those that all of them may take."""
LIMITS = {
    "base_accuracy": ("base", (0, (5, 1.5))),
    "collapsed_below": ("collapsed below", (0, (1, 1.5))),
    "trained_above": ("trained above", (0, (1, 1.5))),
}


def accuracy_over_rank(subject: Subject) -> Iterator[Sketch]:
    """Yield the figure of a verdict whose cells vary rank."""
    runs = subject.ranked()
    if not runs:
        return
    plotted = subject.ask(
        f"""SELECT j.cell, r.algorithm, r.method, r.scaling, r.multiplier, r.learning_rate_scale, r.batch,
    r.warmup_steps, r.rank, j.base, j.run_id, j.seed, j.label, j.accuracy, v.base_accuracy,
    v.collapsed_below, v.trained_above, b.accuracy AS own_base_accuracy
FROM judged AS j JOIN run AS r USING (run_id) JOIN verdict AS v USING (verdict_id)
    LEFT JOIN base AS b ON b.base_id = r.base_id
WHERE j.verdict_id = {subject.id} AND r.rank IS NOT NULL
ORDER BY r.algorithm, r.method, j.cell, r.rank, j.position"""
    )
    by = series(runs)
    names = list(dict.fromkeys(by.values()))
    aside = asides(((row["rank"], by[row["cell"]]) for row in plotted), names, ASIDE, ROOM)
    labels = [label for label in LABELS if any(row["label"] == label for row in plotted)]
    handles = [mark(name, **of_series(i)) for i, name in enumerate(names)] if len(names) > 1 else []
    handles += [mark(label, **of_label(label, color=INK, **_face(label, INK))) for label in labels]
    box = Box(TEXT, 0, 0.55, BESIDE, 0.42 + legend_height(handles, TEXT - 0.6))
    box = Box(TEXT, HIGH + box.bottom + box.top, box.left, box.right, box.bottom)
    figure, (axes,) = panels(box)
    log2_axis(axes.xaxis, [run.rank for run in runs if run.rank is not None])
    for i, name in enumerate(names):
        _points(
            axes,
            [row for row in plotted if by[row["cell"]] == name],
            {r: a for (r, of), a in aside.items() if of == name},
            of_series(i),
        )
    axes.set_ylim(-0.03, _top(plotted))
    axes.set_xlabel("rank")
    axes.set_ylabel("accuracy, 0 to 1")
    grid(axes)
    beside(axes, list(_limits(axes, plotted)))
    legend_below(figure, handles, 0.55)
    yield subject.sketch(
        "accuracy-over-rank",
        "Accuracy over rank",
        _caption(subject, plotted, names, len(subject.runs)),
        _alt(plotted, by),
        plotted,
        figure,
    )


def _face(label: str, colour: str) -> dict[str, Any]:
    return {"markerfacecolor": colour if LABELS[label][2] else "none"}


def _points(axes: Any, rows: Sequence[Row], aside: Mapping[int, float], look: dict[str, Any]) -> None:
    """Draw one series: its runs, a bar at the mean of each cell, and a line through the means."""
    cells = list(dict.fromkeys(row["cell"] for row in rows))
    means: list[tuple[float, float]] = []
    for cell in cells:
        own = [row for row in rows if row["cell"] == cell]
        x = own[0]["rank"] * 2 ** aside[own[0]["rank"]]
        mean = sum(row["accuracy"] for row in own) / len(own)
        means.append((x, mean))
        axes.plot([x * 2**-0.11, x * 2**0.11], [mean, mean], color=look["color"], linewidth=2, solid_capstyle="butt")
        for label in LABELS:
            placed = [(row, n) for n, row in enumerate(own) if row["label"] == label]
            if placed:
                xs = [x * 2 ** jitter(n, WITHIN) for _, n in placed]
                style = of_label(label, color=look["color"], markersize=4, **_face(label, look["color"]))
                axes.plot(xs, [row["accuracy"] for row, _ in placed], clip_on=False, zorder=3, **style)
    means.sort()
    if len(means) > 1:
        axes.plot([x for x, _ in means], [y for _, y in means], linewidth=0.9, alpha=0.8, **look)


def _limits(axes: Any, plotted: Plotted) -> Iterator[tuple[float, str, Mapping[str, Any]]]:
    """Draw the lines that labels rest on, and yield their names; bases of runs' own are told apart."""
    first = next(iter(plotted))
    for column, (name, dash) in LIMITS.items():
        if first[column] is not None:
            axes.axhline(first[column], color=INK, linewidth=0.8, linestyle=dash, alpha=0.8, zorder=1)
            yield first[column], f"{name} {fixed(first[column], 3, zero=False)}", {}
    others = {row["own_base_accuracy"] for row in plotted} - {first["base_accuracy"], None}
    for accuracy in sorted(others) if len(others) <= 3 else ():
        axes.axhline(accuracy, color=COLOURS[3], linewidth=0.8, linestyle=(0, (5, 1.5)), zorder=1)
        yield accuracy, f"own base {fixed(accuracy, 3, zero=False)}", {}


def _top(plotted: Plotted) -> float:
    first = next(iter(plotted))
    highest = max([row["accuracy"] for row in plotted] + [first[column] or 0.0 for column in LIMITS])
    return min(1.03, 1.08 * highest + 0.02)


def _caption(subject: Subject, plotted: Plotted, names: list[str], total: int) -> str:
    n = len(plotted.values)
    bases = {row["base"] for row in plotted}
    one = f" The series is {names[0]}." if len(names) == 1 else " Series stand aside of their rank."
    left = f" {counted(total - n, 'run')} of adapters without a rank are left out." if total > n else ""
    pooled = f" Runs of {len(bases)} bases are together." if len(bases) > 1 else ""
    return f"""Final accuracy over rank, {subject.named}. Every point is a run (the unit of analysis, n = {n}), its mark
    says what became of it relative to its own base; bars are means over the runs of a cell, without intervals, as a
    cell may hold both collapsed and other runs, and thin lines join the means of a series.{one} Horizontal lines are
    the base's own accuracy and the limits below which a run of that base counts as collapsed and above which as
    trained. Points are spread sideways so that all are seen.{left}{pooled}"""


def _alt(plotted: Plotted, by: Mapping[str, str]) -> str:
    means: dict[tuple[str, int], list[float]] = {}
    for row in plotted:
        means.setdefault((by[row["cell"]], row["rank"]), []).append(row["accuracy"])
    names = list(dict.fromkeys(name for name, _ in means))
    said = [
        f"{name}: "
        + ", ".join(
            f"{fixed(sum(v) / len(v), 2)} at rank {rank}" for (of, rank), v in sorted(means.items()) if of == name
        )
        for name in names
    ]
    return f"Mean accuracy by rank. {'; '.join(said)}."
