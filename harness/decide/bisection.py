"""Which rate to try next on the way to the one at which runs begin to collapse: bisection that expects chance.

Rates stand on a ladder of equal steps in log2. From the protocol's own rate, steps of 1, 2, 4, ... octaves lead up from
a run that lived, down from one that collapsed, until two ends disagree. From then on the next run is at the free rung
nearest to the median of where the threshold may be, given all runs so far (`threshold`): without chance that is plain
bisection, and where neighbours contradict each other it repeats them with other seeds (probabilistic bisection:
Horstein 1963, IEEE Trans. Inform. Theory 9:136; Waeber, Frazier and Henderson 2013, SIAM J. Control Optim. 51:2261).

Seeds take turns, so that one seed's luck does not lead the whole way. Nothing is drawn at random: the same outcomes ask
for the same runs, which is what makes a search repeatable and resumable.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from harness.decide.threshold import Threshold, locate

BEYOND = 2.0
"""Octaves outside the ladder where a threshold is still thought possible."""
ENOUGH = 3
"""Rungs that the interval may be wide when the search ends."""
MOST = 12
"""Runs after which it ends in any case; only where collapse sets in over octaves are they reached."""


class End(StrEnum):
    """Why a search asks for no further run."""

    RESOLVED = "resolved"
    """The interval is at most three rungs wide."""
    SPENT = "runs spent"
    """It is wider, and as many runs as one search may have are done."""
    EXHAUSTED = "seeds used up"
    """It is wider, and every seed of every rung in it has been run."""
    NEVER = "no collapse"
    """Runs live more often than not up to the highest rung: the threshold lies above it, or nowhere."""
    ALWAYS = "collapse everywhere"
    """Runs collapse more often than not down to the lowest rung: the threshold lies below it, or nowhere."""
    NO_RESULT = "no result"
    """The runs of a rung that the search has to pass gave no result."""

    @property
    def censored(self) -> bool:
        """Whether no threshold was found on the ladder."""
        return self in (End.NEVER, End.ALWAYS, End.NO_RESULT)


@dataclass(frozen=True, slots=True)
class Ladder:
    """The rates that a search may ask for, in steps from the protocol's own."""

    per_octave: int
    lowest: int
    """Rungs below the protocol's rate as a negative number."""
    highest: int
    seeds: int
    """Runs that a rung can have."""

    def __post_init__(self) -> None:
        if self.per_octave < 1 or self.seeds < 1 or not self.lowest <= 0 <= self.highest:
            raise ValueError(f"{self} is no ladder. Give steps an octave, seeds, and limits with the rate 1 between.")

    @property
    def rungs(self) -> range:
        """All rungs, from the lowest."""
        return range(self.lowest, self.highest + 1)

    def octaves(self, rung: int) -> float:
        """Return a rung's distance from the protocol's rate."""
        return rung / self.per_octave

    def factor(self, rung: int) -> float:
        """Return what the protocol's rate is multiplied by, to four digits: it becomes part of a run's name."""
        return float(f"{2 ** self.octaves(rung):.4g}")

    def within(self, octaves: float) -> bool:
        """Return whether a place lies between the ends of the ladder."""
        return self.octaves(self.lowest) <= octaves <= self.octaves(self.highest)


@dataclass(frozen=True, slots=True)
class Trial:
    """One run of a search."""

    rung: int
    seed: int
    collapsed: bool | None
    """None for a run without a result, which says nothing and is not asked for again."""


def threshold(ladder: Ladder, trials: Sequence[Trial]) -> Threshold:
    """Return where the threshold may be, in octaves from the protocol's rate."""
    seen = [(ladder.octaves(trial.rung), trial.collapsed) for trial in trials if trial.collapsed is not None]
    return locate(seen, ladder.octaves(ladder.lowest) - BEYOND, ladder.octaves(ladder.highest) + BEYOND)


def next_run(ladder: Ladder, trials: Sequence[Trial]) -> tuple[int, int] | End:
    """Return the rung and the seed of the run to make next, or why there is none; `trials` in their order."""
    outcomes = {trial.collapsed for trial in trials} - {None}
    if len(outcomes) == 2:
        return _towards_the_median(ladder, trials)
    rung = _outwards(ladder, trials)
    seed = _free_seed(ladder, trials, rung)
    if seed is not None:
        return rung, seed
    if not any(trial.rung == rung and trial.collapsed is not None for trial in trials):
        return End.NO_RESULT
    return End.ALWAYS if True in outcomes else End.NEVER


def _outwards(ladder: Ladder, trials: Sequence[Trial]) -> int:
    """Return the next rung while all runs agree, doubling the steps; the end of the ladder is not passed."""
    rung, step = 0, ladder.per_octave
    tried = {trial.rung: trial.collapsed for trial in sorted(trials, key=lambda t: t.collapsed is not None)}
    while (collapsed := tried.get(rung)) is not None:
        beyond = rung - step if collapsed else rung + step
        beyond = max(ladder.lowest, min(ladder.highest, beyond))
        if beyond == rung:
            return rung
        rung, step = beyond, 2 * step
    return rung


def _towards_the_median(ladder: Ladder, trials: Sequence[Trial]) -> tuple[int, int] | End:
    found = threshold(ladder, trials)
    (low, high), median = found.interval, found.median
    outside = None if ladder.within(median) else End.NEVER if median > 0 else End.ALWAYS
    if high - low <= ENOUGH / ladder.per_octave:
        return outside or End.RESOLVED
    if len(trials) >= MOST:
        return outside or End.SPENT
    free = {
        rung: seed
        for rung in ladder.rungs
        if low <= ladder.octaves(rung) <= high and (seed := _free_seed(ladder, trials, rung)) is not None
    }
    if not free:
        return outside or End.EXHAUSTED
    return min(free.items(), key=lambda place: (abs(ladder.octaves(place[0]) - median), place[0]))


def _free_seed(ladder: Ladder, trials: Sequence[Trial], rung: int) -> int | None:
    """Return the seed whose turn it is among those that a rung has not seen; the n-th run's is n modulo the seeds."""
    used = Counter(trial.seed for trial in trials if trial.rung == rung)
    turns = ((len(trials) + i) % ladder.seeds for i in range(ladder.seeds))
    return next((seed for seed in turns if not used[seed]), None)
