"""Measures that are functions of the project: a number a run, none, or a mistake told in a line."""

import json
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from harness.record.atomic import IntegrityError
from harness.store import MeasureError
from harness.store.code_measures import code_responses

if TYPE_CHECKING:
    from tests.conftest import Made

HEAD = "import json\nfrom pathlib import Path\ndef mine(result):\n"
READ = f"{HEAD}    return json.loads((result / 'result.json').read_text())['accuracy']\n"


def measured(made: "Made", code: str) -> dict[str, float]:
    made.declare("measures.py", code)
    ids = [path.name for path in made.store.runs.iterdir()] if made.store.runs.exists() else []
    found = code_responses(made.root, "measures:mine", made.store, [*ids, "never-run"])
    assert all(run_id == response.run_id for run_id, response in found.items())
    return {run_id: response.value for run_id, response in found.items()}


def refused(made: "Made", returned: str) -> str:
    with pytest.raises(MeasureError) as caught:
        measured(made, f"{HEAD}    return {returned}\n")
    (line,) = caught.value.lines
    return line


def test_every_committed_run_is_measured_on_its_own_result(made: "Made") -> None:
    made.results(lambda run: (run.cell.rank or 0) / 100 if run.index else None)
    found = measured(made, READ)
    assert len(found) == 10  # two ranks, six seeds, of which the first was not run
    assert found == {
        path.parent.parent.name: json.loads(path.read_text())["accuracy"]
        for path in made.store.runs.glob("*/result/result.json")
    }
    assert sorted(set(found.values())) == [0.08, 0.16]


def test_a_run_that_was_begun_and_not_finished_is_not_measured(made: "Made") -> None:
    bench = made.bench()
    run = bench.plan(bench.hypotheses(["live"]), ["llama"]).runs[0]
    bench.run_job(run).create({"id": run.id, "identity": run.identity})
    assert measured(made, f"{HEAD}    return 1\n") == {}


def test_only_the_runs_asked_for_are_measured(made: "Made") -> None:
    made.results(lambda _: 0.5)
    made.declare("measures.py", f"{HEAD}    return 1\n")
    one = min(path.name for path in made.store.runs.iterdir())
    assert list(code_responses(made.root, "measures:mine", made.store, [one])) == [one]


def test_none_is_no_value_and_zero_is_one(made: "Made") -> None:
    made.results(lambda run: 0.5 if run.index < 2 else None)
    assert measured(made, f"{HEAD}    return None\n") == {}
    assert list(measured(made, f"{HEAD}    return 0\n").values()) == [0.0] * 4
    assert list(measured(made, f"{HEAD}    return False\n").values()) == [0.0] * 4


@pytest.mark.parametrize("returned", ["float('nan')", "float('inf')", "'0.5'", "[0.5]", "10**400"])
def test_what_is_no_finite_number_is_told_with_the_run(made: "Made", returned: str) -> None:
    made.results(lambda run: 0.5 if run.index == 0 else None)
    first = min(path.name for path in made.store.runs.iterdir())
    said = refused(made, returned)
    assert said.startswith("measures.py:3 measures:mine: returned ")
    assert f" for run {first}: a measure is a finite number, or None where there is no value." in said


def test_a_function_that_fails_is_told_with_its_line(made: "Made") -> None:
    made.results(lambda _: 0.5)
    said = refused(made, "json.loads((result / 'nothing.json').read_text())")
    assert said.startswith("measures.py:4 measures:mine: raised FileNotFoundError: ")


def test_a_function_that_is_not_there_is_told(made: "Made", tmp_path: Path) -> None:
    with pytest.raises(MeasureError, match=r"measures:mine: is in measures.py, which is no file of the project"):
        code_responses(made.root, "measures:mine", made.store, [])
    (tmp_path / "far.py").write_text(READ)
    (made.root / "far.py").symlink_to(tmp_path / "far.py")
    with pytest.raises(MeasureError, match="leads out of the project"):
        code_responses(made.root, "far:mine", made.store, [])


def test_a_result_that_is_not_what_was_committed_is_not_measured(made: "Made") -> None:
    made.results(lambda run: 0.5 if run.index == 0 else None)
    result = min(made.store.runs.glob("*/result/result.json"))
    result.write_text(result.read_text().replace("0.5", "0.9"))
    with pytest.raises(IntegrityError, match="changed since it was committed"):
        measured(made, READ)
