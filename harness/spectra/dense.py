"""All singular values of a dense matrix, and updates that are only known as one: tuned minus base.

Small matrices go through the singular value decomposition in float64. Of larger ones the eigenvalues lambda of the Gram
matrix of the smaller side are taken, sigma = sqrt(lambda): faster, but an error of about 1e-16 sigma_1^2 in lambda
leaves one of 1e-16 sigma_1^2 / sigma in sigma, so small values are not resolved; each kernel states from where on.

A difference of weights held in bfloat16 or float16, in whatever type they are stored, is mostly rounding: an entry
whose update is below the spacing of its numbers moves not at all or by a whole step, which reads as noise of full rank.
`difference` marks such updates, and `rounding_null` shows what an update of known low rank would read as. The same is
true of float32 at another size: every difference says by how much rounding alone may have moved its values.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch

from harness.spectra.lanczos import topk
from harness.spectra.lora import LowRank
from harness.spectra.norms import frobenius, scale_of, scaled
from harness.spectra.precision import called, eps, precision
from harness.spectra.spectrum import Kernel, Source, Spectrum, blurred, whole

SVD = Kernel("svd float64", bound=1e-6, floor=1e-8)
"""Singular value decomposition in float64: errors of at most 3e-15 sigma_1 measured, 1e-14 allowed here."""
GRAM = Kernel("gram float64", bound=1e-3, floor=1e-6)
"""Gram matrix and its eigenvalues in float64: errors of lambda of 0.1 eps sigma_1^2 (graded values) to 3 eps (half of
them equal) measured for the smallest of 2048 values, 9 eps allowed here."""
GRAM_FAST = Kernel("gram float32", bound=1e-3, floor=1e-2)
"""Gram matrix in float32 products summed in float64, eigenvalues in float64: errors of lambda of 1e-8 to 1e-7 sigma_1^2
measured, likewise, 2e-7 allowed here."""
SMALL = 2**18
"""Entries up to which the decomposition in float64 is taken: it takes up to twice as long, of milliseconds."""
CHUNK = 1024
"""Length of the longer side that is converted at a time."""
STRIP = 256
"""Rows of the Gram matrix that are formed at a time, up to the diagonal and the rest of its block."""


@torch.no_grad()
def gram_spectrum(w: torch.Tensor, *, fast: bool = False) -> Spectrum:
    """Return all singular values of (rows, columns), min(rows, columns) of them; `fast` resolves the large ones only.

    Raises:
        ValueError: no matrix of floating-point numbers, no entries, or NaN or infinity among them.
    """
    rows, columns = w.shape if w.dim() == 2 else (0, 0)
    scale = scale_of(w)
    if w.numel() <= SMALL:
        sigma = torch.linalg.svdvals(scaled(w, scale, torch.float64))
        return whole(rows, columns, scale * sigma, SVD)
    gram = _gram(w if rows <= columns else w.T, scale, torch.float32 if fast else torch.float64)
    values = torch.linalg.eigvalsh(gram, UPLO="L").clamp(min=0).flip(0)
    return whole(rows, columns, scale * values.sqrt(), GRAM_FAST if fast else GRAM)


def _gram(w_mn: torch.Tensor, scale: float, dtype: torch.dtype) -> torch.Tensor:
    """Return W W^T / scale^2 (m, m), float64, of which only the lower triangle holds; products are formed in `dtype`.

    No copy of the whole matrix is made: pieces of its longer side are converted one at a time.
    """
    m = w_mn.shape[0]
    gram = torch.zeros(m, m, dtype=torch.float64)
    for chunk in w_mn.split(CHUNK, dim=1):
        d = scaled(chunk, scale, dtype)
        for start in range(0, m, STRIP):
            end = min(start + STRIP, m)
            if dtype == torch.float64:
                gram[start:end, :end].addmm_(d[start:end], d[:end].T)
            else:
                gram[start:end, :end] += d[start:end] @ d[:end].T
    return gram


Redraw = Callable[[torch.Generator], tuple[torch.Tensor, Source]]
"""Returns a random matrix, of whatever norm, and what it was drawn as."""


@dataclass(frozen=True, slots=True, eq=False)
class Dense:
    """An update that is known as a matrix."""

    w: torch.Tensor
    """(rows, columns), float32 or float64."""
    source: Source
    dtype: str
    """Type in which what it was read from is held."""
    error: float = 0.0
    """Bound on the norm of what the matrix is off by, because what it was read from is rounded or was computed."""
    redraw: Redraw | None = None
    """Draws the null; None where the update may be any matrix, so that Gaussian entries are of its form."""

    def __post_init__(self) -> None:
        if self.w.dtype not in (torch.float32, torch.float64):
            raise ValueError(f"an update in {self.w.dtype} is rounded. Pass it in float32 or float64")
        scale_of(self.w)

    @property
    def rows(self) -> int:
        """Outputs of the layer."""
        return self.w.shape[0]

    @property
    def columns(self) -> int:
        """Inputs of the layer."""
        return self.w.shape[1]

    def spectrum(self) -> Spectrum:
        """Return all singular values."""
        return blurred(gram_spectrum(self.w), self.error)

    def times(self, x_nk: torch.Tensor) -> torch.Tensor:
        """Return dW @ x, (rows, k)."""
        return self.w.to(x_nk.dtype) @ x_nk

    def adjoint_times(self, y_mk: torch.Tensor) -> torch.Tensor:
        """Return dW.T @ y, (columns, k)."""
        return self.w.to(y_mk.dtype).T @ y_mk

    @torch.no_grad()
    def directions(self, k: int) -> torch.Tensor:
        """Return the leading left singular vectors, float64 (rows, min(k, directions with a value above zero)).

        A value is above zero where rounding alone would not account for it.
        """
        small = self.w.numel() <= SMALL or 4 * k > min(self.w.shape)
        u, sigma = self._decomposed() if small else self._leading(k)
        rounding = eps(torch.float64 if small else self.w.dtype)
        return u[:, : min(k, int((sigma > max(self.w.shape) * rounding * sigma[0]).sum()))]

    @torch.no_grad()
    def random(self, generator: torch.Generator) -> "Dense | None":
        """Return what `redraw` draws, or a Gaussian matrix of the same shape, scaled to the same Frobenius norm.

        None for a difference of rounded weights: what rounding makes of an update is in no random matrix.
        """
        if self.source is Source.LOW_PRECISION_DIFFERENCE:
            return None
        drawn, source = (self.redraw or self._gaussian)(generator)
        norm = frobenius(drawn)
        return Dense(drawn * (frobenius(self.w) / norm if norm else 0.0), source, called(drawn.dtype))

    def _gaussian(self, generator: torch.Generator) -> tuple[torch.Tensor, Source]:
        return torch.randn(self.w.shape, generator=generator, dtype=self.w.dtype), Source.GAUSSIAN_MATRIX

    def _decomposed(self) -> tuple[torch.Tensor, torch.Tensor]:
        u, sigma, _ = torch.linalg.svd(scaled(self.w, scale_of(self.w), torch.float64), full_matrices=False)
        return u, sigma

    def _leading(self, k: int) -> tuple[torch.Tensor, torch.Tensor]:
        d = scaled(self.w, scale_of(self.w), self.w.dtype)
        start = torch.Generator().manual_seed(0)
        found = topk(lambda x: d @ x, lambda y: d.T @ y, self.rows, self.columns, k, start, d.dtype)
        return found.u, found.sigma


def of_its_rank(w: torch.Tensor, error: float) -> Redraw:
    """Return what draws products of Gaussian factors of the numerical rank of `w`, which is known up to `error`."""

    def redraw(generator: torch.Generator) -> tuple[torch.Tensor, Source]:
        sigma = torch.linalg.svdvals(w.double())
        rank = max(1, int((sigma > max(w.shape) * eps(torch.float64) * sigma[0] + error).sum()))
        shapes = (w.shape[0], rank), (rank, w.shape[1])
        b, a = (torch.randn(shape, generator=generator, dtype=torch.float64) for shape in shapes)
        return b @ a, Source.GAUSSIAN_FACTORS

    return redraw


def difference(tuned: torch.Tensor, base: torch.Tensor, held: torch.dtype | None = None) -> Dense:
    """Return tuned minus base, in float32, or in float64 where either is; raise ValueError unless shapes agree.

    `held` is the precision that the weights were trained in from this very base, where that is known. Otherwise each
    matrix is taken for what its numbers show: rounded to bfloat16 where that holds all of them.
    """
    _same_shape(tuned, base)
    tuned, base = tuned.detach(), base.detach()
    types = [held or precision(w) for w in (tuned, base)]
    lower = max(types, key=eps)
    exact = lower in (torch.float32, torch.float64)
    source = Source.FP32_DIFFERENCE if exact else Source.LOW_PRECISION_DIFFERENCE
    working = torch.float64 if torch.float64 in (tuned.dtype, base.dtype) else torch.float32
    w = tuned.to(working) - base.to(working)
    rounded = ((tuned, types[0]), (base, types[1]), (w, working))
    return Dense(w, source, called(lower), sum(eps(dtype) / 2 * frobenius(x) for x, dtype in rounded))


def changed_share(tuned: torch.Tensor, base: torch.Tensor) -> float:
    """Return the share of entries that differ as numbers; raise ValueError unless shapes agree."""
    _same_shape(tuned, base)
    return int((tuned != base).sum()) / tuned.numel()


@torch.no_grad()
def rounding_null(base: torch.Tensor, rank: int, ratio: float, dtype: torch.dtype, generator: torch.Generator) -> Dense:
    """Return what a random update of `rank` and norm ratio * ||base||_F reads as once base + update is in `dtype`.

    The update is a product of Gaussian factors. What its spectrum shows beyond `rank` values is rounding.
    """
    m, n = base.shape
    b, a = (torch.randn(shape, generator=generator, dtype=torch.float64) for shape in ((m, rank), (rank, n)))
    size = ratio * frobenius(base) / LowRank(b, a).frobenius()
    tuned = torch.addmm(base.double(), b, a, alpha=size)
    return difference(tuned.to(dtype), base)


def _same_shape(tuned: torch.Tensor, base: torch.Tensor) -> None:
    if tuned.shape != base.shape:
        rule = f"tuned {tuple(tuned.shape)} and base {tuple(base.shape)} differ in shape"
        raise ValueError(f"{rule}. Pass the same matrix of both models")
