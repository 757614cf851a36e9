"""What a decision procedure hands back, before it is bound to its declaration; and how its sentences write numbers.

Decisions compare unrounded numbers. Only the sentences round, to three decimals.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from harness.decide.sample import CellSample
from harness.record.verdict import EffectSize, Estimate, Outcome, Reason

DECIDED = {Outcome.SUPPORTED: Reason.IN_SUPPORT, Outcome.REFUTED: Reason.IN_REFUTE}
"""The reason behind each outcome that an interval gives."""


@dataclass(frozen=True, slots=True)
class Ruling:
    """An outcome with the figures that gave it."""

    outcome: Outcome
    reason: Reason
    detail: str
    estimates: tuple[Estimate, ...] = ()
    effect_sizes: tuple[EffectSize, ...] = ()


def missing_runs(samples: Iterable[CellSample]) -> int:
    """Return the planned runs without a result, over all cells."""
    return sum(sample.missing for sample in samples)


def missing_note(samples: Iterable[CellSample]) -> str:
    """Return `; 2 of 20 planned runs missing`, or nothing when none is."""
    cells = tuple(samples)
    missing = missing_runs(cells)
    return f"; {missing} of {sum(cell.planned for cell in cells)} planned runs missing" if missing else ""


def mean_assumption_failed(samples: Mapping[str, CellSample]) -> tuple[Outcome, Reason, str] | None:
    """Return why no interval for a mean may decide, or None where one may.

    An arm without runs leaves the contrast without an estimate. A cell with both collapsed and other runs is
    bimodal: at n = 3 with one collapse in ten, a nominal 90 % t interval for its mean covers 30 %.
    """
    empty = [name for name, sample in samples.items() if not sample.n_runs]
    if empty:
        return Outcome.UNTESTED, Reason.NO_RUNS, f"no runs at {', '.join(empty)}"
    mixed = [
        f"{name} ({sample.n_event('collapsed')} of {sample.n_runs} collapsed)"
        for name, sample in samples.items()
        if sample.mixed
    ]
    if mixed:
        return Outcome.INCONCLUSIVE, Reason.MIXED_CELLS, f"collapsed and other runs side by side at {', '.join(mixed)}"
    return None


def figure(value: float | None) -> str:
    """Return a number for a sentence; an unbounded limit as `unbounded`."""
    return "unbounded" if value is None else f"{value:.3f}"


def interval(estimate: Estimate) -> str:
    """Return `0.760 [0.620, 0.900]`, the limits at the supporting level."""
    return f"{figure(estimate.value)} [{figure(estimate.low)}, {figure(estimate.high)}]"
