"""Figures of the report: what is plotted is what the index holds, and files stand by themselves."""

import re
from collections.abc import Callable
from importlib import import_module
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree

import pytest

from harness.campaign.findings import Findings
from harness.plan import PlannedRun
from harness.publish.report.figures import figures, sketches
from harness.publish.report.figures.canvas import INK, Box, elided, mark, panels, plain, saved, style
from harness.publish.report.figures.forest import forest
from harness.publish.report.figures.sketch import Sketch
from harness.publish.report.figures.spectra import indices
from harness.store import query

if TYPE_CHECKING:
    from tests.conftest import Made

Decide = Callable[..., Findings]
Sketched = Callable[[Findings, str], Sketch]
ODD = 'a_b % & $x^2$ <tag> \\alpha #1 {} "q" é Ω 漢'


INF = float("inf")
EDGES = {"support_above": 0.1, "support_below": INF, "refute_below_edge": 0.1, "refute_above_edge": INF}
ROW: dict[str, Any] = {"id": "one", "unit": "accuracy", "name": "a - b", "outcome": "inconclusive", **EDGES}


def points(axes: Any) -> list[tuple[float, float]]:
    """Return the places of all marks without a line between them."""
    return [
        (float(x), float(y))
        for line in axes.get_lines()
        if line.get_linestyle() == "None"
        for x, y in zip(line.get_xdata(), line.get_ydata(), strict=True)
    ]


def levels(axes: Any) -> list[float]:
    """Return the heights of lines that go across the whole panel."""
    return sorted(float(y[0]) for x, y in (line.get_data() for line in axes.get_lines()) if list(x) == [0, 1])


def never(_: PlannedRun) -> None:
    """Leave every run out."""


def nothing(_: PlannedRun) -> dict[str, Any]:
    return {}


def names(what: Findings) -> list[str]:
    return [each.name.removeprefix("ranks-bench-llama-") for each in sketches(what)]


def test_every_figure_is_there_with_rows_that_its_query_gives(decided: Decide, made: "Made", styled: None) -> None:
    made_of = list(sketches(decided()))
    of_chapter = ["predictions", "accuracy-over-rank", "collapse-over-rank", "collapse-over-batch", "learning-curves"]
    kinds = [each.name.removeprefix("ranks-bench-llama-") for each in made_of]
    assert kinds == ["collapse-frontier", *of_chapter, "spectra", "effective-rank"]
    assert [each.verdict_id == "" for each in made_of] == [True] + [False] * 7
    for each in made_of:
        plotted = each.plotted
        columns, rows = query(made.store, plotted.sql)
        assert [row[: len(columns)] for row in plotted.values] == rows
        assert plotted.columns[: len(columns)] == tuple(columns)
        assert rows
        assert each.caption.count("\n") == 0
        assert each.alt.endswith(".")


def test_files_are_the_same_each_time_and_stand_by_themselves(decided: Decide) -> None:
    what = decided()
    drawn = figures(what)
    assert figures(what) == drawn
    names: set[str] = set()
    for each in drawn:
        root = ElementTree.fromstring(each.svg)
        assert root.attrib["role"] == "img"
        assert root.attrib["aria-label"] == each.alt
        links = re.findall(r'href="([^"]*)"', each.svg) + re.findall(r"url\(([^)]*)\)", each.svg)
        ids = re.findall(r' id="([^"]*)"', each.svg)
        assert {link.removeprefix("#") for link in links} <= set(ids)
        assert len(ids) == len(set(ids))
        own = {*ids, *re.findall(r"\.(f[0-9a-f]+-\d+)\{", each.svg)}
        assert not own & names  # so that two may stand in one page
        names |= own
        assert not re.search("DOCTYPE|<metadata|<script|@import", each.svg)
        assert "currentColor" in each.svg
        assert INK not in each.svg
        assert len(each.svg) < 40_000
        assert each.pdf.startswith(b"%PDF-")
        assert not re.search(rb"/(CreationDate|Creator|Producer)\b|[Mm]atplotlib", each.pdf)
        assert not re.search("(?i)matplotlib", each.svg)
        assert b"/Type3" not in each.pdf


