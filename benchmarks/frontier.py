"""What sequential bisection costs and errs, against a full grid and other searches, on simulated frontiers.

    python benchmarks/frontier.py --reps 1000

A run at x octaves collapses with probability 1 / (1 + exp(-(x - place) / width)); places are uniform within 2.5
octaves of the protocol's rate, widths 0 (a step) to 0.4 octaves. In the last world every seed has a threshold of its
own (normal, 0.2 octaves) above which it always collapses: runs of one seed then depend on each other, which `locate`
does not know.

First table: root mean square error of the critical rate in octaves / how often a 90 % interval covers / runs an arm.
All searches and the grid have the same ladder (quarter octaves from 1/16 to 16) and three seeds a rate, but for the
coarse grid. Second: six arms, three ranks under two scalings, whose frontier lies at one norm of the first update, at
one rate, or halfway between; how often the ratio of the two spreads is shown to be below 1 and above 1, how often one
value is held to fit, and runs a frontier. Nothing is timed.
"""

import argparse
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from harness.decide.alignment import ratio, spread
from harness.decide.bisection import End, Ladder, Trial, next_run, threshold

LADDER = Ladder(per_octave=4, lowest=-16, highest=16, seeds=3)
COARSE = Ladder(per_octave=1, lowest=-4, highest=4, seeds=3)
WIDTHS = (0.0, 0.05, 0.1, 0.2, 0.4)
SEED_SPREAD = 0.2
STAIRCASE = 12
"""Runs of the up-and-down method."""
DRAWS = 400
NORM_EXPONENT = 0.56
"""The first update's norm goes as rate x multiplier x rank ** this, as measured at protocol tiny."""

Ask = Callable[[int, int], bool]
"""Whether the run at a rung with a seed collapses."""


@dataclass(frozen=True)
class Found:
    """What a method says of one arm."""

    place: float | None
    interval: tuple[float, float] | None
    runs: int


def sequential(ladder: Ladder, ask: Ask) -> Found:
    trials: list[Trial] = []
    while not isinstance(step := next_run(ladder, trials), End):
        trials.append(Trial(*step, ask(*step)))
    if step.censored:
        return Found(None, None, len(trials))
    found = threshold(ladder, trials)
    return Found(found.median, found.interval, len(trials))


def grid(ladder: Ladder, ask: Ask) -> Found:
    trials = [Trial(rung, seed, ask(rung, seed)) for rung in ladder.rungs for seed in range(ladder.seeds)]
    found = threshold(ladder, trials)
    return Found(found.median, found.interval, len(trials))


def bisection(ladder: Ladder, ask: Ask, votes: int = 1) -> Found:
    """Halve the ladder as if outcomes were certain; each is the majority of `votes` runs."""
    low, high, runs = ladder.lowest - 1, ladder.highest + 1, 0
    while high - low > 1:
        rung = (low + high) // 2
        collapsed = 2 * sum(ask(rung, seed) for seed in range(votes)) > votes
        low, high, runs = (low, rung, runs + votes) if collapsed else (rung, high, runs + votes)
    return Found((low + high) / 2 / ladder.per_octave, None, runs)


def staircase(ladder: Ladder, ask: Ask) -> Found:
    """Go one rung down after a collapse and up after none (Dixon and Mood 1948, JASA 43:109); mean since the turn."""
    rung, visited, outcomes = 0, list[int](), list[bool]()
    for i in range(STAIRCASE):
        visited.append(rung)
        outcomes.append(ask(rung, i % ladder.seeds))
        stride = 1 if len(set(outcomes)) == 2 else ladder.per_octave
        rung = max(ladder.lowest, min(ladder.highest, rung - stride if outcomes[-1] else rung + stride))
    turn = next((i for i, outcome in enumerate(outcomes) if outcome != outcomes[0]), None)
    place = None if turn is None else float(np.mean(visited[turn:])) / ladder.per_octave
    return Found(place, None, STAIRCASE)


METHODS: dict[str, tuple[Ladder, Callable[[Ladder, Ask], Found]]] = {
    "sequential (harness frontier)": (LADDER, sequential),
    "bisection, one run a rate": (LADDER, bisection),
    "bisection, best of three": (LADDER, lambda ladder, ask: bisection(ladder, ask, 3)),
    "up and down, 12 runs": (LADDER, staircase),
    "full grid": (LADDER, grid),
    "full grid in octaves": (COARSE, grid),
}


