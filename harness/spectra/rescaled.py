"""An update that rescales the rows of a frozen matrix and adds a low-rank one: dW = diag(e) W0 + B A, of full rank.

Nothing is formed that is not needed. With K0 = W0 W0^T, C = W0 A^T and G = A A^T, by multiplying out,
dW dW^T = (e e^T) o K0 + (e o C) B^T + B (e o C)^T + B G B^T, whose trace is ||dW||_F^2. K0 belongs to the base alone,
so one `DoraBase` serves every update of it. Where there are more rows than columns it would be the larger Gram
matrix, so dW^T dW is formed instead, from pieces of dW. Everything but the products of `directions` is float64.

Limits: where the two parts nearly cancel, the Gram matrix loses their common digits; the kernel's floor says so.
"""

from collections.abc import Iterator
from dataclasses import dataclass, fields
from typing import Any

import torch

from harness.spectra.dense import SVD
from harness.spectra.lanczos import topk
from harness.spectra.lora import LowRank
from harness.spectra.spectrum import Kernel, Source, Spectrum, whole

SMALL = 512
"""Smaller side up to which dW is formed in float64 and decomposed, which is more exact than its Gram matrix."""
STRIP = 1024
"""Rows that are converted to float64 at a time."""
GRAM = Kernel("dora gram", bound=1e-3, floor=1e-6)
"""Gram matrix and its eigenvalues in float64; the floor is in units of the norms of the two parts."""
ROUNDING = 16 * torch.finfo(torch.float64).eps
"""Error of dW in units of ||W0||_F and of its parts' norms: e is a ratio less one, so it rounds as one does."""


@dataclass(frozen=True, slots=True, eq=False)
class DoraBase:
    """What a frozen matrix contributes to the Gram matrix of every update of it that rescales its rows."""

    gram_mm: torch.Tensor
    """K0 = W0 W0^T, float64."""

    @classmethod
    @torch.no_grad()
    def of(cls, weight_mn: torch.Tensor) -> "DoraBase":
        """Return it of W0 (rows, columns): 8 rows^2 bytes, rows^2 columns multiplications."""
        gram = torch.zeros(weight_mn.shape[0], weight_mn.shape[0], dtype=torch.float64)
        for piece in map(torch.Tensor.double, weight_mn.split(STRIP, dim=1)):
            gram.addmm_(piece, piece.T)
        return cls(gram)