def test_any_text_is_shown_as_it_is(styled: None) -> None:
    figure, (axes,) = panels(Box(3.4, 2, 0.5, 0.1, 0.5))
    axes.set_xlabel(plain(ODD))
    axes.set_ylabel(elided(ODD * 3, 20))
    axes.legend(handles=[mark(f"_{ODD}", color=INK)])
    svg, pdf = saved(figure, "odd", ODD)
    root = ElementTree.fromstring(svg)
    texts = ["".join(each.itertext()) for each in root.iter("{http://www.w3.org/2000/svg}text")]
    assert ODD in texts
    assert f"\N{ZERO WIDTH SPACE}_{ODD}" in texts
    assert root.attrib["aria-label"] == ODD
    assert pdf.startswith(b"%PDF-")


def test_settings_of_the_user_count_for_nothing() -> None:
    """What a matplotlibrc may say of things that the figures leave as they are."""
    matplotlib: Any = import_module("matplotlib")

    def drawn() -> tuple[str, bytes]:
        with style():
            figure, (axes,) = panels(Box(3.4, 2, 0.5, 0.1, 0.5))
            axes.plot([0, 1], [1, 3])
            return saved(figure, "plain", "A line.")

    own = {
        "axes.grid": True,
        "lines.marker": "o",
        "savefig.bbox": "tight",
        "xtick.direction": "in",
        "pdf.compression": 0,
    }
    usual = drawn()
    with matplotlib.rc_context(own):
        assert drawn() == usual
        assert matplotlib.rcParams["lines.marker"] == "o"  # and they are the user's again


def test_a_long_text_loses_its_middle() -> None:
    assert elided("abcdefghij", 10) == "abcdefghij"
    assert elided("abcdefghijk", 10) == "abcdef…ijk"
    assert elided("a\nb\x00c", 10) == "a b c"


def test_nothing_is_drawn_where_nothing_was_decided(made: "Made") -> None:
    from harness.campaign.findings import findings
    from harness.spec.shelf import find_shelf

    assert figures(findings(find_shelf(made.root), made.store)) == []


def test_a_verdict_without_runs_has_no_figure(decided: Decide, styled: None) -> None:
    assert names(decided(how=never)) == []


def test_what_was_not_kept_is_not_drawn(decided: Decide, styled: None) -> None:
    """Runs without spectra, and only those of one rank and batch."""

    def some(run: PlannedRun) -> float | None:
        return 0.5 if run.cell.rank == 8 and run.cell.batch is None else None

    assert names(decided(how=some, kept=nothing)) == ["predictions", "learning-curves"]


def test_a_declaration_that_is_gone_leaves_figures_without_regions(decided: Decide, made: "Made", styled: None) -> None:
    from tests.publish.report.figures.conftest import found

    decided()
    (made.root / "hypotheses" / "ranks.yaml").unlink()
    (sketch,) = [each for each in sketches(found(made)) if each.name.endswith("predictions")]
    assert {row["support_above"] for row in sketch.plotted} == {float("inf")}


def test_accuracy_shows_every_run_and_the_limits_of_the_labels(decided: Decide, sketched: Sketched) -> None:
    sketch = sketched(decided(), "accuracy-over-rank")
    (axes,) = sketch.figure.axes
    assert sorted(y for _, y in points(axes)) == pytest.approx(sorted(row["accuracy"] for row in sketch.plotted))
    assert len(points(axes)) == 36  # ranks 8 and 16 at two batches, rank 128 at two rates, six seeds each
    assert levels(axes) == pytest.approx([0.1, 0.4, 0.46])  # a quarter of the base, the base, and half of .12 above it
    assert all(2**-0.5 < min(x / rank for rank in (8, 16, 128) if x / rank > 2**-0.5) < 2**0.5 for x, _ in points(axes))
    texts = [text.get_text() for text in axes.texts]
    assert texts == ["collapsed below .100", "base .400", "trained above .460"]
    assert [label.get_text() for label in axes.get_xticklabels()] == ["8", "16", "128"]


def test_collapse_has_exact_intervals_and_the_declared_probability(decided: Decide, sketched: Sketched) -> None:
    sketch = sketched(decided(), "collapse-over-rank")
    by_cell = {row["cell"]: row for row in sketch.plotted}
    assert len(by_cell) == 6
    dead, alive = by_cell["grpo-lora-r128"], by_cell["grpo-lora-r8"]
    # 6 of 6: the lower limit p has p^6 = .025; 0 of 6: the upper one has (1 - p)^6 = .025
    assert (dead["share"], dead["low"], dead["high"]) == pytest.approx((1, 0.025 ** (1 / 6), 1))
    assert (alive["share"], alive["low"], alive["high"]) == pytest.approx((0, 0, 1 - 0.025 ** (1 / 6)))
    assert levels(sketch.figure.axes[0]) == [0.5]
    assert sketch.figure.axes[0].texts[0].get_text() == "declared 0.5"


