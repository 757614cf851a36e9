"""The figure of `harness spectra`: on the left every spectrum, on the right effective ranks over layers and modules.

Takes rows as the command prints them. Singular values are in units of each matrix's largest, so that shapes compare;
norms are in the table. Colours run from dark to light with the layer (viridis: even for colour-blind readers, and in
grey). Nulls are dotted, and where a spectrum is read from rounded weights, the figure says so above it. The same rows
give the same bytes.
"""

import math
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

from harness.publish.spectra_table import number

Row = dict[str, Any]

INCHES = (11.0, 4.6)
LONG = 64
"""Values of the longest spectrum above which the index is logarithmic."""
FEW_CELLS = 140
"""Cells of the map up to which their numbers are written in."""
FEW_LAYERS = 8
"""Layers up to which each has its own entry in the legend."""
MANY_LINES = 60
"""Spectra above which lines are thin and without marks."""
LIGHTEST = 0.82
"""Where the colours of lines end: the map's last fifth is too light on white."""
NULL = {"color": "black", "linestyle": ":", "linewidth": 0.9, "alpha": 0.7}
"""How nulls are drawn."""
FLAG = "#b2182b"
"""Colour of the warning: red that is dark enough to read in grey."""
ROUNDED = "low_precision_difference"
OUTSIDE = "0.35"
"""Grey of matrices outside the layers."""
RANKS = ("effective_rank", "participation_ratio", "stable_rank")
"""What the map shows: the first that any matrix has."""
STYLE = {
    "font.size": 9,
    "font.family": "DejaVu Sans",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "svg.hashsalt": "rlvr-harness",
    "svg.fonttype": "path",
    "pdf.fonttype": 42,
    "figure.dpi": 100,
}
FIXED = {".png": {"Software": None}, ".svg": {"Date": None}, ".pdf": {"CreationDate": None}}
"""What the formats would say of the moment and the machine."""


def draw(rows: Sequence[Row], path: Path, title: str) -> None:
    """Draw rows into `path`; its suffix is the format: .png, .svg or .pdf."""
    matplotlib: Any = import_module("matplotlib")  # 0.5 s, of a library whose types do not bear the strict mode
    figures: Any = import_module("matplotlib.figure")
    shown = [row for row in rows if row["singular_values"] and row["frobenius"] > 0]
    with matplotlib.rc_context(STYLE):
        figure = figures.Figure(figsize=INCHES, layout="constrained")
        left, right = figure.subplots(1, 2, width_ratios=(1.0, 1.15))
        _spectra(figure, left, shown)
        left.set_title(_flagged(rows), fontsize=8, color=FLAG, loc="left")
        _ranks(figure, right, [row for row in rows if row["target"] != "null"])
        figure.suptitle(_plain(title), x=0.01, ha="left", fontsize=10, fontweight="bold")
        figure.savefig(path, dpi=200, metadata=FIXED[path.suffix.lower()])


def _flagged(rows: Sequence[Row]) -> str:
    """Return what is to be said of spectra that are mostly rounding; nothing where there are none."""
    updates = [row for row in rows if row["target"] != "null"]
    rounded = [row for row in updates if row["source"] == ROUNDED]
    dtypes = ", ".join(sorted({row["dtype"] for row in rounded}))
    share = "" if len(rounded) == len(updates) else f"{len(rounded)} of {len(updates)}: "
    return f"{share}differences of {dtypes} numbers, whose rounding reads as rank" if rounded else ""


def _spectra(figure: Any, axes: Any, rows: Sequence[Row]) -> None:
    matplotlib: Any = import_module("matplotlib")
    nulls, rows = ([row for row in rows if (row["target"] == "null") is of] for of in (True, False))
    layers = sorted({row["layer"] for row in rows if row["layer"] >= 0})
    first, last = min(layers, default=0), max(layers, default=0)

    def colour(layer: int) -> Any:
        return matplotlib.colormaps["viridis"](LIGHTEST * (layer - first) / max(last - first, 1))

    crowded = len(rows) > MANY_LINES
    for row in sorted(rows, key=lambda row: (row["layer"] < 0, row["layer"])):
        sigma = _relative(row)
        inside = row["layer"] >= 0
        style = {"color": colour(row["layer"]) if inside else OUTSIDE, "linestyle": "-" if inside else "--"}
        style |= {"linewidth": 0.6, "alpha": 0.7} if crowded else {"linewidth": 1.0, "alpha": 0.9}
        axes.plot(range(1, len(sigma) + 1), sigma, marker="." if len(sigma) <= 16 and not crowded else None, **style)
    for row in nulls:
        sigma = _relative(row)
        axes.plot(range(1, len(sigma) + 1), sigma, **NULL)
    _scales(axes, [*rows, *nulls])
    lines: Any = import_module("matplotlib.lines")
    beside = [lines.Line2D([], [], color=OUTSIDE, linestyle="--", label="outside the layers")]
    beside = beside if any(row["layer"] < 0 for row in rows) else []
    beside += [lines.Line2D([], [], label="random, of rank 8, as rounded", **NULL)] if nulls else []
    _layers(figure, axes, layers, beside, colour)


