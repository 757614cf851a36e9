"""In which precision numbers are held, whatever type they are stored in: bfloat16 that was saved as float32 stays it.

A number of random bits is held by bfloat16 with a chance of 2^-16, by float16 with one of 2^-13 at most, so a matrix
all of whose entries are was rounded to it. Zeros tell nothing.
"""

import torch

PIECE = 65_536
"""Entries that are looked at at a time: the first of them settle it where the type is what it seems."""
FROM_THE_COARSEST = (torch.bfloat16, torch.float16, torch.float32)


def fits(x: torch.Tensor, dtype: torch.dtype) -> bool:
    """Return whether a type holds every entry of `x` exactly; NaN is held by none."""
    pieces = x.detach().reshape(-1).split(PIECE)
    return all(torch.equal(piece.to(dtype).to(x.dtype), piece) for piece in pieces)


def precision(x: torch.Tensor) -> torch.dtype:
    """Return the coarsest type that holds every entry of `x`, at most the type it is stored in, and that of zeros."""
    if not x.any():
        return x.dtype
    coarser = (dtype for dtype in FROM_THE_COARSEST if eps(dtype) > eps(x.dtype))
    return next((dtype for dtype in coarser if fits(x, dtype)), x.dtype)


def eps(dtype: torch.dtype) -> float:
    """Return the spacing of a type's numbers at 1: rounding to it is off by at most half of it, relatively."""
    return torch.finfo(dtype).eps


def called(dtype: torch.dtype) -> str:
    """Return a type's name: `float32`, `bfloat16`, ..."""
    return str(dtype).removeprefix("torch.")
