"""Operating characteristics: how often a declaration comes out which way in a world, how often wrongly, at what cost.

A verdict is wrong where it supports and the truth is not in the support region, or refutes and the truth is not in the
refute region. On an edge that both regions share either verdict is wrong, though beside it only one could be; so the
two rates are kept apart and the larger one is reported.
"""

import math
from dataclasses import dataclass

from harness.decide.diagnosis.truth import Truth

CLAIM = "claim"
"""Stands in place of a prediction's id for all primary predictions together."""


@dataclass(frozen=True, slots=True)
class Rate:
    """A share of simulations."""

    events: int
    of: int

    @property
    def value(self) -> float:
        """The share, 0 to 1."""
        return self.events / self.of

    @property
    def se(self) -> float:
        """Its Monte Carlo standard error, with Laplace's share so that it is never zero."""
        p = (self.events + 1) / (self.of + 2)
        return math.sqrt(p * (1 - p) / self.of)


@dataclass(frozen=True, slots=True)
class Characteristics:
    """How one prediction, or the claim, came out over all simulations."""

    id: str
    """Of the prediction; `claim` for all primary ones together."""
    role: str
    truth: Truth
    supported: Rate
    refuted: Rate
    open: Rate
    """Inconclusive or untested."""
    coverage: Rate | None
    """How often an interval that may decide, at twice alpha, holds the truth; None where the kind has none here."""
    seeds: float
    """Seeds a cell until it is settled, on average; of the claim, until all its predictions are."""

    @property
    def wrong(self) -> Rate:
        """How often the verdict was wrong; on a shared edge, in the worse direction."""
        nothing = Rate(0, self.supported.of)
        supported = nothing if self.truth.supports else self.supported
        refuted = nothing if self.truth.refutes else self.refuted
        return max(supported, refuted, key=lambda rate: rate.events)

    @property
    def correct(self) -> Rate:
        """How often the verdict was the one that the truth asks for."""
        if not (self.truth.supports or self.truth.refutes):
            return self.open
        right = [(self.truth.supports, self.supported), (self.truth.refutes, self.refuted)]
        return Rate(sum(rate.events for holds, rate in right if holds), self.supported.of)


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """A declaration in one world."""

    world: str
    edge_of: str
    """Id of the prediction that the world is an edge of; empty for other worlds."""
    predictions: tuple[Characteristics, ...]
    claim: Characteristics
    runs: float
    """Runs spent, on average, on one base or on all that the design combines."""
    runs_se: float
    """Monte Carlo standard error of `runs`."""
    planned: int
    """Runs if no prediction settles early."""
