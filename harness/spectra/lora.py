"""The singular values of a LoRA update without ever forming it.

For dW = s B A with B (m, r) and A (r, n), take R_B from the QR of B and R_A from the QR of A^T; the singular values
of dW are s times those of the small core R_B R_A^T: min(r, m, n) of them, with no tail of rounding noise.

With the r terms in descending order of size, float64 leaves each value an error of a few eps times the conditions of
both factors, their columns first made of length 1, however small the value is beside the largest. Where the columns are
too close to dependent for that, errors are relative to the sum of the terms' sizes instead, and the floor says so.
"""

import math
from dataclasses import dataclass

import torch

from harness.spectra.norms import all_finite
from harness.spectra.spectrum import Kernel, Source, Spectrum, whole

CORE = Kernel("lora core", bound=1e-12, floor=0.0)
"""QR of both factors and SVD of their core, float64: 1e-15 measured against 60 digits, sizes from 1 to 1e-8. The bound
grows with the factors' conditions."""
DEPENDENT = Kernel("lora core", bound=1e-6, floor=0.0)
"""The same where the conditions allow no better bound; the floor is the update's."""
ROUNDING = 16 * torch.finfo(torch.float64).eps
"""Error of a core in units of the sum of its terms' sizes, and of a value in units of itself and both conditions: a
seventh of it measured."""

BLOCK = 65_536
"""Entries of a block of rows: 512 KiB in float64."""


