"""The update of PEFT's DoRA (Liu et al. 2024, ICML, arXiv 2402.09353), without forming the tuned weight.

W' = D (W0 + s B A) with D = diag(m / ||W0 + s B A||), norms of rows (one per output), m trained. dW = W' - W0 is what
merging adds, in exact arithmetic on the stored numbers: diag(d - 1) W0 + (s D B) A. The squared row norms are
||w||^2 + 2 s b.(A w) + s^2 b (A A^T) b^T, so they cost one thin product with W0.

PEFT starts m as the row norms that it computes in the precision of the base. Before training B = 0, so all that is left
of dW is that rounding: some 1e-7 of W0 where the base is float32, 2e-3 of W0 where it is bfloat16 (4e-3 at most), noise
of full rank that no training made. So an adapter with B = 0 and every m within the rounding of its row's norm has an
update of exactly zero. A trained one keeps what its start rounded, because its forward pass and its merged weights do
have it, but training did not make it: `start_rounding` says how much that is, it is part of the stated error, and an
update that began in bfloat16 or float16, or whose magnitudes are held so, is marked as a difference of low precision.

Nobody tells of a file in which precision it began. Magnitudes that training moved lie nearer to where they began than
to the other candidate, because rounding is independent of training; where that is not clear, they began rounded.
"""

import math

import torch

from harness.spectra.precision import called, eps, fits, precision
from harness.spectra.rescaled import DoraBase, Rescaled, against
from harness.spectra.spectrum import Source, Spectrum, blurred

ACCUMULATION = 4e-6
"""Relative error of a row norm in float32, beside the rounding of its result: 2e-6 measured over 14,336 inputs."""
SUMMED = 1e-8
"""Root mean square of that error over rows, in units of sqrt(inputs): 7e-9 to 8e-9 measured over 64 to 14,336."""
DOUBT = 3
"""Standard deviations beyond which an inner product is not zero by chance."""
NEGLIGIBLE = 1e-3
"""Share of ||dW||_F that rounding in low precision may be: with it, 8 equal values of a 1024 x 1024 matrix read as an
effective rank of 8.8."""


class Dora(Rescaled):
    """The update of a DoRA adapter.

    `weight` (rows, columns), `b_mr`, `a_rn`, `multiplier` as in `LowRank`, `magnitude` (rows,), all as stored. `began`
    is the precision of the weight that the adapter was made for, where that is known; else the numbers tell it. `error`
    bounds the norm of what B A is off by. `base`, of the same weight, saves a product.

    Raises:
        ValueError: shapes that do not fit, NaN or infinity, or a row of norm zero, which has no direction.
    """

    __slots__ = ("error", "start_rounding")

    start_rounding: float
    """||diag(m0 / ||w|| - 1) W0||_F, m0 the row norms rounded to the type that they began in or are held in."""
    error: float
    """Bound on the norm of what the update is off by: of what its start rounded, and of B A."""

    @torch.no_grad()
    def __init__(
        self,
        weight: torch.Tensor,
        b_mr: torch.Tensor,
        a_rn: torch.Tensor,
        multiplier: float,
        magnitude: torch.Tensor,
        base: DoraBase | None = None,
        *,
        began: torch.dtype | None = None,
        error: float = 0.0,
    ) -> None:
        _check(weight, b_mr, a_rn, multiplier, magnitude)
        weight, b_mr, a_rn, magnitude = (tensor.detach() for tensor in (weight, b_mr, a_rn, magnitude))
        b, a = multiplier * b_mr.double(), a_rn.double()
        cross, squares = against(weight, a)
        norms = _row_norms(weight, squares, cross, b, a)
        ratio = magnitude.double() / norms
        held = _held(weight, magnitude, squares, began)
        rounding = float(torch.linalg.norm(_rounded(squares, held) - squares.sqrt()))
        coarsest = max((b_mr.dtype, a_rn.dtype, magnitude.dtype), key=eps)
        if not b.any() and _at_start(magnitude, norms):
            ratio = torch.ones_like(ratio)
        super().__init__(weight, ratio - 1, ratio.view(-1, 1) * b, a, cross, squares, called(coarsest), base)
        object.__setattr__(self, "start_rounding", rounding)
        norm = self.frobenius()
        share = SUMMED * weight.shape[1] ** 0.5 * min(1.0, eps(held) / eps(torch.float32))
        summed = share * float(squares.sum()) ** 0.5
        object.__setattr__(self, "error", error + rounding + summed if norm else 0.0)
        if norm and eps(held) > eps(torch.float32) and rounding > NEGLIGIBLE * norm:
            object.__setattr__(self, "source", Source.LOW_PRECISION_DIFFERENCE)
            object.__setattr__(self, "dtype", called(held))

    def spectrum(self) -> Spectrum:
        """Return all singular values, min(rows, columns) of them."""
        return blurred(super().spectrum(), self.error)


