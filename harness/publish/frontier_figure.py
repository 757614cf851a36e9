"""The figure of `harness frontier`: over rank, left the critical rate, right the norm of the first update there.

Points are medians and bars 90 % intervals, both axes logarithmic; an arm whose frontier is not among the rates that
were tried is an arrow at the last of them. Colours are Okabe and Ito's (2008), even for colour-blind readers, and every
policy has a mark of its own besides. The two panels span the same number of octaves, so that heights compare.
"""

import math
from collections.abc import Callable, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

from harness.campaign.frontier import Frontier, Searched
from harness.decide.bisection import End
from harness.publish.frontier import norms, rates
from harness.publish.spectra import FIXED, STYLE

INCHES = (8.6, 3.8)
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
MARKS = ("o", "s", "D", "^", "v", "P")
ASIDE = 1.06
"""Factor by which the policies' points are set apart along the ranks."""
MARGIN = 1.3
"""Factor left free above and below what is drawn."""

Point = tuple[float, float, float]
"""A value and the limits of its interval."""


def draw(frontier: Frontier, path: Path) -> None:
    """Draw a frontier into `path`; its suffix is the format: .png, .svg or .pdf."""
    matplotlib: Any = import_module("matplotlib")  # 0.5 s, of a library whose types do not bear the strict mode
    figures: Any = import_module("matplotlib.figure")
    lines: Any = import_module("matplotlib.lines")
    keys: list[Any] = []
    with matplotlib.rc_context(STYLE):
        figure = figures.Figure(figsize=INCHES, layout="constrained")
        left, right = figure.subplots(1, 2)
        policies = list(dict.fromkeys(one.arm.scaling.in_words() for one in frontier.searched))
        for i, policy in enumerate(policies):
            arms = [one for one in frontier.searched if one.arm.scaling.in_words() == policy]
            aside = ASIDE ** (i - (len(policies) - 1) / 2)
            look: dict[str, Any] = {
                "color": COLOURS[i % len(COLOURS)],
                "marker": MARKS[i % len(MARKS)],
                "markersize": 5,
            }
            keys.append(lines.Line2D([], [], label=policy, **look))
            _policy(left, arms, aside, look, lambda one: rates(frontier, one))
            _policy(right, arms, aside, look, norms)
            _censored(left, frontier, arms, aside, look["color"])
        _axes(left, frontier, "critical learning rate")
        _axes(right, frontier, "norm of the first update there")
        _same_octaves(left, right)
        left.legend(handles=keys, frameon=False, fontsize=8)
        title = f"Collapse frontier, protocol {frontier.protocol}, base {frontier.base} (exploratory)"
        figure.suptitle(title, x=0.01, ha="left", fontsize=10, fontweight="bold")
        figure.savefig(path, dpi=200, metadata=FIXED[path.suffix.lower()])


def _policy(
    axes: Any, arms: Sequence[Searched], aside: float, look: dict[str, Any], point: Callable[[Searched], Point | None]
) -> None:
    known = [(one.arm.rank * aside, at) for one in arms if (at := point(one)) is not None]
    if not known:
        return
    values = [at[0] for _, at in known]
    bars = [[at[0] - at[1] for _, at in known], [at[2] - at[0] for _, at in known]]
    axes.errorbar([x for x, _ in known], values, yerr=bars, capsize=3, linewidth=1, **look)


def _censored(axes: Any, frontier: Frontier, arms: Sequence[Searched], aside: float, colour: str) -> None:
    """Mark arms that lie beyond the ladder by an arrow at its end; those without a result are not drawn."""
    ladder = frontier.ladder
    for end, rung, mark in ((End.NEVER, ladder.highest, r"$\uparrow$"), (End.ALWAYS, ladder.lowest, r"$\downarrow$")):
        at = frontier.learning_rate * ladder.factor(rung)
        beyond = [one.arm.rank * aside for one in arms if one.end is end]
        if beyond:
            axes.plot(beyond, [at] * len(beyond), linestyle="", marker=mark, markersize=10, color=colour)


def _axes(axes: Any, frontier: Frontier, quantity: str) -> None:
    tickers: Any = import_module("matplotlib.ticker")
    ranks = sorted({one.arm.rank for one in frontier.searched})
    axes.set_xscale("log", base=2)
    if axes.has_data():
        axes.set_yscale("log")
    else:
        axes.set_yticks([])
        axes.text(0.5, 0.5, "no arm has one", transform=axes.transAxes, ha="center", va="center")
    axes.set_xticks(ranks, [str(rank) for rank in ranks])
    axes.xaxis.set_minor_locator(tickers.NullLocator())
    axes.set_xlim(ranks[0] / 1.4, ranks[-1] * 1.4)
    axes.set_xlabel("rank")
    axes.set_ylabel(quantity)
    axes.grid(True, which="major", linewidth=0.4, color="0.88")


def _same_octaves(*panels: Any) -> None:
    """Give all panels in which anything is drawn the same ratio between the ends of their vertical axes."""
    drawn = [axes for axes in panels if axes.has_data()]
    ends = [axes.get_ylim() for axes in drawn]
    span = max((high / low for low, high in ends), default=1) * MARGIN
    for axes, (low, high) in zip(drawn, ends, strict=True):
        middle = math.sqrt(low * high)
        axes.set_ylim(middle / math.sqrt(span), middle * math.sqrt(span))
