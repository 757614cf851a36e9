"""What every kind of figure takes and gives: a chapter with its runs, rows that know their query, an unsaved figure."""

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from harness.campaign.findings import Chapter
from harness.publish.report.figures.canvas import ALPHA, TIMES
from harness.record.layout import Store
from harness.spec.cell import Cell
from harness.store import query
from harness.store.schema import literal

Row = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Plotted:
    """Rows of a query, with columns that were computed from them."""

    sql: str
    columns: tuple[str, ...]
    values: tuple[tuple[Any, ...], ...]

    def __iter__(self) -> Iterator[Row]:
        """Yield the rows by column."""
        return (dict(zip(self.columns, row, strict=True)) for row in self.values)

    def with_columns(self, names: Sequence[str], computed: Sequence[Sequence[Any]]) -> "Plotted":
        """Return the rows with further columns, of which `computed` holds a value for each row."""
        rows = tuple((*row, *more) for row, more in zip(self.values, computed, strict=True))
        return Plotted(self.sql, (*self.columns, *names), rows)


@dataclass(frozen=True, slots=True)
class Sketch:
    """A figure before it is saved."""

    name: str
    verdict_id: str
    title: str
    caption: str
    alt: str
    plotted: Plotted
    figure: Any


@dataclass(frozen=True, slots=True)
class Run:
    """A run that a verdict rests on, with the factors of its cell in words."""

    run_id: str
    cell: str
    label: str
    base: str
    algorithm: str
    method: str
    rank: int | None
    batch: int
    rate: float
    factors: Mapping[str, str]
    """All factors of its cell but the rank, in words; a factor that follows the protocol is said as well."""


@dataclass(frozen=True, slots=True)
class Subject:
    """A chapter with the runs of its verdict that the index holds."""

    store: Store
    chapter: Chapter
    runs: tuple[Run, ...]

    @property
    def id(self) -> str:
        """The verdict's id, as SQL writes it."""
        return literal(self.chapter.verdict_id)

    @property
    def named(self) -> str:
        """What the verdict is about, for captions."""
        said = self.chapter.verdict
        return f"{said.hypothesis} on {said.base} (protocol {said.protocol})"

    def ask(self, sql: str) -> Plotted:
        """Return the rows of a query."""
        return asked(self.store, sql)

    def sketch(self, kind: str, title: str, caption: str, alt: str, plotted: Plotted, figure: Any) -> Sketch:
        """Return a figure of this chapter."""
        name = f"{self.chapter.slug}-{kind}"
        return Sketch(name, self.chapter.verdict_id, title, " ".join(caption.split()), alt, plotted, figure)

    def ranked(self) -> tuple[Run, ...]:
        """Return the runs whose method has a rank, where some method was run at several; else none."""
        ranks: dict[str, set[int]] = {}
        for run in self.runs:
            if run.rank is not None:
                ranks.setdefault(run.method, set()).add(run.rank)
        if all(len(found) < 2 for found in ranks.values()):
            return ()
        return tuple(run for run in self.runs if run.rank is not None)


def asked(store: Store, sql: str) -> Plotted:
    """Return the rows of a query on the index."""
    columns, rows = query(store, sql)
    return Plotted(sql, tuple(columns), tuple(rows))


def subjects(store: Store, chapters: Sequence[Chapter]) -> list[Subject]:
    """Return every chapter with its runs."""
    listed = ", ".join(literal(chapter.verdict_id) for chapter in chapters)
    sql = f"""SELECT j.verdict_id, j.run_id, j.cell, j.label, j.base, r.algorithm, r.method, r.rank, r.batch,
    r.learning_rate, r.identity -> '$.cell' AS identity
FROM judged AS j JOIN run AS r USING (run_id)
WHERE j.verdict_id IN ({listed})
ORDER BY j.verdict_id, j.position"""
    runs: dict[str, list[Run]] = {}
    for row in asked(store, sql) if chapters else ():
        runs.setdefault(row["verdict_id"], []).append(_run(row))
    return [Subject(store, chapter, tuple(runs.get(chapter.verdict_id, ()))) for chapter in chapters]