@dataclass(frozen=True, slots=True, eq=False)
class Rescaled:
    """The update `diag(change_m) @ weight_mn + b_mr @ a_rn`."""

    weight_mn: torch.Tensor
    change_m: torch.Tensor
    """e, float64: by what share each row of W0 is longer."""
    b_mr: torch.Tensor
    """float64, every multiplier included."""
    a_rn: torch.Tensor
    """float64."""
    cross_mr: torch.Tensor
    """C = W0 A^T, float64."""
    squares_m: torch.Tensor
    """Squared norms of the rows of W0, float64."""
    dtype: str
    """Precision in which the coarsest of what it was read from is stored."""
    base: DoraBase | None = None
    source: Source = Source.FACTORS
    """Factors, unless e is known in low precision only: the frozen matrix itself is exact in whatever it is stored."""

    @property
    def rows(self) -> int:
        """Outputs of the layer."""
        return self.weight_mn.shape[0]

    @property
    def columns(self) -> int:
        """Inputs of the layer."""
        return self.weight_mn.shape[1]

    def parts(self) -> tuple[float, float]:
        """Return ||diag(e) W0||_F and ||B A||_F, the magnitude's and the direction's part."""
        scaling = float((self.change_m.square() * self.squares_m).sum()) ** 0.5
        return scaling, LowRank(self.b_mr, self.a_rn).frobenius()

    def frobenius(self) -> float:
        """Return ||dW||_F from its parts' norms and inner product; its square is good to some 1e-15 of theirs."""
        scaling, direction = self.parts()
        both = float((self.change_m * (self.cross_mr * self.b_mr).sum(1)).sum())
        return max(scaling**2 + 2 * both + direction**2, 0.0) ** 0.5

    @torch.no_grad()
    def spectrum(self) -> Spectrum:
        """Return all singular values, min(rows, columns) of them."""
        side = min(self.rows, self.columns)
        if not self.frobenius():
            return whole(self.rows, self.columns, torch.zeros(side, dtype=torch.float64), SVD)
        if side <= SMALL:
            sigma, kernel = torch.linalg.svdvals(self.dense()), SVD
        else:
            sigma, kernel = torch.linalg.eigvalsh(self.gram()).clamp(min=0).sqrt().flip(0), GRAM
        return whole(self.rows, self.columns, sigma, self._resolved(kernel, float(sigma[0])))

    def gram(self) -> torch.Tensor:
        """Return dW dW^T, or dW^T dW where rows > columns: float64, of the smaller side."""
        if self.rows > self.columns:
            gram = torch.zeros(self.columns, self.columns, dtype=torch.float64)
            for piece in self._pieces():
                gram.addmm_(piece.T, piece)
            return gram
        base = self.base or DoraBase.of(self.weight_mn)
        # (e o C) B^T + half of B G B^T; the other half and the transpose come by symmetry
        half = (self.change_m.view(-1, 1) * self.cross_mr + self.b_mr @ (self.a_rn @ self.a_rn.T) / 2) @ self.b_mr.T
        gram = base.gram_mm * self.change_m.view(-1, 1) * self.change_m
        return gram.add_(half).add_(half.T)

    def dense(self) -> torch.Tensor:
        """Return dW, float64 (rows, columns)."""
        return torch.cat(list(self._pieces()))

    def times(self, x_nk: torch.Tensor) -> torch.Tensor:
        """Return dW @ x, (rows, k)."""
        scaling = self.change_m.to(x_nk.dtype).view(-1, 1) * (self.weight_mn.to(x_nk.dtype) @ x_nk)
        return scaling + self.b_mr.to(x_nk.dtype) @ (self.a_rn.to(x_nk.dtype) @ x_nk)

    def adjoint_times(self, y_mk: torch.Tensor) -> torch.Tensor:
        """Return dW.T @ y, (columns, k)."""
        scaling = self.weight_mn.to(y_mk.dtype).T @ (self.change_m.to(y_mk.dtype).view(-1, 1) * y_mk)
        return scaling + self.a_rn.to(y_mk.dtype).T @ (self.b_mr.to(y_mk.dtype).T @ y_mk)

    @torch.no_grad()
    def directions(self, k: int) -> torch.Tensor:
        """Return the leading left singular vectors; values of the size of rounding count as zero.

        Of small matrices, or many vectors, from the whole decomposition; else from Lanczos with float32 products.
        """
        if not self.frobenius():
            return torch.zeros(self.rows, 0, dtype=torch.float64)
        side = min(self.rows, self.columns)
        if side <= SMALL or 4 * k > side:
            u, sigma, _ = torch.linalg.svd(self.dense(), full_matrices=False)
            eps = torch.finfo(torch.float64).eps
        else:
            u, sigma = self._leading(k)
            eps = torch.finfo(torch.float32).eps
        return u[:, : min(k, int((sigma > max(self.rows, self.columns) * eps * sigma[0]).sum()))]

    @torch.no_grad()
    def random(self, generator: torch.Generator) -> "Rescaled | None":
        """Return the null: e in random order, Gaussian factors of the direction's norm, all scaled to the whole's.

        None for what rounding in low precision is part of, as that is in no random update.
        """
        if self.source is Source.LOW_PRECISION_DIFFERENCE:
            return None
        order = torch.randperm(self.rows, generator=generator)
        drawn = LowRank(self.b_mr, self.a_rn).random(generator)
        cross, _ = against(self.weight_mn, drawn.a_rn)
        b = drawn.multiplier * drawn.b_mr
        found = self._but(change_m=self.change_m[order], b_mr=b, a_rn=drawn.a_rn, cross_mr=cross)
        norm = found.frobenius()
        scale = self.frobenius() / norm if norm else 0.0
        changes = {"change_m": scale * found.change_m, "b_mr": scale * found.b_mr}
        return found._but(**changes, source=Source.RESCALED_FACTORS, dtype="float64")

    def _leading(self, k: int) -> tuple[torch.Tensor, torch.Tensor]:
        single = self._but(weight_mn=self.weight_mn.float())  # converted once, not at every product
        start = torch.Generator().manual_seed(0)
        found = topk(single.times, single.adjoint_times, self.rows, self.columns, k, start, torch.float32)
        return found.u, found.sigma

    def _resolved(self, kernel: Kernel, largest: float) -> Kernel:
        """Return a kernel with the floor that cancellation within this update leaves it."""
        parts = sum(self.parts())
        if not largest:  # the parts cancelled to the last digit
            return Kernel(kernel.name, kernel.bound, 1.0)
        own = kernel.floor * max(1.0, parts / largest)
        rounded = ROUNDING * (float(self.squares_m.sum()) ** 0.5 + parts) / (kernel.bound * largest)
        return kernel.at(max(own, rounded))

    def _but(self, **changes: Any) -> "Rescaled":
        return Rescaled(**{field.name: getattr(self, field.name) for field in fields(Rescaled)} | changes)

    def _pieces(self) -> Iterator[torch.Tensor]:
        change = self.change_m.view(-1, 1)
        strips = (part.split(STRIP) for part in (self.weight_mn, change, self.b_mr))
        for weight, e, b in zip(*strips, strict=True):
            yield torch.addmm(e * weight.double(), b, self.a_rn)


@torch.no_grad()
def against(weight_mn: torch.Tensor, a_rn: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Return W0 A^T (rows, r) and the squared norms of the rows of W0 (rows,), both float64."""
    pairs = [(piece @ a_rn.T, piece.square().sum(1)) for piece in map(torch.Tensor.double, weight_mn.split(STRIP))]
    return torch.cat([cross for cross, _ in pairs]), torch.cat([squares for _, squares in pairs])
