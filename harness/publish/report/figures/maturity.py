"""The gap between two arms over a property of the base, base by base: what an association is about.

Families are told apart by mark and colour, budgets by filled and hollow marks. Lines are least squares within a
stratum, for the eye; the verdict rests on the slope that all strata share, and on permutations within them.
"""

from collections.abc import Iterator, Sequence
from typing import Any

from harness.campaign.findings import Chapter
from harness.publish.report.figures.canvas import (
    COLOURS,
    INK,
    MARKS,
    TEXT,
    Box,
    grid,
    legend_below,
    legend_height,
    mark,
    panels,
)
from harness.publish.report.figures.sketch import Row, Sketch, Subject
from harness.spec import HubBase
from harness.spec.prediction import Association
from harness.store.schema import literal

HIGH = 1.9
MOST_PANELS = 3
TOKENS = "log2_tokens"


def gap_over_maturity(subject: Subject) -> Iterator[Sketch]:
    """Yield a figure of the associations that a verdict is about; those of accuracy and of what the index holds."""
    asked = _asked(subject.chapter)
    if not asked or not subject.runs:
        return
    plotted = subject.ask("\nUNION ALL\n".join(_select(subject, each) for each in asked) + "\nORDER BY ALL")
    asked = [each for each in asked if any(row["prediction"] == each.id for row in plotted)]
    if not asked:
        return
    rows = list(plotted)
    families = sorted({row["family"] for row in rows})
    greater = _greater(rows)
    handles = [mark(family, **_look(families.index(family), True)) for family in families]
    if greater:
        handles += [mark("less pre-training", **_look(None, False)), mark("more pre-training", **_look(None, True))]
    wide = len(asked)
    width = TEXT if wide > 1 else 3.9
    bottom = 0.45 + legend_height(handles, width - 0.7)
    figure, drawn = panels(Box(width, HIGH + bottom + 0.15, 0.65, 0.16, bottom, 0.15), 1, wide, across=0.2)
    ends = [100 * row["gap"] for row in rows]
    margin = 0.06 * ((max(ends) - min(ends)) or 1.0)
    for i, (axes, prediction) in enumerate(zip(drawn, asked, strict=True)):
        _panel(axes, prediction, [row for row in rows if row["prediction"] == prediction.id], families, greater)
        axes.set_ylim(min(0.0, *ends) - margin, max(0.0, *ends) + margin)
        axes.set_xlabel(_axis(prediction.x))
        if i:
            axes.tick_params(labelleft=False)
    drawn[0].set_ylabel("gap, points of accuracy")
    legend_below(figure, handles, 0.65)
    yield subject.sketch(
        "gap-over-maturity",
        "Gap over maturity of the base",
        _caption(subject, asked, rows),
        _alt(asked, rows),
        plotted,
        figure,
    )


def _asked(chapter: Chapter) -> list[Association]:
    """Return the associations of accuracy, one for each x and strata within which there is one, in their order."""
    if chapter.hypothesis is None or chapter.protocol is None:
        return []
    decided = {prediction.id for prediction in chapter.verdict.predictions}
    found: dict[tuple[Any, ...], Association] = {}
    for each in chapter.hypothesis.predictions:
        if not isinstance(each, Association) or each.measure != "accuracy" or each.id not in decided:
            continue
        if each.strata and not (each.a.tuned or each.b.tuned):
            found.setdefault((each.x, each.a, each.b), each)
    return list(found.values())[:MOST_PANELS]


def _select(subject: Subject, prediction: Association) -> str:
    """Return the SELECT of one row a base: its family and budget as declared, its x, and the gap between the arms."""
    protocol = subject.chapter.protocol
    assert protocol is not None
    names = sorted({run.base for run in subject.runs} & set(protocol.base_names()))
    listed: list[str] = []
    for name in names:
        base = protocol.base(name)
        tokens = f"{base.tokens.count}" if isinstance(base, HubBase) and base.tokens else "NULL"
        batch = "NULL" if isinstance(base, HubBase) else f"{base.pretraining.batch_size}"
        listed.append(f"({literal(name)}, {literal(base.family)}, {literal(base.budget())}, {tokens}, {batch})")
    arms = {name: arm.cell(protocol.given).slug() for name, arm in prediction.arms().items()}
    only = {
        name: f" AND j.label = {literal(arm.where)}" if arm.where else "" for name, arm in prediction.arms().items()
    }
    means = {name: f"avg(j.accuracy) FILTER (j.cell = {literal(cell)}{only[name]})" for name, cell in arms.items()}
    tokens = "log2(coalesce(d.tokens, b.updates * d.batch))"
    x = tokens if prediction.x == TOKENS else "m.value"
    view = "" if prediction.x == TOKENS else f'JOIN "{prediction.x}" AS m ON m.base_id = b.base_id'
    return f"""(SELECT {literal(prediction.id)} AS prediction, d.family, d.budget, j.base, {tokens} AS log2_tokens,
    {x} AS x,
    {means["a"]} AS a, {means["b"]} AS b, {means["a"]} - {means["b"]} AS gap, count(*) AS runs
FROM judged AS j JOIN run AS r USING (run_id) JOIN base AS b ON b.base_id = r.base_id
    JOIN (VALUES {", ".join(listed)}) AS d(base, family, budget, tokens, batch) ON d.base = j.base {view}
WHERE j.verdict_id = {subject.id} AND j.cell IN ({literal(arms["a"])}, {literal(arms["b"])})
GROUP BY d.family, d.budget, j.base, log2_tokens, x HAVING gap IS NOT NULL AND x IS NOT NULL)"""


