"""The update of factors that began in the place of a part of the base (PiSSA, OLoRA): dW = s (B A - B0 A0).

Taken as the difference of two products it would lose the digits that they share, all of them where training moved the
factors little. It is the sum s ((B - B0) A + B0 (A - A0)) instead, one product of twice the rank whose terms are of the
size of the change, and B - B0 of stored numbers is exact in float64. What is left of rounding is relative to the sum of
the terms' sizes, and values that it could account for are zero: an update that was not trained is none.

Where the start is not known but computed again from the base, the update is no better than that: `error` says by how
much it may be off, and `untold` below which size values would be the rounding of a start that was computed alike.
"""

from dataclasses import dataclass, field, replace

import torch

from harness.spectra.lora import LowRank
from harness.spectra.spectrum import Source, Spectrum, blurred, whole


@dataclass(frozen=True, slots=True, eq=False)
class Moved:
    """The update `multiplier * (B @ A - B0 @ A0)`."""

    b_mr: torch.Tensor
    a_rn: torch.Tensor
    b0_mr: torch.Tensor
    a0_rn: torch.Tensor
    multiplier: float
    dtype: str
    """Precision that the factors are held in."""
    source: Source = Source.FACTORS
    untold: float = 0.0
    """Size at and below which a singular value is zero as far as the start can tell."""
    error: float = 0.0
    """Bound on the norm of what the update is off by."""
    product: LowRank = field(init=False)
    """The update as one product, of rank 2 r at most."""

    def __post_init__(self) -> None:
        b0, a = self.b0_mr.double(), self.a_rn.double()
        left = torch.cat([self.b_mr.double() - b0, b0], dim=1)
        right = torch.cat([a, a - self.a0_rn.double()])
        object.__setattr__(self, "product", LowRank(left, right, self.multiplier))

    @property
    def rows(self) -> int:
        """Outputs of the layer."""
        return self.b_mr.shape[0]

    @property
    def columns(self) -> int:
        """Inputs of the layer."""
        return self.a_rn.shape[1]

    @torch.no_grad()
    def spectrum(self) -> Spectrum:
        """Return all singular values, min(2 r, rows, columns) of them, zero where rounding could account for them."""
        found = self.product.spectrum()
        sigma = torch.tensor(found.singular_values, dtype=torch.float64)
        kept = torch.where(sigma > self._least(), sigma, 0.0)
        left_out = float((sigma - kept).max()) if len(sigma) else 0.0
        return blurred(whole(self.rows, self.columns, kept, found.kernel), self.error + left_out)

    def times(self, x_nk: torch.Tensor) -> torch.Tensor:
        """Return dW @ x, (rows, k)."""
        return self.product.times(x_nk)

    def adjoint_times(self, y_mk: torch.Tensor) -> torch.Tensor:
        """Return dW.T @ y, (columns, k)."""
        return self.product.adjoint_times(y_mk)

    def directions(self, k: int) -> torch.Tensor:
        """Return the leading left singular vectors, of values that are not zero."""
        above = sum(value > 0 for value in self.spectrum().singular_values)
        return self.product.directions(min(k, above))

    @torch.no_grad()
    def random(self, generator: torch.Generator) -> LowRank:
        """Return the update had both factors moved by Gaussian noise as far, scaled to the same Frobenius norm."""
        b0, a0 = self.b0_mr.double(), self.a0_rn.double()
        b, a = (_noise(x, start, generator) for x, start in ((self.b_mr, b0), (self.a_rn, a0)))
        drawn = LowRank(torch.cat([b, b0], dim=1), torch.cat([a0 + a, a]), 1.0, Source.GAUSSIAN_CHANGE)
        norm, own = drawn.spectrum().frobenius, self.spectrum().frobenius
        return replace(drawn, multiplier=own / norm if norm else 0.0)

    def _least(self) -> float:
        found = self.product.core()
        rounding = 0.0 if found.told else abs(self.multiplier) * found.rounding
        return max(self.untold, rounding)


def _noise(x: torch.Tensor, start: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """Return Gaussian numbers of the norm of x - start."""
    drawn = torch.randn(start.shape, generator=generator, dtype=torch.float64).to(start.device)
    return drawn * (torch.linalg.norm(x.double() - start) / torch.linalg.norm(drawn))
