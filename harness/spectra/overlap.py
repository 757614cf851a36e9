"""Where an update lies relative to the frozen weight it changes, beside where a random one of its kind lies.

Overlap: the share ||U0[:, :k]^T U||_F^2 / q of the update's q leading left singular directions U that lies within the k
leading ones of W0 (the subspace similarity of Hu et al. 2022, ICLR, arXiv 2106.09685, with k fixed by the base). Of q
uniformly random directions it is k / rows on average.
"""

from dataclasses import dataclass

import torch

from harness.spectra.basis import Basis
from harness.spectra.intruders import Intruders, intruders
from harness.spectra.update import Update

WITHIN = (1, 8, 16)
"""Numbers of leading directions of the base."""
SMALL = 512
"""Smaller side up to which the tuned matrix is formed."""


@dataclass(frozen=True, slots=True)
class Overlap:
    """Shares of an update's leading directions within leading subspaces of the base."""

    directions: int
    """q: how many of the update's directions were taken; fewer than asked for where it has no more."""
    within: tuple[int, ...]
    """k: how many of the base's were."""
    shares: tuple[float, ...] | None
    """Between 0 and 1, one for each k; None of a zero update."""
    chance: tuple[float, ...]
    """k / rows, one for each k."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where one update lies relative to its base."""

    intruders: Intruders
    overlap: Overlap


@dataclass(frozen=True, slots=True)
class AgainstNull:
    """Where an update lies, and where a random one of its form, shape and norm does."""

    own: Place
    null: Place | None
    """None where there is no random update to be had."""


@torch.no_grad()
def overlap(update: Update, basis: Basis, directions: int = 16, within: tuple[int, ...] = WITHIN) -> Overlap:
    """Return the share of the update's leading directions within each leading subspace of the base.

    `within` beyond min(rows, columns) means all left singular vectors of the base.

    Raises:
        ValueError: shapes that differ, a number below 1, or a truncated basis with fewer vectors than asked for.
    """
    if (update.rows, update.columns) != (basis.rows, basis.columns):
        shapes = f"{(update.rows, update.columns)} and a basis of {(basis.rows, basis.columns)}"
        raise ValueError(f"an update {shapes} are not of one matrix")
    if directions < 1 or min(within, default=0) < 1:
        raise ValueError(f"directions {directions}, within {within}: take 1 or more of each")
    if not basis.complete and max(within) > basis.kept:
        raise ValueError(f"within {within}: the basis keeps {basis.kept} triples. Keep more, or ask for fewer")
    within = tuple(min(k, basis.kept) for k in within)
    u = update.directions(directions)
    q = u.shape[1]
    chance = tuple(k / basis.rows for k in within)
    if not q:
        return Overlap(0, within, None, chance)
    energy = (basis.u_mk[:, : max(within)].double().T @ u).square().sum(1).cumsum(0) / q
    return Overlap(q, within, tuple(min(1.0, float(energy[k - 1])) for k in within), chance)


def against_null(
    update: Update, basis: Basis, generator: torch.Generator, weight: torch.Tensor | None = None
) -> AgainstNull:
    """Return where an update lies and where its `random` does; one draw, so repeat it for a distribution."""

    def place(x: Update) -> Place:
        return Place(intruders(x, basis, weight=weight), overlap(x, basis))

    null = update.random(generator)
    return AgainstNull(place(update), None if null is None else place(null))


@torch.no_grad()
def spectral_shift(update: Update, basis: Basis) -> float | None:
    """Return ||sigma(W0 + dW) - sigma(W0)|| / ||sigma(W0)||, at most ||dW||_F / ||W0||_F (Mirsky 1960).

    Good to about 1e-6, the rounding of the kept basis. None where the smaller side is above 512, the basis is truncated
    or W0 is zero. Raises ValueError where shapes differ.
    """
    if (update.rows, update.columns) != (basis.rows, basis.columns):
        shapes = f"{(update.rows, update.columns)} and a basis of {(basis.rows, basis.columns)}"
        raise ValueError(f"an update {shapes} are not of one matrix")
    if min(basis.rows, basis.columns) > SMALL or not basis.complete or not basis.sigma_k.any():
        return None
    change = update.times(torch.eye(update.columns, dtype=torch.float64))
    base = (basis.u_mk.double() * basis.sigma_k) @ basis.v_nk.double().T
    before, after = torch.linalg.svdvals(base), torch.linalg.svdvals(base + change)
    return float(torch.linalg.norm(after - before) / torch.linalg.norm(before))
