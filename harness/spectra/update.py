"""What every update of a frozen matrix can say of itself, whatever method made it.

An update dW has the shape of its weight: (rows, columns) = (outputs, inputs). Whoever asks for its spectrum never
needs to form it; whoever compares it with the base needs only its products with thin matrices.
"""

from typing import Protocol

import torch

from harness.spectra.spectrum import Source, Spectrum


class Update(Protocol):
    """An update of one matrix."""

    @property
    def rows(self) -> int:
        """Outputs of the layer."""
        ...

    @property
    def columns(self) -> int:
        """Inputs of the layer."""
        ...

    @property
    def source(self) -> Source:
        """What it was read from; of a null, what it was drawn as."""
        ...

    @property
    def dtype(self) -> str:
        """Precision in which what it was read from is stored: `float32`, `bfloat16`, ..."""
        ...

    def spectrum(self) -> Spectrum:
        """Return all singular values and what follows from them."""
        ...

    def times(self, x_nk: torch.Tensor) -> torch.Tensor:
        """Return dW @ x, (rows, k), in the precision of `x`."""
        ...

    def adjoint_times(self, y_mk: torch.Tensor) -> torch.Tensor:
        """Return dW.T @ y, (columns, k), in the precision of `y`."""
        ...

    def directions(self, k: int) -> torch.Tensor:
        """Return the leading left singular vectors, float64 (rows, min(k, directions with a value above zero))."""
        ...

    def random(self, generator: torch.Generator) -> "Update | None":
        """Return a random update of the same form, shape and Frobenius norm: the null that a finding stands beside.

        Its `source` says what it was drawn as. None where no random update would be read as this one was.
        """
        ...
