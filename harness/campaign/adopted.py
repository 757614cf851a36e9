"""Verdicts on adopted tables: results of finished runs, whoever made them, decided by the same code as our own.

A row is a run, or a problem of a run where there is a column `problem`. Columns: `algorithm`, `rank`, `scaling` with
`factor` or `alpha`, `learning_rate_scale` (each left out: the protocol's recipe), `seed`, `accuracy` (per problem:
`correct`, out of `samples`), `n_items` (problems behind an accuracy), `base_accuracy` (one value), and any measure by
its name. What a decision needs and the table does not say is named, and leaves every prediction untested: without
seeds nobody can tell a run from a copy of it, without the base's accuracy nobody can tell a collapse.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from pydantic import ValidationError

from harness.campaign.bench import Bench
from harness.campaign.integrity import Deviation, Integrity, Kind, changes, notes
from harness.campaign.observed import Observed, ObservedRun, measures_of, relative_to
from harness.campaign.pilot import pilot_seeds
from harness.campaign.verdicts import decision_code, frozen
from harness.decide import Landmarks
from harness.plan import RunSet, registration_hash
from harness.record.adopted import AdoptedTable, Row
from harness.record.verdict import MissingRun, RunLabel, Verdict
from harness.record.verdict_files import load, renew, save
from harness.spec import Cell, DeclarationError, Hypothesis
from harness.spec.canonical import digest

FACTORS = ("algorithm", "method", "rank", "scaling", "factor", "alpha", "learning_rate_scale")
MEANINGS = (*FACTORS, "seed", "problem", "accuracy", "correct", "samples", "n_items", "base_accuracy")


@dataclass(frozen=True, slots=True)
class TableRun:
    """One run of a table."""

    cell: Cell
    seed: str
    values: Mapping[str, float]
    items: Mapping[str, Mapping[str, float]]
    """Response to each problem, by measure and problem."""


@dataclass(frozen=True, slots=True)
class Contents:
    """What a table says."""

    runs: tuple[TableRun, ...]
    base_accuracy: float | None
    n_items: int | None
    lacking: str
    """What a decision needs and the table does not say; empty where nothing is lacking."""
    ignored: tuple[str, ...]
    """Columns that mean nothing here."""


def contents(bench: Bench, rows: Sequence[Row], name: str) -> Contents:
    """Return what a table says of runs.

    Raises:
        DeclarationError: rows that name no cell, accuracies that are none, several base accuracies, and the like.
    """
    columns, measures = {column for row in rows for column in row}, set(bench.shelf.measures())
    mistakes: list[str] = []
    if "rank" not in columns:
        mistakes.append(f"{name}: there is no column rank, so no row names a cell. Add it.")
    if not columns & {"accuracy", "correct"}:
        mistakes.append(f"{name}: there is no column accuracy or correct, so no row has a result. Add one.")
    if mistakes:
        raise DeclarationError(mistakes)
    runs = _runs(bench, rows, name, columns, measures, mistakes)
    base = _only(rows, "base_accuracy", name, mistakes)
    n_items = _items(rows, columns, name, mistakes)
    if mistakes:
        raise DeclarationError(mistakes[:20])
    lacks = {
        "no column seed, so nobody can tell runs apart": "seed" not in columns,
        "no column base_accuracy, so no run has a label": base is None,
        "no column n_items, so the sampling variance of an accuracy is unknown": n_items is None,
    }
    lacking = "; ".join(what for what, is_so in lacks.items() if is_so)
    ignored = tuple(sorted(columns - set(MEANINGS) - measures))
    return Contents(tuple(runs), base, n_items, lacking, ignored)


def verdict_on_table(bench: Bench, name: str, hypothesis: Hypothesis, table: AdoptedTable) -> Verdict:
    """Return the verdict of a hypothesis on an adopted table, decided now unless it is stored.

    Raises:
        DeclarationError: the table cannot be read as runs, or the design combines bases.
    """
    if hypothesis.design.bases is not None:
        rule = "combines several bases, and a table is about one. Test it on the protocol's own bases."
        raise DeclarationError([f"{name}: {rule}"])
    inputs = _inputs(bench, name, hypothesis, table)
    stored = load(bench.store, bench.protocol_name, name, table.name, inputs)
    if stored is not None:
        renew(bench.store, stored)
        return stored
    from harness.campaign.decision import Evidence, decided  # scipy, 2 s

    said = contents(bench, table.rows_read(), table.name)
    seen, found = _observed(bench, hypothesis, said)
    verdict = decided(
        Evidence(
            bench=bench,
            name=name,
            hypothesis=hypothesis,
            subject=table.name,
            subject_id=f"table {table.sha256[:12]}",
            runs=RunSet((), ()),
            seen={table.name: seen},
            inputs=inputs,
            integrity=_integrity(bench, name, hypothesis, table, found),
        )
    )
    save(bench.store, verdict)
    return verdict


def _inputs(bench: Bench, name: str, hypothesis: Hypothesis, table: AdoptedTable) -> str:
    registration = bench.registration(name)
    before = registration is not None and registration.registered_at < table.adopted_at
    declared = registration_hash(hypothesis, bench.protocol)
    measures = [path.read_text(encoding="utf-8") for path in bench.measures()]
    return digest([declared, frozen(registration), before, bench.explore, table.sha256, measures, decision_code()])


def _integrity(
    bench: Bench, name: str, hypothesis: Hypothesis, table: AdoptedTable, found: Sequence[Deviation]
) -> Integrity:
    registration = bench.registration(name)
    if bench.explore or registration is None:
        text = "an exploration: no registration governs it" if bench.explore else "never registered"
        kind = Kind.EXPLORED if bench.explore else Kind.NEVER_REGISTERED
        return Integrity((Deviation(kind, text, False), *found), ())
    said = changes(bench, hypothesis, registration)
    if registration.registered_at >= table.adopted_at:
        said.append(Deviation(Kind.ADOPTED_BEFORE, "the table was adopted before the registration", False))
    came = f"results from elsewhere: {table.source}, {table.rows} rows, sha256 {table.sha256[:12]}"
    return Integrity((*said, *found), (came, *notes(registration)))


def _observed(bench: Bench, hypothesis: Hypothesis, said: Contents) -> tuple[Observed, list[Deviation]]:
    """Return a table as observed runs, at most as many a cell as the design plans, and what speaks against it."""
    landmarks = Landmarks() if said.base_accuracy is None else relative_to(said.base_accuracy, bench)
    scaling, seeds = bench.protocol.recipe.scaling, hypothesis.design.seeds
    cells = dict.fromkeys(cell for p in hypothesis.predictions for cell in p.cells(scaling).values())
    found: list[Deviation] = []
    runs: list[ObservedRun] = []
    reached: dict[Cell, int] = {}
    for cell in cells:
        there = [run for run in said.runs if run.cell == cell]
        unique = list({run.seed: run for run in reversed(there)}.values())[::-1]  # of a seed's results the first counts
        if len(unique) < len(there) and not said.lacking:
            text = f"{len(there) - len(unique)} results at {cell.slug()} bear a seed that another has"
            found.append(Deviation(Kind.REUSED_SEED, text, False))
        unique = unique if not said.lacking else there
        reached[cell] = min(len(unique), seeds)
        if len(unique) > seeds:
            text = f"{len(unique)} runs at {cell.slug()} where {seeds} are planned; the first {seeds} count"
            found.append(Deviation(Kind.UNPLANNED_LOOK, text, False))
        runs += [_run(run, i, landmarks) for i, run in enumerate(unique[:seeds])]
    found += _pilot_seeds(bench, said) + _unplanned(hypothesis, reached)
    missing = tuple(
        MissingRun(run_id=f"{cell.slug()} #{i + 1}", cell=cell.slug(), reason="not in the table")
        for cell in cells
        for i in range(reached[cell], seeds)
    )
    heads = bench.shelf.measures()
    bounded = frozenset(measure for measure, head in heads.items() if head.bounded)
    seen = Observed(
        landmarks=landmarks,
        n_items=said.n_items,
        runs=tuple(runs) if not said.lacking else (),
        reached=reached,
        planned=len(cells) * seeds,
        missing=missing,
        bounded=bounded | {"accuracy"},
        lacking=_lacking(hypothesis, said),
    )
    return seen, found


def _lacking(hypothesis: Hypothesis, said: Contents) -> str:
    if said.lacking:
        return said.lacking
    measures = measures_of(hypothesis.predictions)
    absent = [name for name in measures if said.runs and not any(name in run.values for run in said.runs)]
    absent += [name for name, by_item in measures.items() if by_item and not any(name in r.items for r in said.runs)]
    return f"no column for {', '.join(dict.fromkeys(absent))}" if absent else ""


def _run(run: TableRun, seed: int, landmarks: Landmarks) -> ObservedRun:
    became = landmarks.label(run.values["accuracy"]) or RunLabel.NO_GAIN  # unknown: nothing is decided on it
    items = {name: np.array([of[key] for key in sorted(of)]) for name, of in run.items.items()}
    return ObservedRun(f"{run.cell.slug()} seed {run.seed}", run.cell, seed, became, run.values, items)


def _unplanned(hypothesis: Hypothesis, reached: Mapping[Cell, int]) -> list[Deviation]:
    looks, sizes = set(hypothesis.design.schedule()), set(reached.values())
    if odd := sorted(sizes - looks - {0}):
        said = ", ".join(map(str, odd))
        text = f"{said} runs a cell are no planned look ({', '.join(map(str, sorted(looks)))})"
        return [Deviation(Kind.UNPLANNED_LOOK, text, False)]
    return []


def _pilot_seeds(bench: Bench, said: Contents) -> list[Deviation]:
    if said.lacking:
        return []
    known = pilot_seeds(bench.protocol)
    used = sum(run.seed in known for run in said.runs)
    return [Deviation(Kind.PILOT_SEED, f"{used} results bear seeds of the pilot", False)] if used else []


def _runs(
    bench: Bench,
    rows: Sequence[Row],
    name: str,
    columns: set[str],
    measures: set[str],
    mistakes: list[str],
) -> list[TableRun]:
    runs: list[TableRun] = []
    grouped: dict[tuple[str, str], tuple[Cell, dict[str, dict[str, float]]]] = {}
    cells: dict[tuple[Any, ...], Cell | None] = {}
    for number, row in enumerate(rows, 1):
        factors = tuple(row.get(key) for key in FACTORS)
        if factors not in cells:
            cells[factors] = _cell(bench, row, f"{name} row {number}", mistakes)
        cell, accuracy = cells[factors], _accuracy(row)
        if cell is None:
            continue
        if accuracy is None:
            mistakes.append(f"{name} row {number}: its accuracy is not between 0 and 1. Mend it, or leave the row out.")
            continue
        values = {key: value for key in measures & columns if (value := _real(row.get(key))) is not None}
        values["accuracy"] = accuracy
        if "problem" not in columns:
            runs.append(TableRun(cell, str(row.get("seed", number)), values, {}))
            continue
        _, items = grouped.setdefault((cell.slug(), str(row.get("seed", ""))), (cell, {}))
        for measure, value in {**values, "accuracy_items": accuracy}.items():
            items.setdefault(measure, {})[str(row["problem"])] = value
    for (_, seed), (cell, items) in grouped.items():
        runs.append(TableRun(cell, seed, {measure: sum(of.values()) / len(of) for measure, of in items.items()}, items))
    _same_problems([items["accuracy"] for _, items in grouped.values()], name, mistakes)
    return runs


def _same_problems(scored: Sequence[Mapping[str, float]], name: str, mistakes: list[str]) -> None:
    if len({frozenset(of) for of in scored}) > 1:
        mistakes.append(f"{name}: runs were scored on different problems. Keep the problems that all runs have.")


def _cell(bench: Bench, row: Row, place: str, mistakes: list[str]) -> Cell | None:
    recipe = bench.protocol.recipe.scaling.model_dump(mode="json")
    policy = row.get("scaling")
    scaling: Any = recipe
    if policy is not None:
        keys = {"factor"} if policy == "proportional" else {"alpha"}
        scaling = {"policy": policy, **{key: row[key] for key in keys if row.get(key) is not None}}
    written = {
        "algorithm": row.get("algorithm") or "grpo",
        "adapter": {"method": row.get("method") or "lora", "rank": row.get("rank"), "scaling": scaling},
        "learning_rate_scale": row.get("learning_rate_scale") or 1.0,
    }
    try:
        return Cell.model_validate(written, strict=False)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(step) for step in first["loc"])
        mistakes.append(f"{place} {where}: {first['input']!r} names no cell: {first['msg']}. Mend the row.")
        return None


def _accuracy(row: Row) -> float | None:
    said = _real(row.get("accuracy"))
    correct, samples = _real(row.get("correct")), _real(row.get("samples", 1))
    if said is None and correct is not None and samples:
        said = correct / samples
    return said if said is not None and 0 <= said <= 1 else None


def _only(rows: Sequence[Row], column: str, name: str, mistakes: list[str]) -> float | None:
    values = {row[column] for row in rows if row.get(column) is not None}
    if not values:
        return None
    only = _real(values.pop()) if len(values) == 1 else None
    if only is None:
        mistakes.append(f"{name}: {column} is not one number; a table is about one base. Write one number throughout.")
    return only


def _items(rows: Sequence[Row], columns: set[str], name: str, mistakes: list[str]) -> int | None:
    if "problem" in columns:
        return len({row["problem"] for row in rows}) or None
    stated = _only(rows, "n_items", name, mistakes)
    if stated is not None and (stated < 1 or stated != int(stated)):
        mistakes.append(f"{name}: n_items {stated:g} is no number of problems. Write how many were asked.")
        return None
    return None if stated is None else int(stated)


def _real(value: Any) -> float | None:
    return float(value) if isinstance(value, int | float) and math.isfinite(value) else None