def world(place: float, width: float, ladder: Ladder, rng: np.random.Generator, seed_spread: float = 0.0) -> Ask:
    """Return runs whose outcome is fixed by rung and seed."""
    own = place + seed_spread * rng.standard_normal(ladder.seeds)
    logistic = rng.logistic(size=(len(ladder.rungs), ladder.seeds))

    def ask(rung: int, seed: int) -> bool:
        return ladder.octaves(rung) > own[seed] + width * logistic[rung - ladder.lowest, seed]

    return ask


def accuracy(reps: int, rng: np.random.Generator) -> None:
    worlds = [(f"width {width:g}", width, 0.0) for width in WIDTHS] + [("seeds differ", 0.0, SEED_SPREAD)]
    print(f"{'':30}" + "".join(f"{name:>18}" for name, _, _ in worlds))
    for name, (ladder, method) in METHODS.items():
        cells: list[str] = []
        for _, width, seed_spread in worlds:
            places = rng.uniform(-2.5, 2.5, reps)
            found = [method(ladder, world(place, width, ladder, rng, seed_spread)) for place in places]
            pairs = [(f, p) for f, p in zip(found, places, strict=True) if f.place is not None]
            rmse = float(np.mean([(f.place - p) ** 2 for f, p in pairs if f.place is not None])) ** 0.5
            covered = [f.interval[0] <= p <= f.interval[1] for f, p in pairs if f.interval]
            cover = f"{np.mean(covered):.2f}" if covered else "-"
            cells.append(f"{rmse:.2f}/{cover}/{np.mean([f.runs for f in found]):.1f}")
        print(f"{name:30}" + "".join(f"{cell:>18}" for cell in cells), flush=True)


def arms(kind: str, rng: np.random.Generator) -> list[tuple[float, float]]:
    """Return, for six arms, where the frontier lies and the log2 norm of the first update at the protocol's rate."""
    ranks = np.array([8, 32, 128] * 2)
    multipliers = np.where(np.arange(6) < 3, 2.0, 32 / ranks)
    norms = np.log2(multipliers) + NORM_EXPONENT * np.log2(ranks / 8)
    between = rng.uniform(-0.5, 0.5) + {"norm": -norms + norms.mean(), "rate": 0 * norms, "neither": -norms / 2}[kind]
    return list(zip(between.tolist(), norms.tolist(), strict=True))


def lining_up(reps: int, rng: np.random.Generator) -> None:
    heads = ("width", "ratio < 1", "ratio > 1", "one norm", "one rate", "runs")
    print(f"\n{'frontier at one ...':22}" + "".join(f"{head:>11}" for head in heads))
    for kind in ("norm", "rate", "neither"):
        for width in (0.05, 0.2):
            below = above = one_norm = one_rate = runs = played = 0
            for _ in range(reps):
                rates: list[float] = []
                draws: list[np.ndarray] = []
                norms: list[float] = []
                for place, norm in arms(kind, rng):
                    trials: list[Trial] = []
                    ask = world(place, width, LADDER, rng)
                    while not isinstance(step := next_run(LADDER, trials), End):
                        trials.append(Trial(*step, ask(*step)))
                    runs += len(trials)
                    if not step.censored:
                        found = threshold(LADDER, trials)
                        rates.append(found.median)
                        draws.append(found.draws(rng, DRAWS))
                        norms.append(norm)
                if len(rates) < 3:
                    continue
                x, drawn, offset = np.array(rates), np.stack(draws, axis=1), np.array(norms)
                said = ratio(x + offset, drawn + offset, x, drawn)
                played += 1
                below += said.high < 1
                above += said.low > 1
                one_norm += spread(x + offset, drawn + offset).p >= 0.05
                one_rate += spread(x, drawn).p >= 0.05
            print(
                f"{kind:22}{width:11.2f}{below / played:11.2f}{above / played:11.2f}{one_norm / played:11.2f}"
                f"{one_rate / played:11.2f}{runs / reps:11.1f}",
                flush=True,
            )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--reps", type=int, default=1000, help="Simulated arms a cell; a fifth of it frontiers.")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    rng = np.random.default_rng(options.seed)
    print("error in octaves / coverage of the 90 % interval / runs an arm\n")
    accuracy(options.reps, rng)
    lining_up(max(options.reps // 5, 10), rng)


if __name__ == "__main__":
    main()
