"""What looking early costs and saves: two Gaussian arms, decided at looks by the levels and limits of `harness.decide`.

    python benchmarks/sequential.py --reps 20000

Arm a lies 0, 1, 2, 3 or 5 between-run standard deviations above the margin (0) over arm b; an interval wholly above
the margin supports, one wholly below refutes, and either ends the trial. Welch's t with Satterthwaite's degrees of
freedom, without the harness's variance floor. The always-valid limits and the chance to resolve come in two readings:
with 2 (n - 1) degrees of freedom, which is what the earlier figures turn out to rest on, and with Satterthwaite's.

Printed: how often it is supported (at 0 this is the type I error of one side) / the mean runs an arm, and in brackets
both less an earlier independent simulation of 20,000 data sets, in Monte Carlo standard errors of the difference. The
earlier figures are rounded as printed; only what exceeds half a unit of their last digit counts. Ends with 1 if any
differs by more than 4 standard errors.

All designs see the same data sets, so that their errors are not independent.
"""

import argparse
import math
import sys
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtrit  # pyright: ignore[reportMissingTypeStubs] - scipy ships none

from harness.decide.sequential import FinalLook, Regions, always_valid_half_width, resolve_probability
from harness.decide.spending import nominal_levels

Floats = NDArray[np.float64]

ALPHA = 0.05
FUTILITY = 0.30
"""Below this chance to resolve, a trial is given up."""
EFFECTS = (0, 1, 2, 3, 5)
"""Distance beyond the margin, in between-run standard deviations."""
EARLIER_REPS = 20_000
LIMIT = 4.0
"""Standard errors that a difference may have."""


@dataclass(frozen=True)
class Fit:
    """The contrast a - b of every data set at one look, each (n_sets,)."""

    estimate: Floats
    se: Floats
    df: Floats


@dataclass(frozen=True)
class Design:
    """When it is looked, and what decides."""

    name: str
    sizes: tuple[int, ...]
    """Runs an arm at each look."""
    levels: tuple[float, ...] | None
    """One-sided level of each look's t interval; None for always-valid limits."""
    earlier: tuple[str, ...]
    """Supported / mean runs an arm as printed by an earlier independent simulation of 20,000 data sets, by effect."""
    futility: bool = False
    satterthwaite: bool = False
    """Whose degrees of freedom always-valid limits and the chance to resolve take, instead of 2 (n - 1)."""


@dataclass(frozen=True)
class Played:
    """What became of the data sets under a design."""

    supported: float
    runs: Floats
    """An arm, (n_sets,)."""


def designs() -> tuple[Design, ...]:
    three, four, every8, every20 = (3, 5, 8), (3, 5, 8, 12), tuple(range(3, 9)), tuple(range(3, 21))
    pocock, obrien_fleming = nominal_levels(ALPHA, three), nominal_levels(ALPHA, three, "obrien_fleming")
    futile = (".040/4.25", ".43/5.0", ".92/4.7", "1.00/3.7", "1.00/3.06")
    return (
        Design("fixed 3", (3,), (ALPHA,), (".040/3", ".22/3", ".58/3", ".86/3", "1.00/3")),
        Design("fixed 5", (5,), (ALPHA,), (".048/5", ".40/5", ".89/5", "1.00/5", "1.00/5")),
        Design("fixed 8", (8,), (ALPHA,), (".050/8", ".60/8", ".98/8", "1.00/8", "1.00/8")),
        Design("naive 3,5,8", three, (ALPHA,) * 3, (".096/7.4", ".66/6.2", ".99/4.1", "1.00/3.3", "1.00/3.0")),
        Design("naive every run to 20", every20, (ALPHA,) * 18, (".183/15.5",)),
        Design("Pocock 3,5,8", three, pocock, (".046/7.7", ".50/7.0", ".96/5.0", "1.00/3.7", "1.00/3.06")),
        Design("OBF 3,5,8", three, obrien_fleming, (".050/7.9", ".59/7.5", ".98/6.1", "1.00/5.0", "1.00/4.4")),
        Design(
            "Pocock 3,5,8,12",
            four,
            nominal_levels(ALPHA, four),
            (".047/11.5", ".67/9.4", "1.00/5.6", "1.00/4.0", "1.00/3.1"),
        ),
        Design("Pocock futility", three, pocock, futile, futility=True),
        Design("  Satterthwaite df", three, pocock, (), futility=True, satterthwaite=True),
        Design("always valid to 8", every8, None, (".015/7.9", ".25/7.4", ".83/5.6", "1.00/4.1", "1.00/3.2")),
        Design("  Satterthwaite df", every8, None, (), satterthwaite=True),
        Design("always valid to 20", every20, None, (".021/19.4", ".66/14.0", "1.00/6.1", "1.00/4.1", "1.00/3.2")),
        Design("  Satterthwaite df", every20, None, (), satterthwaite=True),
    )


