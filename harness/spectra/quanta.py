"""QuanTA (Chen et al. 2024, NeurIPS, arXiv 2406.00132): an update made of tensors over pairs of axes.

A hidden vector of prod(axes) numbers is reshaped to d axes. For every unordered pair of axes one tensor of shape
(a_j, a_i, a_j, a_i), outputs before inputs, acts on those two axes alone; their product, in the order of `pairs`, is
the operator T. Inputs are zero-padded, or cropped, to prod(axes), and outputs cropped, or zero-padded, to the layer's.
The update is dW = T - S with S the frozen start, so it is of full rank and never stored.

Where the change is small against the tensors, T - S computed as a difference of two products loses all its digits.
Here it is the telescoping sum over k of T_n .. T_{k+1} (T_k - S_k) S_{k-1} .. S_1, which loses none.
"""

import itertools
import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

import torch
from torch.nn.functional import pad

from harness.spectra.dense import Dense, gram_spectrum
from harness.spectra.norms import frobenius
from harness.spectra.precision import COARSE, called, is_low, shaken, together
from harness.spectra.spectrum import Source, Spectrum, blurred

BLOCK = 1024
"""Columns of a dense matrix that are computed at a time."""

Step = tuple[torch.Tensor, tuple[int, int]]


def pairs(d: int) -> tuple[tuple[int, int], ...]:
    """Return the d (d - 1) / 2 pairs of axes (i, j), counted from the last, in the order in which they act."""
    return tuple(itertools.combinations(range(-1, -d - 1, -1), 2))


def default_axes(d: int, rows: int, columns: int) -> tuple[int, ...]:
    """Return d equal axes of the smallest size whose d-th power reaches max(rows, columns)."""
    if d < 2:
        raise ValueError(f"d: {d} axes have no pair to act on. Use 2 or more.")
    needed = max(rows, columns)
    size = max(1, round(needed ** (1 / d)))  # which a float root only finds to within one
    while size**d < needed:
        size += 1
    while (size - 1) ** d >= needed:
        size -= 1
    return (size,) * d


def fit(x: torch.Tensor, size: int) -> torch.Tensor:
    """Return `x` (..., n) with its last axis zero-padded, or cropped, to `size`."""
    return pad(x, (0, size - x.shape[-1]))


def apply(tensors: Sequence[torch.Tensor], axes: Sequence[int], x: torch.Tensor) -> torch.Tensor:
    """Return T x for every vector of `x`, both (..., prod(axes)); differentiable in both arguments."""
    y = x.unflatten(-1, tuple(axes))
    for step in _forwards(tensors, axes):
        y = _act(step, y)
    return y.flatten(-len(axes))


def apply_adjoint(tensors: Sequence[torch.Tensor], axes: Sequence[int], y: torch.Tensor) -> torch.Tensor:
    """Return T^T y for every vector of `y`, both (..., prod(axes))."""
    x = y.unflatten(-1, tuple(axes))
    for step in _backwards(tensors, axes):
        x = _act(step, x)
    return x.flatten(-len(axes))


def difference(
    tensors: Sequence[torch.Tensor], frozen: Sequence[torch.Tensor], axes: Sequence[int], x: torch.Tensor
) -> torch.Tensor:
    """Return T x - S x for every vector of `x`, both (..., prod(axes)), in the precision of `x`; differentiable.

    Exactly zero where all tensors are equal, whatever kernels multiply them. n tensors cost 3 n - 2 products, not 2 n.
    """
    return _telescoped(_forwards, tensors, frozen, axes, x)


@torch.no_grad()
def materialise(tensors: Sequence[torch.Tensor], axes: Sequence[int], rows: int, columns: int) -> torch.Tensor:
    """Return T as a float64 matrix (rows, columns)."""
    wide = [tensor.double() for tensor in tensors]
    return _dense(lambda x: apply(wide, axes, x), math.prod(axes), rows, columns, wide[0].device)


