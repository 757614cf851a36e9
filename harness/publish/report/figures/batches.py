"""Batch by adapter: the share of runs that collapsed as a grid, with the numbers written in."""

from collections.abc import Iterator
from importlib import import_module
from typing import Any

from harness.publish.report.figures.canvas import INK, SMALL, TEXT, Box, elided, panels
from harness.publish.report.figures.sketch import Run, Sketch, Subject, varied

WIDEST, HIGH = 0.72, 0.42
"""Inches of a cell of the grid."""
LETTERS = 16


def collapse_over_batch(subject: Subject) -> Iterator[Sketch]:
    """Yield the figure of a verdict whose cells of one algorithm vary the batch."""
    by_algorithm: dict[str, set[int]] = {}
    for run in subject.runs:
        by_algorithm.setdefault(run.algorithm, set()).add(run.batch)
    for algorithm in (name for name, batches in by_algorithm.items() if len(batches) > 1):
        yield _grid(subject, algorithm, "-sft" if algorithm == "sft" and len(by_algorithm) > 1 else "")


def _grid(subject: Subject, algorithm: str, suffix: str) -> Sketch:
    plotted = subject.ask(
        f"""SELECT j.cell, r.method, r.rank, r.batch, count(*) AS runs,
    count(*) FILTER (j.label = 'collapsed') AS collapsed
FROM judged AS j JOIN run AS r USING (run_id)
WHERE j.verdict_id = {subject.id} AND r.algorithm = '{algorithm}'
GROUP BY ALL
ORDER BY r.rank NULLS LAST, r.method, r.batch, j.cell"""
    )
    named = _columns([run for run in subject.runs if run.algorithm == algorithm])
    columns = list(dict.fromkeys(named[row["cell"]] for row in plotted))
    batches = sorted({row["batch"] for row in plotted})
    wide = min(WIDEST, (TEXT - 0.75) / len(columns))
    box = Box(0.65 + wide * len(columns) + 0.1, 0.12 + HIGH * len(batches) + 0.62, 0.65, 0.1, 0.62)
    figure, (axes,) = panels(box)
    for row in plotted:
        x, y = columns.index(named[row["cell"]]), batches.index(row["batch"])
        _cell(axes, x, y, row["collapsed"], row["runs"])
    axes.set_xlim(-0.5, len(columns) - 0.5)
    axes.set_ylim(-0.5, len(batches) - 0.5)
    axes.set_xticks(range(len(columns)), [elided(name, LETTERS) for name in columns], rotation=30, ha="right")
    for label in axes.get_xticklabels():
        label.set_rotation_mode("anchor")
        label.set_fontsize(SMALL)
    axes.set_yticks(range(len(batches)), [str(batch) for batch in batches])
    axes.set_ylabel("batch, completions")
    axes.tick_params(length=0)
    for side in ("left", "bottom"):
        axes.spines[side].set_visible(False)
    n = sum(row["runs"] for row in plotted)
    caption = f"""Runs that collapsed of all runs, by adapter and batch (completions an update), {subject.named},
    {algorithm.upper()}: {n} runs, the unit of analysis. Darker is a larger share; what was not run is left blank. Exact
    intervals of the shares are in the table of cells."""
    alt = "Collapsed runs of all runs. " + "; ".join(
        f"{named[row['cell']]}, batch {row['batch']}: {row['collapsed']} of {row['runs']}" for row in plotted
    )
    kind = f"collapse-over-batch{suffix}"
    return subject.sketch(kind, "Collapse by batch and adapter", caption, f"{alt}.", plotted, figure)


def _columns(runs: list[Run]) -> dict[str, str]:
    """Return by cell its column: the adapter with its rank, and what else varies but the batch."""
    told = [name for name in varied(runs) if name not in ("adapter", "batch")]
    told = [name for name in told if name != "scaling" or len({run.factors[name] for run in runs if run.rank}) > 1]
    return {
        run.cell: ", ".join(
            [
                f"{run.factors['adapter']}{'' if run.rank is None else f' r={run.rank}'}",
                *(run.factors[name] for name in told if run.factors[name]),
            ]
        )
        for run in runs
    }


def _cell(axes: Any, x: int, y: int, collapsed: int, runs: int) -> None:
    """Draw a cell: filled with as much ink as runs collapsed, its numbers in a light or a dark that is read on it."""
    share = collapsed / runs
    patches: Any = import_module("matplotlib.patches")
    shade = 1 - 0.75 * share
    axes.add_patch(
        patches.Rectangle((x - 0.46, y - 0.46), 0.92, 0.92, facecolor=str(shade), edgecolor=INK, linewidth=0.5)
    )
    dark = shade < 0.55
    axes.text(x, y, f"{collapsed}/{runs}", ha="center", va="center", color="white" if dark else "black")
