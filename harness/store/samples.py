"""Samples: one value per run of a measure, in an order that depends on nothing but the runs."""

from collections.abc import Sequence
from dataclasses import dataclass

from harness.record.layout import Store
from harness.store.index import query


@dataclass(frozen=True, slots=True)
class Response:
    """What a measure says of one run."""

    run_id: str
    value: float


def responses(store: Store, measure: str, run_ids: Sequence[str]) -> dict[str, Response]:
    """Return the measure's value for those of `run_ids` that have one; `measure` is the name of a view."""
    sql = f'SELECT run_id, value FROM "{measure}" WHERE list_contains(?, run_id) ORDER BY run_id'
    _, rows = query(store, sql, [list(run_ids)])
    return {run_id: Response(run_id, float(value)) for run_id, value in rows if value is not None}