def _relative(row: Row) -> list[float]:
    return [value / row["singular_values"][0] for value in row["singular_values"] if value > 0]


def _scales(axes: Any, rows: Sequence[Row]) -> None:
    longest = max((len(row["singular_values"]) for row in rows), default=1)
    axes.set_yscale("log")
    if longest > LONG:
        axes.set_xscale("log")
    else:
        axes.xaxis.set_major_locator(import_module("matplotlib.ticker").MaxNLocator(integer=True))
    floor = min((row["singular_values"][-1] / row["singular_values"][0] for row in rows), default=1.0)
    axes.set_ylim(bottom=max(0.5 * floor, 1e-9), top=1.5)
    axes.set_xlabel("index $i$ of the singular value")
    axes.set_ylabel(r"$\sigma_i\,/\,\sigma_1$")
    axes.grid(True, which="major", linewidth=0.4, color="0.88")


def _layers(figure: Any, axes: Any, layers: Sequence[int], beside: Sequence[Any], colour: Any) -> None:
    """Tell which colour is which layer: by a legend where there are few, by a bar where there are many.

    `beside` are the legend's entries that are no layer.
    """
    lines: Any = import_module("matplotlib.lines")
    few = len(layers) <= FEW_LAYERS
    handles = [lines.Line2D([], [], color=colour(layer), label=f"layer {layer}") for layer in layers if few]
    handles += beside
    if handles:
        axes.legend(handles=handles, frameon=False, fontsize=8, loc="lower left")
    if few:
        return
    matplotlib: Any = import_module("matplotlib")
    colors: Any = import_module("matplotlib.colors")
    shades = colors.ListedColormap([colour(layer) for layer in range(layers[0], layers[-1] + 1)])
    norm = colors.Normalize(layers[0] - 0.5, layers[-1] + 0.5)
    bar = figure.colorbar(matplotlib.cm.ScalarMappable(norm, shades), ax=axes, pad=0.02, aspect=35)
    bar.set_label("layer")
    bar.outline.set_visible(False)


def _ranks(figure: Any, axes: Any, rows: Sequence[Row]) -> None:
    quantity = next((name for name in RANKS if any(row[name] is not None for row in rows)), RANKS[0])
    beside = [row for row in rows if row["layer"] < 0]
    rows = [row for row in rows if row["layer"] >= 0] or rows
    layers = sorted({row["layer"] for row in rows})
    parts = list(dict.fromkeys(row["part"] for row in rows))
    cells = _means(rows, quantity)
    values = [[cells.get((layer, part), math.nan) for part in parts] for layer in layers]
    image = axes.imshow(values, cmap="viridis", aspect="auto", interpolation="nearest")
    names = [_plain(_short(part)) for part in parts]
    axes.set_xticks(range(len(parts)), names, rotation=35, ha="right", rotation_mode="anchor")
    step = max(1, math.ceil(len(layers) / 16))
    named = [i for i, layer in enumerate(layers) if layer < 0 or layer % step == 0]
    axes.set_yticks(named, ["none" if layers[i] < 0 else str(layers[i]) for i in named])
    axes.set_ylabel("layer")
    axes.tick_params(length=0)
    if layers[:1] != [-1] and beside:
        said = [f"{_plain(_short(row['part']))} {number(row[quantity])}" for row in beside[:3]]
        axes.set_title("outside the layers: " + ", ".join(said), fontsize=8, color=OUTSIDE, loc="left")
    for side in ("left", "bottom"):
        axes.spines[side].set_visible(False)
    bar = figure.colorbar(image, ax=axes, pad=0.02, aspect=35)
    bar.set_label(quantity.replace("_", " "))
    bar.outline.set_visible(False)
    if len(layers) * len(parts) <= FEW_CELLS:
        _written(axes, values)


def _means(rows: Sequence[Row], quantity: str) -> dict[tuple[int, str], float]:
    """Return the mean of a quantity by (layer, part): over the experts of a layer, else of the one matrix there."""
    groups: dict[tuple[int, str], list[float]] = {}
    for row in rows:
        if row[quantity] is not None:
            groups.setdefault((row["layer"], row["part"]), []).append(row[quantity])
    return {key: math.fsum(group) / len(group) for key, group in groups.items()}


def _written(axes: Any, values: Sequence[Sequence[float]]) -> None:
    finite = [value for line in values for value in line if not math.isnan(value)]
    middle = (min(finite, default=0.0) + max(finite, default=0.0)) / 2
    for y, line in enumerate(values):
        for x, value in enumerate(line):
            if not math.isnan(value):
                colour = "white" if value <= middle else "black"
                axes.text(x, y, number(value), ha="center", va="center", color=colour, fontsize=7)


def _short(part: str) -> str:
    return part if len(part) <= 24 else "…" + part[-23:]


def _plain(text: str) -> str:
    """Return `text` so that matplotlib reads no mathematics into it."""
    return text.replace("$", r"\$")
