"""The figures of the report: one module a kind, each drawn only where its data exist.

What is plotted is what a query on the index gives, with intervals and regions computed from it; a cell without runs is
left out. The same findings give the same bytes.
"""

from collections.abc import Callable, Iterator

from harness.campaign.findings import Findings
from harness.publish.report.drawn import Drawn
from harness.publish.report.figures.accuracy import accuracy_over_rank
from harness.publish.report.figures.batches import collapse_over_batch
from harness.publish.report.figures.canvas import saved, style
from harness.publish.report.figures.collapse import collapse_over_rank
from harness.publish.report.figures.curves import learning_curves
from harness.publish.report.figures.forest import predictions, predictions_of
from harness.publish.report.figures.frontier import frontiers
from harness.publish.report.figures.layers import rank_over_layers
from harness.publish.report.figures.maturity import gap_over_maturity
from harness.publish.report.figures.sketch import Sketch, Subject, subjects
from harness.publish.report.figures.spectra import spectra_of_runs

__all__ = ["Drawn", "figures", "sketches"]

OF_CHAPTERS: tuple[Callable[[Subject], Iterator[Sketch]], ...] = (
    predictions_of,
    accuracy_over_rank,
    collapse_over_rank,
    collapse_over_batch,
    learning_curves,
    spectra_of_runs,
    rank_over_layers,
    gap_over_maturity,
)
"""The kinds that are about one verdict, in the order of a chapter."""


def figures(findings: Findings) -> list[Drawn]:
    """Return all figures that apply, those of the whole report first; the index must be up to date.

    Raises:
        duckdb.Error: a measure that an association is about is not in the index.
    """
    with style():
        return [_drawn(sketch) for sketch in sketches(findings)]


def sketches(findings: Findings) -> Iterator[Sketch]:
    """Yield the figures before they are saved; drawn within `canvas.style`."""
    found = subjects(findings.store, findings.chapters)
    yield from predictions(found)
    yield from frontiers(found)
    for subject in found:
        for kind in OF_CHAPTERS:
            yield from kind(subject)


def _drawn(sketch: Sketch) -> Drawn:
    svg, pdf = saved(sketch.figure, sketch.name, sketch.alt)
    return Drawn(
        name=sketch.name,
        verdict_id=sketch.verdict_id,
        title=sketch.title,
        caption=sketch.caption,
        alt=sketch.alt,
        sql=sketch.plotted.sql,
        columns=sketch.plotted.columns,
        rows=sketch.plotted.values,
        svg=svg,
        pdf=pdf,
    )
