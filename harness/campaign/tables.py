"""What an adopted table says: its rows as runs of cells, the base's accuracy, and what it leaves unsaid.

A row is a run, or a problem of a run where there is a column `problem`. Columns: `algorithm`, `rank`, `scaling` with
`factor` or `alpha`, `learning_rate_scale`, `batch`, `match`, `warmup_steps` (each left out: the protocol's recipe),
`seed`, `accuracy` (per problem: `correct`, out of `samples`), `n_items` (problems behind an accuracy), `base_accuracy`
(one value), and any measure by its name, one of steps also as NAME@STEP. What a decision needs and the table does not
say is named: without seeds nobody can tell a run from a copy of it, without the base's accuracy nobody can tell a
collapse.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from harness.campaign.bench import Bench
from harness.record.adopted import Row
from harness.spec import Arm, Cell, DeclarationError
from harness.spec.measure import head_of
from harness.spec.place import written as location
from harness.spec.problem import dotted

FACTORS = (
    "algorithm",
    "method",
    "rank",
    "scaling",
    "factor",
    "alpha",
    "learning_rate_scale",
    "batch",
    "match",
    "warmup_steps",
)
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
    columns = {column for row in rows for column in row}
    heads = bench.shelf.measures()
    measures = {column: head.bounded for column in columns if (head := head_of(heads, column)) is not None}
    mistakes: list[str] = []
    if "rank" not in columns:
        mistakes.append(f"{name}: there is no column rank, so no row names a cell. Add it.")
    if not columns & {"accuracy", "correct"}:
        mistakes.append(f"{name}: there is no column accuracy or correct, so no row has a result. Add one.")
    nested = {key for row in rows for key in MEANINGS if isinstance(row.get(key), list | dict)}
    mistakes += [f"{name}: column {key} holds lists or records. Write one value a row." for key in sorted(nested)]
    if mistakes:
        raise DeclarationError(mistakes)
    runs = _runs(bench, rows, name, "problem" in columns, measures, mistakes)
    base = _only(rows, "base_accuracy", name, mistakes)
    if base is not None and not 0 <= base <= 1:
        mistakes.append(f"{name}: base_accuracy {base:g} is not between 0 and 1. Mend it.")
    n_items = _items(rows, columns, name, mistakes)
    if mistakes:
        raise DeclarationError(mistakes[:20])
    lacks = {
        "no column seed, so nobody can tell runs apart": any(row.get("seed") is None for row in rows),
        "no column base_accuracy, so no run has a label": base is None,
        "no column n_items, so the sampling variance of an accuracy is unknown": n_items is None,
    }
    lacking = "; ".join(what for what, is_so in lacks.items() if is_so)
    ignored = tuple(sorted(columns - set(MEANINGS) - measures.keys()))
    return Contents(tuple(runs), base, n_items, lacking, ignored)


def _runs(
    bench: Bench,
    rows: Sequence[Row],
    name: str,
    by_problem: bool,
    measures: Mapping[str, bool],
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
        values = {key: value for key in measures if (value := _real(row.get(key))) is not None}
        values["accuracy"] = accuracy
        off = [key for key, value in values.items() if key in measures and measures[key] and not 0 <= value <= 1]
        if off:
            mistakes.append(f"{name} row {number}: {off[0]} {values[off[0]]:g} is not between 0 and 1. Mend it.")
            continue
        if not by_problem:
            runs.append(TableRun(cell, str(row.get("seed", number)), values, {}))
            continue
        seed, problem = str(row.get("seed", "")), str(row["problem"])
        _, items = grouped.setdefault((cell.slug(), seed), (cell, {}))
        if problem in items.get("accuracy", {}):
            again = f"problem {problem} of {cell.slug()} seed {seed} stands in an earlier row"
            mistakes.append(f"{name} row {number}: {again}. Give each run a seed of its own.")
            continue
        for measure, value in {**values, "accuracy_items": accuracy}.items():
            items.setdefault(measure, {})[problem] = value
    for (_, seed), (cell, given) in grouped.items():
        # A measure without a value at some problem has none for the run: a mean over the others is of another test.
        items = {measure: of for measure, of in given.items() if len(of) == len(given["accuracy"])}
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
    if policy is None and (stray := [key for key in ("factor", "alpha") if row.get(key) is not None]):
        rule = "names no cell without the policy it belongs to. Add a column scaling: proportional, constant, ..."
        mistakes.append(f"{place} {stray[0]}: {row[stray[0]]!r} {rule}")
        return None
    if policy is not None:
        keys = {"factor"} if policy == "proportional" else {"alpha"}
        scaling = {"policy": policy, **{key: row[key] for key in keys if row.get(key) is not None}}
    written = {
        "algorithm": row.get("algorithm") or "grpo",
        "adapter": {"method": row.get("method") or "lora", "rank": row.get("rank"), "scaling": scaling},
        "learning_rate_scale": 1.0 if row.get("learning_rate_scale") is None else row["learning_rate_scale"],
    }
    written |= {key: row[key] for key in ("batch", "match", "warmup_steps") if row.get(key) is not None}
    try:
        return Arm.model_validate(written, strict=False).cell(bench.protocol.given)
    except ValidationError as error:
        first = error.errors()[0]
        where = dotted(location(Arm, first["loc"])[0])
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