def test_the_line_of_an_edited_declaration_is_not_drawn(decided: Decide, made: "Made", styled: None) -> None:
    from tests.publish.report.figures.conftest import RANKS, found, named

    edited = RANKS.replace("probability: 0.5", "probability: 0.55")
    decided(text=edited)
    made.declare("hypotheses/ranks.yaml", RANKS)  # 0.5 stands in `each P < 0.55` too
    sketch = named(found(made), "collapse-over-rank")
    assert levels(sketch.figure.axes[0]) == []
    assert "declared" not in sketch.caption


def test_a_batch_by_rank_grid_says_its_counts_and_leaves_out_what_was_not_run(
    decided: Decide, sketched: Sketched
) -> None:
    (axes,) = sketched(decided(), "collapse-over-batch").figure.axes
    written = [text.get_text() for text in axes.texts]
    assert sorted(written) == ["0/6"] * 5 + ["6/6"]
    assert len(axes.patches) == 6  # of 8 places
    assert [text.get_text() for text in axes.get_yticklabels()] == ["64", "128"]


def test_curves_are_means_over_five_updates_and_collapsed_ones_are_dashed(decided: Decide, sketched: Sketched) -> None:
    sketch = sketched(decided(), "learning-curves")
    assert "reward (0 to 1) over" in sketch.caption
    figure = sketch.figure
    assert len(figure.axes) == 6
    lines = [line for axes in figure.axes for line in axes.get_lines()]
    assert len(lines) == 36
    # rewards are i / 100 at update i: means of 1..5, 6..10, 11..15, 16..20
    assert {tuple(line.get_xdata()) for line in lines} == {(3, 8, 13, 18)}
    assert {tuple(round(float(y), 9) for y in line.get_ydata()) for line in lines} == {(0.03, 0.08, 0.13, 0.18)}
    assert sum(line.get_linestyle() == "--" for line in lines) == 6
    said = [text.get_text() for axes in figure.axes for text in axes.texts]
    assert sum(text == "n = 6, 6 collapsed" for text in said) == 1


@pytest.mark.parametrize("shift", [-0.5, -3.0, 2.0])
def test_rewards_beyond_0_to_1_lie_within_their_panels(decided: Decide, sketched: Sketched, shift: float) -> None:
    """A protocol's own reward may be any number."""

    def shifted(run: PlannedRun) -> dict[str, Any]:
        return {"steps": [{"step": i, "loss": 1.0, "reward": i / 100 + shift} for i in range(1, 21)]}

    sketch = sketched(decided(kept=shifted), "learning-curves")
    low, high = sketch.figure.axes[0].get_ylim()
    rewards = [y for axes in sketch.figure.axes for line in axes.get_lines() for y in line.get_ydata()]
    assert len(rewards) == 36 * 4
    assert all(low < y < high for y in rewards)
    assert "reward over" in sketch.caption


def test_spectra_are_medians_in_units_of_the_largest_with_their_null(decided: Decide, sketched: Sketched) -> None:
    sketch = sketched(decided(), "-spectra")
    names = [axes.texts[0].get_text() for axes in sketch.figure.axes]
    assert names[0] == "LoRA r=128"  # the one that has both
    trained, collapsed, null = sketch.figure.axes[0].get_lines()
    assert list(trained.get_ydata()) == pytest.approx([1, 1 / 2, 1 / 4, 1 / 8])
    assert list(collapsed.get_ydata()) == pytest.approx([1, 1 / 4, 1 / 16, 1 / 64])
    assert list(null.get_ydata()) == pytest.approx([1, 1.1**-1, 1.1**-2, 1.1**-3])
    assert {(row["runs"], row["matrices"]) for row in sketch.plotted if row["what"] == "collapsed"} == {(6, 12)}


def test_differences_of_rounded_weights_are_in_no_spectrum(decided: Decide, styled: None) -> None:
    from tests.publish.report.figures.conftest import spectrum, steps

    def rounded(run: PlannedRun) -> dict[str, Any]:
        rows = [{**row, "source": "low_precision_difference"} for row in spectrum(run)]
        return {"spectrum": rows, "steps": steps(run)}

    assert names(decided(kept=rounded))[-1] == "learning-curves"


def test_indices_are_dense_first_and_hold_powers_of_two() -> None:
    found = indices()
    assert found[:12] == list(range(1, 13))
    assert {16, 64, 128, 256, 4096} <= set(found)
    assert len([i for i in found if i <= 4096]) <= 60


