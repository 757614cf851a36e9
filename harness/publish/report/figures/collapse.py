"""How often runs collapse, over rank: shares with exact intervals, and the probability that was declared."""

from collections.abc import Iterator, Sequence
from typing import Any

from harness.publish.report.figures.canvas import (
    INK,
    MARKS,
    TEXT,
    Box,
    beside,
    grid,
    legend_below,
    legend_height,
    log2_axis,
    mark,
    of_series,
    panels,
)
from harness.publish.report.figures.sketch import Row, Sketch, Subject, asides, counted, series
from harness.publish.report.placed import regional
from harness.publish.report.written import LEVEL, exact_limits
from harness.spec.prediction import CollapseProbability

HIGH = 1.8
BESIDE = 1.25
ASIDE, ROOM = 0.12, 0.5
"""Octaves from series to series at one rank, and those that all of them may take."""


def collapse_over_rank(subject: Subject) -> Iterator[Sketch]:
    """Yield the figure of a verdict whose cells vary rank."""
    runs = subject.ranked()
    if not runs:
        return
    found = subject.ask(
        f"""SELECT j.cell, r.algorithm, r.method, r.scaling, r.multiplier, r.learning_rate_scale, r.batch,
    r.warmup_steps, r.rank, count(*) AS runs, count(*) FILTER (j.label = 'collapsed') AS collapsed
FROM judged AS j JOIN run AS r USING (run_id)
WHERE j.verdict_id = {subject.id} AND r.rank IS NOT NULL
GROUP BY ALL
ORDER BY r.algorithm, r.method, j.cell, r.rank"""
    )
    limits = [exact_limits(row["collapsed"], row["runs"]) for row in found]
    shares = [(row["collapsed"] / row["runs"], *limit) for row, limit in zip(found, limits, strict=True)]
    plotted = found.with_columns(("share", "low", "high"), shares)
    by = series(runs)
    names = list(dict.fromkeys(by.values()))
    aside = asides(((row["rank"], by[row["cell"]]) for row in plotted), names, ASIDE, ROOM)
    handles = [mark(name, **_look(i)) for i, name in enumerate(names)] if len(names) > 1 else []
    bottom = 0.42 + legend_height(handles, TEXT - 0.6)
    figure, (axes,) = panels(Box(TEXT, HIGH + bottom + 0.12, 0.55, BESIDE, bottom))
    log2_axis(axes.xaxis, [run.rank for run in runs if run.rank is not None])
    for i, name in enumerate(names):
        rows = [row for row in plotted if by[row["cell"]] == name]
        _series(axes, rows, [aside[row["rank"], name] for row in rows], _look(i))
    axes.set_ylim(-0.04, 1.04)
    axes.set_xlabel("rank")
    axes.set_ylabel("share collapsed")
    grid(axes)
    declared = _declared(subject)
    for level in declared:
        axes.axhline(level, color=INK, linewidth=0.8, linestyle=(0, (5, 1.5)), zorder=1)
    beside(axes, [(level, f"declared {level:g}", {}) for level in declared])
    legend_below(figure, handles, 0.55)
    n = sum(row["runs"] for row in plotted)
    left = len(subject.runs) - n
    caption = f"""Share of runs that collapsed over rank, {subject.named}: {n} runs (the unit of analysis) in
    {counted(len(found.values), "cell")}. Bars are exact (Clopper-Pearson) two-sided {100 * LEVEL:g} % intervals of each
    cell by itself; those that decide predictions are one-sided and at the levels of their looks."""
    caption += f" The series is {names[0]}." if len(names) == 1 else " Series stand aside of their rank."
    caption += " The dashed line is the probability that was declared to decide." if declared else ""
    caption += f" {counted(left, 'run')} of adapters without a rank are left out." if left else ""
    alt = "Share of runs that collapsed. " + "; ".join(
        f"{by[row['cell']]} rank {row['rank']}: {row['collapsed']} of {row['runs']}" for row in plotted
    )
    yield subject.sketch("collapse-over-rank", "Collapse probability over rank", caption, f"{alt}.", plotted, figure)


def _look(i: int) -> dict[str, Any]:
    return {**of_series(i), "marker": MARKS[i % len(MARKS)]}


def _series(axes: Any, rows: Sequence[Row], aside: Sequence[float], look: dict[str, Any]) -> None:
    """Draw shares and intervals of rows (n_cells,), each so many octaves aside of its rank."""
    placed = sorted(zip(rows, aside, strict=True), key=lambda pair: pair[0]["rank"])
    ordered = [row for row, _ in placed]
    xs, shares = [row["rank"] * 2**a for row, a in placed], [row["share"] for row in ordered]
    reach = [[row["share"] - row["low"] for row in ordered], [row["high"] - row["share"] for row in ordered]]
    axes.errorbar(xs, shares, yerr=reach, capsize=2.5, elinewidth=0.9, linewidth=0.9, clip_on=False, **look)


def _declared(subject: Subject) -> list[float]:
    """Return the probabilities of collapse that the declaration sets, where it still says what the verdict was on."""
    return sorted(
        {
            prediction.probability
            for prediction in regional(subject.chapter).declared.values()
            if isinstance(prediction, CollapseProbability) and prediction.event == "collapsed"
        }
    )