def triangle(x_nr: torch.Tensor) -> torch.Tensor:
    """Return R of the QR of a tall (n, r), float64, signs aside; it is found block by block of rows.

    The triangles of the blocks are stacked and decomposed in turn (TSQR; Demmel, Grigori, Hoemmen and Langou 2012, SIAM
    J. Sci. Comput. 34:A206), as stable as one QR of the whole, in blocks that stay in the cache.
    """
    rows = max(16 * x_nr.shape[1], BLOCK // max(1, x_nr.shape[1]))
    if len(x_nr) <= rows:
        return torch.linalg.qr(x_nr.double(), mode="r").R
    return triangle(torch.cat([torch.linalg.qr(block.double(), mode="r").R for block in x_nr.split(rows)]))


@dataclass(frozen=True, slots=True)
class Core:
    """What the singular values of an update are those of, and how exactly they are known."""

    core: torch.Tensor
    """R_B R_A^T, multiplier apart, of the terms in use."""
    left: torch.Tensor
    """B of the terms in use, float64, the largest term first."""
    right: torch.Tensor
    """R_A."""
    rounding: float
    """Absolute error of a value, multiplier apart."""
    relative: float
    """Relative error of every value; infinite where columns are dependent."""

    @property
    def told(self) -> bool:
        """Whether every value is known relative to itself, however small."""
        return self.relative <= DEPENDENT.bound


@dataclass(frozen=True, slots=True, eq=False)
class LowRank:
    """The update `multiplier * B @ A`."""

    b_mr: torch.Tensor
    a_rn: torch.Tensor
    multiplier: float = 1.0
    source: Source = Source.FACTORS
    """Factors, in any precision: a rounded factor is still a factor."""

    def __post_init__(self) -> None:
        if self.b_mr.shape[1] != self.a_rn.shape[0]:
            raise ValueError(f"factors {tuple(self.b_mr.shape)} and {tuple(self.a_rn.shape)} share no rank")
        if not (all_finite(self.b_mr) and all_finite(self.a_rn)):
            raise ValueError("a factor holds NaN or infinity, so the update has no spectrum")
        if not math.isfinite(self.multiplier):
            raise ValueError(f"multiplier {self.multiplier:g} is no finite number, so the update has no spectrum")

    @property
    def rows(self) -> int:
        """Outputs of the layer."""
        return self.b_mr.shape[0]

    @property
    def columns(self) -> int:
        """Inputs of the layer."""
        return self.a_rn.shape[1]

    @property
    def dtype(self) -> str:
        """Precision of the stored factors."""
        return str(self.b_mr.dtype).removeprefix("torch.")

    @torch.no_grad()
    def spectrum(self) -> Spectrum:
        """Return all singular values, min(rank, rows, columns) of them."""
        found = self.core()
        sigma = torch.zeros(min(self.rows, self.columns, len(self.a_rn)), dtype=torch.float64)
        values = torch.linalg.svdvals(found.core)[: len(sigma)]
        sigma[: len(values)] = values
        return whole(self.rows, self.columns, abs(self.multiplier) * sigma, _kernel(found, float(sigma[:1].sum())))

    @torch.no_grad()
    def core(self) -> Core:
        """Return the core of the terms b_j a_j that are not zero, in descending order of size."""
        order = self._in_use()
        b, a = self.b_mr.double()[:, order], self.a_rn.double()[order]
        upper_b, upper_a = triangle(b), triangle(a.T)
        rounding = ROUNDING * float((_lengths(b) * _lengths(a.T)).sum())
        relative = ROUNDING * _condition(upper_b, _lengths(b)) * _condition(upper_a, _lengths(a.T))
        return Core(upper_b @ upper_a.T, b, upper_a, rounding, relative)

    def _in_use(self) -> torch.Tensor:
        """Return which terms b_j a_j are not zero, the largest first."""
        b, a = self.b_mr.abs().amax(0), self.a_rn.abs().amax(1)
        size = b.double().log() + a.double().log()  # whose product may underflow
        return size.argsort(descending=True, stable=True)[: int(size.isfinite().sum())]

    def times(self, x_nk: torch.Tensor) -> torch.Tensor:
        """Return dW @ x, (rows, k)."""
        return self.multiplier * (self.b_mr.to(x_nk.dtype) @ (self.a_rn.to(x_nk.dtype) @ x_nk))

    def adjoint_times(self, y_mk: torch.Tensor) -> torch.Tensor:
        """Return dW.T @ y, (columns, k)."""
        return self.multiplier * (self.a_rn.to(y_mk.dtype).T @ (self.b_mr.to(y_mk.dtype).T @ y_mk))

    @torch.no_grad()
    def directions(self, k: int) -> torch.Tensor:
        """Return the leading left singular vectors, Q_B times those of the core; values of rounding's size are none."""
        found = self.core()
        q_b, upper_b = torch.linalg.qr(found.left)  # the triangle that goes with this Q, signs included
        u, sigma, _ = torch.linalg.svd(upper_b @ found.right.T)
        least = 0.0 if found.told else found.rounding
        return q_b @ u[:, : min(k, int((sigma > least).sum()))]

    @torch.no_grad()
    def random(self, generator: torch.Generator) -> "LowRank":
        """Return a product of Gaussian factors of the rank in use, scaled to the same Frobenius norm.

        In use is what is not zero: of AdaLoRA's directions, those that have not been pruned.
        """
        rank = len(self._in_use()) or len(self.a_rn)
        shapes = (self.rows, rank), (rank, self.columns)
        b, a = (torch.randn(shape, generator=generator, dtype=torch.float64) for shape in shapes)
        own, drawn = self.frobenius(), LowRank(b, a).frobenius()
        return LowRank(b, a, own / drawn, Source.GAUSSIAN_FACTORS)

    def frobenius(self) -> float:
        """Return ||dW||_F = s sqrt(tr((B^T B)(A A^T))), in float64."""
        b, a = self.b_mr.double(), self.a_rn.double()
        return abs(self.multiplier) * max(float(((b.T @ b) * (a @ a.T)).sum()), 0.0) ** 0.5


def _kernel(found: Core, largest: float) -> Kernel:
    if found.told or not largest:
        return Kernel(CORE.name, max(CORE.bound, min(found.relative, DEPENDENT.bound)), CORE.floor)
    return Kernel(DEPENDENT.name, DEPENDENT.bound, min(1.0, found.rounding / (DEPENDENT.bound * largest)))


def _lengths(x: torch.Tensor) -> torch.Tensor:
    """Return the norms of columns none of which is zero, also where their squares would underflow."""
    largest = x.abs().amax(0)
    return largest * torch.linalg.norm(x / largest, dim=0)


def _condition(upper: torch.Tensor, lengths: torch.Tensor) -> float:
    """Return the condition of a triangle with columns made of length 1; infinite where they are dependent."""
    if upper.shape[0] < upper.shape[1]:
        return math.inf
    values = torch.linalg.svdvals(upper / lengths).tolist() or [1.0]
    return values[0] / values[-1] if values[-1] else math.inf
