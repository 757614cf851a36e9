"""The singular values of a LoRA update without ever forming it.

For dW = s B A with B (m, r) and A (r, n), take R_B from the QR of B and R_A from the QR of A^T; the singular values
of dW are s times those of the small core R_B R_A^T. In float64 this is accurate to about 1e-15 relative to each
value and gives exactly min(r, m, n) of them, with no tail of rounding noise. Quantities of a zero update are None.
"""

import math
from dataclasses import dataclass

import torch


@dataclass(frozen=True, slots=True)
class UpdateSpectrum:
    """Singular values of one matrix's update, descending, and what follows from them."""

    rows: int
    columns: int
    singular_values: tuple[float, ...]
    frobenius: float
    """Square root of the sum of squared singular values."""
    effective_rank: float | None
    """exp(entropy of sigma / sum sigma), Roy and Vetterli 2007, EUSIPCO."""
    stable_rank: float | None
    """||W||_F^2 / ||W||_2^2."""
    top1_energy: float | None
    """sigma_1^2 / sum sigma^2."""


@torch.no_grad()
def lora_spectrum(b_mr: torch.Tensor, a_rn: torch.Tensor, multiplier: float) -> UpdateSpectrum:
    """Return the spectrum of `multiplier * B @ A`; raise ValueError where the factors do not fit or are not finite."""
    if b_mr.shape[1] != a_rn.shape[0]:
        raise ValueError(f"factors {tuple(b_mr.shape)} and {tuple(a_rn.shape)} share no rank")
    if not (torch.isfinite(b_mr).all() and torch.isfinite(a_rn).all()):
        raise ValueError("a factor holds NaN or infinity, so the update has no spectrum")
    if not math.isfinite(multiplier):
        raise ValueError(f"multiplier {multiplier:g} is no finite number, so the update has no spectrum")
    upper_b = torch.linalg.qr(b_mr.double(), mode="r").R
    upper_a = torch.linalg.qr(a_rn.double().T, mode="r").R
    sigma = abs(multiplier) * torch.linalg.svdvals(upper_b @ upper_a.T)
    return _described(b_mr.shape[0], a_rn.shape[1], sigma)


def _described(rows: int, columns: int, sigma: torch.Tensor) -> UpdateSpectrum:
    values = tuple(sigma.tolist())
    if sigma[0] == 0:
        return UpdateSpectrum(rows, columns, values, 0.0, None, None, None)
    energy = (sigma / sigma[0]).square().sum()  # in units of the largest, whose own square may underflow
    share = sigma[sigma > 0] / sigma.sum()
    return UpdateSpectrum(
        rows=rows,
        columns=columns,
        singular_values=values,
        frobenius=float(sigma[0] * energy.sqrt()),
        effective_rank=float((-(share * share.log()).sum()).exp()),
        stable_rank=float(energy),
        top1_energy=float(1 / energy),
    )
