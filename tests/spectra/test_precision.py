"""Which precision numbers are held in, whatever type they are stored in."""

import math

import pytest
import torch

from harness.spectra.precision import fits, precision

TYPES = [torch.bfloat16, torch.float16, torch.float32, torch.float64]


def draw(*shape: int) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


@pytest.mark.parametrize("held", TYPES)
@pytest.mark.parametrize("stored", TYPES)
def test_what_was_rounded_stays_so_in_any_finer_type(held: torch.dtype, stored: torch.dtype) -> None:
    if torch.finfo(stored).eps <= torch.finfo(held).eps and {held, stored} != {torch.bfloat16, torch.float16}:
        assert precision(draw(30, 40).to(held).to(stored)) is held


def test_one_entry_of_many_that_is_finer_tells(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("harness.spectra.precision.PIECE", 7)
    x = draw(5, 9).bfloat16().float()
    assert precision(x) is torch.bfloat16
    x[4, 8] = 1 + 2.0**-10  # eleven bits: of float16, not of bfloat16
    assert precision(x) is torch.float16
    x[4, 8] = 1 + 2.0**-11
    assert precision(x) is torch.float32
    assert precision(x.T) is torch.float32


def test_numbers_out_of_reach_of_float16_are_not_of_it() -> None:
    assert precision(torch.tensor([1e6 + 1, 1.0])) is torch.float32
    assert precision(torch.tensor([2.0**-30 * (1 + 2.0**-9)])) is torch.float32


def test_zeros_tell_nothing_and_nan_is_held_by_none() -> None:
    assert precision(torch.zeros(3, 2)) is torch.float32
    assert not fits(torch.tensor([math.nan]), torch.float32)
