"""In which precision numbers are held, whatever type they are stored in: bfloat16 that was saved as float32 stays it.

A number of random bits is held by bfloat16 with a chance of 2^-16, by float16 with one of 2^-13 at most, so a matrix
nearly all of whose entries are was rounded to it; a few that were set since change nothing. Zeros tell nothing.
"""

from collections.abc import Iterable

import torch

PIECE = 65_536
"""Entries that are looked at at a time: the first of them settle it where the type is what it seems."""
COARSE = 1e-2
"""Share of an update's norm above which the rounding of what it follows from is told: rounding factors that began at
zero to bfloat16 makes .001 to .005 of it, rounding numbers that moved little from elsewhere up to all of it."""
SHARE = 0.99
"""Of the entries other than zero that a type has to hold for a matrix to be held in it."""
FROM_THE_COARSEST = (torch.bfloat16, torch.float16, torch.float32)


def fits(x: torch.Tensor, dtype: torch.dtype) -> bool:
    """Return whether a type holds every entry of `x` exactly; NaN is held by none."""
    pieces = x.detach().reshape(-1).split(PIECE)
    return all(torch.equal(piece.to(dtype).to(x.dtype), piece) for piece in pieces)


def precision(x: torch.Tensor) -> torch.dtype:
    """Return the coarsest type that holds nearly every entry of `x`, at most the type it is stored in.

    Nearly every one are 99 % of those other than zero; of zeros alone, it is the type they are stored in.
    """
    if not x.any():
        return x.dtype
    coarser = (dtype for dtype in FROM_THE_COARSEST if eps(dtype) > eps(x.dtype))
    return next((dtype for dtype in coarser if _nearly_fits(x, dtype)), x.dtype)


def _nearly_fits(x: torch.Tensor, dtype: torch.dtype) -> bool:
    beyond, allowed = 0, (1 - SHARE) * int(torch.count_nonzero(x))
    for piece in x.detach().reshape(-1).split(PIECE):
        beyond += int((piece.to(dtype).to(x.dtype) != piece).sum())
        if beyond > allowed:
            return False
    return True


def together(tensors: Iterable[torch.Tensor]) -> torch.dtype:
    """Return the precision that numbers which were saved together are held in."""
    return precision(torch.cat([x.detach().flatten() for x in tensors]))


def is_low(dtype: torch.dtype) -> bool:
    """Whether a type is coarser than float32."""
    return eps(dtype) > eps(torch.float32)


def shaken(x: torch.Tensor, dtype: torch.dtype, generator: torch.Generator) -> torch.Tensor:
    """Return `x`, float64, off by what rounding to a type may have changed: up to half a step of its numbers there."""
    wide = x.detach().double()
    half = torch.ldexp((wide != 0) * (eps(dtype) / 4), torch.frexp(wide).exponent)
    drawn = 2 * torch.rand(x.shape, generator=generator, dtype=torch.float64) - 1
    return wide + drawn.to(x.device) * half


def eps(dtype: torch.dtype) -> float:
    """Return the spacing of a type's numbers at 1: rounding to it is off by at most half of it, relatively."""
    return torch.finfo(dtype).eps


def called(dtype: torch.dtype) -> str:
    """Return a type's name: `float32`, `bfloat16`, ..."""
    return str(dtype).removeprefix("torch.")
