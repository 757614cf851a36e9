"""Dense spectra against closed forms and 50-digit arithmetic; differences against what is known to have changed."""

import math
from typing import Any

import mpmath
import pytest
import torch

from harness.spectra import Kernel, Source, Spectrum, Update, dense
from harness.spectra.dense import Dense, changed_share, difference, gram_spectrum, of_its_rank, rounding_null
from harness.spectra.norms import frobenius

Float = torch.float64


def draw(m: int, n: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(m, n, generator=torch.Generator().manual_seed(seed), dtype=Float)


def known(sigma: torch.Tensor, m: int, n: int) -> torch.Tensor:
    """Return a matrix whose singular values are `sigma`, to about 1e-15 of the largest."""
    k = len(sigma)
    return torch.linalg.qr(draw(m, k, 1)).Q * sigma @ torch.linalg.qr(draw(n, k, 2)).Q.T


def values(found: Spectrum) -> torch.Tensor:
    return torch.tensor(found.singular_values, dtype=Float)


def exact(w: torch.Tensor) -> list[float]:
    """Return the singular values of the very same binary numbers, by 50 digits."""
    with mpmath.workdps(50):
        wide = w if w.shape[0] >= w.shape[1] else w.T
        found: Any = mpmath.svd_r(mpmath.matrix(wide.double().tolist()), compute_uv=False)
        return [float(value) for value in found]


def assert_within(found: Spectrum, truth: torch.Tensor, kernel: Kernel) -> None:
    """Assert that every value above the kernel's floor is within its bound."""
    assert found.kernel == kernel
    assert found.complete
    above = truth > kernel.floor * truth[0]
    assert above.any()
    error = (values(found)[above] / truth[above] - 1).abs().max()
    assert error <= kernel.bound


@pytest.fixture(params=[0, dense.SMALL], ids=["gram", "svd"])
def kernel(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Kernel:
    """The kernel that small matrices are measured by, either of the two."""
    monkeypatch.setattr(dense, "SMALL", request.param)
    return dense.SVD if request.param else dense.GRAM


SHAPES = [(6, 9), (9, 6), (7, 7), (1, 8), (8, 1), (1, 1)]


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize(("m", "n"), SHAPES)
def test_values_agree_with_50_digits(m: int, n: int, dtype: torch.dtype, kernel: Kernel) -> None:
    w = draw(m, n).to(dtype)
    found = gram_spectrum(w)
    truth = exact(w)
    assert (found.rows, found.columns, found.kernel) == (m, n, kernel)
    assert len(found.singular_values) == min(m, n)
    assert found.singular_values == pytest.approx(truth, rel=1e-12)  # condition below 100
    assert found.frobenius == pytest.approx(math.sqrt(math.fsum(x**2 for x in truth)), rel=1e-13)


@pytest.mark.parametrize("size", [1e-300, 1e-30, 1e30, 1e300])
def test_size_alone_changes_nothing(size: float, kernel: Kernel) -> None:
    w = draw(6, 9)
    found, plain = gram_spectrum(w * size), gram_spectrum(w)
    assert found.singular_values == pytest.approx([size * value for value in plain.singular_values], rel=1e-12, abs=0)
    assert found.effective_rank == pytest.approx(plain.effective_rank, rel=1e-12)
    assert found.stable_rank == pytest.approx(plain.stable_rank, rel=1e-12)


def test_the_smallest_float32_is_not_taken_for_zero(kernel: Kernel) -> None:
    found = gram_spectrum(torch.eye(5) * 2.0**-149)
    assert found.singular_values == pytest.approx([2.0**-149] * 5, rel=1e-14, abs=0)
    assert found.effective_rank == pytest.approx(5, rel=1e-13)


def test_a_condition_of_1e12_is_within_the_stated_bound(kernel: Kernel) -> None:
    w = draw(12, 8) * torch.logspace(0, -12, 8, dtype=Float)
    truth = torch.tensor(exact(w), dtype=Float)
    assert 1e10 < truth[0] / truth[-1] < 1e14
    assert_within(gram_spectrum(w), truth, kernel)


def test_rank_deficient(kernel: Kernel) -> None:
    w = draw(9, 2) @ draw(2, 7, 5)
    found = gram_spectrum(w)
    assert found.singular_values[:2] == pytest.approx(exact(w)[:2], rel=1e-12)
    assert max(found.singular_values[2:]) <= kernel.floor * found.singular_values[0]


def test_zero(kernel: Kernel) -> None:
    found = gram_spectrum(torch.zeros(3, 5))
    assert found.singular_values == (0.0, 0.0, 0.0)
    assert (found.frobenius, found.kernel) == (0.0, kernel)
    assert (found.effective_rank, found.stable_rank, found.participation_ratio) == (None, None, None)


def graded(n: int) -> torch.Tensor:
    return torch.logspace(0, -12, n, dtype=Float)


def crowded(n: int) -> torch.Tensor:
    """Half of the values at the largest, which leaves the Gram matrix with the largest errors."""
    return torch.cat([torch.ones(n // 2, dtype=Float), torch.logspace(0, -12, n - n // 2, dtype=Float)])


@pytest.mark.parametrize("spectrum", [graded, crowded])
@pytest.mark.parametrize(("m", "n"), [(700, 640), (640, 1500)])
def test_gram_is_within_its_bound_above_its_floor_and_not_far_below(spectrum: Any, m: int, n: int) -> None:
    truth = spectrum(640)
    found = gram_spectrum(known(truth, m, n))
    assert_within(found, truth, dense.GRAM)
    below = (truth < 1e-2 * dense.GRAM.floor) & (truth > 1e-3 * dense.GRAM.floor)
    assert (values(found)[below] / truth[below] - 1).abs().max() > dense.GRAM.bound


@pytest.mark.parametrize("spectrum", [graded, crowded])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_fast_gram_is_within_its_bound_above_its_floor_and_not_far_below(spectrum: Any, dtype: torch.dtype) -> None:
    truth = spectrum(640)
    found = gram_spectrum(known(truth, 640, 900).to(dtype), fast=True)
    assert_within(found, truth, dense.GRAM_FAST)
    below = (truth < 1e-2 * dense.GRAM_FAST.floor) & (truth > 1e-3 * dense.GRAM_FAST.floor)
    assert (values(found)[below] / truth[below] - 1).abs().max() > dense.GRAM_FAST.bound


@pytest.mark.parametrize("spectrum", [graded, crowded])
def test_svd_is_within_its_bound_above_its_floor_and_not_far_below(spectrum: Any) -> None:
    truth = spectrum(300)
    found = gram_spectrum(known(truth, 400, 300))
    assert_within(found, truth, dense.SVD)
    below = truth < 1e-3 * dense.SVD.floor
    assert (values(found)[below] / truth[below] - 1).abs().max() > dense.SVD.bound


@pytest.mark.parametrize("fast", [False, True])
@pytest.mark.parametrize("size", [1e-300, 1.0, 1e300])
def test_sizes_of_a_matrix_of_many_blocks(size: float, fast: bool) -> None:
    truth = torch.linspace(2, 1, 600, dtype=Float)
    w = known(truth, 600, 2100)
    found = gram_spectrum(w * size, fast=fast)
    assert values(found) / size == pytest.approx(truth, rel=1e-6 if fast else 1e-12)
    assert gram_spectrum(w.T * size, fast=fast).singular_values == pytest.approx(found.singular_values, rel=1e-12)


def test_effective_rank_of_bfloat16_is_that_of_its_values() -> None:
    w = draw(700, 600).bfloat16()
    truth = torch.linalg.svdvals(w.double())
    assert values(gram_spectrum(w)) == pytest.approx(truth, rel=1e-9)


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_what_is_no_number_has_no_spectrum(bad: float) -> None:
    w = draw(4, 3)
    w[1, 2] = bad
    with pytest.raises(ValueError, match="holds NaN or infinity"):
        gram_spectrum(w)
    with pytest.raises(ValueError, match="holds NaN or infinity"):
        Dense(w, Source.FP32_DIFFERENCE, "float32")


def test_what_is_no_matrix_has_no_spectrum() -> None:
    with pytest.raises(ValueError, match=r"torch.float32 of shape \(3,\) is no matrix"):
        gram_spectrum(torch.ones(3))


def test_nothing_is_asked_of_autograd() -> None:
    assert gram_spectrum(draw(4, 3).requires_grad_()).frobenius > 0


def updated(w: torch.Tensor) -> Update:
    return Dense(w, Source.FP32_DIFFERENCE, "float32")


def test_products_are_those_of_the_matrix() -> None:
    w, x, y = draw(7, 5), draw(5, 2, 3), draw(7, 2, 4)
    found = updated(w)
    assert (found.rows, found.columns, found.source, found.dtype) == (7, 5, Source.FP32_DIFFERENCE, "float32")
    assert torch.equal(found.times(x), w @ x)
    assert torch.equal(found.adjoint_times(y), w.T @ y)
    assert found.times(x.float()).dtype == found.adjoint_times(y.float()).dtype == torch.float32
    assert found.spectrum() == gram_spectrum(w)


def test_an_update_in_bfloat16_is_refused() -> None:
    with pytest.raises(ValueError, match=r"in torch\.bfloat16 is rounded"):
        Dense(torch.ones(2, 2).bfloat16(), Source.LOW_PRECISION_DIFFERENCE, "bfloat16")


@pytest.mark.parametrize(("m", "n"), [(30, 20), (20, 30), (700, 600), (600, 700)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_directions_are_the_leading_left_vectors(m: int, n: int, dtype: torch.dtype) -> None:
    sigma = torch.tensor([8.0, 4.0, 2.0, 1.0], dtype=Float)
    left = torch.linalg.qr(draw(m, 4, 1)).Q
    found = updated(known(sigma, m, n).to(dtype)).directions(3)
    assert (found.shape, found.dtype) == ((m, 3), Float)
    assert (left[:, :3].T @ found).abs() == pytest.approx(torch.eye(3, dtype=Float), abs=1e-6)


@pytest.mark.parametrize(("m", "n"), [(30, 20), (700, 600)])
@pytest.mark.parametrize("size", [1e-200, 1.0])
def test_there_are_no_more_directions_than_the_rank(m: int, n: int, size: float) -> None:
    w = known(torch.tensor([2.0, 1.0], dtype=Float), m, n) * size
    assert updated(w).directions(6).shape == (m, 2)
    assert updated(w * 0).directions(6).shape == (m, 0)


def test_random_is_of_the_same_shape_and_norm_and_repeats() -> None:
    found = updated(draw(30, 20) @ draw(20, 40, 3) * 1e-200)
    first, again = (found.random(torch.Generator().manual_seed(7)) for _ in range(2))
    assert isinstance(first, Dense) and isinstance(again, Dense)
    assert torch.equal(first.w, again.w)
    assert (first.rows, first.columns, first.source, first.dtype) == (30, 40, Source.GAUSSIAN_MATRIX, "float64")
    assert frobenius(first.w) == pytest.approx(found.spectrum().frobenius, rel=1e-12, abs=0)
    assert gram_spectrum(first.w).stable_rank == pytest.approx(30 / (1 + math.sqrt(30 / 40)) ** 2, rel=0.2)


TYPES = [
    (torch.float32, torch.float32, Source.FP32_DIFFERENCE, "float32"),
    (torch.float64, torch.float32, Source.FP32_DIFFERENCE, "float32"),
    (torch.float64, torch.float64, Source.FP32_DIFFERENCE, "float64"),
    (torch.bfloat16, torch.float32, Source.LOW_PRECISION_DIFFERENCE, "bfloat16"),
    (torch.float32, torch.float16, Source.LOW_PRECISION_DIFFERENCE, "float16"),
    (torch.float16, torch.bfloat16, Source.LOW_PRECISION_DIFFERENCE, "bfloat16"),
]


@pytest.mark.parametrize(("tuned", "base", "source", "name"), TYPES)
def test_a_difference_says_what_it_was_read_from(
    tuned: torch.dtype, base: torch.dtype, source: Source, name: str
) -> None:
    after, before = torch.tensor([[1.5, 3.0, 0.1]], dtype=tuned), torch.tensor([[1.0, -2.0, 0.1]], dtype=base)
    found = difference(after, before)
    assert (found.source, found.dtype) == (source, name)
    assert found.w[0, :2].tolist() == [0.5, 5.0]
    assert found.w.dtype == (torch.float64 if torch.float64 in (tuned, base) else torch.float32)
    assert difference(before, after).source is source


@pytest.mark.parametrize("held", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("stored", [torch.float32, torch.float64])
@pytest.mark.parametrize("side", ["tuned", "base"])
def test_rounded_numbers_are_told_in_whatever_type_they_are_stored(
    held: torch.dtype, stored: torch.dtype, side: str
) -> None:
    rounded, exact_ = draw(9, 8).to(held).to(stored), draw(9, 8, 1).to(stored)
    after, before = (rounded, exact_) if side == "tuned" else (exact_, rounded)
    found = difference(after, before)
    assert (found.source, found.dtype) == (Source.LOW_PRECISION_DIFFERENCE, str(held).removeprefix("torch."))
    plain = difference(after.to(held) if side == "tuned" else after, before.to(held) if side == "base" else before)
    assert (plain.source, plain.dtype) == (found.source, found.dtype)


def test_weights_that_were_trained_in_float32_from_a_rounded_base_are_not_taken_for_rounded() -> None:
    base = draw(9, 8).bfloat16().float()
    tuned = base + 1e-3 * draw(9, 8, 1).float()
    assert difference(tuned, base).source is Source.LOW_PRECISION_DIFFERENCE  # as far as two files can tell
    known = difference(tuned, base, held=torch.float32)
    assert (known.source, known.dtype) == (Source.FP32_DIFFERENCE, "float32")
    assert difference(tuned.bfloat16(), base.bfloat16(), held=torch.bfloat16).random(torch.Generator()) is None


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("size", [1e-2, 1e-4, 1e-6, 1e-8])
def test_a_difference_is_known_to_the_rounding_of_its_weights(dtype: torch.dtype, size: float) -> None:
    """The update that was made, 50 digits, against what is left of it once the tuned weights are stored."""
    base = draw(10, 8).to(dtype)
    sigma = torch.logspace(0, -6, 8, dtype=Float)
    update = size * float(base.double().norm()) * known(sigma, 10, 8)
    with mpmath.workdps(50):
        tuned = mpmath.matrix(base.tolist()) + mpmath.matrix(update.tolist())
        stored = torch.tensor([[float(x) for x in tuned[i, :]] for i in range(10)], dtype=Float).to(dtype)
    found, truth = difference(stored, base).spectrum(), torch.tensor(exact(update), dtype=Float)
    least = found.kernel.floor * found.singular_values[0]
    above = truth > least
    off = (values(found) / truth - 1).abs()
    assert (off[above] <= found.kernel.bound).all()
    assert ((values(found) - truth).abs() <= found.kernel.bound * truth.clamp(min=least)).all()
    if dtype == torch.float32:
        noise = 2.0**-23 / (found.singular_values[0] / float(base.double().norm()))  # eps ||W|| / sigma_1
        assert found.kernel.bound == pytest.approx(max(1e-2, noise), rel=0.1)
        assert found.kernel.floor == pytest.approx(min(1.0, 100 * noise), rel=0.1)
        assert (found.kernel.bound > 1) == (size == 1e-8)  # all is rounding
        assert (off > 1e-6).any()  # which was the bound before
    else:
        assert above.sum() >= 3


def test_the_bound_of_a_difference_is_not_far_above_what_rounding_does() -> None:
    """Rounding is noise, so its norm is below the worst case: here by less than a hundred."""
    base = draw(200, 150).float()
    update = known(torch.logspace(0, -4, 150, dtype=Float), 200, 150)
    read = difference((base.double() + update).float(), base)
    found = read.spectrum()
    off = torch.linalg.matrix_norm(read.w.double() - update, 2)
    stated = found.kernel.bound * found.kernel.floor * found.singular_values[0]
    assert found.kernel.floor < 1
    assert stated / 100 < off < stated


def test_what_a_form_is_known_of_is_drawn_from_it() -> None:
    w = draw(30, 4) @ draw(4, 20, 3)
    error = 1e-9
    found = Dense(w, Source.FP32_DIFFERENCE, "float32", error, of_its_rank(w + 1e-11 * draw(30, 20, 5), error))
    null = found.random(torch.Generator().manual_seed(7))
    assert null is not None
    assert null.source is Source.GAUSSIAN_FACTORS
    assert frobenius(null.w) == pytest.approx(frobenius(w), rel=1e-12)
    assert int(torch.linalg.matrix_rank(null.w)) == 4
    assert null.spectrum().kernel.floor == dense.SVD.floor  # a null is what it is


def test_share_of_changed_entries() -> None:
    base = torch.ones(2, 3).bfloat16()
    tuned = base.clone()
    tuned[1, 2] = 1.0078125  # the next number after 1
    assert changed_share(tuned, base) == 1 / 6
    assert changed_share(base, base.float()) == 0


def test_other_shapes_are_refused() -> None:
    for comparison in (difference, changed_share):
        with pytest.raises(ValueError, match=r"tuned \(2, 3\) and base \(1, 3\) differ in shape"):
            comparison(torch.ones(2, 3), torch.ones(1, 3))


def test_an_update_of_rank_8_read_from_bfloat16_seems_to_be_of_hundreds() -> None:
    """Update a hundredth of the base in norm; 6.2 against 293 where it was first measured, on other numbers."""
    base = draw(1024, 1024).mul(0.02).float()
    update = draw(1024, 8, 1) @ draw(8, 1024, 2)
    update *= 1e-2 * frobenius(base) / frobenius(update)
    tuned = (base.double() + update).float()
    exact_rank = difference(tuned, base).spectrum().effective_rank
    rounded = difference(tuned.bfloat16(), base.bfloat16())
    rounded_rank = rounded.spectrum().effective_rank
    assert exact_rank is not None and rounded_rank is not None
    assert exact_rank < 9
    assert rounded_rank > 50
    assert rounded.source is Source.LOW_PRECISION_DIFFERENCE
    assert 0.5 < changed_share(tuned.bfloat16(), base.bfloat16()) < 0.95


def test_the_null_shows_what_rounding_makes_of_rank_8() -> None:
    base = draw(1024, 1024).mul(0.02).bfloat16()
    null = rounding_null(base, 8, 1e-2, torch.bfloat16, torch.Generator().manual_seed(3))
    spectrum = null.spectrum()
    assert null.source is Source.LOW_PRECISION_DIFFERENCE
    assert spectrum.effective_rank is not None and spectrum.effective_rank > 50
    again = rounding_null(base, 8, 1e-2, torch.bfloat16, torch.Generator().manual_seed(3))
    assert torch.equal(null.w, again.w)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_null_of_float32_is_of_the_rank_and_norm_asked_for(dtype: torch.dtype) -> None:
    base = draw(60, 40).to(dtype)
    before = base.clone()
    null = rounding_null(base, 3, 0.1, dtype, torch.Generator().manual_seed(3))
    spectrum = null.spectrum()
    assert spectrum.frobenius == pytest.approx(0.1 * frobenius(base), rel=1e-5)
    assert max(spectrum.singular_values[3:]) < 1e-4 * spectrum.singular_values[2]
    assert spectrum.effective_rank is not None and spectrum.effective_rank < 3.01
    assert torch.equal(base, before)
