"""The paper that figures are drawn on: sizes in inches, colours, marks, and how a figure becomes SVG and PDF.

Colours are Okabe and Ito's (2008), even for colour-blind readers; whatever a colour tells, a mark, a dash or a word
tells too, so that figures read in grey. Nothing is laid out by trial: margins are in inches, so that a figure is drawn
once for each format. Texts are taken as they are: no mathematics is read into them.
"""

import io
import warnings
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module
from typing import Any

from harness.publish.report.figures.freestanding import freestanding

TEXT = 6.8
"""Width of a page's text, inches."""
COLUMN = 3.4
"""Width of a column of two, inches."""
INK = "#010203"
"""What is neither data nor background: black in print, and in SVG the colour of the text around it."""
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
MARKS = ("o", "s", "D", "^", "v", "P")
DASHES: tuple[Any, ...] = (
    "-",
    (0, (5, 1.5)),
    (0, (1, 1.5)),
    (0, (5, 1.5, 1, 1.5)),
    (0, (3, 1, 1, 1, 1, 1)),
    (0, (8, 2)),
)
LABELS: Mapping[str, tuple[str, str, bool]] = {
    "collapsed": ("x", "#D55E00", True),
    "degraded": ("v", "#E69F00", False),
    "no gain": ("s", "#56B4E9", False),
    "trained": ("o", "#0072B2", True),
}
"""Mark, colour, and whether it is filled, by what became of a run."""
ALPHA, TIMES = "\N{GREEK SMALL LETTER ALPHA}", "\N{MULTIPLICATION SIGN}"
FONT = 8.0
SMALL = 7.0
WIDE = 0.062
"""Inches that a letter takes at most, on average over a line of the usual size."""
LINE = 0.165
"""Inches from line to line of a legend."""
STYLE = {
    "font.size": FONT,
    "font.family": "DejaVu Sans",
    "text.parse_math": False,
    "text.color": INK,
    "axes.edgecolor": INK,
    "axes.labelcolor": INK,
    "axes.linewidth": 0.6,
    "axes.labelpad": 3,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.unicode_minus": True,
    "xtick.color": INK,
    "ytick.color": INK,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "xtick.major.size": 2.5,
    "ytick.major.size": 2.5,
    "xtick.labelsize": FONT,
    "ytick.labelsize": FONT,
    "legend.fontsize": FONT,
    "legend.frameon": False,
    "legend.borderpad": 0,
    "legend.borderaxespad": 0,
    "legend.handlelength": 2.2,
    "legend.handletextpad": 0.5,
    "legend.columnspacing": 1.4,
    "legend.labelspacing": 0.45,
    "lines.linewidth": 1.0,
    "lines.markersize": 4.5,
    "hatch.linewidth": 0.5,
    "svg.fonttype": "none",
    "svg.hashsalt": "rlvr-harness",
    "pdf.fonttype": 42,
    "figure.dpi": 100,
    "savefig.transparent": True,
}
DROPPED = "_drop_tables_default"
"""The setting of fontTools that says which tables no subset of a font has."""


@dataclass(frozen=True, slots=True)
class Box:
    """A figure's size and the margins around its panels, in inches."""

    width: float
    height: float
    left: float
    right: float
    bottom: float
    top: float = 0.12


@contextmanager
def style() -> Generator[None]:
    """Set how figures look while they are drawn and saved; letters that the font lacks are drawn as boxes.

    Settings of the user's own (matplotlibrc) count for nothing: what STYLE leaves open is as the library has it.
    """
    matplotlib: Any = import_module("matplotlib")  # 0.5 s, of a library whose types do not bear the strict mode
    usual = {name: value for name, value in matplotlib.rcParamsDefault.items() if name != "backend"}  # nothing is shown
    with matplotlib.rc_context({**usual, **STYLE}), warnings.catch_warnings(), _fonts_without_layout():
        warnings.simplefilter("ignore")
        yield


