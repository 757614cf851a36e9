"""A spectrum and what follows from it: every quantity by its definition, with what it was read from and how exactly.

Quantities of one matrix W (rows, columns) with singular values sigma_1 >= sigma_2 >= ...; all of them are pure numbers
that do not change when W is scaled, except the Frobenius norm. Quantities of a zero matrix are None, as are those that
need values which a kernel did not compute.
"""

import math
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

TOP = (1, 2, 4, 8, 16)
"""Numbers of leading directions whose share of the energy is kept."""
BLURRED = 1e-2
"""Relative error that is stated where what a matrix was read from is itself known to a large error only."""


class Source(StrEnum):
    """What an update, or a weight, was read from."""

    FACTORS = "factors"
    """The adapter's own low-rank factors, in the precision they were stored in."""
    OPERATOR = "operator"
    """The adapter's own tensors, applied without forming the matrix they stand for."""
    FP32_DIFFERENCE = "fp32_difference"
    """Tuned minus base, both stored in float32 or more."""
    LOW_PRECISION_DIFFERENCE = "low_precision_difference"
    """Tuned minus base where at least one was stored in bfloat16 or float16: rounding reads as extra rank.

    Also an adapter's update that is small beside how its start, or its numbers near that, were rounded to these types.
    """
    WEIGHTS = "weights"
    """A weight matrix itself."""
    GAUSSIAN_FACTORS = "gaussian_factors"
    """Null, drawn: a product of Gaussian factors, of the rank that the update's own factors have in use."""
    GAUSSIAN_CHANGE = "gaussian_change"
    """Null, drawn: the method's own update, had every trained tensor moved from its start by Gaussian noise as far."""
    GAUSSIAN_MATRIX = "gaussian_matrix"
    """Null, drawn: Gaussian entries, for an update that may be any matrix."""
    RESCALED_FACTORS = "rescaled_factors"
    """Null, drawn: the rows' own lengthenings in random order, beside a product of Gaussian factors (DoRA)."""
    ROUNDED_FACTORS = "rounded_factors"
    """Null, drawn: a product of Gaussian factors, rounded as the update was by the weights' precision."""


@dataclass(frozen=True, slots=True)
class Kernel:
    """How singular values were computed, and how far they can be trusted."""

    name: str
    bound: float
    """Bound on the relative error of every singular value above `floor`; at and below, on that relative to `floor`.

    Either way no value is off by more than `bound` times the larger of itself and `floor` times sigma_1.
    """
    floor: float
    """Share of sigma_1 below which singular values are not resolved; 0 where all are.

    At 1 no value is known to a hundredth, and rounding may be as large as the values: `bound` says by which share of
    sigma_1 they may be off.
    """

    def at(self, floor: float) -> "Kernel":
        """Return the kernel with another floor; where that would be above 1, it is 1 and the bound as much larger."""
        return Kernel(self.name, self.bound * max(1.0, floor), min(1.0, floor))

    def widened(self, error: float, largest: float) -> "Kernel":
        """Return what holds where every value may be off by `error` too, `largest` being sigma_1.

        Weyl 1912: no singular value moves by more than the norm of what is added to the matrix. Floors add up: above
        their sum s + t, the first error is at most bound s / (s + t) of a value, the second bound t / (s + t).
        """
        if not error:
            return self
        bound = self.bound if error <= 1e-2 * self.bound * largest else max(self.bound, BLURRED)
        if not bound * largest:  # nothing is left to be relative to
            return Kernel(self.name, bound, 1.0)
        return Kernel(self.name, bound, 0.0).at(self.floor + error / (bound * largest))