def _greater(rows: Sequence[Row]) -> set[tuple[str, str]]:
    """Return (family, budget) of the greater budget of each family; nothing unless each has just two."""
    tokens: dict[str, dict[str, float]] = {}
    for row in rows:
        tokens.setdefault(row["family"], {})[row["budget"]] = row["log2_tokens"]
    if any(len(budgets) != 2 for budgets in tokens.values()):
        return set()
    return {(family, max(budgets, key=lambda budget: budgets[budget])) for family, budgets in tokens.items()}


def _look(family: int | None, filled: bool) -> dict[str, Any]:
    colour = INK if family is None else COLOURS[family % len(COLOURS)]
    shape = "o" if family is None else MARKS[family % len(MARKS)]
    return {"marker": shape, "color": colour, "markerfacecolor": colour if filled else "none", "linestyle": ""}


def _panel(
    axes: Any, prediction: Association, rows: Sequence[Row], families: Sequence[str], greater: set[tuple[str, str]]
) -> None:
    for row in rows:
        filled = not greater or (row["family"], row["budget"]) in greater
        axes.plot([row["x"]], [100 * row["gap"]], zorder=3, **_look(families.index(row["family"]), filled))
    strata: dict[tuple[str, ...], list[Row]] = {}
    for row in rows:
        strata.setdefault(tuple(row[by] for by in prediction.strata), []).append(row)
    for own in strata.values():
        family = families.index(own[0]["family"])
        _line(axes, [row["x"] for row in own], [100 * row["gap"] for row in own], COLOURS[family % len(COLOURS)])
    axes.axhline(0, color=INK, linewidth=0.6, alpha=0.5)
    grid(axes)


def _line(axes: Any, x: Sequence[float], y: Sequence[float], colour: str) -> None:
    """Draw the line of least squares over the range of x, where there is a range."""
    n, mean_x, mean_y = len(x), sum(x) / len(x), sum(y) / len(y)
    spread = sum((each - mean_x) ** 2 for each in x)
    if n < 2 or spread == 0:
        return
    slope = sum((a - mean_x) * (b - mean_y) for a, b in zip(x, y, strict=True)) / spread
    ends = [min(x), max(x)]
    axes.plot(ends, [mean_y + slope * (end - mean_x) for end in ends], color=colour, linewidth=0.9)


def _axis(x: str) -> str:
    return "log₂ of tokens seen" if x == TOKENS else x.replace("_", " ").removeprefix("base ") + " of the base"


def _caption(subject: Subject, asked: Sequence[Association], rows: Sequence[Row]) -> str:
    arms = f"{asked[0].a.in_words()} less {asked[0].b.in_words()}"
    several = len({(each.a, each.b) for each in asked}) > 1
    what = "the first arm of each prediction less the second" if several else arms
    bases = {row["base"]: row["runs"] for row in rows}
    strata = "; ".join(f"{each.id} within {' x '.join(each.strata)}" for each in asked)
    return f"""Gap in mean accuracy, {what}, over a property of the base, {subject.named}: every point is a base (the
    unit of analysis, n = {len(bases)}, of {sum(bases.values())} runs). Marks tell families, full ones the greater
    budget of pre-training. Tokens of bases made on the spot are counted as problems. Lines are least squares within a
    stratum ({strata}), for the eye: verdicts rest on the slope that strata share, whose limits come from permutations
    within them and stand in the table of predictions."""


def _alt(asked: Sequence[Association], rows: Sequence[Row]) -> str:
    said: list[str] = []
    for each in asked:
        own = [row for row in rows if row["prediction"] == each.id]
        gaps, xs = [100 * row["gap"] for row in own], [row["x"] for row in own]
        ends = f"{each.x} {min(xs):.3g} to {max(xs):.3g}, gaps {min(gaps):.1f} to {max(gaps):.1f} points"
        said.append(f"{each.id}: {len(own)} bases, {ends}")
    return f"Gap over a property of the base. {'; '.join(said)}."
