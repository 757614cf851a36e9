"""Intruder dimensions: leading directions of a tuned weight that resemble none of the frozen one's.

Shuttleworth et al. 2024 (arXiv 2410.21228): among the k = 10 leading left singular vectors of W0 + dW, those whose
largest absolute cosine with any left singular vector of W0 is below epsilon = 0.5. The threshold is a choice, so a
sweep is counted at once.

A low-rank update with the complete basis W0 = U0 S0 V0^T at hand needs no matrix: in that basis W0 + s B A is
S0 + (U0^T B) s (A V0), the coordinates of whose left singular vectors *are* the cosines. What B or A has outside the
basis of a rectangular W0 is appended as r more rows or columns. Every other update goes through its products.

Limits: cosines are good to about 2e-5 where the leading values are apart by 1e-3 of the first or more (vectors of equal
values are no property of a matrix), so counts that a change of 1e-4 could change are marked. A truncated basis bounds
the cosines with the vectors that it lacks by sqrt(1 - sum cos^2), so that some counts are a range.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from scipy.sparse.linalg import LinearOperator, svds

from harness.spectra.basis import Basis
from harness.spectra.lora import LowRank
from harness.spectra.update import Update

EPSILONS = (0.3, 0.5, 0.7)
"""Cosines below which a direction counts as an intruder; the paper's is 0.5."""
MARGIN = 1e-4
"""Distance from a threshold within which a cosine may lie on either side."""
SMALL = 256
"""Smaller side up to which the tuned matrix is decomposed whole."""
LANCZOS_VECTORS = 64
"""Of ARPACK: more than its usual 2 k + 1, since the leading values of weights lie close together."""

Product = Callable[[np.ndarray], np.ndarray]


@dataclass(frozen=True, slots=True)
class IntruderCount:
    """How many of the leading directions are intruders at one threshold."""

    epsilon: float
    least: int
    most: int
    """Above `least` where a truncated basis leaves it open."""
    borderline: int
    """How many cosines lie within 1e-4 of the threshold."""


@dataclass(frozen=True, slots=True)
class Intruders:
    """The leading left singular vectors of W0 + dW, against those of W0; k entries each, in order of size."""

    singular_values: tuple[float, ...]
    """Of W0 + dW."""
    cosines: tuple[float, ...]
    """Largest absolute cosine with any left singular vector in the basis."""
    beyond: tuple[float, ...]
    """Bound on the absolute cosine with any that is not in the basis; 0 where it is complete."""
    counts: tuple[IntruderCount, ...]
    """By threshold."""

    @property
    def settled(self) -> bool:
        """Whether the basis was enough for every count."""
        return all(count.least == count.most for count in self.counts)

    @property
    def borderline(self) -> bool:
        """Whether some count hangs on a cosine within 1e-4 of its threshold."""
        return any(count.borderline for count in self.counts)


@torch.no_grad()
def intruders(
    update: Update,
    basis: Basis,
    k: int = 10,
    epsilons: tuple[float, ...] = EPSILONS,
    weight: torch.Tensor | None = None,
) -> Intruders:
    """Count the intruders among the min(k, rows, columns) leading directions of W0 + dW.

    Args:
        update: dW.
        basis: of W0; where it is truncated, the counts may be ranges.
        k: leading directions looked at.
        epsilons: thresholds, in (0, 1].
        weight: W0 (rows, columns); needed where the basis is truncated, which W0 cannot be rebuilt from.

    Raises:
        ValueError: shapes that differ, k below 1, a threshold outside (0, 1], or a truncated basis without the weight.
    """
    _check(update, basis, k, epsilons, weight)
    k = min(k, update.rows, update.columns)
    if basis.complete and isinstance(update, LowRank):
        sigma, coordinates = _in_basis(update, basis, k)
    else:
        sigma, u = _tuned(update, basis, weight, k)
        coordinates = (basis.u_mk.T @ u.float()).double()
    cosines = coordinates.abs().amax(0).clamp(max=1)
    beyond = torch.zeros(k, dtype=torch.float64)
    if not basis.complete:
        beyond = (1 - coordinates.square().sum(0)).clamp(min=0).sqrt()
    counts = tuple(_count(epsilon, cosines, beyond) for epsilon in epsilons)
    return Intruders(tuple(sigma.tolist()), tuple(cosines.tolist()), tuple(beyond.tolist()), counts)


def _count(epsilon: float, cosines: torch.Tensor, beyond: torch.Tensor) -> IntruderCount:
    suspects = cosines < epsilon
    certain = suspects & (beyond < epsilon)
    near = (cosines - epsilon).abs() < MARGIN
    return IntruderCount(epsilon, int(certain.sum()), int(suspects.sum()), int(near.sum()))