def test_effective_ranks_are_means_over_runs_by_module(decided: Decide, sketched: Sketched) -> None:
    sketch = sketched(decided(), "effective-rank")
    at = {(row["rank"], row["label"], row["layer"]): (row["mean"], row["runs"]) for row in sketch.plotted}
    # a run's effective rank is its rank, plus one in the second layer; two batches of six runs at rank 8
    assert at[8, "trained", 0] == (8, 12)
    assert at[8, "trained", 1] == (9, 12)
    assert at[128, "collapsed", 1] == (129, 6)
    said = [text.get_text() for text in sketch.figure.axes[0].texts]
    assert "LoRA r=128, n = 6" in said


def test_the_frontier_holds_each_run_once_and_all_but_rank_and_rate_alike(decided: Decide, sketched: Sketched) -> None:
    sketch = sketched(decided(), "collapse-frontier")
    found = {(row["rank"], row["learning_rate_scale"]): (row["collapsed"], row["runs"]) for row in sketch.plotted}
    assert found == {(8, 1): (0, 6), (16, 1): (0, 6), (128, 0.25): (0, 6), (128, 1): (6, 6)}
    (axes,) = sketch.figure.axes
    assert sorted(text.get_text() for text in axes.texts) == ["0/6", "0/6", "0/6", "6/6"]
    assert sorted(y for _, y in points(axes)) == pytest.approx([2.5e-4, 1e-3, 1e-3, 1e-3])
    assert "All at batch 64; others are left out." in sketch.caption


def test_a_forest_shows_limits_of_the_verdict_over_the_declared_regions(decided: Decide, sketched: Sketched) -> None:
    what = decided()
    sketch = sketched(what, "predictions")
    said = {p.id: p for p in what.chapters[0].verdict.predictions}
    rows = list(sketch.plotted)
    assert len(rows) == 5 + 3 + 1 + 1  # four cells and two cells with their means, and two contrasts
    for row in rows:
        position: int = row["position"]
        estimate = said[row["id"]].estimates[position - 1]
        assert (row["value"], row["low"], row["high"]) == (estimate.value, estimate.low, estimate.high)
    edges = {(row["id"], row["position"]): tuple(row[name] for name in sketch.plotted.columns[-4:]) for row in rows}
    assert edges["low-live", 1] == (-INF, 0.5, -INF, INF)  # each cell supports, and none refutes alone
    assert edges["low-live", 5] == (INF, 0.5, -INF, 0.5)  # the mean refutes
    assert edges["gap", 1] == (0.1, INF, 0.02, INF)
    assert edges["alike", 1] == (-0.05, 0.05, -0.05, 0.05)
    chances, contrasts = sketch.figure.axes
    assert (chances.get_xlabel(), contrasts.get_xlabel()) == ("probability", "points of accuracy")
    gap = next(row for row in rows if row["id"] == "gap")
    bars = [list(line.get_xdata()) for line in contrasts.get_lines() if list(line.get_ydata()) == [0, 0]]
    assert [100 * gap["low"], 100 * gap["high"]] in bars
    (at,) = [x for x, y in points(contrasts) if y == 0]
    assert at == 100 * gap["value"]


def test_an_open_end_is_an_arrow_at_the_edge(styled: None) -> None:
    figure = forest(
        [{**ROW, "low": None, "refute_low": None, "value": 0.02, "high": 0.1, "refute_high": 0.12}], [("one", "a - b")]
    )
    (axes,) = figure.axes
    arrows = [line for line in axes.get_lines() if line.get_marker() == "<"]
    assert {float(line.get_xdata()[0]) for line in arrows} == {axes.get_xlim()[0]}


def test_the_whole_report_has_one_estimate_a_prediction(decided: Decide, made: "Made", styled: None) -> None:
    decided("live", made.claim_text)
    what = decided()
    whole = [each for each in sketches(what) if each.name == "predictions"]
    assert [(row["hypothesis"], row["id"], row["position"]) for row in whole[0].plotted] == [
        ("live", "live", 3),
        ("ranks", "low-live", 5),
        ("ranks", "high-dies", 3),
        ("ranks", "gap", 1),
        ("ranks", "alike", 1),
    ]


def test_long_reports_are_split_between_chapters(
    decided: Decide, made: "Made", monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("harness.publish.report.figures.forest.MOST_ROWS", 4)
    decided("live", made.claim_text)
    assert [each.name for each in sketches(decided()) if not each.verdict_id] == [
        "predictions-1",
        "predictions-2",
        "collapse-frontier",
    ]
