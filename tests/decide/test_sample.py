from typing import Any

import numpy as np
import pytest

from harness.decide import CellSample, Landmarks, label, summary
from harness.record.verdict import RunLabel

C, D, N, T = RunLabel.COLLAPSED, RunLabel.DEGRADED, RunLabel.NO_GAIN, RunLabel.TRAINED


def cell(values: list[float], labels: list[RunLabel], planned: int | None = None, **more: Any) -> CellSample:
    planned = len(values) if planned is None else planned
    return CellSample(np.array(values), tuple(labels), n_items=200, planned=planned, **more)


@pytest.mark.parametrize(
    ("accuracy", "expected"),
    [(0.0, C), (0.099, C), (0.1, D), (0.399, D), (0.4, N), (0.5, N), (0.501, T), (1.0, T)],
)
def test_label_follows_the_limits_and_a_tie_belongs_to_the_middle(accuracy: float, expected: RunLabel) -> None:
    assert label(accuracy, collapsed_below=0.1, base=0.4, trained_above=0.5) is expected


def test_label_refuses_limits_out_of_order() -> None:
    with pytest.raises(ValueError, match=r"collapsed_below 0\.5, base 0\.4"):
        label(0.3, collapsed_below=0.5, base=0.4, trained_above=0.6)


def test_events_are_counted_and_intermediate_runs_are_neither() -> None:
    sample = cell([0.02, 0.3, 0.45, 0.6], [C, D, N, T], planned=6)
    assert (sample.n_event("collapsed"), sample.n_event("trained")) == (1, 1)
    assert (sample.n_runs, sample.missing) == (4, 2)


@pytest.mark.parametrize(
    ("labels", "mixed"),
    [([C, C], False), ([T, T], False), ([T, N], False), ([C, T], True), ([C, D], True), ([], False)],
)
def test_a_cell_is_mixed_only_with_collapsed_and_other_runs(labels: list[RunLabel], mixed: bool) -> None:
    assert cell([0.3] * len(labels), labels, planned=5).mixed is mixed


def test_a_run_without_a_value_is_missing_though_its_fate_is_known() -> None:
    sample = cell([0.5, 0.6], [T, T], planned=6, seeds=(0, 3), silent=((1, T), (4, C)))
    assert (sample.n_runs, sample.missing, sample.mixed) == (2, 4, True)
    assert sample.fates == (T, T, T, C)
    early = sample.first(4)
    assert (early.missing, early.mixed, early.silent) == (2, False, ((1, T),))
    assert cell([], [], planned=2, silent=((0, C), (1, C))).mixed is False
    with pytest.raises(ValueError, match="planned 2 with 3 runs"):
        cell([0.5], [T], planned=2, silent=((1, T), (2, T)))


@pytest.mark.parametrize(
    ("values", "labels", "n_items", "planned", "complaint"),
    [
        ([0.5], [T, T], 200, 5, "one of each a run"),
        ([1.2], [T], 200, 5, "not accuracies"),
        ([float("nan")], [T], 200, 5, "not accuracies"),
        ([0.5], [T], 0, 5, "n_items 0"),
        ([0.5, 0.5], [T, T], 200, 1, "planned 1 with 2 runs"),
        ([], [], 200, 0, "planned 0"),
    ],
)
def test_a_sample_refuses_what_is_no_cell(
    values: list[float], labels: list[RunLabel], n_items: int, planned: int, complaint: str
) -> None:
    with pytest.raises(ValueError, match=complaint):
        CellSample(np.array(values), tuple(labels), n_items, planned)


def test_a_sample_keeps_its_own_read_only_copy() -> None:
    values = np.array([0.5, 0.6])
    sample = CellSample(values, (T, T), 200, 2)
    values[0] = 0.0
    assert sample.values.tolist() == [0.5, 0.6]
    with pytest.raises(ValueError, match="read-only"):
        sample.values[0] = 0.0


