"""The collapse frontier that verdicts have come upon: the share that collapsed at each rank and learning rate.

Runs of all verdicts reported on one base under one protocol are taken together, each once. What varies besides rank,
rate and scaling (batch, warm-up, updates, checkpoint) is held at the setting that most runs have. `harness frontier`
searches such a frontier; here nothing was searched, and cells are where hypotheses wanted them.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

from harness.publish.report.figures.canvas import (
    INK,
    MARKS,
    SMALL,
    TEXT,
    Box,
    grid,
    legend_below,
    legend_height,
    log2_axis,
    mark,
    panels,
    powers,
)
from harness.publish.report.figures.sketch import Plotted, Run, Sketch, Subject, asides, asked, counted
from harness.store.schema import literal

HIGH = 2.4
ASIDE, ROOM = 0.42, 0.9
"""Octaves of rank from policy to policy, and those that all of them may take."""


def frontiers(found: Sequence[Subject]) -> Iterator[Sketch]:
    """Yield a figure for each protocol and base on which LoRA runs varied both rank and learning rate."""
    groups: dict[tuple[str, str], list[Subject]] = {}
    for subject in found:
        said = subject.chapter.verdict
        groups.setdefault((said.protocol, said.base_id), []).append(subject)
    drawn = {key: runs for key, group in groups.items() if _varies(runs := _alike(group))}
    for (protocol, base_id), runs in drawn.items():
        group = groups[protocol, base_id]
        base = group[0].chapter.verdict.base
        suffix = f"-{protocol}-{base.replace('+', '-')}" if len(drawn) > 1 else ""
        yield _figure(group, runs, f"collapse-frontier{suffix}", f"{base} (protocol {protocol})")


def _alike(group: Sequence[Subject]) -> list[Run]:
    """Return the different LoRA runs under GRPO that agree with most in all but rank, rate and scaling."""
    runs = {
        run.run_id: run for subject in group for run in subject.runs if run.method == "lora" and run.algorithm == "grpo"
    }
    rest = {run_id: _rest(run) for run_id, run in runs.items()}
    most = Counter(rest.values()).most_common(1)
    return [run for run_id, run in runs.items() if rest[run_id] == most[0][0]]


def _rest(run: Run) -> tuple[str, ...]:
    return (run.base, *(run.factors[name] for name in ("batch", "match", "warm-up", "checkpoint")))


def _varies(runs: Sequence[Run]) -> bool:
    return len({run.rank for run in runs}) > 1 and len({run.rate for run in runs}) > 1


def _figure(group: Sequence[Subject], runs: Sequence[Run], name: str, where: str) -> Sketch:
    plotted = _plotted(group, runs)
    policies = {run.cell: run.factors["scaling"] for run in runs}
    names = [policy for policy, _ in Counter(policies[row["cell"]] for row in plotted).most_common()]
    aside = asides(((row["rank"], policies[row["cell"]]) for row in plotted), names, ASIDE, ROOM)
    looks: dict[str, dict[str, Any]] = {policy: {"marker": MARKS[i % len(MARKS)]} for i, policy in enumerate(names)}
    plain = {"linestyle": "", "color": INK, "markersize": 7}
    handles = [mark(policy, markerfacecolor="none", **plain, **looks[policy]) for policy in names]
    shades = {"none collapsed": 0.0, "some": 0.5, "all": 1.0}
    there = {_class(row["share"]) for row in plotted}
    handles += [
        mark(text, markerfacecolor=_shade(share), **plain, marker="o")
        for text, share in shades.items()
        if share in there
    ]
    bottom = 0.45 + legend_height(handles, TEXT - 0.7)
    figure, (axes,) = panels(Box(TEXT, HIGH + bottom + 0.12, 0.65, 0.12, bottom))
    log2_axis(axes.xaxis, [row["rank"] for row in plotted], 1.6)
    axes.set_yscale("log")
    powers(axes.yaxis)
    rates = [row["learning_rate"] for row in plotted]
    axes.set_ylim(min(rates) / 1.6, max(rates) * 1.6)
    for row in plotted:
        policy = policies[row["cell"]]
        x = row["rank"] * 2 ** aside[row["rank"], policy]
        look = {**plain, **looks[policy], "markerfacecolor": _shade(row["share"])}
        axes.plot([x], [row["learning_rate"]], zorder=3, **look)
        text = f"{row['collapsed']}/{row['runs']}"
        axes.annotate(
            text, (x, row["learning_rate"]), (5.5, 0), textcoords="offset points", va="center", fontsize=SMALL
        )
    axes.set_xlabel("rank")
    axes.set_ylabel("learning rate")
    grid(axes)
    legend_below(figure, handles, 0.65)
    n = sum(row["runs"] for row in plotted)
    rest = ", ".join(text for text in _rest(runs[0])[1:] if text)
    caption = f"""Where LoRA runs collapse under GRPO over rank and learning rate, on {where}: {n} runs (the unit of
    analysis) of {len(plotted.values)} cells from {counted(len(group), "verdict")}, each run once. Numbers are runs that
    collapsed of all runs of the cell; marks tell scaling policies and stand aside of their rank; hollow: none
    collapsed, grey: some, full: all.
    {f"All at {rest}; others are left out. " if rest else ""}Cells are those that hypotheses asked for: no rate was
    searched, and no interval is drawn (exact ones are in the tables of cells)."""
    alt = "Collapsed runs of all runs by cell. " + "; ".join(
        f"rank {row['rank']}, {policies[row['cell']]}, rate {row['learning_rate']:g}: "
        f"{row['collapsed']} of {row['runs']}"
        for row in plotted
    )
    return Sketch(
        name, "", "Collapse over rank and learning rate", " ".join(caption.split()), f"{alt}.", plotted, figure
    )


def _plotted(group: Sequence[Subject], runs: Sequence[Run]) -> Plotted:
    verdicts = ", ".join(literal(subject.chapter.verdict_id) for subject in group)
    cells = ", ".join(literal(cell) for cell in dict.fromkeys(run.cell for run in runs))
    base = literal(runs[0].base)
    return asked(
        group[0].store,
        f"""WITH one AS (SELECT DISTINCT j.run_id, j.cell, j.label FROM judged AS j
    WHERE j.verdict_id IN ({verdicts}) AND j.base = {base} AND j.cell IN ({cells}))
SELECT one.cell, r.rank, r.scaling, r.multiplier, r.learning_rate_scale, r.learning_rate, count(*) AS runs,
    count(*) FILTER (one.label = 'collapsed') AS collapsed, collapsed / runs AS share
FROM one JOIN run AS r USING (run_id)
GROUP BY one.cell, r.rank, r.scaling, r.multiplier, r.learning_rate_scale, r.learning_rate
ORDER BY r.rank, r.learning_rate, one.cell""",
    )


def _class(share: float) -> float:
    return share if share in (0.0, 1.0) else 0.5


def _shade(share: float) -> Any:
    return {0.0: "none", 0.5: "0.6", 1.0: INK}[_class(share)]