@contextmanager
def _fonts_without_layout() -> Generator[None]:
    """Leave out of embedded fonts the tables by which others lay text out, which in a PDF is done.

    Reading them is a third of what a PDF takes (0.06 of 0.17 s). Without the setting it only takes longer.
    """
    options: Any = import_module("fontTools.subset").Options
    before = getattr(options, DROPPED, None)
    if before is None:
        yield
        return
    setattr(options, DROPPED, [*before, "GSUB", "GPOS", "GDEF", "kern"])
    try:
        yield
    finally:
        setattr(options, DROPPED, before)


def panels(box: Box, rows: int = 1, columns: int = 1, across: float = 0.0, down: float = 0.0) -> tuple[Any, list[Any]]:
    """Return a figure and its panels, row by row, `across` and `down` inches apart; none for no rows."""
    figure = import_module("matplotlib.figure").Figure(figsize=(box.width, box.height))
    if not rows:
        return figure, []
    wide = (box.width - box.left - box.right - (columns - 1) * across) / columns
    high = (box.height - box.top - box.bottom - (rows - 1) * down) / rows
    made = [
        figure.add_axes(
            (
                (box.left + column * (wide + across)) / box.width,
                1 - (box.top + row * (high + down) + high) / box.height,
                wide / box.width,
                high / box.height,
            )
        )
        for row in range(rows)
        for column in range(columns)
    ]
    return figure, made


def mark(label: str, **more: Any) -> Any:
    """Return a legend's entry."""
    return import_module("matplotlib.lines").Line2D([], [], label=plain(label), **more)


def patch(label: str, **more: Any) -> Any:
    """Return a legend's entry for an area."""
    return import_module("matplotlib.patches").Patch(label=plain(label), **more)


def of_label(label: str, **more: Any) -> dict[str, Any]:
    """Return how the mark of a run looks that became `label`."""
    shape, colour, filled = LABELS[label]
    look: dict[str, Any] = {"marker": shape, "color": colour, "markerfacecolor": colour if filled else "none"}
    return {**look, "markeredgewidth": 0.9, "linestyle": "", **more}


def of_series(i: int) -> dict[str, Any]:
    """Return colour and dash of the i-th series."""
    return {"color": COLOURS[i % len(COLOURS)], "linestyle": DASHES[i % len(DASHES)]}