def _held(
    weight: torch.Tensor, magnitude: torch.Tensor, squares: torch.Tensor, began: torch.dtype | None
) -> torch.dtype:
    """Return the coarser of the types that the magnitudes began in and are held in."""
    held = precision(magnitude)
    if began is not None:
        return max(began, held, key=eps)
    shown = precision(weight)
    coarser = (dtype for dtype in (torch.bfloat16, torch.float16) if eps(dtype) > eps(held))
    return next((dtype for dtype in coarser if _began_in(dtype, magnitude, squares, likely=dtype == shown)), held)


def _began_in(dtype: torch.dtype, magnitude: torch.Tensor, squares: torch.Tensor, *, likely: bool) -> bool:
    """Whether magnitudes began as row norms in a type: beyond doubt, or where it is `likely`, unless beyond doubt not.

    Beyond doubt is what lies within half of the rounding. Further off, what training moved since is independent of what
    was rounded, so their inner product is about zero if they began so.
    """
    exact, rounded = squares.sqrt(), _rounded(squares, dtype)
    off, since = exact - rounded, magnitude.double() - rounded
    half = float(torch.linalg.norm(off)) / 2
    if not likely:
        return float(torch.linalg.norm(since)) < half
    if float(torch.linalg.norm(since - off)) < half:
        return False
    return float((since * off).sum()) <= DOUBT * float(torch.linalg.norm(since * off))


def _rounded(squares: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    return squares.sqrt().to(dtype).double()


def _row_norms(
    weight: torch.Tensor, squares: torch.Tensor, cross: torch.Tensor, b: torch.Tensor, a: torch.Tensor
) -> torch.Tensor:
    total = squares + 2 * (cross * b).sum(1) + ((b @ (a @ a.T)) * b).sum(1)
    lossy = total <= 1e-4 * (squares + b.square().sum(1) * a.square().sum())  # rows that B A all but cancels
    norms = total.clamp(min=0).sqrt()
    norms[lossy] = torch.linalg.norm(weight[lossy].double() + b[lossy] @ a, dim=1)
    if not norms.all():
        row = int((norms == 0).nonzero()[0, 0])
        raise ValueError(f"row {row} of W0 + s B A is zero, so DoRA gives it no direction. Adapt this matrix by LoRA")
    return norms


def _at_start(magnitude: torch.Tensor, norms: torch.Tensor) -> bool:
    """Whether every magnitude is its row's norm, up to how some precision that holds all of them would round it."""
    off = float((magnitude.double() / norms - 1).abs().max())
    if magnitude.dtype == torch.float64:
        accumulation = ACCUMULATION * eps(torch.float64) / eps(torch.float32)
    else:
        accumulation = ACCUMULATION
    for dtype in (magnitude.dtype, torch.float32, torch.float16, torch.bfloat16):
        if off <= eps(dtype) / 2 + accumulation and fits(magnitude, dtype):
            return True
    return False


def _check(
    weight: torch.Tensor, b_mr: torch.Tensor, a_rn: torch.Tensor, multiplier: float, magnitude: torch.Tensor
) -> None:
    rows, columns = weight.shape
    if (b_mr.shape[0], a_rn.shape[1], tuple(magnitude.shape)) != (rows, columns, (rows,)):
        given = ", ".join(str(tuple(tensor.shape)) for tensor in (b_mr, a_rn, magnitude))
        raise ValueError(f"factors and magnitude {given} do not fit a weight {(rows, columns)}. Name its own adapter")
    if b_mr.shape[1] != a_rn.shape[0]:
        raise ValueError(f"factors {tuple(b_mr.shape)} and {tuple(a_rn.shape)} share no rank")
    for name, tensor in (("weight", weight), ("B", b_mr), ("A", a_rn), ("magnitude", magnitude)):
        if not torch.isfinite(tensor).all():
            raise ValueError(f"{name} holds NaN or infinity, so the update has no spectrum")
    if not math.isfinite(multiplier):
        raise ValueError(f"multiplier {multiplier:g} is no finite number, so the update has no spectrum")