def _run(row: Row) -> Run:
    cell = Cell.model_validate(json.loads(row["identity"]))
    scaling = getattr(cell.adapter, "scaling", None)
    adapter = cell.adapter if scaling is None else cell.adapter.model_copy(update={"scaling": None})
    said = "" if scaling is None else scaling.in_words().replace(" at every rank", "").replace("alpha", ALPHA)
    factors = {
        "algorithm": cell.algorithm.upper(),
        "adapter": " ".join(word for word in adapter.in_words().split() if word != f"r={cell.rank}"),
        "scaling": said,
        "rate": f"rate {TIMES}{cell.learning_rate_scale:g}",
        "batch": f"batch {row['batch']}" if cell.batch is not None or cell.algorithm == "grpo" else "",
        "match": "equal updates" if cell.match == "updates" else "",
        "warm-up": f"warm-up {cell.warmup_steps}" if cell.warmup_steps else "",
        "checkpoint": _checkpoint(row["cell"], cell),
    }
    kept = ("run_id", "cell", "label", "base", "algorithm", "method", "rank", "batch")
    return Run(**{name: row[name] for name in kept}, rate=row["learning_rate"], factors=factors)


def _checkpoint(name: str, cell: Cell) -> str:
    """Return the checkpoint that runs start from, in words: a cell's name says it, a run's identity does not."""
    before = f"{cell.slug()}-from-"
    return f"from {name.removeprefix(before)}" if name.startswith(before) else ""


def series(runs: Sequence[Run]) -> dict[str, str]:
    """Return by cell the series that it is of, those of most cells first.

    A series is named by its algorithm and by the factors other than rank that vary under one algorithm.
    """
    shown = ["algorithm", *varied(runs)]
    named = {run.cell: ", ".join(text for name in shown if (text := run.factors[name])) for run in runs}
    cells = Counter(named.values())
    return dict(sorted(named.items(), key=lambda pair: -cells[pair[1]]))


def varied(runs: Sequence[Run]) -> list[str]:
    """Return the factors other than algorithm and rank that take several values under one algorithm."""
    names = [name for name in (runs[0].factors if runs else ()) if name != "algorithm"]
    groups = [[run for run in runs if run.algorithm == algorithm] for algorithm in {run.algorithm for run in runs}]
    return [name for name in names if any(len({run.factors[name] for run in group}) > 1 for group in groups)]


def asides(
    cells: Iterable[tuple[int, str]], names: Sequence[str], step: float, most: float
) -> dict[tuple[int, str], float]:
    """Return the octaves by which each series stands aside at each rank, so that those at one rank are around it.

    Args:
        cells: The rank and the series of each cell.
        names: The series, in their order.
        step: Octaves from one series to the next, where they are few.
        most: Octaves that all at one rank may take.
    """
    there: dict[int, set[str]] = {}
    for rank, name in cells:
        there.setdefault(rank, set()).add(name)
    found: dict[tuple[int, str], float] = {}
    for rank, present in there.items():
        ordered = [name for name in names if name in present]
        width = min(step, most / len(ordered))
        found |= {(rank, name): (i - (len(ordered) - 1) / 2) * width for i, name in enumerate(ordered)}
    return found


def forms(runs: Sequence[Run]) -> dict[str, str]:
    """Return by cell what gives its update its form: method and rank, and the algorithm where there are several."""
    several = len({run.algorithm for run in runs}) > 1
    found: dict[str, str] = {}
    for run in runs:
        rank = "" if run.rank is None else f" r={run.rank}"
        found[run.cell] = f"{run.factors['algorithm'] + ' ' if several else ''}{run.factors['adapter']}{rank}"
    return found


def counted(n: int, noun: str) -> str:
    """Return a number with its noun: `1 run`, `5 runs`."""
    return f"{n} {noun}" if n == 1 else f"{n} {noun}s"