def legend_rows(handles: Sequence[Any], width: float) -> tuple[int, int]:
    """Return columns and rows of a legend of this width in inches."""
    widest = max((len(handle.get_label()) for handle in handles), default=0) * WIDE + 0.5
    columns = max(1, min(len(handles), int(width / widest)))
    return columns, -(-len(handles) // columns)


def legend_height(handles: Sequence[Any], width: float) -> float:
    """Return the inches that a legend of this width takes below the panels."""
    return legend_rows(handles, width)[1] * LINE + 0.06 if handles else 0.0


def legend_below(figure: Any, handles: Sequence[Any], left: float, right: float = 0.05, up: float = 0.04) -> None:
    """Put a legend at the foot of a figure, between margins in inches."""
    if not handles:
        return
    width, height = figure.get_size_inches()
    columns, _ = legend_rows(handles, width - left - right)
    spot = (left / width, up / height)
    figure.legend(handles=handles, loc="lower left", bbox_to_anchor=spot, ncols=columns)


def log2_axis(axis: Any, values: Sequence[float], margin: float = 1.35) -> None:
    """Give an axis a scale of doublings with a tick at each value."""
    ticks = sorted(set(values))
    if axis.axis_name == "x":
        axis.axes.set_xscale("log", base=2)
        axis.axes.set_xlim(ticks[0] / margin, ticks[-1] * margin)
    else:
        axis.axes.set_yscale("log", base=2)
        axis.axes.set_ylim(ticks[0] / margin, ticks[-1] * margin)
    axis.set_ticks(ticks, [f"{tick:g}" for tick in ticks])
    axis.set_minor_locator(import_module("matplotlib.ticker").NullLocator())


def powers(axis: Any) -> None:
    """Give a logarithmic axis plain tick labels: 0.001, 0.01, 0.1, 1, and powers of ten beyond."""
    tickers = import_module("matplotlib.ticker")
    axis.set_major_locator(tickers.LogLocator(base=10, numticks=6))
    axis.set_major_formatter(tickers.FuncFormatter(_power))
    axis.set_minor_locator(tickers.NullLocator())


def beside(axes: Any, labels: Sequence[tuple[float, str, Mapping[str, Any]]], size: float = SMALL) -> None:
    """Write labels at heights to the right of a panel, moved apart where they would touch."""
    low, high = axes.transData.transform([(1, y) for y in axes.get_ylim()])[:, 1]
    gap = size * 1.2 * axes.figure.dpi / 72
    ordered = sorted(labels, key=lambda label: axes.transData.transform((1, label[0]))[1])
    wanted = [float(axes.transData.transform((1, y))[1]) for y, _, _ in ordered]
    for place, (_, text, look) in zip(_apart(wanted, gap, low), ordered, strict=True):
        at = (place - low) / (high - low)
        where: Any = {"transform": axes.transAxes, "ha": "left", "va": "center", "fontsize": size}
        axes.text(1.02, at, plain(text), **where, **look)


def grid(axes: Any, axis: str = "y") -> None:
    """Draw faint lines at the ticks."""
    axes.grid(True, axis=axis, color=INK, alpha=0.12, linewidth=0.5)
    axes.set_axisbelow(True)


def plain(text: str) -> str:
    """Return a text of one line without what cannot be printed, nor the underscore that hides a legend's entry."""
    shown = "".join(c if c.isprintable() else " " for c in text)
    shown = " ".join(shown.split())
    return f"\N{ZERO WIDTH SPACE}{shown}" if shown.startswith("_") else shown


def elided(text: str, letters: int) -> str:
    """Return a text of at most so many letters, its middle left out where it has more."""
    shown = plain(text)
    if len(shown) <= letters:
        return shown
    tail = (letters - 1) // 3
    return f"{shown[: letters - 1 - tail].rstrip()}…{shown[len(shown) - tail :].lstrip()}"


def jitter(number: int, width: float) -> float:
    """Return the place of the number-th of several points beside each other, within ± width; the same each time.

    Steps of the golden ratio: any first few are spread evenly.
    """
    return width * (2 * ((number + 0.5) * 0.6180339887498949 % 1.0) - 1)


def saved(figure: Any, name: str, alt: str) -> tuple[str, bytes]:
    """Return a figure as SVG and PDF, the same bytes for the same figure; neither names the library's version."""
    text, data = io.StringIO(), io.BytesIO()
    nothing: dict[str, Any] = dict.fromkeys(("Date", "Creator", "Format", "Type"))
    figure.savefig(text, format="svg", metadata=nothing)
    figure.savefig(data, format="pdf", metadata=dict.fromkeys(("CreationDate", "Creator", "Producer")))
    return freestanding(text.getvalue(), name, plain(alt), INK), data.getvalue()


def _power(value: float, _: int) -> str:
    if 1e-3 <= value <= 1e4:
        return f"{value:g}"
    exponent = f"{value:.0e}".split("e")[1]
    digits = str(int(exponent)).translate(str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹"))
    return f"10{digits}"


def _apart(wanted: Sequence[float], gap: float, low: float) -> list[float]:
    """Return places in the same order, each at least `gap` above the one before, as near to those wanted as can be.

    Places that would touch become a block around their mean.
    """
    blocks: list[list[float]] = []
    for i, place in enumerate(wanted):
        blocks.append([place - i * gap])
        while len(blocks) > 1 and _mean(blocks[-2]) > _mean(blocks[-1]):
            blocks[-2:] = [[*blocks[-2], *blocks[-1]]]
    levels = [max(_mean(block), low) for block in blocks for _ in block]
    return [level + i * gap for i, level in enumerate(levels)]


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)
