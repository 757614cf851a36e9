"""What is observed in one cell: a response and a label for each run. The run is the unit, never the item.

A run that is planned but absent is missing, not a collapse: the decisions ask what it could have given.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from harness.record.verdict import CellSummary, RunLabel

Event = Literal["collapsed", "trained"]
"""What is counted. A run with another label counts as not having the event, for either one."""


@dataclass(frozen=True, slots=True)
class Landmarks:
    """The accuracies, 0 to 1, that labels and bounds are relative to; None where nobody knows them."""

    base: float | None = None
    """The base's own accuracy before any training."""
    collapsed_below: float | None = None
    trained_above: float | None = None
    base_se: float = 0.0
    """Standard error of `base` from sampling answers, on the problems as they are."""

    def label(self, accuracy: float) -> RunLabel | None:
        """Return what became of a run of this accuracy, or None where the landmarks are not known."""
        if self.base is None or self.collapsed_below is None or self.trained_above is None:
            return None
        return label(accuracy, self.collapsed_below, self.base, self.trained_above)

    def launched(self, peak: float) -> bool | None:
        """Return whether a run whose reward has peaked at `peak` ever trained, or None where nobody knows."""
        return None if self.trained_above is None else peak > self.trained_above


NOWHERE = Landmarks()
"""No landmark is known."""


@dataclass(frozen=True, slots=True, eq=False)
class CellSample:
    """One cell's runs, in the order of their seeds.

    Attributes:
        values: Response of each run, (n_runs,), in the measure's unit; kept as a read-only copy.
        labels: What became of each run, in the same order, (n_runs,).
        n_items: Problems behind each response, so that a share is k / n_items.
        planned: Runs that the design plans for this cell, at least n_runs.
        seeds: Number of each run's seed, from 0, increasing, (n_runs,); by default the first ones.
        items: Response of each run to each problem, (n_runs, n_items), where a decision generalises over problems.
        bounded: Whether responses are shares from 0 to 1, with a known sampling variance.
        selected: Whether the runs were selected by their label, so that their number is random.
        others: Seeds of the cell's runs that have a result and were not selected.
        silent: Seed and label of the cell's runs that have a result and no value of the measure. They are missing, but
            what became of them is known.
        launched: Whether each run gained reward in training, (n_runs,); None where nobody knows.

    Raises:
        ValueError: The runs are not what the attributes say.
    """

    values: NDArray[np.float64]
    labels: tuple[RunLabel, ...]
    n_items: int
    planned: int
    seeds: tuple[int, ...] = ()
    items: NDArray[np.float64] | None = None
    bounded: bool = True
    selected: bool = False
    others: tuple[int, ...] = ()
    silent: tuple[tuple[int, RunLabel], ...] = ()
    launched: tuple[bool | None, ...] = ()

    def __post_init__(self) -> None:
        values = np.array(self.values, dtype=np.float64)
        values.setflags(write=False)
        object.__setattr__(self, "values", values)
        object.__setattr__(self, "seeds", self.seeds or tuple(range(values.size)))
        if values.ndim != 1 or values.size != len(self.labels) or values.size != len(self.seeds):
            raise ValueError(f"values of shape {values.shape} with {len(self.labels)} labels. Give one of each a run.")
        if self.bounded and not np.all((values >= 0) & (values <= 1)):
            raise ValueError(f"values {values.tolist()} are not accuracies. Give finite numbers from 0 to 1.")
        if not np.all(np.isfinite(values)):
            raise ValueError(f"values {values.tolist()} are not finite. Leave runs without a response out.")
        if self.n_items < 1:
            raise ValueError(f"n_items {self.n_items} makes no accuracy. Give the size of the evaluation set.")
        runs = values.size + len(self.others) + len(self.silent)
        if self.planned < max(runs, 1):
            raise ValueError(f"planned {self.planned} with {runs} runs. Plan at least one, and all that are used.")
        if self.items is not None and self.items.shape[:1] != values.shape:
            raise ValueError(f"items of shape {self.items.shape} with {values.size} runs. Give one row a run.")

    def first(self, seeds: int, planned: int | None = None) -> "CellSample":
        """Return the runs of the first `seeds` seeds, as of a design that plans `planned` (default: as many)."""
        kept = [i for i, seed in enumerate(self.seeds) if seed < seeds]
        planned = seeds if planned is None else planned
        known = (*self.others, *(seed for seed, _ in self.silent))
        if len(kept) == self.n_runs and planned == self.planned and all(seed < seeds for seed in known):
            return self
        return CellSample(
            values=self.values[kept],
            labels=tuple(self.labels[i] for i in kept),
            n_items=self.n_items,
            planned=planned,
            seeds=tuple(self.seeds[i] for i in kept),
            items=None if self.items is None else self.items[kept],
            bounded=self.bounded,
            selected=self.selected,
            others=tuple(seed for seed in self.others if seed < seeds),
            silent=tuple((seed, label) for seed, label in self.silent if seed < seeds),
            launched=tuple(self.launched[i] for i in kept) if self.launched else (),
        )

    @property
    def n_runs(self) -> int:
        """Runs that gave a value."""
        return int(self.values.size)

    @property
    def missing(self) -> int:
        """Planned runs of the cell without a value; of those without a result nobody knows what became of them."""
        return self.planned - self.n_runs - len(self.others)

    @property
    def mixed(self) -> bool:
        """Whether the cell has both collapsed and other runs, with a value or not, so that its mean is of neither."""
        return 0 < self.fates.count(RunLabel.COLLAPSED) < len(self.fates)

    @property
    def fates(self) -> tuple[RunLabel, ...]:
        """What became of each run with a result, whether it has a value of the measure or not."""
        return (*self.labels, *(label for _, label in self.silent))

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
        launched=_launched(sample),
    )


def _launched(sample: CellSample) -> int | None:
    """Return how many of the collapsed runs had first gained reward, or None where there or known is none."""
    known = [launched for launched, label in zip(sample.launched, sample.labels, strict=False) if label == "collapsed"]
    return None if not known or None in known else known.count(True)


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
