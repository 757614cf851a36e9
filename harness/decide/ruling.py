"""What a decision procedure hands back, before it is bound to its declaration; and how its sentences write numbers.

A `Finding` is the decision alone, cheap enough to be simulated; a `Ruling` adds the figures behind it. Decisions
compare unrounded numbers. Only the sentences round, to three decimals.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np

from harness.decide.sample import CellSample
from harness.record.verdict import EffectSize, Estimate, Outcome, Reason, Refutation, RunLabel


@dataclass(frozen=True, slots=True)
class Finding:
    """An outcome with its reason."""

    outcome: Outcome
    reason: Reason
    how: Refutation | None = None
    settled: bool = False
    """Whether no further planned run can change it; supported and refuted always are."""
    why: str = ""
    """What failed, for a sentence; empty where the reason says all."""

    @property
    def decided(self) -> bool:
        """Whether it came out one way or the other."""
        return self.outcome in (Outcome.SUPPORTED, Outcome.REFUTED)


SUPPORTED = Finding(Outcome.SUPPORTED, Reason.IN_SUPPORT, settled=True)
STRADDLES = Finding(Outcome.INCONCLUSIVE, Reason.STRADDLES)


def refuted(how: Refutation) -> Finding:
    """Return the finding of a refutation."""
    return Finding(Outcome.REFUTED, Reason.IN_REFUTE, how, settled=True)


def open_because(reason: Reason, why: str = "") -> Finding:
    """Return an inconclusive finding."""
    return Finding(Outcome.INCONCLUSIVE, reason, why=why)


@dataclass(frozen=True, slots=True)
class Ruling:
    """The figures behind a finding."""

    detail: str
    """One sentence."""
    estimates: tuple[Estimate, ...] = ()
    effect_sizes: tuple[EffectSize, ...] = ()
    runs_to_resolve: int | None = None
    attainable_p: float | None = None


def missing_runs(samples: Iterable[CellSample]) -> int:
    """Return the planned runs without a value, over all cells."""
    return sum(sample.missing for sample in samples)


def missing_note(samples: Iterable[CellSample]) -> str:
    """Return `; 2 of 20 planned runs missing`, or nothing when none is."""
    cells = tuple(samples)
    missing = missing_runs(cells)
    return f"; {missing} of {sum(cell.planned for cell in cells)} planned runs missing" if missing else ""


def mean_assumption_failed(samples: Mapping[str, CellSample]) -> Finding | None:
    """Return why no interval for a mean may decide, or None where one may.

    An arm without runs leaves the contrast without an estimate. A cell with both collapsed and other runs is
    bimodal: at n = 3 with one collapse in ten, a nominal 90 % t interval for its mean covers 30 %. A selection by
    label has one mode, but its size is random, and one run shows no spread. Nor do runs that are all alike, unless what
    sampling of problems gives is known.
    """
    unselected = [(name, sample) for name, sample in samples.items() if not sample.n_runs and not sample.selected]
    if unselected:
        what = ", ".join(f"{name} ({without})" if (without := _without(s)) else name for name, s in unselected)
        return Finding(Outcome.UNTESTED, Reason.NO_RUNS, why=f"no runs at {what}")
    few = [
        f"{name} ({'; '.join(filter(None, (str(sample.n_runs), _without(sample))))})"
        for name, sample in samples.items()
        if sample.selected and sample.n_runs < 2
    ]
    if few:
        empty = all(not sample.n_runs for sample in samples.values() if sample.selected)
        outcome = Outcome.UNTESTED if empty else Outcome.INCONCLUSIVE
        return Finding(outcome, Reason.TOO_FEW, why=f"too few runs of the label at {', '.join(few)}")
    if (mixed := mixed_cells(samples)) is not None:
        return mixed
    if all(_still(sample) for sample in samples.values()):
        return open_because(Reason.NO_SPREAD, "every run of every arm gave the same response")
    return None


def mixed_cells(samples: Mapping[str, CellSample]) -> Finding | None:
    """Return the finding of cells with both collapsed and other runs, which no later run unmixes; None without."""
    mixed = [
        f"{name} ({sample.fates.count(RunLabel.COLLAPSED)} of {len(sample.fates)} collapsed)"
        for name, sample in samples.items()
        if sample.mixed
    ]
    why = f"collapsed and other runs side by side at {', '.join(mixed)}"
    return Finding(Outcome.INCONCLUSIVE, Reason.MIXED_CELLS, settled=True, why=why) if mixed else None


def _without(sample: CellSample) -> str:
    """Return `3 without a value`, or nothing where every run with a result has one."""
    return f"{len(sample.silent)} without a value" if sample.silent else ""


def _still(sample: CellSample) -> bool:
    """Return whether runs are alike in a response of which nobody knows how it varies by sampling."""
    return not sample.bounded and sample.n_runs > 1 and float(np.ptp(sample.values)) == 0


def figure(value: float | None) -> str:
    """Return a number for a sentence; an unbounded limit as `unbounded`."""
    return "unbounded" if value is None else f"{value:.3f}"


def interval(estimate: Estimate) -> str:
    """Return `0.760 [0.620, 0.900]`, the limits at the supporting level."""
    return f"{figure(estimate.value)} [{figure(estimate.low)}, {figure(estimate.high)}]"
