"""The singular values of a LoRA update without ever forming it.

For dW = s B A with B (m, r) and A (r, n), take R_B from the QR of B and R_A from the QR of A^T; the singular values
of dW are s times those of the small core R_B R_A^T. In float64 this is accurate to about 1e-15 relative to each
value and gives exactly min(r, m, n) of them, with no tail of rounding noise.
"""

import math
from dataclasses import dataclass

import torch

from harness.spectra.norms import all_finite
from harness.spectra.spectrum import Kernel, Source, Spectrum, whole

CORE = Kernel("lora core", bound=1e-12, floor=0.0)
"""QR of both factors and SVD of their core, float64: 1e-15 measured against 60 digits, factors of condition 1e8."""

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


@dataclass(frozen=True, slots=True, eq=False)
class LowRank:
    """The update `multiplier * B @ A`."""

    b_mr: torch.Tensor
    a_rn: torch.Tensor
    multiplier: float = 1.0

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
    def source(self) -> Source:
        """Factors, in any precision: a rounded factor is still a factor."""
        return Source.FACTORS

    @property
    def dtype(self) -> str:
        """Precision of the stored factors."""
        return str(self.b_mr.dtype).removeprefix("torch.")

    @torch.no_grad()
    def spectrum(self) -> Spectrum:
        """Return all singular values, min(rank, rows, columns) of them."""
        upper_b = triangle(self.b_mr)
        upper_a = triangle(self.a_rn.T)
        sigma = abs(self.multiplier) * torch.linalg.svdvals(upper_b @ upper_a.T)
        return whole(self.rows, self.columns, sigma, CORE)

    def times(self, x_nk: torch.Tensor) -> torch.Tensor:
        """Return dW @ x, (rows, k)."""
        return self.multiplier * (self.b_mr.to(x_nk.dtype) @ (self.a_rn.to(x_nk.dtype) @ x_nk))

    def adjoint_times(self, y_mk: torch.Tensor) -> torch.Tensor:
        """Return dW.T @ y, (columns, k)."""
        return self.multiplier * (self.a_rn.to(y_mk.dtype).T @ (self.b_mr.to(y_mk.dtype).T @ y_mk))

    @torch.no_grad()
    def directions(self, k: int) -> torch.Tensor:
        """Return the leading left singular vectors, Q_B times those of the core."""
        q_b, upper_b = torch.linalg.qr(self.b_mr.double())
        upper_a = triangle(self.a_rn.T)
        u, sigma, _ = torch.linalg.svd(upper_b @ upper_a.T)
        return q_b @ u[:, : min(k, int((sigma > 0).sum()))]

    @torch.no_grad()
    def random(self, generator: torch.Generator) -> "LowRank":
        """Return Gaussian factors of the same shape, scaled to the same Frobenius norm."""
        b, a = (
            torch.randn(shape, generator=generator, dtype=torch.float64) for shape in (self.b_mr.shape, self.a_rn.shape)
        )
        own, drawn = self.frobenius(), LowRank(b, a).frobenius()
        return LowRank(b, a, own / drawn)

    def frobenius(self) -> float:
        """Return ||dW||_F = s sqrt(tr((B^T B)(A A^T))), in float64."""
        b, a = self.b_mr.double(), self.a_rn.double()
        return abs(self.multiplier) * max(float(((b.T @ b) * (a @ a.T)).sum()), 0.0) ** 0.5
