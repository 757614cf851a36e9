"""The DuckDB index of the records: derived, rebuilt at any time, published by rename so that readers never wait."""

from harness.record.atomic import IntegrityError
from harness.store.index import Published, query, rebuild, refresh
from harness.store.measures import MeasureError
from harness.store.samples import Response, responses

__all__ = ["IntegrityError", "MeasureError", "Published", "Response", "query", "rebuild", "refresh", "responses"]
