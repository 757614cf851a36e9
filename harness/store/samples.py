"""Samples: one value per run of a measure, in an order that depends on nothing but the runs."""

from collections.abc import Sequence
from dataclasses import dataclass

import duckdb

from harness.record.layout import Store
from harness.store.index import query
from harness.store.measures import MeasureError, first_line


@dataclass(frozen=True, slots=True)
class Response:
    """What a measure says of one run."""

    run_id: str
    value: float


def responses(store: Store, measure: str, run_ids: Sequence[str]) -> dict[str, Response]:
    """Return the measure's value for those of `run_ids` that have one; `measure` is the name of a view.

    Raises:
        MeasureError: the view has no columns `run_id` and `value`, or its values cannot be computed.
    """
    sql = f'SELECT run_id, value::DOUBLE AS value FROM "{measure}" WHERE list_contains(?, run_id) ORDER BY run_id'
    try:
        _, rows = query(store, sql, [list(run_ids)])
    except duckdb.Error as error:
        raise MeasureError([f"analysis/{measure}.sql:1 SQL: {first_line(error)} Mend the statement."]) from None
    return {run_id: Response(run_id, float(value)) for run_id, value in rows if value is not None}