def fits(generator: np.random.Generator, effect: float, reps: int, largest: int) -> dict[int, Fit]:
    """Return the contrasts of the same data sets after 3, 4, ... `largest` runs an arm."""
    runs = generator.standard_normal((2, reps, largest))
    runs[0] += effect
    return {n: _welch(runs[:, :, :n]) for n in range(3, largest + 1)}


def _welch(runs: Floats) -> Fit:
    """Return the contrasts of runs (2, n_sets, n)."""
    n = runs.shape[2]
    (mean_a, mean_b), (a, b) = runs.mean(axis=2), runs.var(axis=2, ddof=1) / n
    return Fit(mean_a - mean_b, np.sqrt(a + b), (a + b) ** 2 * (n - 1) / (a**2 + b**2))


def played(design: Design, looks: dict[int, Fit]) -> Played:
    """Return what becomes of every data set when the design's looks are taken in turn."""
    sets = looks[design.sizes[0]].estimate.size
    going, runs = np.ones(sets, dtype=bool), np.full(sets, float(design.sizes[-1]))
    supported = 0
    for k, n in enumerate(design.sizes):
        fit, half = looks[n], half_width(design, k, looks[n])
        above, below = going & (fit.estimate - half > 0), going & (fit.estimate + half < 0)
        supported += int(above.sum())
        ended = above | below | (going & futile(design, k, fit))
        runs[ended] = n
        going &= ~ended
    return Played(supported / sets, runs)


def half_width(design: Design, k: int, fit: Fit) -> Floats:
    """Return half the intervals' widths at look k, (n_sets,)."""
    if design.levels is None:
        return always_valid_half_width(fit.se, _df(design, k, fit), design.sizes[k] / 2, ALPHA)
    return fit.se * stdtrit(fit.df, 1 - design.levels[k])


def futile(design: Design, k: int, fit: Fit) -> NDArray[np.bool_]:
    """Return which data sets are given up at look k, (n_sets,)."""
    if not design.futility or design.levels is None or k == len(design.sizes) - 1:
        return np.zeros(fit.estimate.size, dtype=bool)
    last, level, regions = design.sizes[-1], design.levels[-1], Regions(support_above=0.0, refute_below=0.0)
    final = FinalLook(design.sizes[k] / last, 2.0 * (last - 1), level, level)
    return resolve_probability(fit.estimate, fit.se, _df(design, k, fit), regions, final) < FUTILITY


def _df(design: Design, k: int, fit: Fit) -> Floats:
    return fit.df if design.satterthwaite else np.full(fit.df.size, 2.0 * (design.sizes[k] - 1))


def errors_apart(played: Played, earlier: str) -> tuple[float, float]:
    """Return by how many standard errors the share supported and the mean runs differ from the earlier figures."""
    share, runs = earlier.split("/")
    reps = played.runs.size
    pooled = (played.supported * reps + float(share) * EARLIER_REPS + 1) / (reps + EARLIER_REPS + 2)
    both = math.sqrt(1 / reps + 1 / EARLIER_REPS)
    spread = float(played.runs.std()) * both
    return (
        _beyond(played.supported, share) / (math.sqrt(pooled * (1 - pooled)) * both),
        _beyond(float(played.runs.mean()), runs) / max(spread, sys.float_info.min),  # 0 / 0 where n is fixed
    )


def _beyond(value: float, printed: str) -> float:
    """Return by how much a value differs from a printed one, less what rounding explains."""
    digits = len(printed.partition(".")[2])
    difference = value - float(printed)
    return math.copysign(max(abs(difference) - 0.5 * 10**-digits * (digits > 0), 0.0), difference) + 0.0  # no -0.0


def main() -> int:
    """Return 0 if the earlier figures are reproduced."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--reps", type=int, default=20_000, help="data sets an effect")
    parser.add_argument("--seed", type=int, default=1)
    chosen = parser.parse_args()
    generator, rules, rows, apart = np.random.default_rng(chosen.seed), designs(), dict[int, list[str]](), [0.0]
    for column, effect in enumerate(EFFECTS):
        looks = fits(generator, effect, chosen.reps, 20)
        for row, design in enumerate(rules):
            found = played(design, looks)
            errors = errors_apart(found, design.earlier[column]) if column < len(design.earlier) else ()
            rows.setdefault(row, []).append(cell(found, errors))
            apart.extend(map(abs, errors))
    print("design".ljust(22), *(f"{effect} sigma".ljust(23) for effect in EFFECTS))
    for row, design in enumerate(rules):
        print(design.name.ljust(22), *rows[row])
    print(f"furthest from the earlier figures: {max(apart):.1f} standard errors, allowed {LIMIT}")
    return 0 if max(apart) <= LIMIT else 1


def cell(played: Played, errors: tuple[float, ...]) -> str:
    """Return the figures of one design and effect, at a fixed width."""
    apart = " ".join(f"{error:+.1f}" for error in errors)
    return f"{played.supported:.3f}/{played.runs.mean():.2f}{f' ({apart})' if errors else ''}".ljust(23)


if __name__ == "__main__":
    sys.exit(main())
