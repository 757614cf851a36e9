"""Samples: what a measure says of runs, of problems under runs, and of bases, in an order set by nothing but ids.

A value that is NULL, NaN or infinite is no value: the run is left out and counts as missing, never as 0. A run with
one such problem among its problems is left out whole, because a mean over the others is a mean over another test. Of a
measure of steps a run responds with its value at one of them, the last unless another is named.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import duckdb
import numpy as np
from numpy.typing import NDArray

from harness.record.layout import Store
from harness.spec.measure import Grain, measure_head, split
from harness.store.index import IntegrityError, query
from harness.store.limits import LimitError
from harness.store.measures import MeasureError, first_line

VALUE = "CASE WHEN isfinite(value::DOUBLE) THEN value::DOUBLE END"
"""The column `value` of a measure, NULL where it is no number."""


@dataclass(frozen=True, slots=True)
class Response:
    """What a measure says of one run."""

    run_id: str
    value: float


def responses(store: Store, measure: str, run_ids: Sequence[str]) -> dict[str, Response]:
    """Return the measure's value for those of `run_ids` that have one; `measure` is the name of a view, or NAME@STEP.

    A measure of problems answers with the mean over them, one of steps with its value at STEP: by default, at each
    run's last update.

    Raises:
        MeasureError: the view has no columns `run_id` and `value`, its values cannot be computed, it has several for
            one run, or it has no value at a step because it is no measure of steps.
        IntegrityError: it is a measure of problems, and runs were scored on different ones.
    """
    name, step = split(measure)
    columns = _columns(store, name)
    if _is_of_steps(store, name):
        return {key: Response(key, value) for key, value in _at_step(store, name, step, run_ids).items()}
    if step is not None:
        rule = f"its first line does not say `one row per (run, step)`, so it has no value at step {step}."
        raise MeasureError([f"analysis/{name}.sql:1 SQL: {rule} Leave @{step} out."])
    if "problem" in columns:
        items = item_responses(store, measure, run_ids)
        return {run_id: Response(run_id, float(values.mean())) for run_id, values in items.items()}
    return {key: Response(key, value) for key, value in _single(store, measure, "run_id", run_ids).items()}


def item_responses(store: Store, measure: str, run_ids: Sequence[str]) -> dict[str, NDArray[np.float64]]:
    """Return each run's values (n_items,) in the order of the problems, for those of `run_ids` that have all of them.

    Raises:
        MeasureError: the view has no columns `run_id`, `problem` and `value`, its values cannot be computed, or it
            has several for one problem.
        IntegrityError: runs were scored on different problems, so their items do not pair.
    """
    found: dict[str, dict[Any, float | None]] = {}
    for run_id, problem, value in _rows(store, measure, ("run_id", "problem"), run_ids):
        items = found.setdefault(run_id, {})
        if problem in items:
            raise _repeated(measure, f"problem {problem} of {run_id}", "(run, problem)")
        items[problem] = value
    first = next(iter(found), None)
    for run_id, items in found.items():
        if first is not None and items.keys() != found[first].keys():
            told = f"{store.runs / run_id}: {measure} has {len(items)} problems here and other ones, "
            told += f"{len(found[first])}, in {first}. Remove the run that is not on the protocol's split."
            raise IntegrityError(told)
    return {
        run_id: np.array(list(items.values()), dtype=np.float64)
        for run_id, items in found.items()
        if None not in items.values()
    }


def base_responses(store: Store, measure: str, base_ids: Sequence[str]) -> dict[str, float]:
    """Return the measure's value for those of `base_ids` that have one.

    Raises:
        MeasureError: the view has no columns `base_id` and `value`, its values cannot be computed, or it has several
            for one base.
    """
    return _single(store, measure, "base_id", base_ids)


def _single(store: Store, measure: str, key: str, ids: Sequence[str]) -> dict[str, float]:
    return _one_each(measure, _rows(store, measure, (key,), ids), key.removesuffix("_id"))


def _at_step(store: Store, measure: str, step: int | None, run_ids: Sequence[str]) -> dict[str, float]:
    sql = (
        f'SELECT run_id, {VALUE} FROM "{measure}" AS series JOIN run USING (run_id) '
        "WHERE list_contains(?, run_id) AND series.step = coalesce(?, updates) ORDER BY run_id"
    )
    rows = _asked(store, measure, sql, [list(run_ids), step])[1]
    return _one_each(measure, rows, "(run, step)")


def _one_each(measure: str, rows: Sequence[tuple[Any, ...]], grain: str) -> dict[str, float]:
    """Return the values of rows (id, value) that have one; raise MeasureError where an id comes twice."""
    found: dict[str, float | None] = {}
    for name, value in rows:
        if name in found:
            raise _repeated(measure, name, grain)
        found[name] = value
    return {name: value for name, value in found.items() if value is not None}


def _rows(store: Store, measure: str, keys: Sequence[str], ids: Sequence[str]) -> list[tuple[Any, ...]]:
    """Return (*keys, value) of those whose first key is in `ids`, sorted by the keys; value is None or finite."""
    listed = ", ".join(keys)
    sql = f'SELECT {listed}, {VALUE} FROM "{measure}" WHERE list_contains(?, {keys[0]}) ORDER BY {listed}'
    return _asked(store, measure, sql, [list(ids)])[1]


def _is_of_steps(store: Store, measure: str) -> bool:
    """Return whether the view's file says so; its columns do not tell, as a step may also be what a value is about."""
    sql = "SELECT comment FROM duckdb_views() WHERE NOT internal AND view_name = ?"
    rows = _asked(store, measure, sql, [measure])[1]
    head = measure_head(rows[0][0] or "") if rows else None
    return head is not None and head.grain is Grain.STEP


def _columns(store: Store, measure: str) -> list[str]:
    return _asked(store, measure, f'SELECT * FROM "{measure}" LIMIT 0', [])[0]


def _asked(store: Store, measure: str, sql: str, parameters: Sequence[Any]) -> tuple[list[str], list[tuple[Any, ...]]]:
    try:
        return query(store, sql, parameters)
    except duckdb.Error as error:
        raise MeasureError([f"analysis/{measure}.sql:1 SQL: {first_line(error)} Mend the statement."]) from None
    except LimitError as error:
        raise MeasureError([f"analysis/{measure}.sql:1 SQL: {error}"]) from None


def _repeated(measure: str, what: str, grain: str) -> MeasureError:
    rule = f"several values for {what}. Return one row per {grain}."
    return MeasureError([f"analysis/{measure}.sql:1 SQL: {rule}"])
