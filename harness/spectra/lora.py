"""The singular values of a LoRA update without ever forming it.

For dW = s B A with B (m, r) and A (r, n), take the triangles R_B of the QR of B and R_A of that of A^T; the singular
values of dW are s times those of the small core R_B R_A^T: min(r, m, n) of them, with no tail of rounding noise.

With the r terms in descending order of size, float64 leaves each value an error of a few eps times the conditions of
both factors, their columns first made of length 1, however small the value is beside the largest. Where the columns are
too close to dependent for that, errors are relative to the sum of the terms' sizes instead, and the floor says so.
"""

import math
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from harness.spectra.norms import all_finite
from harness.spectra.spectrum import Kernel, Source, Spectrum, whole

Array = NDArray[np.float64]

CORE = Kernel("lora core", bound=1e-12, floor=0.0)
"""Triangles of both factors and SVD of their core, float64: 1e-15 measured against 60 digits, sizes from 1 to 1e-8. The
bound grows with the factors' conditions."""
DEPENDENT = Kernel("lora core", bound=1e-6, floor=0.0)
"""The same where the conditions allow no better bound; the floor is the update's."""
ROUNDING = 16 * torch.finfo(torch.float64).eps
"""Error of a core in units of the sum of its terms' sizes, and of a value in units of itself and both conditions: a
seventh of it measured."""

ORTHOGONAL = 64.0
"""Bound of ||(X^T X)^-1||, columns of length 1, up to which R follows from X^T X."""
SMALLEST = 1e-280
"""Sums of squares below it may have lost what underflowed."""
BLOCK = 65_536
"""Entries of a block of rows: 512 KiB in float64."""
NARROW, SHORT = 16, 512
"""Of at most so many columns, blocks are cut into pieces of so many rows, 64 KiB, which are decomposed together."""


def triangle(x_nr: torch.Tensor) -> torch.Tensor:
    """Return R of the QR of a tall (n, r), float64, signs aside: exact for columns that are off by a few eps each.

    From the Cholesky factor of X^T X where columns, made of length 1, are nearly orthogonal, as those of random factors
    are: a third of the time, or less. That doubles the condition's exponent in the error (Stathopoulos and Wu 2002,
    SIAM J. Sci. Comput. 23:2165), so all others are decomposed by blocks of rows.
    """
    found = _from_products(x_nr)
    return _by_blocks(x_nr) if found is None else found


def _from_products(x_nr: torch.Tensor) -> torch.Tensor | None:
    """Return R from X^T X, or None where squares may underflow or columns are not nearly orthogonal."""
    x = x_nr.double()
    products_rr = (x.T @ x).cpu()
    squares_r = products_rr.diagonal()
    if not x.numel() or float(squares_r.min()) < SMALLEST or not math.isfinite(float(squares_r.max())):
        return None
    lengths_r = squares_r.sqrt()
    upper_rr, failed = torch.linalg.cholesky_ex(products_rr / lengths_r / lengths_r[:, None], upper=True)
    inverse = np.abs(_lapack()(upper_rr.numpy())[0])  # whose norm is at most that of a sum of rows, times of columns
    if failed or inverse.sum(0).max() * inverse.sum(1).max() > ORTHOGONAL:
        return None
    return upper_rr * lengths_r


