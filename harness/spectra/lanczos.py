"""The leading singular values and vectors of a matrix, or of an operator that is never formed as one.

Golub-Kahan-Lanczos bidiagonalisation (Golub and Kahan 1965, SIAM J. Numer. Anal. B 2:205) from one random vector, with
full reorthogonalisation, done twice, of both bases in float64; products with the matrix are formed in the precision
asked for. It stops when every wanted triple has ||A^T u - sigma v|| <= 1e-6 sigma_1 (A v = sigma u holds by
construction), or when the bases fill the smaller side, which is a full decomposition.

Limits: a residual bounds the distance to *some* singular value. One vector sees one direction of a multiple singular
value: of exact copies, and of values that agree to about 1e-6, those after the first are found only once rounding has
brought them in, so they can be missing while smaller values are returned. Matrices of low rank are exact: when a basis
can grow no further, it goes on from a fresh random vector.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch

from harness.spectra.norms import frobenius, participation_ratio, scale_of, scaled
from harness.spectra.spectrum import Kernel, Spectrum, leading
from harness.spectra.update import Update

LANCZOS = Kernel("lanczos", bound=1e-4, floor=1e-2)
"""A residual of 1e-6 sigma_1 is a relative error of at most 1e-4 at sigma_1 / 100."""
TOLERANCE = 1e-6
"""Largest residual, in units of sigma_1."""
EXTRA = 20
"""Steps beyond the number of wanted values before the first look."""
LOOK = 5
"""Steps between looks; a look costs a decomposition of the small bidiagonal matrix."""

Product = Callable[[torch.Tensor], torch.Tensor]


@dataclass(frozen=True, slots=True, eq=False)
class Top:
    """Leading singular triples, descending; float64."""

    sigma: torch.Tensor
    """(k,)."""
    u: torch.Tensor
    """(rows, k), orthonormal."""
    v: torch.Tensor
    """(columns, k), orthonormal."""
    residuals: torch.Tensor
    """(k,): ||A^T u - sigma v||, or ||A v - sigma u|| where columns > rows; the other one is zero but for rounding."""
    steps: int
    """Products with A, and as many with its transpose."""


@torch.no_grad()
def topk(
    times: Product,
    adjoint_times: Product,
    rows: int,
    columns: int,
    k: int,
    generator: torch.Generator,
    dtype: torch.dtype = torch.float32,
) -> Top:
    """Return the min(k, rows, columns) leading singular triples of an operator A.

    Args:
        times: from (columns, 1) in `dtype` to A times it, (rows, 1).
        adjoint_times: from (rows, 1) in `dtype` to A.T times it, (columns, 1).
        rows: outputs.
        columns: inputs.
        k: wanted values, at least 1.
        generator: draws the start vector, and a fresh one where a basis can grow no further.
        dtype: precision of the products.

    Raises:
        ValueError: k below 1, or a product that is NaN or infinity.
    """
    if k < 1:
        raise ValueError(f"k {k} is below 1. Ask for at least one singular value")
    if columns > rows:
        other = topk(adjoint_times, times, columns, rows, k, generator, dtype)
        return Top(other.sigma, other.v, other.u, other.residuals, other.steps)
    bases = _Bases(times, adjoint_times, rows, columns, generator, dtype)
    look = k + EXTRA
    while True:
        while bases.steps < min(look, columns):
            bases.grow()
        found = bases.triples(min(k, columns))
        if bases.steps == columns or bool((found.residuals <= TOLERANCE * found.sigma[0]).all()):
            return found
        look += max(LOOK, look // 10)


class _Bases:
    """Orthonormal bases U, V with A V = U B and A^T U = V B^T + beta v e^T, B upper bidiagonal; rows >= columns."""

    def __init__(
        self,
        times: Product,
        adjoint_times: Product,
        rows: int,
        columns: int,
        generator: torch.Generator,
        dtype: torch.dtype,
    ) -> None:
        self._times, self._adjoint_times, self._generator, self._dtype = times, adjoint_times, generator, dtype
        self._u = torch.empty(0, rows, dtype=torch.float64)
        self._v = torch.empty(0, columns, dtype=torch.float64)
        self._diagonal: list[float] = []
        self._above: list[float] = []
        self._next, _ = self._new(torch.zeros(columns, dtype=torch.float64), self._v)

    @property
    def steps(self) -> int:
        """Columns of B."""
        return len(self._diagonal)

    def grow(self) -> None:
        """Take one more step: a product with A and one with its transpose."""
        j = self.steps
        if j == len(self._u):
            self._u, self._v = (torch.cat([x, x.new_empty(max(j, 32), x.shape[1])]) for x in (self._u, self._v))
        self._v[j] = self._next
        self._u[j], alpha = self._new(self._product(self._times, self._v[j]), self._u[:j])
        self._diagonal.append(alpha)
        self._next, beta = self._new(self._product(self._adjoint_times, self._u[j]), self._v[: j + 1])
        self._above.append(beta)

    def triples(self, k: int) -> Top:
        """Return the k leading triples of what the bases span."""
        j = self.steps
        b = torch.diag(torch.tensor(self._diagonal, dtype=torch.float64))
        b += torch.diag(torch.tensor(self._above[:-1], dtype=torch.float64), 1)
        p, sigma, qh = torch.linalg.svd(b)
        residuals = self._above[-1] * p[-1, :k].abs()
        return Top(sigma[:k], self._u[:j].T @ p[:, :k], self._v[:j].T @ qh[:k].T, residuals, j)

    def _product(self, operator: Product, x: torch.Tensor) -> torch.Tensor:
        y = operator(x.to(self._dtype).unsqueeze(1)).squeeze(1).double()
        if not torch.isfinite(y).all():
            raise ValueError("a product with the operator holds NaN or infinity, so it has no spectrum")
        return y

    def _new(self, x: torch.Tensor, basis: torch.Tensor) -> tuple[torch.Tensor, float]:
        """Return the unit vector of what `x` adds to a basis, and its length; a random one where that is rounding."""
        if len(basis) == len(x):
            return torch.zeros_like(x), 0.0
        x = _without(x, basis)
        length = float(x.norm())
        if length > torch.finfo(self._dtype).eps * max([*self._diagonal, *self._above], default=0.0):
            return x / length, length
        drawn = torch.randn(len(x), generator=self._generator, dtype=torch.float64)
        drawn = _without(drawn / drawn.norm(), basis)
        return drawn / drawn.norm(), 0.0


def _without(x: torch.Tensor, basis: torch.Tensor) -> torch.Tensor:
    """Return `x` less its projection on a basis, twice, since rounding leaves some of it the first time."""
    for _ in range(2):
        x = x - basis.T @ (basis @ x)
    return x


@torch.no_grad()
def leading_spectrum(w: torch.Tensor, k: int, generator: torch.Generator, *, participation: bool = False) -> Spectrum:
    """Return the k leading singular values of (rows, columns), its Frobenius norm and what follows from them.

    `participation` adds the participation ratio, which costs about n^3 in float32 where the rest costs n^2.
    Raises ValueError where the matrix is none or holds NaN or infinity.
    """
    rows, columns = w.shape if w.dim() == 2 else (0, 0)
    scale, dtype = scale_of(w), torch.float64 if w.dtype == torch.float64 else torch.float32
    d = scaled(w, scale, dtype)
    found = topk(lambda x: d @ x, lambda y: d.T @ y, rows, columns, k, generator, dtype)
    ratio = participation_ratio(w) if participation else None
    return leading(rows, columns, scale * found.sigma, LANCZOS, frobenius(w), ratio)


def operator_spectrum(
    update: Update, k: int, frobenius: float, generator: torch.Generator, dtype: torch.dtype = torch.float32
) -> Spectrum:
    """Return the k leading singular values of an update that is never formed, whose Frobenius norm is known."""
    found = topk(update.times, update.adjoint_times, update.rows, update.columns, k, generator, dtype)
    return leading(update.rows, update.columns, found.sigma, LANCZOS, frobenius)
