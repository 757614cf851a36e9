import numpy as np
import pytest

from harness.decide import CellSample, label, summary
from harness.record.verdict import RunLabel

C, D, N, T = RunLabel.COLLAPSED, RunLabel.DEGRADED, RunLabel.NO_GAIN, RunLabel.TRAINED


def cell(values: list[float], labels: list[RunLabel], planned: int | None = None) -> CellSample:
    return CellSample(np.array(values), tuple(labels), n_items=200, planned=len(values) if planned is None else planned)


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
