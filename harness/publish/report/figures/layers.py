"""Effective rank of updates, module by module or layer by layer, of collapsed against trained runs."""

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from harness.publish.report.figures.canvas import (
    COLOURS,
    INK,
    MARKS,
    SMALL,
    TEXT,
    Box,
    beside,
    elided,
    grid,
    legend_below,
    log2_axis,
    mark,
    panels,
)
from harness.publish.report.figures.sketch import Row, Sketch, Subject, forms

FEW_LAYERS = 4
"""Layers below which every module has a place of its own; from there on a layer is the mean of its modules."""
HIGH = 2.1
LOOKS: dict[str, dict[str, Any]] = {
    "trained": {"color": COLOURS[0], "linestyle": "-", "markerfacecolor": COLOURS[0]},
    "collapsed": {"color": COLOURS[1], "linestyle": (0, (4, 1.2)), "markerfacecolor": "none"},
}
BESIDE = 1.5
SPAN = 6.0
"""Ratio of the largest rank to the least from which the axis is of doublings."""


def rank_over_layers(subject: Subject) -> Iterator[Sketch]:
    """Yield the figure of a verdict that has collapsed and trained runs with spectra."""
    if not {"collapsed", "trained"} <= {run.label for run in subject.runs}:
        return
    plotted = subject.ask(
        f"""WITH one AS (SELECT j.run_id, j.label, r.algorithm, r.method, r.rank, r.updates, min(j.cell) AS cell
    FROM judged AS j JOIN run AS r USING (run_id)
    WHERE j.verdict_id = {subject.id} AND j.label IN ('collapsed', 'trained') GROUP BY ALL),
value AS (SELECT one.algorithm, one.method, one.rank, one.label, one.cell, s.run_id, s.layer,
        if((SELECT count(DISTINCT layer) FROM spectrum JOIN one USING (run_id) WHERE target = 'update' AND layer >= 0)
            < {FEW_LAYERS}, s.kind, 'all') AS kind, avg(s.effective_rank) AS effective_rank
    FROM one JOIN spectrum AS s USING (run_id)
    WHERE s.step = one.updates AND s.target = 'update' AND s.layer >= 0
        AND s.source <> 'low_precision_difference' AND s.effective_rank IS NOT NULL
    GROUP BY ALL)
SELECT algorithm, method, rank, label, layer, kind, min(cell) AS a_cell, count(*) AS runs,
    avg(effective_rank) AS mean, min(effective_rank) AS low, max(effective_rank) AS high
FROM value GROUP BY algorithm, method, rank, label, layer, kind
ORDER BY algorithm, method, rank NULLS LAST, label, layer, kind"""
    )
    rows = list(plotted)
    if not {"collapsed", "trained"} <= {row["label"] for row in rows}:
        return
    places = _places(rows)
    words = forms(subject.runs)
    lines: dict[tuple[str, str], list[Row]] = {}
    for row in rows:
        lines.setdefault((words[row["a_cell"]], row["label"]), []).append(row)
    modules = any(row["kind"] != "all" for row in rows)
    bottom = 1.0 if modules else 0.62
    figure, (axes,) = panels(Box(TEXT, HIGH + bottom + 0.12, 0.55, BESIDE, bottom))
    ends: list[tuple[float, str, Mapping[str, Any]]] = []
    named = list(dict.fromkeys(name for name, _ in lines))
    for (name, label), own in lines.items():
        ends.append(_line(axes, own, places, {**LOOKS[label], "marker": MARKS[named.index(name) % len(MARKS)]}, name))
    _axis(axes, places, modules)
    _scale(axes, min(row["low"] for row in rows), max(row["high"] for row in rows))
    axes.set_ylabel("effective rank of the update")
    grid(axes)
    beside(axes, ends)
    legend_below(figure, [mark(label, **look) for label, look in LOOKS.items()], 0.55)
    yield subject.sketch(
        "effective-rank",
        "Effective rank of updates over the layers",
        _caption(subject, lines, modules),
        _alt(lines),
        plotted,
        figure,
    )