def test_summary_reports_the_cell_as_observed() -> None:
    row = summary("r=8", cell([0.4, 0.6], [N, T], planned=3))
    assert (row.name, row.planned, row.n_runs, row.mean) == ("r=8", 3, 2, 0.5)
    assert row.sd == pytest.approx(0.2**0.5 * 0.1**0.5)  # both 0.1 from the mean: sqrt(2 x 0.01 / 1) = sqrt(0.02)
    assert row.labels == {"collapsed": 0, "degraded": 0, "no gain": 1, "trained": 1}


def test_summary_of_few_runs_leaves_out_what_they_do_not_show() -> None:
    assert (summary("x", cell([], [], 3)).mean, summary("x", cell([0.5], [T], 3)).sd) == (None, None)


def test_landmarks_label_a_run_where_all_are_known() -> None:
    known = Landmarks(base=0.4, collapsed_below=0.1, trained_above=0.5)
    assert [known.label(x) for x in (0.05, 0.1, 0.4, 0.6)] == [C, D, N, T]
    assert Landmarks().label(0.5) is Landmarks(0.4, 0.1).label(0.5) is None


def test_the_first_seeds_are_a_sample_of_their_own() -> None:
    items = np.arange(12.0).reshape(4, 3)
    whole = cell(
        [0.1, 0.2, 0.3, 0.4], [C, D, N, T], 8, seeds=(0, 2, 3, 6), items=items, launched=(True, None, None, None)
    )
    early = whole.first(4)
    assert (early.values.tolist(), early.labels, early.seeds) == ([0.1, 0.2, 0.3], (C, D, N), (0, 2, 3))
    assert (early.planned, early.missing, early.launched) == (4, 1, (True, None, None))
    assert early.items is not None and early.items.tolist() == items[:3].tolist()
    assert whole.first(8) is whole
    assert whole.first(7, planned=10).missing == 6
    assert whole.first(0, planned=3).n_runs == 0


def test_the_first_seeds_of_a_selection_leave_out_the_later_others() -> None:
    # Eight seeds, of which 1, 4 and 5 collapsed and 3 has no result.
    picked = cell([0.01, 0.02, 0.03], [C, C, C], 8, seeds=(1, 4, 5), selected=True, others=(0, 2, 6, 7))
    assert (picked.n_runs, picked.missing) == (3, 1)
    early = picked.first(3)
    assert (early.n_runs, early.others, early.missing, early.selected) == (1, (0, 2), 0, True)
    assert picked.first(5).missing == 1


def test_responses_that_are_no_shares_may_be_any_finite_number() -> None:
    assert cell([-3.0, 400.0], [T, T], bounded=False).values.tolist() == [-3.0, 400.0]
    with pytest.raises(ValueError, match=r"not finite\. Leave runs without a response out"):
        cell([float("inf")], [T], bounded=False)


def test_items_are_one_row_a_run() -> None:
    with pytest.raises(ValueError, match=r"items of shape \(3, 2\) with 2 runs"):
        cell([0.5, 0.6], [T, T], items=np.zeros((3, 2)))


def test_seeds_are_one_a_run() -> None:
    with pytest.raises(ValueError, match="Give one of each a run"):
        cell([0.5, 0.6], [T, T], seeds=(0,))


def test_what_was_not_selected_takes_room_in_the_plan() -> None:
    with pytest.raises(ValueError, match="planned 3 with 4 runs"):
        cell([0.5, 0.6], [T, T], planned=3, selected=True, others=(2, 3))


@pytest.mark.parametrize(
    ("labels", "launched", "count"),
    # How many of the collapsed runs had gained reward first: of none, of one that nobody knows about, and known.
    [([T, T], (True, False), None), ([C, C], (True, None), None), ([C, C], (True, False), 1), ([C, C], (), None),
     ([C, T], (False, None), 0)],
)  # fmt: skip
def test_summary_says_whether_collapse_came_after_a_launch(
    labels: list[RunLabel], launched: tuple[bool | None, ...], count: int | None
) -> None:
    assert summary("x", cell([0.1, 0.2], labels, launched=launched)).launched == count
