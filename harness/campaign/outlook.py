"""What is to come: the runs of hypotheses with what exists of them and what the rest would cost."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from harness.campaign.bench import Bench
from harness.campaign.foreseen import foreseen
from harness.campaign.looks import at_first
from harness.campaign.spent import spent
from harness.plan import Cost, PlannedRun, RunSet, base_cost, run_cost
from harness.record.job import State
from harness.spec import Cell, HubBase, Hypothesis


@dataclass(frozen=True, slots=True)
class Outlook:
    """A plan with its costs; costs count what does not exist yet."""

    hypotheses: tuple[str, ...]
    runs: RunSet
    there: frozenset[str]
    """Ids of runs with a result."""
    first: int
    """Runs that some prediction wants for its first look."""
    costs: Mapping[tuple[str, Cell], Cost]
    """By base and cell, on bases that exist."""
    minutes: Mapping[str, tuple[float, bool]]
    """CPU-minutes by run, on bases that are made on the spot, and whether runs of the very cell were timed."""
    base_hours: Mapping[str, float]
    """GPU-hours of bases without a result."""
    unresolved: tuple[str, ...]
    """Bases, with their revisions, that have no commit yet: ids of their runs are provisional."""
    unpinned: tuple[str, ...]
    """What of the task is not known yet: all ids and seeds are provisional."""
    gpu: str
    """The device that costs are reckoned on; empty where none is declared."""

    @property
    def new(self) -> tuple[PlannedRun, ...]:
        """Runs without a result."""
        return tuple(run for run in self.runs.runs if run.id not in self.there)

    @property
    def gpu_hours(self) -> float:
        """Of all that does not exist, bases included."""
        runs = (self.costs[run.base.name, run.cell] for run in self.new if (run.base.name, run.cell) in self.costs)
        return sum(cost.gpu_hours for cost in runs) + sum(self.base_hours.values())

    @property
    def cpu_minutes(self) -> float:
        """Of all that does not exist and whose like was timed."""
        return sum(self.minutes[run.id][0] for run in self.new if run.id in self.minutes)

    @property
    def unknown(self) -> int:
        """Runs to come of which no cost is known."""
        known = (run.id in self.minutes or (run.base.name, run.cell) in self.costs for run in self.new)
        return sum(not one for one in known)


def outlook(bench: Bench, hypotheses: Mapping[str, Hypothesis], names: Sequence[str] | None) -> Outlook:
    """Return the plan of hypotheses on the named bases, as registering them now would make it, with its costs.

    None names the protocol's own choice of bases.
    """
    runs, protocol = foreseen(bench, hypotheses, names), bench.protocol
    pairs = dict.fromkeys((run.base.name, run.cell) for run in runs.runs)
    costs = {pair: found for pair in pairs if (found := run_cost(pair[1], pair[0], protocol)) is not None}
    known = spent(bench.store)
    missing = [base.name for base in runs.bases if bench.base_job(base).manifest() is None]
    return Outlook(
        hypotheses=tuple(hypotheses),
        runs=runs,
        there=frozenset(run.id for run in runs.runs if bench.run_job(run).state() is State.COMMITTED),
        first=at_first(hypotheses, runs),
        costs=costs,
        minutes={run.id: found for run in runs.runs if (found := known.minutes(run)) is not None},
        base_hours={name: hours for name in missing if (hours := base_cost(name, protocol)) is not None},
        unresolved=tuple(_places(bench, runs)),
        unpinned=bench.unpinned(),
        gpu=protocol.hardware.gpu if protocol.hardware else "",
    )


def _places(bench: Bench, runs: RunSet) -> list[str]:
    declared = {base.name: bench.protocol.base(base.name) for base in runs.bases if base.provisional}
    return [f"{name} ({base.place})" for name, base in declared.items() if isinstance(base, HubBase)]