@dataclass(frozen=True, slots=True, eq=False)
class Quanta:
    """The update `multiplier * (T - S)`, cropped to (rows, columns)."""

    tensors: tuple[torch.Tensor, ...]
    frozen: tuple[torch.Tensor, ...]
    axes: tuple[int, ...]
    rows: int
    """Outputs of the layer."""
    columns: int
    """Inputs of the layer."""
    multiplier: float = 1.0
    source: Source = Source.OPERATOR
    """The adapter's own tensors, unless these are rounded by a share of what they moved."""
    error: float = 0.0
    """What the rounding of the tensors changes the update by, where they are."""
    held: torch.dtype | None = None
    """Precision that the tensors are held in, where it is not the type that they are stored in."""

    def __post_init__(self) -> None:
        _check_sizes(self.axes, self.rows, self.columns)
        for what, tensors in (("trained", self.tensors), ("frozen", self.frozen)):
            _check_tensors(what, tensors, self.axes)
        if not math.isfinite(self.multiplier):
            raise ValueError(f"multiplier {self.multiplier:g} is no finite number, so the update has no spectrum")

    @property
    def dtype(self) -> str:
        """Precision of the stored tensors."""
        return called(self.held or self.tensors[0].dtype)

    def spectrum(self) -> Spectrum:
        """Return all singular values, from the dense matrix in float64."""
        return blurred(gram_spectrum(self.dense().cpu()), self.error)

    def times(self, x_nk: torch.Tensor) -> torch.Tensor:
        """Return dW @ x, (rows, k)."""
        return self.multiplier * fit(self._difference(fit(x_nk.T, math.prod(self.axes))), self.rows).T

    def adjoint_times(self, y_mk: torch.Tensor) -> torch.Tensor:
        """Return dW.T @ y, (columns, k)."""
        y_kp = fit(y_mk.T, math.prod(self.axes))
        change_kp = _telescoped(_backwards, self.tensors, self.frozen, self.axes, y_kp)
        return self.multiplier * fit(change_kp, self.columns).T

    @torch.no_grad()
    def dense(self) -> torch.Tensor:
        """Return dW as a float64 matrix (rows, columns), as accurate as the tensors however small their change."""
        size, device = math.prod(self.axes), self.tensors[0].device
        return self.multiplier * _dense(self._difference, size, self.rows, self.columns, device)

    def frobenius(self) -> float:
        """Return ||dW||_F, in float64."""
        return frobenius(self.dense())

    def directions(self, k: int) -> torch.Tensor:
        """Return the leading left singular vectors; values of the size of rounding count as zero."""
        return Dense(self.dense().cpu(), self.source, self.dtype).directions(k)

    @torch.no_grad()
    def random(self, generator: torch.Generator) -> "Quanta | None":
        """Return Gaussian changes of the same start, each of its own Frobenius norm, scaled to that of the whole.

        None where rounding is a part of the update, as that is in no random one.
        """
        if self.source is Source.LOW_PRECISION_DIFFERENCE:
            return None
        start = tuple(tensor.double() for tensor in self.frozen)
        drawn = tuple(_redrawn(t, s, generator) for t, s in zip(self.tensors, start, strict=True))
        update = Quanta(drawn, start, self.axes, self.rows, self.columns)
        norm = update.frobenius()
        scale = self.frobenius() / norm if norm else 1.0
        return Quanta(drawn, start, self.axes, self.rows, self.columns, scale, Source.GAUSSIAN_CHANGE)

    def _difference(self, x: torch.Tensor) -> torch.Tensor:
        return difference(self.tensors, self.frozen, self.axes, x)


@torch.no_grad()
def marked(update: Quanta) -> Quanta:
    """Return an update as a difference of low precision where its tensors are held so and moved little.

    That is where rounding T and S at random within half a step changes T - S by more than a hundredth of its norm.
    """
    held = together(update.tensors)
    if not is_low(held):
        return update
    drawn, exact = torch.Generator().manual_seed(0), update.dense()
    tensors, frozen = (tuple(shaken(t, held, drawn) for t in each) for each in (update.tensors, update.frozen))
    lost = frobenius(replace(update, tensors=tensors, frozen=frozen).dense() - exact)
    if not exact.any() or lost <= COARSE * frobenius(exact):
        return update
    return replace(update, source=Source.LOW_PRECISION_DIFFERENCE, error=lost, held=held)