def _by_blocks(x_nr: torch.Tensor) -> torch.Tensor:
    """Return R from the triangles of blocks of rows, stacked and decomposed in turn.

    TSQR (Demmel, Grigori, Hoemmen and Langou 2012, SIAM J. Sci. Comput. 34:A206): as stable as one QR of the whole, in
    blocks that stay in the cache.
    """
    n, r = x_nr.shape
    rows = max(16 * r, BLOCK // max(1, r))
    if n > rows:
        return _by_blocks(torch.cat([_by_blocks(block) for block in x_nr.split(rows)]))
    if r > NARROW or n < 2 * SHORT or n % SHORT:
        return torch.linalg.qr(x_nr.double(), mode="r").R
    column_major = x_nr.double().T.reshape(r, -1, SHORT).permute(1, 2, 0)
    return torch.linalg.qr(torch.linalg.qr(column_major, mode="r").R.reshape(-1, r), mode="r").R


@dataclass(frozen=True, slots=True)
class Core:
    """What the singular values of an update are those of, and how exactly they are known."""

    core: torch.Tensor
    """R_B R_A^T, multiplier apart, of the terms in use."""
    order: NDArray[np.intp]
    """Which terms are in use, those that are not zero, the largest first."""
    right: torch.Tensor
    """R_A of these terms."""
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

    def spectrum(self) -> Spectrum:
        """Return all singular values, min(rank, rows, columns) of them."""
        found = self.core()
        sigma = np.zeros(min(self.rows, self.columns, self.a_rn.shape[0]))
        values = torch.linalg.svdvals(found.core).numpy()[: sigma.size]
        sigma[: values.size] = values
        kernel = _kernel(found, float(values[0]) if values.size else 0.0)
        return whole(self.rows, self.columns, torch.from_numpy(abs(self.multiplier) * sigma), kernel)

    def core(self) -> Core:
        """Return the core of the terms b_j a_j that are not zero, in descending order of size."""
        uppers_2rr = np.stack([_square(triangle(x.detach()).cpu().numpy()) for x in (self.b_mr, self.a_rn.T)])
        lengths_2r = _lengths(uppers_2rr)  # those of the factors' own columns
        with np.errstate(divide="ignore"):
            size = np.log(lengths_2r).sum(0)  # of products that may underflow
        order = (-size).argsort(kind="stable")[: np.count_nonzero(lengths_2r.min(0))]
        # QR is backward stable column by column, so the small triangles are put in order as well as the factors were.
        uppers_2kk = torch.linalg.qr(torch.from_numpy(uppers_2rr[:, :, order]), mode="r").R
        lengths_2k = lengths_2r[:, order]
        rounding = ROUNDING * float(lengths_2k.prod(0).sum())
        relative = ROUNDING * _conditions(uppers_2kk.numpy(), lengths_2k)
        upper_b, upper_a = uppers_2kk
        return Core(upper_b @ upper_a.T, order, upper_a, rounding, relative)

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
        q_b, upper_b = torch.linalg.qr(self.b_mr.double()[:, found.order])  # whose signs go together
        u, sigma, _ = torch.linalg.svd(upper_b @ found.right.T)
        least = 0.0 if found.told else found.rounding
        return q_b @ u[:, : min(k, int((sigma > least).sum()))]

    @torch.no_grad()
    def random(self, generator: torch.Generator) -> "LowRank":
        """Return a product of Gaussian factors of the rank in use, scaled to the same Frobenius norm.

        In use is what is not zero: of AdaLoRA's directions, those that have not been pruned.
        """
        in_use = (self.b_mr.abs().amax(0) > 0) & (self.a_rn.abs().amax(1) > 0).to(self.b_mr.device)
        rank = int(in_use.sum()) or len(self.a_rn)
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
    return DEPENDENT.at(found.rounding / (DEPENDENT.bound * largest))


def _square(upper: Array) -> Array:
    """Return a triangle (at most r, r) with rows of zeros added to make it (r, r)."""
    short = upper.shape[1] - upper.shape[0]
    return np.pad(upper, ((0, short), (0, 0))) if short else upper


def _lengths(x_2rr: Array) -> Array:
    """Return the norms of columns (2, r), also where their squares would underflow."""
    squares = np.einsum("bij,bij->bj", x_2rr, x_2rr)
    if squares.size and squares.min() > SMALLEST and squares.max() < math.inf:
        return np.sqrt(squares)
    largest = np.abs(x_2rr).max(1, keepdims=True)
    share = x_2rr / np.where(largest, largest, 1.0)
    return largest[:, 0] * np.sqrt(np.einsum("bij,bij->bj", share, share))


@cache
def _lapack() -> Any:
    """Return LAPACK's trtri, the inverse of a triangle."""
    from scipy.linalg import get_lapack_funcs  # 30 MB, which who reads no LoRA does without

    return get_lapack_funcs(("trtri",), dtype=np.float64)[0]


def _conditions(uppers_2kk: Array, lengths_2k: Array) -> float:
    """Return a bound of the product of both conditions, columns made of length 1; infinite where some are dependent.

    The norm of a triangle, as of its inverse, is at most the square root of its 1-norm times its infinity norm: for
    columns that are nearly orthogonal a small multiple of it, and cheaper than singular values.
    """
    if not lengths_2k.size:
        return 1.0
    scaled = uppers_2kk / lengths_2k[:, None]
    inverses = [_lapack()(upper) for upper in scaled]
    if any(singular for _, singular in inverses):
        return math.inf
    sizes = np.abs([*scaled, *(inverse for inverse, _ in inverses)])
    bound = math.sqrt((sizes.sum(1).max(1) * sizes.sum(2).max(1)).prod())
    return bound if math.isfinite(bound) else math.inf
