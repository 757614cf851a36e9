"""The DuckDB index of the records: derived, rebuilt at any time, published by rename so that readers never wait."""

from harness.record.atomic import IntegrityError
from harness.store.index import Published, query, rebuild, refresh
from harness.store.measures import MeasureError
from harness.store.samples import Response, base_responses, item_responses, responses
from harness.store.silence import silences
from harness.store.validity import held, inert_factors, invalid_runs

__all__ = [
    "IntegrityError",
    "MeasureError",
    "Published",
    "Response",
    "base_responses",
    "held",
    "inert_factors",
    "invalid_runs",
    "item_responses",
    "query",
    "rebuild",
    "refresh",
    "responses",
    "silences",
]
