"""The collapse frontier: for every rank and scaling policy, the learning rate at which runs begin to collapse.

Found by sequential bisection (`decide.bisection`) in few runs. Every arm asks for one run at a time and the runs that
all arms ask for are executed together; which come next hangs on nothing but outcomes, so a killed command finds its
finished runs by their ids and goes on. Runs have the seeds of an exploration: where to look is chosen by what was seen,
so a frontier is exploratory by design and nothing here is registered.

Collapsed is what the protocol says it is, relative to the run's own base. A run that failed, is invalid or was excluded
by hand is no collapse; its place in the search stays empty.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from harness.campaign.bench import Bench, MakeExecutor
from harness.campaign.execution import Watch
from harness.campaign.observed import answers, relative_to
from harness.decide import Landmarks, at_floor
from harness.decide.bisection import End, Ladder, Trial, next_run, threshold
from harness.decide.threshold import Floats, Threshold
from harness.execute import Executor
from harness.execute.engine import Standing
from harness.plan import PlannedBase, PlannedRun, RunSet
from harness.plan.runset import planned_run
from harness.record.exclusion import excluded
from harness.record.verdict import RunLabel
from harness.source.seeds import EXPLORE
from harness.spec import Arm, Lora
from harness.spec.adapter import Constant, Proportional, RankStabilised, Scaling
from harness.store import invalid_runs, query, refresh, responses

MEETING_RANK = 16
"""Rank at which a policy without a number of its own has the multiplier of the protocol's policy."""


Training = tuple[int, float]
"""Rank and multiplier of the update: what of an arm reaches the training."""


class NoFrontier(Exception):
    """Nothing can be searched, because the base has no result or nothing to lose."""


@dataclass(frozen=True, slots=True)
class FrontierArm:
    """A rank under a scaling policy."""

    rank: int
    scaling: Scaling

    @property
    def multiplier(self) -> float:
        """The nominal multiplier of the update."""
        return Lora(rank=self.rank, scaling=self.scaling).multiplier()

    @property
    def training(self) -> Training:
        """What two arms must have in common to train alike: policies may meet at a rank."""
        return self.rank, self.multiplier


@dataclass(frozen=True, slots=True)
class Tried:
    """One run of a search, and what came of it."""

    run_id: str
    trial: Trial
    first_update_norm: float | None
    """Frobenius norm of the policy's update after the first step; None where the run has none."""


@dataclass(frozen=True, slots=True)
class Searched:
    """One arm's search."""

    arm: FrontierArm
    end: End
    tried: tuple[Tried, ...]
    found: Threshold | None
    """Where the frontier may be, in octaves from the protocol's rate; None where it is not on the ladder."""
    norm_line: tuple[float, float] | None
    """log2 of the first update's norm as a line in octaves: slope, and value at the protocol's rate."""

    @property
    def trials(self) -> tuple[Trial, ...]:
        """Outcomes in their order."""
        return tuple(tried.trial for tried in self.tried)

    def log2_norm(self, octaves: Floats) -> Floats:
        """Return log2 of the first update's norm at these rates; the arm must have a line."""
        assert self.norm_line is not None
        return self.norm_line[0] * octaves + self.norm_line[1]


@dataclass(frozen=True, slots=True)
class Frontier:
    """All arms of one base."""

    protocol: str
    base: str
    landmarks: Landmarks
    learning_rate: float
    """The protocol's own, from which the ladder counts."""
    ladder: Ladder
    searched: tuple[Searched, ...]
    runs: int
    """Different runs that the searches used, those of earlier commands included."""
    grid: int
    """Runs of every rung and seed of the ladder, for as many different trainings."""


def policy(name: str, number: float | None, given: Scaling) -> Scaling:
    """Return the scaling policy of this name with its factor or alpha.

    Without a number it is the protocol's own policy `given`, or the one with the multiplier of `given` at rank 16.
    """
    if number is None and name == given.policy:
        return given
    met = Lora(rank=MEETING_RANK, scaling=given).multiplier()
    if name == "proportional":
        return Proportional(factor=met if number is None else number)
    if name == "constant":
        return Constant(policy="constant", alpha=met * MEETING_RANK if number is None else number)
    return RankStabilised(policy="rank_stabilised", alpha=met * MEETING_RANK**0.5 if number is None else number)


def trace(
    bench: Bench,
    base: PlannedBase,
    arms: Sequence[FrontierArm],
    ladder: Ladder,
    make_executor: MakeExecutor,
    watch: Watch,
) -> Frontier:
    """Search every arm's critical rate on one base; arms that train alike share their runs.

    Raises:
        NoFrontier: the base failed, or answers so little that a collapse could not be told.
    """
    search, executor = _Search(bench, base, ladder), _Shared(make_executor)
    different = {arm.training: arm for arm in reversed(arms)}
    tried: dict[Training, list[Tried]] = {training: [] for training in different}
    ends: dict[Training, End] = {}
    try:
        while True:
            asked: dict[Training, PlannedRun] = {}
            for training in different.keys() - ends.keys():
                step = next_run(ladder, [one.trial for one in tried[training]])
                if isinstance(step, End):
                    ends[training] = step
                else:
                    asked[training] = search.planned(different[training], *step)
            if not asked:
                break
            runs = [asked[training] for training in different if training in asked]
            said = search.outcomes(runs, executor, watch)
            for training, run in asked.items():
                tried[training].append(said[run.id])
    finally:
        executor.shut()
    rate = bench.protocol.grpo["learning_rate"]
    assert isinstance(rate, int | float) and search.landmarks is not None
    return Frontier(
        protocol=bench.protocol_name,
        base=base.name,
        landmarks=search.landmarks,
        learning_rate=float(rate),
        ladder=ladder,
        searched=tuple(_searched(arm, ends[arm.training], tried[arm.training], ladder) for arm in arms),
        runs=sum(map(len, tried.values())),
        grid=len(different) * len(ladder.rungs) * ladder.seeds,
    )


