"""The figure of `harness diagnose --vary`: how often the claim and each prediction come out which way, over the design.

Bands are 95 % Monte Carlo intervals (normal, 1.96 standard errors); they are about the number of simulations, not about
the model of the world. Designs that cannot decide have no point and are named above. The same diagnoses give the same
bytes.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.decide.diagnosis.characteristics import CLAIM, Characteristics, Diagnosis, Rate
from harness.decide.diagnosis.designs import ENOUGH
from harness.publish.report.figures.canvas import (
    COLOURS,
    DASHES,
    INK,
    SMALL,
    TEXT,
    Box,
    elided,
    grid,
    legend_below,
    mark,
    panels,
    plain,
    style,
)
from harness.publish.spectra import FIXED

ACROSS = 3
HIGH = 1.35
Z = 1.959963984540054
"""Standard errors to either side of a band."""
LOOKS: dict[str, dict[str, Any]] = {
    "supported": {"color": COLOURS[0], "linestyle": DASHES[0], "marker": "o"},
    "refuted": {"color": COLOURS[1], "linestyle": DASHES[1], "marker": "s"},
    "open": {"color": INK, "linestyle": DASHES[2], "marker": "D", "markerfacecolor": "none"},
}
NAMES = {"supported": "supported", "refuted": "refuted", "open": "neither"}
UNITS = {"seeds": "seeds a cell", "futility": "futility threshold"}


@dataclass(frozen=True, slots=True)
class Power:
    """A hypothesis diagnosed in one world under several designs."""

    hypothesis: str
    protocol: str
    world: str
    sims: int
    varied: str
    """`seeds` or `futility`."""
    designs: tuple[tuple[float, Diagnosis | None], ...]
    """By value of what is varied; None where the design cannot decide."""

    def curves(self) -> dict[str, list[tuple[float, Characteristics]]]:
        """Return the claim and every prediction over the designs that can decide."""
        found: dict[str, list[tuple[float, Characteristics]]] = {}
        for value, said in sorted(self.designs, key=lambda design: design[0]):
            for each in () if said is None else (said.claim, *said.predictions):
                found.setdefault(each.id, []).append((value, each))
        return found


def draw(power: Power, path: Path) -> None:
    """Draw a diagnosis over designs into `path`; its suffix is the format: .png, .svg or .pdf."""
    with style():
        figure = power_figure(power)
        how: Any = {"dpi": 200, "transparent": False, "facecolor": "white"}
        figure.savefig(path, metadata=FIXED[path.suffix.lower()], **how)


def power_figure(power: Power) -> Any:
    """Return the figure: a panel for the claim and for each prediction."""
    curves = power.curves()
    rows = max(1, -(-len(curves) // ACROSS))
    height = 0.72 + rows * HIGH + (rows - 1) * 0.58 + 0.66
    figure, drawn = panels(Box(TEXT, height, 0.5, 0.1, 0.66, 0.72), rows, ACROSS, across=0.2, down=0.58)
    for i, axes in enumerate(drawn):
        if i >= len(curves):
            axes.remove()
    values = sorted(value for value, _ in power.designs)
    for i, (axes, (name, curve)) in enumerate(zip(drawn, curves.items(), strict=False)):
        _panel(axes, "the claim" if name == CLAIM else name, curve, values)
        if i % ACROSS:
            axes.tick_params(labelleft=False)
    said = f"{power.hypothesis}, protocol {power.protocol}, {power.world} world, {power.sims} simulations a design"
    figure.text(0.06 / TEXT, 1 - 0.06 / height, plain(said), va="top")
    if undecided := [f"{value:g}" for value, said in power.designs if said is None]:
        told = f"cannot be decided: {power.varied} {', '.join(undecided)}"
        figure.text(0.06 / TEXT, 1 - 0.24 / height, told, va="top", fontsize=SMALL)
    figure.text(0.5 / TEXT, 0.27 / height, UNITS[power.varied])
    figure.text(0.06 / TEXT, 0.5, "share of simulations", rotation=90, va="center")
    legend_below(figure, [mark(NAMES[name], **look) for name, look in LOOKS.items()], 0.5)
    return figure


def _panel(axes: Any, name: str, curve: Sequence[tuple[float, Characteristics]], values: Sequence[float]) -> None:
    xs = [value for value, _ in curve]
    for outcome, look in LOOKS.items():
        rates: list[Rate] = [getattr(said, outcome) for _, said in curve]
        low, high = ([min(max(rate.value + side * rate.se, 0.0), 1.0) for rate in rates] for side in (-Z, Z))
        axes.fill_between(xs, low, high, color=look["color"], alpha=0.18, linewidth=0)
        axes.plot(xs, [rate.value for rate in rates], clip_on=False, markersize=3.5, **_without_face(look))
    axes.axhline(ENOUGH, color=INK, linewidth=0.6, alpha=0.5)
    margin = 0.05 * ((values[-1] - values[0]) or 1.0)
    axes.set_xlim(values[0] - margin, values[-1] + margin)
    axes.set_xticks(values, [f"{value:g}" for value in values])
    axes.set_ylim(-0.03, 1.03)
    axes.tick_params(labelsize=SMALL)
    truth = {"support": "true", "refute": "false"}.get(curve[0][1].truth.said, curve[0][1].truth.said)
    axes.text(0, 1.16, elided(name, 32), transform=axes.transAxes, fontsize=SMALL, va="bottom")
    axes.text(0, 1.02, f"in this world: {truth}", transform=axes.transAxes, fontsize=SMALL, va="bottom", alpha=0.75)
    grid(axes)


def _without_face(look: dict[str, Any]) -> dict[str, Any]:
    return {"markerfacecolor": look["color"], "linewidth": 1.0} | look