@dataclass(frozen=True, slots=True)
class Spectrum:
    """Singular values of one matrix, descending, and what follows from them."""

    rows: int
    columns: int
    singular_values: tuple[float, ...]
    complete: bool
    """Whether all singular values are here that are not exactly zero by construction, or the leading ones only."""
    kernel: Kernel
    frobenius: float
    """||W||_F, the square root of the sum of squared singular values."""
    effective_rank: float | None
    """exp(entropy of p), p_i = sigma_i / sum sigma (Roy and Vetterli 2007, EUSIPCO)."""
    effective_rank_energy: float | None
    """exp(entropy of p), p_i = sigma_i^2 / sum sigma^2: the same of energies, never larger."""
    stable_rank: float | None
    """||W||_F^2 / ||W||_2^2."""
    participation_ratio: float | None
    """(sum lambda)^2 / sum lambda^2, lambda = sigma^2."""
    top_energy: tuple[float, ...] | None
    """Share of sum sigma^2 in the first 1, 2, 4, 8 and 16 directions."""

    @property
    def top1_energy(self) -> float | None:
        """sigma_1^2 / sum sigma^2."""
        return self.top_energy[0] if self.top_energy else None


def quantities(spectrum: Spectrum) -> dict[str, Any]:
    """Return a spectrum as the columns of a table: what was measured, and how exactly it is known."""
    return {
        "rows": spectrum.rows,
        "columns": spectrum.columns,
        "kernel": spectrum.kernel.name,
        "bound": spectrum.kernel.bound,
        "floor": spectrum.kernel.floor,
        "complete": spectrum.complete,
        "frobenius": spectrum.frobenius,
        "effective_rank": spectrum.effective_rank,
        "effective_rank_energy": spectrum.effective_rank_energy,
        "stable_rank": spectrum.stable_rank,
        "participation_ratio": spectrum.participation_ratio,
        "top_energy": None if spectrum.top_energy is None else list(spectrum.top_energy),
        "singular_values": list(spectrum.singular_values),
    }


def blurred(spectrum: Spectrum, error: float) -> Spectrum:
    """Return a spectrum of a matrix that is itself known up to `error`, a bound on the norm of what it is off by."""
    largest = max(spectrum.singular_values, default=0.0)
    return replace(spectrum, kernel=spectrum.kernel.widened(error, largest))


def whole(rows: int, columns: int, sigma: torch.Tensor, kernel: Kernel) -> Spectrum:
    """Return the spectrum of a matrix from all of its singular values, float64, descending."""
    sigma_k = sigma.cpu().numpy()
    values = tuple(sigma_k.tolist())
    if not values or values[0] == 0:
        return Spectrum(rows, columns, values, True, kernel, 0.0, None, None, None, None, None)
    relative = sigma_k / values[0]  # in units of the largest, whose own square may underflow
    energy = relative * relative
    first = energy.cumsum()
    total = float(first[-1])
    return Spectrum(
        rows=rows,
        columns=columns,
        singular_values=values,
        complete=True,
        kernel=kernel,
        frobenius=values[0] * math.sqrt(total),
        effective_rank=_effective(relative),
        effective_rank_energy=_effective(energy),
        stable_rank=total,
        participation_ratio=total * total / float(energy @ energy),
        top_energy=tuple(min(1.0, float(first[min(k, len(first)) - 1]) / total) for k in TOP),
    )


def leading(
    rows: int,
    columns: int,
    sigma: torch.Tensor,
    kernel: Kernel,
    frobenius: float,
    participation_ratio: float | None = None,
) -> Spectrum:
    """Return what the leading singular values and the norms of the whole matrix say; effective ranks stay None."""
    values = tuple(sigma.tolist())
    if not frobenius or not values or values[0] == 0:
        return Spectrum(rows, columns, values, False, kernel, 0.0, None, None, None, None, None)
    share = (sigma / frobenius).square().cumsum(0)
    known = [min(1.0, float(share[k - 1])) for k in TOP if k <= len(values)]
    return Spectrum(
        rows=rows,
        columns=columns,
        singular_values=values,
        complete=False,
        kernel=kernel,
        frobenius=frobenius,
        effective_rank=None,
        effective_rank_energy=None,
        stable_rank=(frobenius / values[0]) ** 2,
        participation_ratio=participation_ratio,
        top_energy=tuple(known),
    )


def _effective(weights: NDArray[np.float64]) -> float:
    share = weights[weights > 0] / weights.sum()
    return math.exp(-float(share @ np.log(share)))
