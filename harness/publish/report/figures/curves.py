"""Learning curves: the reward of every run over its updates, a small panel for each cell."""

from collections.abc import Iterator, Sequence
from typing import Any

from harness.publish.report.figures.canvas import (
    COLOURS,
    SMALL,
    TEXT,
    Box,
    elided,
    grid,
    legend_below,
    mark,
    panels,
)
from harness.publish.report.figures.sketch import Row, Sketch, Subject, counted
from harness.store.schema import literal

MEAN_OF = 5
"""Updates that a point is the mean of, at least."""
MOST_POINTS = 60
"""Points of a run."""
BUDGET = 1200
"""Points of a figure, about: what keeps it small enough for a page."""
MOST_PANELS = 16
ACROSS = 4
HIGH = 0.95
Band = tuple[float, float]
LOOKS: dict[bool, dict[str, Any]] = {
    True: {"color": COLOURS[1], "linestyle": (0, (4, 1.2)), "linewidth": 0.9},
    False: {"color": COLOURS[0], "linestyle": "-", "linewidth": 0.7},
}
"""By whether the run collapsed."""


def learning_curves(subject: Subject) -> Iterator[Sketch]:
    """Yield the figure of a verdict whose runs have rewards."""
    rewarded = [run for run in subject.runs if run.algorithm == "grpo"]
    if not rewarded:
        return
    ordered = sorted(rewarded, key=lambda run: (run.method, run.rank or 0, run.batch, run.rate))
    cells = list(dict.fromkeys(run.cell for run in ordered))
    shown = cells[:MOST_PANELS]
    listed = ", ".join(literal(cell) for cell in shown)
    lines = sum(run.cell in shown for run in rewarded)
    points = max(8, min(MOST_POINTS, BUDGET // lines))
    plotted = subject.ask(
        f"""WITH width AS (SELECT greatest({MEAN_OF}, ceil(max(r.updates) / {points}))::INTEGER AS updates
    FROM judged AS j JOIN run AS r USING (run_id) WHERE j.verdict_id = {subject.id})
SELECT j.cell, j.base, j.run_id, j.seed, j.label, min(s.step) AS first_update, max(s.step) AS last_update,
    avg(s.reward) AS reward
FROM judged AS j JOIN step AS s USING (run_id), width
WHERE j.verdict_id = {subject.id} AND j.cell IN ({listed}) AND s.reward IS NOT NULL
GROUP BY j.cell, j.base, j.run_id, j.seed, j.label, (s.step - 1) // width.updates
ORDER BY j.cell, j.base, j.seed, j.run_id, first_update"""
    )
    if not plotted.values:
        return
    rows = list(plotted)
    shown = [cell for cell in shown if any(row["cell"] == cell for row in rows)]
    high = -(-len(shown) // ACROSS)
    wide = min(ACROSS, len(shown))
    down = 0.42 if len({run.batch for run in ordered}) == 1 else 0.56
    box = Box(_width(wide), 0.24 + high * HIGH + (high - 1) * down + 0.62, 0.5, 0.1, 0.62, 0.3)
    figure, drawn = panels(box, high, wide, across=0.16, down=down)
    limits = _limits([row["reward"] for row in rows])
    last = {cell: max(row["last_update"] for row in rows if row["cell"] == cell) for cell in shown}
    for i, axes in enumerate(drawn):
        if i >= len(shown):
            axes.remove()
            continue
        _panel(axes, shown[i], [row for row in rows if row["cell"] == shown[i]])
        axes.set_xlim(0, last[shown[i]])
        axes.set_ylim(*limits)
        if i % wide:
            axes.tick_params(labelleft=False)
        if i + wide < len(shown) and len(set(last.values())) == 1:
            axes.tick_params(labelbottom=False)
    figure.text(
        0.06 / box.width, (box.bottom + (box.height - box.bottom) / 2) / box.height, "reward", rotation=90, va="center"
    )
    figure.text(box.left / box.width, 0.26 / box.height, "optimiser update")
    labels = {True: "collapsed", False: "did not collapse"}
    there = {row["label"] == "collapsed" for row in rows}
    handles = [mark(labels[gone], **LOOKS[gone]) for gone in (True, False) if gone in there]
    legend_below(figure, handles, box.left)
    yield subject.sketch(
        "learning-curves",
        "Learning curves",
        _caption(subject, rows, len(cells), len(shown)),
        _alt(rows, shown),
        plotted,
        figure,
    )


def _width(panels: int) -> float:
    return TEXT if panels > 2 else 0.58 + 2.0 * panels


def _limits(rewards: Sequence[float]) -> Band:
    """Return the ends of the axis: from 0 where no reward leaves 0 to 1, else from the least; a protocol's own may."""
    low, high = min(rewards), max(rewards)
    if _shares(rewards):
        low, high = 0.0, high or 1.0
    room = (high - low) or abs(high)
    return low - 0.03 * room, high + 0.05 * room


def _shares(rewards: Sequence[float]) -> bool:
    return all(0 <= reward <= 1 for reward in rewards)


def _panel(axes: Any, cell: str, rows: Sequence[Row]) -> None:
    runs = {row["run_id"]: row["label"] == "collapsed" for row in rows}
    for run_id in sorted(runs, key=lambda run_id: runs[run_id]):
        own = [row for row in rows if row["run_id"] == run_id]
        middle = [(row["first_update"] + row["last_update"]) / 2 for row in own]
        axes.plot(middle, [row["reward"] for row in own], clip_on=False, **LOOKS[runs[run_id]])
    axes.text(0, 1.17, elided(cell, 27), transform=axes.transAxes, fontsize=SMALL, va="bottom")
    said = f"n = {len(runs)}, {sum(runs.values())} collapsed"
    axes.text(0, 1.02, said, transform=axes.transAxes, fontsize=SMALL, va="bottom", alpha=0.75)
    axes.locator_params(nbins=4)
    axes.tick_params(labelsize=SMALL)
    grid(axes)


def _caption(subject: Subject, rows: Sequence[Row], cells: int, shown: int) -> str:
    n, width = len({row["run_id"] for row in rows}), max(row["last_update"] - row["first_update"] + 1 for row in rows)
    bases = len({row["base"] for row in rows})
    left = f" The first {shown} of {cells} cells are shown." if shown < cells else ""
    pooled = f" Runs of {bases} bases are together." if bases > 1 else ""
    scale = " (0 to 1)" if _shares([row["reward"] for row in rows]) else ""
    return f"""Mean training reward{scale} over optimiser updates, {subject.named}: every line is a run
    ({counted(n, "run")} under GRPO), every point the mean of {width} updates. Dashed: runs that count as collapsed at
    the end. No interval is drawn, as every run is.{left}{pooled}"""


def _alt(rows: Sequence[Row], cells: Sequence[str]) -> str:
    said: list[str] = []
    for cell in cells:
        last: dict[str, Row] = {row["run_id"]: row for row in rows if row["cell"] == cell}
        ends = sorted(row["reward"] for row in last.values())
        gone = sum(row["label"] == "collapsed" for row in last.values())
        said.append(f"{cell}: {gone} of {len(ends)} collapsed, last rewards {ends[0]:.2f} to {ends[-1]:.2f}")
    return f"Reward over updates by cell. {'; '.join(said)}."
