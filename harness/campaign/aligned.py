"""Which quantity lines a collapse frontier up: the spread over its arms of each candidate's critical value.

Arms whose frontier is not on the ladder, and arms without norms, have no critical value and are left out of every
quantity alike, so that spreads are over the same arms; they are then smaller than over all arms that were searched.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from harness.campaign.frontier import Frontier, Searched
from harness.decide.alignment import FEWEST, Ratio, Spread, ratio, spread
from harness.decide.threshold import Floats
from harness.spec.canonical import digest

DRAWS = 4000
LEVEL = 0.05
"""Of Q: one value is held to fit unless its p-value is below."""
RATE, NORM = "learning rate", "norm of the first update"

Better = Literal["norm", "rate", "neither"]


@dataclass(frozen=True, slots=True)
class Quantity:
    """One candidate: how far apart the arms are in it."""

    name: str
    spread: Spread
    to_rate: Ratio
    """Its spread over that of the critical learning rate."""

    @property
    def fits(self) -> bool:
        """Whether no difference between the arms is shown beyond their intervals."""
        return self.spread.p >= LEVEL


@dataclass(frozen=True, slots=True)
class Aligned:
    """All candidates over one group of arms."""

    group: str
    arms: int
    quantities: tuple[Quantity, ...]

    @property
    def least(self) -> Quantity:
        """The quantity of the smallest spread, which is picked after seeing all."""
        return min(self.quantities, key=lambda quantity: quantity.spread.octaves)

    @property
    def better(self) -> Better:
        """Which of norm and rate is shown to line the arms up better: all of the ratio's interval is on its side."""
        norm = next(quantity for quantity in self.quantities if quantity.name == NORM)
        return "norm" if norm.to_rate.high < 1 else "rate" if norm.to_rate.low > 1 else "neither"


def aligned(frontier: Frontier) -> tuple[Aligned, ...]:
    """Return the spreads over all arms, and over those of each policy where there are several; none below 3 arms."""
    known = [one for one in frontier.searched if one.found is not None and one.norm_line is not None]
    groups: dict[str, list[Searched]] = {"all arms": _different(known)}
    policies = {one.arm.scaling.in_words() for one in known}
    for one in known if len(policies) > 1 else ():
        groups.setdefault(one.arm.scaling.in_words(), []).append(one)
    return tuple(_aligned(name, arms) for name, arms in groups.items() if len(arms) >= FEWEST)


def _different(searched: Sequence[Searched]) -> list[Searched]:
    """Return one of those that share their training."""
    return list({one.arm.training: one for one in searched}.values())


def _aligned(group: str, arms: Sequence[Searched]) -> Aligned:
    rng = np.random.default_rng(int(digest(sorted({run.run_id for one in arms for run in one.tried}))[:12], 16))
    places = [one.found for one in arms if one.found is not None]
    values = np.array([place.median for place in places])
    draws = np.stack([place.draws(rng, DRAWS) for place in places], axis=1)
    at, drawn = _quantities(arms, values), _quantities(arms, draws)
    found = tuple(
        Quantity(name, spread(at[name], drawn[name]), ratio(at[name], drawn[name], at[RATE], drawn[RATE]))
        for name in at
    )
    return Aligned(group, len(arms), found)


def _quantities(arms: Sequence[Searched], octaves: Floats) -> Mapping[str, Floats]:
    """Return log2 of every candidate at these rates, both (..., n_arms); alpha is the multiplier times the rank.

    The last one is constant where the product of what both factors of the update have moved decides: it is (alpha / r)
    times r directions that agree, each of the size of the rate squared.
    """
    multipliers = np.log2([one.arm.multiplier for one in arms])
    ranks = np.log2([one.arm.rank for one in arms])
    norms = np.stack([one.log2_norm(octaves[..., i]) for i, one in enumerate(arms)], axis=-1)
    return {
        RATE: octaves,
        NORM: norms,
        "learning rate x alpha / r": octaves + multipliers,
        "learning rate x alpha / sqrt(r)": octaves + multipliers + ranks / 2,
        "learning rate x sqrt(alpha)": octaves + (multipliers + ranks) / 2,
    }