ORDER = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")
"""The usual modules in the order in which a block has them; others follow by name."""


def _places(rows: Sequence[Row]) -> dict[tuple[int, str], int]:
    """Return the place along the axis of each (layer, kind)."""
    known = {kind: i for i, kind in enumerate(ORDER)}
    found = {(row["layer"], row["kind"]) for row in rows}
    return {key: i for i, key in enumerate(sorted(found, key=lambda key: (key[0], known.get(key[1], 99), key[1])))}


def _line(
    axes: Any, rows: Sequence[Row], places: Mapping[tuple[int, str], int], look: dict[str, Any], name: str
) -> tuple[float, str, Mapping[str, Any]]:
    """Draw one form and label, and return its name with the height at which it ends."""
    ordered = sorted(rows, key=lambda row: places[row["layer"], row["kind"]])
    xs, means = [places[row["layer"], row["kind"]] for row in ordered], [row["mean"] for row in ordered]
    reach = [[row["mean"] - row["low"] for row in ordered], [row["high"] - row["mean"] for row in ordered]]
    axes.errorbar(xs, means, yerr=reach, elinewidth=0.8, linewidth=0.9, markersize=3.5, **look)
    runs = max(row["runs"] for row in rows)
    return means[-1], f"{elided(name, 20)}, n = {runs}", {"color": look["color"]}


def _scale(axes: Any, low: float, high: float) -> None:
    """Give the ranks an axis from zero, or of doublings where they span several."""
    if high < SPAN * low:
        axes.set_ylim(0, 1.06 * high)
        return
    first, last = math.floor(math.log2(low)), math.ceil(math.log2(high))
    log2_axis(axes.yaxis, [2.0**n for n in range(first, last + 1, 1 + (last - first) // 8)])
    axes.set_ylim(low / 1.15, high * 1.15)


def _axis(axes: Any, places: Mapping[tuple[int, str], int], modules: bool) -> None:
    axes.set_xlim(-0.5, len(places) - 0.5)
    if not modules:
        layers = [layer for layer, _ in places]
        step = max(1, -(-len(layers) // 16))
        axes.set_xticks(range(0, len(layers), step), [str(layer) for layer in layers[::step]])
        axes.set_xlabel("decoder layer")
        return
    axes.set_xticks(range(len(places)), [elided(kind, 12) for _, kind in places], rotation=40, ha="right")
    for text in axes.get_xticklabels():
        text.set_rotation_mode("anchor")
        text.set_fontsize(SMALL)
    for layer in dict.fromkeys(layer for layer, _ in places):
        own = [place for (of, _), place in places.items() if of == layer]
        middle = (own[0] + own[-1]) / 2
        where: Any = {"transform": axes.get_xaxis_transform(), "ha": "center", "va": "top"}
        axes.text(middle, -0.31, f"layer {layer}", **where)
        if own[0]:
            axes.axvline(own[0] - 0.5, color=INK, linewidth=0.5, alpha=0.4)


def _caption(subject: Subject, lines: Mapping[tuple[str, str], Sequence[Row]], modules: bool) -> str:
    n = {label: sum(max(r["runs"] for r in rows) for (_, of), rows in lines.items() if of == label) for label in LOOKS}
    each = "module" if modules else "layer (the mean of its modules)"
    return f"""Effective rank (Roy and Vetterli 2007) of the update after the last step, by {each}, {subject.named}:
    {n["collapsed"]} collapsed and {n["trained"]} trained runs, the unit of analysis, by the form of the update (others
    are left out). Points are means over runs and bars the whole range, from least to largest; filled marks and whole
    lines are trained runs, hollow marks and dashes collapsed ones."""


def _alt(lines: Mapping[tuple[str, str], Sequence[Row]]) -> str:
    said = [
        f"{name} {label}: {min(r['mean'] for r in rows):.3g} to {max(r['mean'] for r in rows):.3g}"
        for (name, label), rows in lines.items()
    ]
    return f"Mean effective rank of updates, least to largest over modules. {'; '.join(said)}."
