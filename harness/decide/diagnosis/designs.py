"""Other designs of the same claim: with another number of seeds, or another futility rule, and the smallest that does.

A design is judged by its power: how often, in the declared world, the claim comes out as it is true there. The power of
exact counts is not monotone in the number of seeds, so the smallest design is sought one by one, never by bisection.
"""

from dataclasses import dataclass

import numpy as np

from harness.decide.diagnosis.characteristics import Characteristics, Rate
from harness.decide.diagnosis.simulation import Estimands, Watch, diagnose
from harness.decide.diagnosis.worlds import World
from harness.spec.hypothesis import Hypothesis
from harness.spec.hypothesis_checks import check
from harness.spec.problem import dotted

ENOUGH = 0.8
"""Power that a declaration should have in its own world."""
MOST_SEEDS = 40
"""Seeds a cell up to which a design is sought."""
FIRST_BATCH = 100
"""Simulations after which a design that is clearly too small is given up."""
CLEARLY = 4.0
"""Standard errors below the target."""


@dataclass(frozen=True, slots=True)
class Found:
    """The smallest design with enough power."""

    seeds: int
    power: Rate


def with_seeds(hypothesis: Hypothesis, seeds: int) -> Hypothesis:
    """Return the declaration with another number of seeds a cell; looks beyond it go, and the last look is at it."""
    design = hypothesis.design

    def fitted(looks: tuple[int, ...] | None) -> tuple[int, ...] | None:
        return None if looks is None else (*(n for n in looks if n < seeds), seeds)

    changed = design.model_copy(update={"seeds": seeds, "looks": fitted(design.looks), "max_runs": None})
    predictions = tuple(
        p.model_copy(update={"looks": fitted(looks)}) if (looks := getattr(p, "looks", None)) is not None else p
        for p in hypothesis.predictions
    )
    return hypothesis.model_copy(update={"design": changed, "predictions": predictions})


def with_futility(hypothesis: Hypothesis, futility: float) -> Hypothesis:
    """Return the declaration with another futility threshold."""
    return hypothesis.model_copy(update={"design": hypothesis.design.model_copy(update={"futility": futility})})


def mistakes(hypothesis: Hypothesis) -> list[str]:
    """Return why a design cannot come out both ways, as `harness validate` would say it."""
    return [f"{dotted(p.location)}: {p.message}" for p in check(hypothesis.model_dump(mode="json"))]


def claim_in(
    hypothesis: Hypothesis, world: World, sims: int, rng: np.random.Generator, estimands: Estimands | None = None
) -> Characteristics:
    """Return how the claim comes out in a world; auxiliary predictions are not decided."""
    return diagnose(hypothesis, world, sims, rng, only=hypothesis.primary(), estimands=estimands).claim


def smallest_design(
    hypothesis: Hypothesis,
    world: World,
    target: float,
    sims: int,
    rng: np.random.Generator,
    *,
    estimands: Estimands | None = None,
    watch: Watch | None = None,
) -> Found | None:
    """Return the fewest seeds a cell, up to MOST_SEEDS, whose power reaches `target`; None where none does.

    Args:
        hypothesis: The declaration.
        world: The declared one.
        target: Power wanted, 0 to 1.
        sims: Simulations of a design that is not clearly too small.
        rng: Draws the runs.
        estimands: The functions of custom predictions.
        watch: Told how many numbers of seeds were tried.
    """
    for seeds in range(1, MOST_SEEDS + 1):
        changed = with_seeds(hypothesis, seeds)
        if watch is not None:
            watch(f"seeds up to {MOST_SEEDS}", seeds, MOST_SEEDS)
        if mistakes(changed):
            continue
        if sims > FIRST_BATCH:
            first = claim_in(changed, world, FIRST_BATCH, rng, estimands).correct
            if first.value + CLEARLY * first.se < target:
                continue
        power = claim_in(changed, world, sims, rng, estimands).correct
        if power.value >= target:
            return Found(seeds, power)
    return None
