import json
import math
from typing import TYPE_CHECKING, Any

import pytest

from harness.campaign.findings import Findings
from harness.publish.report.html_runs import FACTS, Shared, run_details, series, thinned
from harness.store import refresh

if TYPE_CHECKING:
    from tests.conftest import Made


def ids(found: Findings) -> list[str]:
    return [run.run_id for run in found.chapters[0].verdict.runs]


@pytest.fixture
def details(found: Findings) -> dict[str, Any]:
    return run_details(found.store, ids(found))


def numbers(text: str) -> list[float | None]:
    """Return a series as the page reads it."""
    return [float(each) if each else None for each in text.split(" ")]


def test_numbers_have_three_digits_and_what_is_none_is_empty() -> None:
    assert series([0.123456, -0.5, -98765.4, 0.00012, 1.5e-7, 2.0, 0.0, 80.04]) == (
        ".123 -.5 -98800 .00012 1.5e-7 2 0 80"
    )
    assert series([1.0, None, math.nan, math.inf]) == "1   "
    values = [10**-k * 1.2345 for k in range(-9, 9)]
    assert numbers(series(values)) == [float(f"{value:.3g}") for value in values]


def test_long_curves_keep_both_ends_and_short_ones_all() -> None:
    assert thinned(0) == [] and thinned(60) == list(range(60))
    assert thinned(90, 4) == [0, 30, 59, 89]  # 89/3 = 29.67 and 59.33
    kept = thinned(1000)
    assert len(set(kept)) == 60 and kept == sorted(kept) and (kept[0], kept[-1]) == (0, 999)


def test_what_is_shared_is_kept_once() -> None:
    shared = Shared()
    assert [shared.place(value) for value in ([1, 2], [1], [1, 2], "1")] == [0, 1, 0, 2]
    assert shared.values == [[1, 2], [1], "1"]


def test_curves_are_thinned_and_an_unlogged_one_is_none(found: Findings, details: dict[str, Any]) -> None:
    assert details["id"] == sorted(ids(found)) and len(details["id"]) == 12
    assert len(details["updates"]) == 1 and set(details["of"]) == {90}
    updates = details["updates"][details["at"][0]]
    assert len(updates) == 60 and (updates[0], updates[-1]) == (1, 90)
    judged = {run.run_id: run.accuracy for run in found.chapters[0].verdict.runs}
    for place, run in enumerate(details["id"]):
        curves = {name: runs[place] for name, runs in details["curves"].items()}
        assert curves["completion_length"] is None
        assert numbers(curves["loss"]) == [float(f"{1 / i:.3g}") for i in updates]
        assert numbers(curves["reward"])[-1] == pytest.approx(judged[run])
        assert numbers(curves["entropy"]) == [0.5 if i % 2 else None for i in updates]


def test_spectra_are_medians_over_modules_relative_to_the_first(details: dict[str, Any]) -> None:
    assert details["kept"] == [[2, 8, 90]]
    # Of values that fall by 2 and by 4 in turn, the second are 1/2 and 1/4, the third 1/4 and 1/16.
    assert details["spectra"]["update"][0] == ";".join(["1 .375 .156"] * 3)
    assert details["spectra"]["null"][0] == ";".join(["1 1 1"] * 3)
    assert details["layers"] == [[0, 1]]
    assert details["ranks"]["update"][0] == ";".join(["3.5 4.5"] * 3)  # of 3 and 4, and of 4 and 5


def test_settings_are_those_in_which_runs_differ(details: dict[str, Any]) -> None:
    settings = {each["name"]: each for each in details["settings"]}
    assert set(settings) == {"cell.adapter.rank", "seed"}
    rank = settings["cell.adapter.rank"]
    shown = [rank["values"][place] for place in details["patterns"][rank["of"]]]
    assert [int(value) for value in shown] == [8 if "-r8-" in run else 16 for run in details["id"]]
    assert details["common"] > 10
    assert set(details["facts"]) == set(FACTS) and set(details["facts"]["updates"]) == {20}


def test_a_run_starts_from_the_accuracy_of_its_own_base(made: "Made") -> None:
    bench = made.bench()
    planned = bench.plan(bench.hypotheses(["live"]), ["llama", "qwen"])
    for base, accuracy in zip(planned.bases, (0.4, 0.25), strict=True):
        made.base(base, accuracy)
    runs = [next(run for run in planned.runs if run.base == base) for base in planned.bases]
    for run in runs:
        made.run(run, 0.5)
    refresh(made.store, [])
    found = run_details(made.store, [run.id for run in runs])
    assert dict(zip(found["id"], found["starts"], strict=True)) == {runs[0].id: 0.4, runs[1].id: 0.25}


def test_an_argument_that_one_trainer_alone_knows_is_no_difference(made: "Made") -> None:
    bench = made.bench()
    planned = bench.plan(bench.hypotheses(["live"]), ["llama"])
    made.base(planned.bases[0])
    for run, defaults in zip(planned.runs, ({"beta": 0.0}, {"packing": False}, {"beta": 0.1}), strict=False):
        made.run(run, 0.5, trainer={"library_defaults": defaults})
    refresh(made.store, [])
    found = run_details(made.store, [run.id for run in planned.runs])
    names = [each["name"] for each in found["settings"]]
    assert "trainer.beta" in names and "trainer.packing" not in names
    (beta,) = (each for each in found["settings"] if each["name"] == "trainer.beta")
    assert sorted(beta["values"]) == ["0.0", "0.1"] and found["patterns"][beta["of"]].count(None) == 1


def test_a_run_without_curves_or_spectra_has_none(made: "Made") -> None:
    bench = made.bench()
    planned = bench.plan(bench.hypotheses(["live"]), ["llama"])
    made.base(planned.bases[0])
    made.run(planned.runs[0], 0.5, {"steps": [{"step": 1, "loss": math.nan}]})
    made.run(planned.runs[1], 0.5, {"steps": [], "spectrum": []})
    refresh(made.store, [])
    found = run_details(made.store, [run.id for run in planned.runs])
    assert found["id"] == sorted(run.id for run in planned.runs[:2])
    assert all(runs == [None, None] for runs in found["curves"].values())
    assert found["kept"] == [[]] and found["spectra"]["update"] == ["", ""]
    json.dumps(found, allow_nan=False)


@pytest.mark.parametrize("norm", [math.inf, -math.inf, math.nan])
def test_a_norm_that_is_not_finite_is_told(made: "Made", monkeypatch: pytest.MonkeyPatch, norm: float) -> None:
    """Of a result that others wrote: ours has no such number."""
    monkeypatch.setattr("tests.conftest.write_json", lambda path, value: path.write_text(json.dumps(value)))  # pyright: ignore[reportUnknownLambdaType, reportUnknownMemberType, reportUnknownArgumentType]
    bench = made.bench()
    planned = bench.plan(bench.hypotheses(["live"]), ["llama"])
    made.base(planned.bases[0])
    made.run(planned.runs[0], 0.5, final_update_norm=norm)
    refresh(made.store, [])
    found = run_details(made.store, [planned.runs[0].id])
    assert found["facts"]["final_update_norm"] == ["not finite"]
    json.dumps(found, allow_nan=False)


def test_an_index_without_runs_gives_none(made: "Made") -> None:
    refresh(made.store, [])
    found = run_details(made.store, ["nobody"])
    assert found["id"] == [] and found["settings"] == [] and found["updates"] == []
