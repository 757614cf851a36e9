"""Which precision numbers are held in, whatever type they are stored in."""

import math

import pytest
import torch

from harness.spectra.precision import fits, precision, shaken

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


@pytest.mark.parametrize(("finer", "held"), [(1, torch.bfloat16), (10, torch.bfloat16), (11, torch.float32)])
@pytest.mark.parametrize("zeros", [0, 5000])
def test_a_few_entries_of_a_rounded_matrix_do_not_hide_it(
    finer: int, held: torch.dtype, zeros: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Up to a hundredth of those other than zero: 10 of 1,000."""
    monkeypatch.setattr("harness.spectra.precision.PIECE", 70)
    x = torch.cat([draw(1000).bfloat16().float(), torch.zeros(zeros)])
    x[:finer] = 1 + 2.0**-20
    assert precision(x) is held


def test_numbers_out_of_reach_of_float16_are_not_of_it() -> None:
    assert precision(torch.tensor([1e6 + 1, 1.0])) is torch.float32
    assert precision(torch.tensor([2.0**-30 * (1 + 2.0**-9)])) is torch.float32


def test_zeros_tell_nothing_and_nan_is_held_by_none() -> None:
    assert precision(torch.zeros(3, 2)) is torch.float32
    assert not fits(torch.tensor([math.nan]), torch.float32)


@pytest.mark.parametrize("dtype", TYPES[:3])
def test_what_is_shaken_may_have_been_rounded_to_the_same_number(dtype: torch.dtype) -> None:
    """Within half a step, and about as far as rounding is off: numbers below one have half the steps of those above."""
    exact = 3 * draw(40, 50)
    rounded = exact.to(dtype).double()
    off, error = shaken(rounded, dtype, torch.Generator().manual_seed(1)) - rounded, exact - rounded
    assert float(off.norm()) == pytest.approx(float(error.norm()), rel=0.1)
    near = rounded.abs() > 2.0 ** rounded.abs().log2().floor()  # below a power of two the next step is half as long
    assert torch.equal((rounded + off).to(dtype).double()[near], rounded[near])
    assert not shaken(torch.zeros(3), dtype, torch.Generator()).any()
