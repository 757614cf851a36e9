"""What is observed in one cell: a run accuracy and a label for each run. The run is the unit, never the item.

Accuracies lie between 0 and 1, on one fixed evaluation set of `n_items`. A run that is planned but absent is
missing, not a collapse: the decisions ask what it could have given.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from harness.record.verdict import CellSummary, RunLabel

Event = Literal["collapsed", "trained"]
"""What is counted. A run with another label counts as not having the event, for either one."""


@dataclass(frozen=True, slots=True, eq=False)
class CellSample:
    """One cell's runs.

    Attributes:
        values: Accuracy of each run, (n_runs,), from 0 to 1; kept as a read-only copy.
        labels: What became of each run, in the same order, (n_runs,).
        n_items: Questions in the evaluation set, so that an accuracy is k / n_items.
        planned: Runs that the design plans for this cell, at least n_runs.

    Raises:
        ValueError: The runs are not what the attributes say.
    """

    values: NDArray[np.float64]
    labels: tuple[RunLabel, ...]
    n_items: int
    planned: int

    def __post_init__(self) -> None:
        values = np.array(self.values, dtype=np.float64)
        values.setflags(write=False)
        object.__setattr__(self, "values", values)
        if values.ndim != 1 or values.size != len(self.labels):
            raise ValueError(f"values of shape {values.shape} with {len(self.labels)} labels. Give one of each a run.")
        if not np.all((values >= 0) & (values <= 1)):
            raise ValueError(f"values {values.tolist()} are not accuracies. Give finite numbers from 0 to 1.")
        if self.n_items < 1:
            raise ValueError(f"n_items {self.n_items} makes no accuracy. Give the size of the evaluation set.")
        if self.planned < max(values.size, 1):
            raise ValueError(
                f"planned {self.planned} with {values.size} runs. Plan at least one, and all that are used."
            )

    @property
    def n_runs(self) -> int:
        """Runs that gave a result."""
        return int(self.values.size)

    @property
    def missing(self) -> int:
        """Planned runs without a result."""
        return self.planned - self.n_runs

    @property
    def mixed(self) -> bool:
        """Whether the cell has both collapsed and other runs, so that its mean describes neither."""
        return 0 < self.n_event("collapsed") < self.n_runs

    def n_event(self, event: Event) -> int:
        """Return how many runs carry the label `event`."""
        return self.labels.count(RunLabel(event))


def summary(name: str, sample: CellSample) -> CellSummary:
    """Return the cell as observed; every label is listed, also at 0."""
    return CellSummary(
        name=name,
        planned=sample.planned,
        n_runs=sample.n_runs,
        mean=float(sample.values.mean()) if sample.n_runs else None,
        sd=float(sample.values.std(ddof=1)) if sample.n_runs > 1 else None,
        labels={str(label): sample.labels.count(label) for label in RunLabel},
    )


def label(accuracy: float, collapsed_below: float, base: float, trained_above: float) -> RunLabel:
    """Return what became of a run.

    A limit itself belongs to the middle: a run at `collapsed_below` has not collapsed, and one at `trained_above`
    is not trained. A claim about either event gets nothing from a tie.

    Args:
        accuracy: The run's final accuracy, 0 to 1.
        collapsed_below: Limit under which a run is collapsed, at most `base`.
        base: The base's own accuracy before any training.
        trained_above: Limit above which a run is trained, at least `base`.

    Raises:
        ValueError: The limits are not in order.
    """
    if not collapsed_below <= base <= trained_above:
        raise ValueError(
            f"collapsed_below {collapsed_below:g}, base {base:g}, trained_above {trained_above:g} are not in order. "
            "Set the thresholds on either side of the base's own accuracy."
        )
    if accuracy < collapsed_below:
        return RunLabel.COLLAPSED
    if accuracy < base:
        return RunLabel.DEGRADED
    return RunLabel.TRAINED if accuracy > trained_above else RunLabel.NO_GAIN
