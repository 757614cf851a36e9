"""Time series of runs, read at a step, and why a run with a result has no value there."""

from typing import TYPE_CHECKING, Any

import pytest

from harness.plan import PlannedRun
from harness.store import MeasureError, refresh, responses, silences

if TYPE_CHECKING:
    from tests.conftest import Made

RANKS = """-- one row per (run, step); a pure number
SELECT run_id, step, avg(stable_rank) AS value FROM spectrum WHERE target = 'update' GROUP BY run_id, step
"""
LOSSES = "-- one row per (run, step); a loss\nSELECT run_id, step, loss AS value FROM step"


def spectra(*at: int, source: str = "factors", target: str = "update", **fields: Any) -> dict[str, Any]:
    row = {"target": target, "module": "q", "source": source, **fields}
    return {"spectrum": [{"step": step, "stable_rank": step / 10, **row} for step in at]}


def measured(made: "Made", sql: str) -> None:
    refresh(made.store, [made.declare("analysis/mine.sql", sql)])


def values(made: "Made", measure: str, runs: list[PlannedRun]) -> list[float | None]:
    found = responses(made.store, measure, [run.id for run in runs])
    assert set(found) <= {run.id for run in runs}
    return [found[run.id].value if run.id in found else None for run in runs]


def test_a_time_series_is_read_at_a_step_or_after_the_last_update(made: "Made", runs: list[PlannedRun]) -> None:
    made.run(runs[0], 0.5, spectra(1, 4, 20))
    made.run(runs[1], 0.5, spectra(1, 4, 20), updates=4)  # it ended at update 4
    made.run(runs[2], 0.5, spectra(0, 4))
    measured(made, RANKS)
    assert values(made, "mine", runs[:4]) == [2.0, 0.4, None, None]
    assert values(made, "mine@4", runs[:4]) == [0.4, 0.4, 0.4, None]
    assert values(made, "mine@1", runs[:4]) == [0.1, 0.1, None, None]
    assert values(made, "mine@0", runs[:4]) == [None, None, 0.0, None]  # zero is a value
    assert values(made, "mine@4", [runs[2]]) == [0.4]
    assert values(made, "mine@5", runs[:4]) == [None] * 4


@pytest.mark.parametrize("none", ["NULL", "'nan'", "'inf'"])
def test_no_number_at_a_step_is_no_value(made: "Made", runs: list[PlannedRun], none: str) -> None:
    made.run(runs[0], 0.5)
    measured(made, LOSSES.replace("loss AS", f"CASE step WHEN 4 THEN {none}::DOUBLE ELSE loss END AS"))
    assert values(made, "mine@4", runs[:1]) == [None]
    assert values(made, "mine@5", runs[:1]) == [0.2]


def test_two_values_at_a_step_are_none(made: "Made", runs: list[PlannedRun]) -> None:
    made.run(runs[0], 0.5)
    measured(made, f"{LOSSES} UNION ALL SELECT run_id, 4, 1.0 FROM run")
    assert values(made, "mine@5", runs[:1]) == [0.2]
    with pytest.raises(MeasureError, match=r"several values for .*\. Return one row per \(run, step\)\."):
        responses(made.store, "mine@4", [runs[0].id])


def test_a_measure_of_runs_has_no_value_at_a_step_though_it_has_a_column_step(
    made: "Made", runs: list[PlannedRun]
) -> None:
    made.run(runs[0], 0.5)
    measured(made, "-- one row per run; the update of the best reward\nSELECT run_id, 7 AS step, 7 AS value FROM run")
    assert values(made, "mine", runs[:1]) == [7.0]
    with pytest.raises(MeasureError, match=r"analysis/mine\.sql:1 SQL: .*no value at step 4\. Leave @4 out\."):
        responses(made.store, "mine@4", [runs[0].id])


def test_a_run_without_a_spectrum_says_so_and_one_of_rounded_weights_too(made: "Made", runs: list[PlannedRun]) -> None:
    made.run(runs[0], 0.5, spectra(4, source="low_precision_difference"))
    made.run(runs[1], 0.5, spectra(4, stable_rank=None))
    made.run(runs[2], 0.5, spectra(4, target="null"))
    made.run(runs[3], 0.5, spectra(20, source="low_precision_difference"), updates=20)
    measured(made, RANKS)
    asked = [run.id for run in runs[:4]]
    rounded = "update read from low-precision weights"
    at_four = [rounded, "no value", "no spectrum at step 4", "no spectrum at step 4"]
    assert silences(made.store, "mine@4", asked) == dict(zip(asked, at_four, strict=True))
    at_end = [*["no spectrum at step 20"] * 3, rounded]
    assert silences(made.store, "mine", asked) == dict(zip(asked, at_end, strict=True))
    assert silences(made.store, "mine@4", asked[1:2]) == {asked[1]: "no value"}
    assert silences(made.store, "mine@4", []) == {}


def test_a_run_that_updated_nothing_says_so_unless_rounding_may_have_hidden_it(
    made: "Made", runs: list[PlannedRun]
) -> None:
    nothing = spectra(4, stable_rank=None, frobenius=0.0)["spectrum"]
    something = spectra(4, stable_rank=None, frobenius=1.0)["spectrum"]
    made.run(runs[0], 0.5, {"spectrum": nothing * 2})
    made.run(runs[1], 0.5, {"spectrum": [*nothing, *something]})
    made.run(runs[2], 0.5, {"spectrum": [*nothing, *spectra(4, stable_rank=None)["spectrum"]]})  # a norm is not known
    made.run(runs[3], 0.5, spectra(4, stable_rank=None, frobenius=0.0, source="low_precision_difference"))
    measured(made, RANKS)
    asked = [run.id for run in runs[:4]]
    why = ["no matrix was updated: every dW is exactly zero", "no value", "no value"]
    why += ["update read from low-precision weights"]
    assert silences(made.store, "mine@4", asked) == dict(zip(asked, why, strict=True))


OF_NULL = """-- one row per (run, step); a pure number
SELECT run_id, step, NULL::DOUBLE AS value FROM spectrum WHERE target = 'null'
"""


def test_an_update_without_a_null_of_its_form_says_so(made: "Made", runs: list[PlannedRun]) -> None:
    own, null = spectra(20)["spectrum"], spectra(20, source="gaussian_factors", target="null")["spectrum"]
    made.run(runs[0], 0.5, {"spectrum": own})
    made.run(runs[1], 0.5, {"spectrum": [*own, *null]})
    made.run(runs[2], 0.5, spectra(20, source="low_precision_difference"))
    measured(made, OF_NULL)
    asked = [run.id for run in runs[:3]]
    expected = ["no null of the update's form", "no value", "update read from low-precision weights"]
    assert silences(made.store, "mine", asked) == dict(zip(asked, expected, strict=True))
    measured(made, RANKS)
    assert silences(made.store, "mine@20", asked[:1]) == {asked[0]: "no value"}


def test_of_a_measure_that_reads_no_spectra_nothing_about_spectra_is_told(made: "Made", runs: list[PlannedRun]) -> None:
    made.run(runs[0], 0.5)
    measured(made, LOSSES)
    assert silences(made.store, "mine@400", [runs[0].id]) == {runs[0].id: "no value"}