def _in_basis(update: LowRank, basis: Basis, k: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the k leading singular values of W0 + s B A and, in columns, their cosines with all of the base's."""
    base, p = basis.sigma_k.double(), basis.kept
    left = _coordinates(basis.u_mk, update.multiplier * update.b_mr.double())
    right = _coordinates(basis.v_nk, update.a_rn.double().T)
    if not left.any() or not right.any():  # the base itself, whose equal values would otherwise mix their vectors
        return base[:k], torch.eye(p, k, dtype=torch.float64)
    if p <= SMALL:
        core = left @ right.T
        core.diagonal()[:p] += base
        u, sigma, _ = torch.linalg.svd(core, full_matrices=False)
        return sigma[:k], u[:p, :k]
    sigma, u = _arpack(_plus_diagonal(base.numpy(), left.numpy(), right.numpy()), k)
    return sigma, u[:p]


def _coordinates(vectors: torch.Tensor, factor: torch.Tensor) -> torch.Tensor:
    """Return a factor (n, r) in an orthonormal basis (n, p) and, below, in one of what lies outside it if p < n."""
    inside = (vectors.T @ factor.float()).double()
    if vectors.shape[0] == vectors.shape[1]:
        return inside
    outside = factor - (vectors @ inside.float()).double()
    return torch.cat([inside, torch.linalg.qr(outside, mode="r").R])


def _plus_diagonal(base: np.ndarray, left: np.ndarray, right: np.ndarray) -> LinearOperator:
    """Return the operator diag(base) + left right^T, its diagonal padded by zeros."""
    p = len(base)

    def plus(thin: np.ndarray, other: np.ndarray, x: np.ndarray) -> np.ndarray:
        y = thin @ (other.T @ x)
        y[:p] += base * x[:p]
        return y

    shape = (len(left), len(right))
    return _Products(shape, lambda x: plus(left, right, x), lambda y: plus(right, left, y))


def _tuned(update: Update, basis: Basis, weight: torch.Tensor | None, k: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the k leading singular values of W0 + dW and their left vectors (rows, k)."""
    if min(update.rows, update.columns) <= SMALL:
        base = weight.double() if weight is not None else (basis.u_mk.double() * basis.sigma_k) @ basis.v_nk.double().T
        change = update.times(torch.eye(update.columns, dtype=torch.float64))
        u, sigma, _ = torch.linalg.svd(base + change, full_matrices=False)
        return sigma[:k], u[:, :k]
    w = weight.float() if weight is not None else None
    u, sigma, v = basis.u_mk, basis.sigma_k.view(-1, 1), basis.v_nk

    def times(x: np.ndarray) -> np.ndarray:
        x_n1 = torch.from_numpy(x).float().view(-1, 1)
        base = u @ (sigma * (v.T @ x_n1)) if w is None else w @ x_n1
        return (base.double() + update.times(x_n1)).numpy().ravel()

    def adjoint_times(y: np.ndarray) -> np.ndarray:
        y_m1 = torch.from_numpy(y).float().view(-1, 1)
        base = v @ (sigma * (u.T @ y_m1)) if w is None else w.T @ y_m1
        return (base.double() + update.adjoint_times(y_m1)).numpy().ravel()

    return _arpack(_Products((update.rows, update.columns), times, adjoint_times), k)


class _Products(LinearOperator):
    """An operator known by its products with one vector and its transpose's."""

    def __init__(self, shape: tuple[int, int], times: Product, adjoint_times: Product) -> None:
        super().__init__(np.float64, shape)
        self._times, self._adjoint_times = times, adjoint_times

    def _matvec(self, x: np.ndarray) -> np.ndarray:
        return self._times(x.ravel())

    def _rmatvec(self, x: np.ndarray) -> np.ndarray:
        return self._adjoint_times(x.ravel())


def _arpack(operator: LinearOperator, k: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the k leading singular values, descending, and their left vectors in columns."""
    side = min(operator.shape)
    start = np.random.default_rng(0).standard_normal(side)
    vectors = min(side - 1, max(LANCZOS_VECTORS, 2 * k + 1))
    u, sigma, _ = svds(operator, k=k, ncv=vectors, v0=start)
    order = np.argsort(-sigma)
    return torch.from_numpy(sigma[order].copy()), torch.from_numpy(np.asarray(u)[:, order].copy())


def _check(update: Update, basis: Basis, k: int, epsilons: tuple[float, ...], weight: torch.Tensor | None) -> None:
    shape = (update.rows, update.columns)
    if shape != (basis.rows, basis.columns):
        raise ValueError(f"an update {shape} and a basis of {(basis.rows, basis.columns)} are not of one matrix")
    if weight is not None and tuple(weight.shape) != shape:
        raise ValueError(f"an update {shape} and a weight {tuple(weight.shape)} are not of one matrix")
    if k < 1 or not all(0 < epsilon <= 1 for epsilon in epsilons):
        raise ValueError(f"k {k}, epsilons {epsilons}: look at 1 or more directions, with thresholds in (0, 1]")
    if weight is None and not basis.complete:
        raise ValueError(f"a basis of {basis.kept} triples of {shape} does not tell W0. Pass the weight as well")