def _searched(arm: FrontierArm, end: End, tried: Sequence[Tried], ladder: Ladder) -> Searched:
    found = None if end.censored else threshold(ladder, [one.trial for one in tried])
    return Searched(arm, end, tuple(tried), found, _norm_line(tried, ladder))


def _norm_line(tried: Sequence[Tried], ladder: Ladder) -> tuple[float, float] | None:
    """Return slope and value of the least-squares line through log2 of the norms; None without two different rungs."""
    points = [(ladder.octaves(one.trial.rung), one.first_update_norm) for one in tried]
    known = [(x, norm) for x, norm in points if norm is not None and norm > 0]
    if len({x for x, _ in known}) < 2:
        return None
    slope, value = np.polyfit([x for x, _ in known], np.log2([norm for _, norm in known]), 1)
    return float(slope), float(value)


class _Search:
    """Plans runs of the searches and says what came of them."""

    def __init__(self, bench: Bench, base: PlannedBase, ladder: Ladder):
        self._bench, self._base, self._ladder = bench, base, ladder
        self._places: dict[str, tuple[int, int]] = {}
        self._rounds = 0
        self.landmarks: Landmarks | None = None

    def planned(self, arm: FrontierArm, rung: int, seed: int) -> PlannedRun:
        """Return the run of an arm at a rung, with the exploration's seed of this number."""
        protocol = self._bench.protocol
        cell = Arm(rank=arm.rank, scaling=arm.scaling, learning_rate_scale=self._ladder.factor(rung))
        run = planned_run(self._base, cell.cell(protocol.given), seed, protocol, space=EXPLORE)
        self._places[run.id] = rung, seed
        return run

    def outcomes(self, runs: Sequence[PlannedRun], executor: "_Shared", watch: Watch) -> Mapping[str, Tried]:
        """Execute what is missing of one round; return what came of each run, by id."""
        bench = self._bench
        self._rounds += 1
        wanted = RunSet((self._base,), tuple(runs))
        if bench.execute(wanted, executor.lend, watch, f"round {self._rounds}") or self.landmarks is None:
            refresh(bench.store, bench.measures())
        if self.landmarks is None:
            self.landmarks = self._landmarks()
        ids = [run.id for run in runs]
        left_out = invalid_runs(bench.store, ids).keys() | excluded(bench.store).keys()
        accuracy = responses(bench.store, "accuracy", ids)
        norms = responses(bench.store, "first_update_norm", ids)
        found: dict[str, Tried] = {}
        for run_id in ids:
            counts = run_id in accuracy and run_id not in left_out
            label = self.landmarks.label(accuracy[run_id].value) if counts else None
            collapsed = None if label is None else label is RunLabel.COLLAPSED
            norm = norms[run_id].value if run_id in norms and counts else None
            found[run_id] = Tried(run_id, Trial(*self._places[run_id], collapsed), norm)
        return found

    def _landmarks(self) -> Landmarks:
        bench, base = self._bench, self._base
        _, rows = query(bench.store, "SELECT accuracy FROM base WHERE base_id = ?", [base.id])
        if not rows:
            raise NoFrontier(f"base {base.name} has no result: {bench.failed.get(base.id, 'it was not made')}")
        accuracy = float(rows[0][0])
        if why := at_floor(accuracy, bench.protocol.task.evaluation_problems):
            raise NoFrontier(f"{why}: nothing is left to collapse. Take a base that answers more.")
        return relative_to(accuracy, bench, answers(bench))


class _Shared:
    """One executor for all rounds, made at the first job: starting one imports torch and trl."""

    def __init__(self, make: MakeExecutor):
        self._make = make
        self._made: Executor | None = None

    def lend(self) -> Executor:
        """Return the executor, which stays open when its borrower closes it."""
        self._made = self._made or self._make()
        return _Lent(self._made)

    def shut(self) -> None:
        """Close the executor if there is one."""
        if self._made is not None:
            self._made.close()


@dataclass(frozen=True, slots=True)
class _Lent:
    """An executor whose closing is left to its owner."""

    executor: Executor

    @property
    def name(self) -> str:
        return self.executor.name

    @property
    def lasting(self) -> bool:
        return self.executor.lasting

    @property
    def interval(self) -> float:
        return self.executor.interval

    @property
    def log(self) -> Path:
        return self.executor.log

    def submit(self, jobs: Sequence[Path]) -> list[str]:
        return self.executor.submit(jobs)

    def poll(self, handles: Sequence[str]) -> dict[str, Standing]:
        return self.executor.poll(handles)

    def cancel(self, handles: Sequence[str]) -> None:
        self.executor.cancel(handles)

    def close(self) -> None:
        return None
