"""Runs to commit results for."""

from typing import TYPE_CHECKING

import pytest

from harness.plan import PlannedRun

if TYPE_CHECKING:
    from tests.conftest import Made


@pytest.fixture
def runs(made: "Made") -> list[PlannedRun]:
    """Return the planned runs of GRPO at ranks 8 and 16, ordered by seed; nothing is committed but their base."""
    bench = made.bench()
    found = bench.plan(bench.hypotheses(["live"]), ["llama"])
    made.base(found.bases[0])
    return list(found.runs)