Order = Callable[[Sequence[torch.Tensor], Sequence[int]], Iterable[Step]]


def _forwards(tensors: Sequence[torch.Tensor], axes: Sequence[int]) -> Iterable[Step]:
    return zip(tensors, pairs(len(axes)), strict=True)


def _backwards(tensors: Sequence[torch.Tensor], axes: Sequence[int]) -> Iterable[Step]:
    """Yield the steps of the transposed operator: transposed tensors, the last one first."""
    return reversed([(tensor.permute(2, 3, 0, 1), pair) for tensor, pair in _forwards(tensors, axes)])


def _telescoped(
    order: Order,
    tensors: Sequence[torch.Tensor],
    frozen: Sequence[torch.Tensor],
    axes: Sequence[int],
    x: torch.Tensor,
) -> torch.Tensor:
    """Return the difference of both products by e <- T_k e + (T_k - S_k) u, u <- S_k u, from e = 0 and u = x."""
    wide = torch.promote_types(tensors[0].dtype, x.dtype)
    differences = [(t.to(wide) - s.to(wide)).to(x.dtype) for t, s in zip(tensors, frozen, strict=True)]
    trained, changes, start = (
        list(order([tensor.to(x.dtype) for tensor in each], axes)) for each in (tensors, differences, frozen)
    )
    u = x.unflatten(-1, tuple(axes))
    e = _act(changes[0], u)
    for k in range(1, len(changes)):
        u = _act(start[k - 1], u)
        e = _act(trained[k], e) + _act(changes[k], u)
    return e.flatten(-len(axes))


def _act(step: Step, x: torch.Tensor) -> torch.Tensor:
    """Return the tensor applied to its two axes of `x` (..., *axes), as one matrix product."""
    tensor, (i, j) = step
    size = tensor.shape[2] * tensor.shape[3]
    moved = x.movedim((j, i), (-2, -1))
    product = moved.reshape(-1, size) @ tensor.reshape(-1, size).T
    return product.view(*moved.shape[:-2], *tensor.shape[:2]).movedim((-2, -1), (j, i))


def _dense(
    operator: Callable[[torch.Tensor], torch.Tensor], size: int, rows: int, columns: int, device: torch.device
) -> torch.Tensor:
    """Return the matrix of an operator on (..., size), padded or cropped, from the unit vectors."""
    dense = torch.empty(rows, columns, dtype=torch.float64, device=device)
    for first in range(0, columns, BLOCK):
        count = min(BLOCK, columns - first)
        unit = torch.eye(count, columns, dtype=torch.float64, device=device).roll(first, dims=1)
        dense[:, first : first + count] = fit(operator(fit(unit, size)), rows).T
    return dense


def _redrawn(tensor: torch.Tensor, start: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    noise = torch.randn(start.shape, generator=generator, dtype=torch.float64).to(start.device)
    return start + noise * (torch.linalg.norm(tensor.double() - start) / torch.linalg.norm(noise))


def _check_sizes(axes: Sequence[int], rows: int, columns: int) -> None:
    if len(axes) < 2 or min(axes) < 1:
        raise ValueError(f"axes: {tuple(axes)} must be two or more sizes of at least 1")
    if rows < 1 or columns < 1:
        raise ValueError(f"shape: a matrix of {rows} x {columns} has no entries")


def _check_tensors(what: str, tensors: Sequence[torch.Tensor], axes: Sequence[int]) -> None:
    expected = [(axes[j], axes[i], axes[j], axes[i]) for i, j in pairs(len(axes))]
    found = [tuple(tensor.shape) for tensor in tensors]
    if found != expected:
        raise ValueError(f"{what} tensors: shapes {found} do not fit axes {tuple(axes)}, which need {expected}")
    if not all(bool(torch.isfinite(tensor).all()) for tensor in tensors):
        raise ValueError(f"{what} tensors: one holds NaN or infinity, so the update has no spectrum")
