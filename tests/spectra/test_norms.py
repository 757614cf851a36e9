"""Frobenius norms and participation ratios against closed forms and 50-digit arithmetic."""

import math

import mpmath
import pytest
import torch

from harness.spectra.norms import frobenius, participation_ratio

DTYPES = [torch.float64, torch.float32, torch.bfloat16, torch.float16]


def draw(m: int, n: int, dtype: torch.dtype = torch.float64, seed: int = 0) -> torch.Tensor:
    return torch.randn(m, n, generator=torch.Generator().manual_seed(seed), dtype=torch.float64).to(dtype)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("m", "n"), [(5, 8), (8, 5), (1, 9), (9, 1), (1, 1)])
def test_both_agree_with_50_digits_on_the_same_binary_numbers(m: int, n: int, dtype: torch.dtype) -> None:
    w = draw(m, n, dtype)
    with mpmath.workdps(50):
        exact = mpmath.matrix(w.double().tolist())
        energy = sum(x**2 for x in exact)
        fourth = sum(x**2 for x in exact * exact.T)
        assert frobenius(w) == pytest.approx(float(mpmath.sqrt(energy)), rel=1e-14)
        assert participation_ratio(w) == pytest.approx(float(energy**2 / fourth), rel=1e-13)


@pytest.mark.parametrize("largest", [5e-324, 1e-300, 1e-30, 1e-8, 1e12, 1e200, 1.7e308])
def test_size_alone_changes_nothing(largest: float) -> None:
    # 3 and 4 on a diagonal: norm 5, ratio (9 + 16)^2 / (81 + 256); the squares of these sizes are 0 or infinity
    assert frobenius(torch.tensor([[largest]], dtype=torch.float64)) == largest
    w = torch.tensor([[0.75, 0.0], [0.0, 1.0], [0.0, 0.0]], dtype=torch.float64) * largest
    if largest > 1e-320:  # 0.75 of the smallest number is the smallest number
        assert frobenius(w / 2) == pytest.approx(0.625 * largest, rel=1e-13, abs=0)
        assert participation_ratio(w) == pytest.approx(625 / 337, rel=1e-13)


@pytest.mark.parametrize("largest", [1e-42, 1e-30, 1e30, 3e38])
def test_size_alone_changes_nothing_in_float32(largest: float) -> None:
    w = torch.full((40, 30), largest, dtype=torch.float32)
    size = w[0, 0].item()
    assert frobenius(w) == pytest.approx(size * math.sqrt(1200), rel=1e-13, abs=0)
    assert participation_ratio(w) == pytest.approx(1, rel=1e-12)


def test_float32_sums_of_16_million_squares_are_off_and_these_are_not() -> None:
    w = torch.randn(4096, 4096, generator=torch.Generator().manual_seed(0))
    truth = float(w.double().square().sum())
    trap = float(torch.linalg.vector_norm(w)) ** 2
    assert abs(trap / truth - 1) > 1e-4  # 1.3e-3 with torch 2.13 on one thread
    assert frobenius(w) ** 2 == pytest.approx(truth, rel=1e-13)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize(("m", "n"), [(1100, 700), (600, 1500), (513, 1025)])
def test_ratio_of_many_blocks_is_that_of_the_singular_values(m: int, n: int, dtype: torch.dtype) -> None:
    """With products in float32, entries in bfloat16 would be off by 2e-7: their squares round to one side."""
    w = draw(m, n, dtype)
    energy = torch.linalg.svdvals(w.double()).square()
    assert participation_ratio(w) == pytest.approx(float(energy.sum() ** 2 / energy.square().sum()), rel=1e-12)


def test_equal_values_have_their_number_as_ratio() -> None:
    q = torch.linalg.qr(draw(900, 600)).Q
    assert participation_ratio(q) == pytest.approx(600, rel=1e-12)
    assert participation_ratio(torch.full((600, 900), 0.1)) == pytest.approx(1, rel=1e-12)
    assert frobenius(q) == pytest.approx(math.sqrt(600), rel=1e-13)


def test_no_update_has_a_norm_and_no_ratio() -> None:
    assert frobenius(torch.zeros(3, 2)) == 0
    assert participation_ratio(torch.zeros(3, 2)) is None


def test_strides_change_nothing() -> None:
    w = draw(64, 48)
    assert frobenius(w.T) == frobenius(w)
    assert frobenius(w[::2, 1:]) == pytest.approx(frobenius(w[::2, 1:].contiguous()), rel=1e-14)
    assert participation_ratio(w.T) == pytest.approx(participation_ratio(w), rel=1e-13)


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("dtype", DTYPES)
def test_what_is_no_number_has_no_norm(bad: float, dtype: torch.dtype) -> None:
    w = draw(4, 3, dtype)
    w[2, 1] = bad
    for norm in (frobenius, participation_ratio):
        with pytest.raises(ValueError, match="holds NaN or infinity"):
            norm(w)


@pytest.mark.parametrize(
    "w", [torch.ones(3), torch.ones(0, 4), torch.ones(2, 2, 2), torch.ones(2, 2, dtype=torch.int8)]
)
def test_what_is_no_matrix_has_no_norm(w: torch.Tensor) -> None:
    with pytest.raises(ValueError, match="is no matrix of floating-point numbers"):
        frobenius(w)
