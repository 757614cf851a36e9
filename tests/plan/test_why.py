from typing import Any

from harness.plan import nearest

WANTED: dict[str, Any] = {"seed": 1, "cell": {"rank": 8, "scaling": {"policy": "constant"}}, "looks": [1, 2]}


def test_with_nothing_there_nothing_is_nearest() -> None:
    assert nearest(WANTED, []) is None


def test_the_run_itself_differs_in_nothing() -> None:
    found = nearest(WANTED, [("other", {"seed": 2}), ("itself", dict(WANTED))])
    assert found is not None
    assert (found.run_id, found.fields) == ("itself", {})


def test_the_nearest_differs_in_the_fewest_fields_at_any_depth() -> None:
    far: dict[str, Any] = {**WANTED, "seed": 3, "looks": []}
    near: dict[str, Any] = {**WANTED, "cell": {"rank": 16, "scaling": {"policy": "constant"}}}
    found = nearest(WANTED, [("far", far), ("near", near)])
    assert found is not None
    assert (found.run_id, found.fields) == ("near", {"cell.rank": (8, 16)})


def test_fields_that_only_one_side_has_are_differences() -> None:
    other = {"seed": 1, "cell": {"rank": 8, "scaling": {"factor": 2}}, "looks": [1, 2]}
    found = nearest(WANTED, [("other", other)])
    assert found is not None
    assert found.fields == {"cell.scaling.factor": (None, 2), "cell.scaling.policy": ("constant", None)}


def test_of_equally_near_runs_the_first_is_told() -> None:
    found = nearest(WANTED, [("first", {**WANTED, "seed": 2}), ("second", {**WANTED, "seed": 3})])
    assert found is not None
    assert found.run_id == "first"
