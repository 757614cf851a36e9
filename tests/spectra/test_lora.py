"""Spectra of low-rank updates against closed forms and against arithmetic of 50 digits."""

import math
from typing import Any

import mpmath
import pytest
import torch

from harness.spectra import LowRank, Source, Spectrum, lora


@pytest.fixture(params=["products", "rows"], autouse=True)
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Every test with triangles from products of columns where those allow it, and with triangles from rows alone."""
    if request.param == "rows":
        monkeypatch.setattr(lora, "ORTHOGONAL", 0.0)
    return request.param


def factors(m: int, n: int, r: int, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    draw = {"generator": generator, "dtype": torch.float64}
    return torch.randn(m, r, **draw), torch.randn(r, n, **draw)


def orthonormal(rows: int, r: int, seed: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.linalg.qr(torch.randn(rows, r, generator=generator, dtype=torch.float64)).Q


def exact(b: torch.Tensor, a: torch.Tensor, multiplier: float) -> list[Any]:
    """Return the singular values of multiplier * B A by 50-digit arithmetic on the very same binary numbers."""
    with mpmath.workdps(50):
        product = mpmath.mpf(multiplier) * mpmath.matrix(b.tolist()) * mpmath.matrix(a.tolist())
        return list(mpmath.svd_r(product, compute_uv=False))


def lora_spectrum(b: torch.Tensor, a: torch.Tensor, multiplier: float) -> Spectrum:
    return LowRank(b, a, multiplier).spectrum()


def test_a_condition_of_1e8_keeps_every_digit_of_the_smallest_value() -> None:
    """Columns of 1, 1e-4 and 1e-8 put eight orders between the values.

    Forming the product in float64 first would leave an error of 1e-16 of the largest value, 1e-8 of the smallest.
    """
    b, a = factors(7, 5, 3)
    b, a = b * torch.tensor([1.0, 1e-2, 1e-4]), a * torch.tensor([[1.0], [1e-2], [1e-4]])
    found = lora_spectrum(b, a, 1.7)
    expected = exact(b, a, 1.7)[:3]
    assert 1e7 < float(expected[0] / expected[2]) < 1e10
    for value, truth in zip(found.singular_values, expected, strict=True):
        assert value == pytest.approx(float(truth), rel=1e-11)
    with mpmath.workdps(50):
        total = sum(expected)
        entropy = -sum(s / total * mpmath.log(s / total) for s in expected)
        energy = sum(s**2 for s in expected)
        assert found.frobenius == pytest.approx(float(mpmath.sqrt(energy)), rel=1e-13)
        assert found.effective_rank == pytest.approx(float(mpmath.exp(entropy)), rel=1e-13)
        assert found.stable_rank == pytest.approx(float(energy / expected[0] ** 2), rel=1e-13)
        assert found.top1_energy == pytest.approx(float(expected[0] ** 2 / energy), rel=1e-13)


@pytest.mark.parametrize(("m", "n", "r"), [(6, 6, 2), (9, 4, 3), (4, 9, 3), (4, 5, 8), (5, 4, 8), (3, 3, 3), (1, 7, 1)])
def test_there_are_as_many_values_as_the_product_can_have(m: int, n: int, r: int) -> None:
    b, a = factors(m, n, r)
    found = lora_spectrum(b, a, 0.5)
    assert (found.rows, found.columns) == (m, n)
    assert len(found.singular_values) == min(m, n, r)
    truth = [float(value) for value in exact(b, a, 0.5)][: min(m, n, r)]
    assert found.singular_values == pytest.approx(truth, rel=1e-11)
    assert list(found.singular_values) == sorted(found.singular_values, reverse=True)
    assert found.frobenius == pytest.approx(float(torch.linalg.norm(0.5 * b @ a)), rel=1e-13)


def test_blocks_of_rows_keep_every_digit_of_the_smallest_value(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of 16 r rows each, the last one shorter than r; the rows of a block are of another size than those of the next.

    L^T (A A^T) L with L L^T = B^T B has the squares as its eigenvalues; in 50 digits that loses none that count here.
    """
    monkeypatch.setattr(lora, "BLOCK", 0)
    b, a = factors(16 * 9 * 3 + 2, 16 * 3 + 1, 3)
    sizes = torch.logspace(0, 6, len(b), dtype=torch.float64)
    b, a = b * torch.tensor([1.0, 1e-3, 1e-6]) * sizes.view(-1, 1), a * torch.tensor([[1.0], [1e-1], [1e-2]])
    with mpmath.workdps(50):
        columns, rows = mpmath.matrix(b.tolist()), mpmath.matrix(a.tolist())
        lower = mpmath.cholesky(columns.T * columns)
        squares = mpmath.eigsy(lower.T * (rows * rows.T) * lower, eigvals_only=True)
        truth = [float(mpmath.sqrt(square)) for square in sorted(squares, reverse=True)]
    assert truth[0] / truth[-1] > 1e7
    assert lora_spectrum(b, a, 1.0).singular_values == pytest.approx(truth, rel=1e-12)


def from_products(x: torch.Tensor, monkeypatch: pytest.MonkeyPatch) -> bool:
    """Return whether the triangle of x needs no rows; its column products must be those of x to a few eps each."""
    taken: list[torch.Tensor] = []
    by_blocks = lora._by_blocks
    monkeypatch.setattr(lora, "_by_blocks", lambda rows: taken.append(rows) or by_blocks(rows))
    upper = lora.triangle(x)
    monkeypatch.undo()
    with mpmath.workdps(50):
        columns, rows = mpmath.matrix(upper.tolist()), mpmath.matrix(x.tolist())
        found, truth = columns.T * columns, rows.T * rows
        for i in range(truth.rows):
            for j in range(truth.rows):
                lengths = mpmath.sqrt(truth[i, i] * truth[j, j])
                assert abs(found[i, j] - truth[i, j]) <= 64 * torch.finfo(torch.float64).eps * lengths
    return not taken


@pytest.mark.parametrize(
    ("near", "products"), [(0.0, True), (0.9, True), (0.99, False), (1 - 1e-7, False), (1.0, False)]
)
def test_only_columns_that_are_nearly_orthogonal_are_known_by_their_products(
    near: float, products: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two columns whose angle has the cosine `near`: the inverse of their products has the norm 1 / (1 - near)."""
    monkeypatch.undo()
    x = orthonormal(200, 4, 3)
    x[:, 1] = near * x[:, 0] + math.sqrt(1 - near**2) * x[:, 1]
    sizes = torch.tensor([1e-3, 1e5, 1.0, 1e-9], dtype=torch.float64)  # which make no difference
    assert from_products(x * sizes, monkeypatch) == products


@pytest.mark.parametrize(
    ("size", "products"), [(0.0, False), (1e-150, False), (1e-130, True), (1e150, True), (1e170, False)]
)
def test_columns_whose_squares_leave_the_range_are_decomposed_by_rows(
    size: float, products: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.undo()
    x = orthonormal(50, 3, 4) * torch.tensor([1.0, size, 1.0], dtype=torch.float64)
    assert from_products(x, monkeypatch) == products


@pytest.mark.parametrize("r", [1, 2, 5])
@pytest.mark.parametrize("multiplier", [2.0, -0.25])
def test_equal_values_have_the_rank_as_effective_and_stable_rank(r: int, multiplier: float) -> None:
    # orthonormal columns times orthonormal rows: every singular value is the multiplier's size
    found = lora_spectrum(orthonormal(8, r, 1), orthonormal(6, r, 2).T, multiplier)
    assert found.singular_values == pytest.approx([abs(multiplier)] * r, rel=1e-13)
    assert found.effective_rank == pytest.approx(r, rel=1e-13)
    assert found.stable_rank == pytest.approx(r, rel=1e-13)
    assert found.top1_energy == pytest.approx(1 / r, rel=1e-13)
    assert found.frobenius == pytest.approx(abs(multiplier) * math.sqrt(r), rel=1e-13)


def test_values_of_three_and_four() -> None:
    b, a = torch.tensor([[3.0, 0.0], [0.0, 4.0], [0.0, 0.0]]), torch.eye(2)
    found = lora_spectrum(b, a, 1.0)
    assert found.singular_values == pytest.approx((4.0, 3.0), rel=1e-15)
    assert found.frobenius == pytest.approx(5.0, rel=1e-15)
    assert found.stable_rank == pytest.approx(25 / 16, rel=1e-15)
    assert found.top1_energy == pytest.approx(16 / 25, rel=1e-15)
    shares = (3 / 7, 4 / 7)
    assert found.effective_rank == pytest.approx(math.prod(share**-share for share in shares), rel=1e-15)


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 1, 0), (1, 2, 0), (2, 0, 1)])
@pytest.mark.parametrize("shared", ["b", "a", "both"])
def test_the_order_of_the_terms_costs_no_digit(order: tuple[int, ...], shared: str) -> None:
    """Sizes of 1, 1e-5 and 1e-10: with the smallest first, the smallest value lost all but eight digits."""
    b, a = factors(7, 5, 3)
    size = torch.tensor([1.0, 1e-5, 1e-10], dtype=torch.float64)[list(order)]
    b = b * {"b": size, "a": 1.0, "both": size**-1}[shared]
    a = a * (size.view(-1, 1) ** {"b": 0, "a": 1, "both": 2}[shared])
    found = lora_spectrum(b, a, 1.7)
    truth = [float(value) for value in exact(b, a, 1.7)[:3]]
    assert (found.kernel.floor, found.kernel.bound < 1e-10) == (0.0, True)
    assert found.singular_values == pytest.approx(truth, rel=found.kernel.bound, abs=0)


@pytest.mark.parametrize("apart", [1e-2, 1e-5, 1e-8, 1e-11, 1e-14, 0.0])
@pytest.mark.parametrize("both", [False, True])
def test_the_closer_to_dependent_the_less_is_claimed(apart: float, both: bool) -> None:
    b, a = factors(7, 6, 3)
    b[:, 2] = b[:, 0] - b[:, 1] + apart * b[:, 2]
    if both:
        a[2] = a[0] + apart * a[2]
    found = lora_spectrum(b, a, 1.0)
    truth = [float(value) for value in exact(b, a, 1.0)[:3]]
    told = [k for k, value in enumerate(truth) if value > found.kernel.floor * truth[0]]
    assert len(told) == 3 if apart >= 1e-2 else len(told) >= 2
    for k in told:
        assert found.singular_values[k] == pytest.approx(truth[k], rel=found.kernel.bound, abs=0)
    assert apart > 1e-11 or found.kernel.floor > 0
    assert LowRank(b, a).directions(3).shape[1] >= len(told)


def test_directions_of_dependent_columns_are_those_of_the_rank() -> None:
    b, a = factors(6, 5, 3)
    b[:, 2] = b[:, 0] - 2 * b[:, 1]
    assert LowRank(b, a).directions(5).shape == (6, 2)


def test_the_null_has_the_rank_that_is_in_use() -> None:
    """Five of eight directions were pruned: their importance, and with it their row of A, is zero."""
    b, a = factors(40, 30, 8)
    a[[1, 2, 4, 5, 7]] = 0
    update = LowRank(b, a, 0.5)
    null = update.random(torch.Generator().manual_seed(1))
    assert (null.source, update.source) == (Source.GAUSSIAN_FACTORS, Source.FACTORS)
    assert len(null.spectrum().singular_values) == 3
    assert null.spectrum().frobenius == pytest.approx(update.spectrum().frobenius, rel=1e-12)
    assert update.spectrum().singular_values[3:] == (0.0,) * 5
    whole = LowRank(b, torch.ones(8, 30, dtype=torch.float64)).random(torch.Generator().manual_seed(1))
    assert len(whole.spectrum().singular_values) == 8
    nothing = LowRank(b, a * 0).random(torch.Generator().manual_seed(1))
    assert set(nothing.spectrum().singular_values) == {0.0}


def test_terms_whose_squares_underflow_are_in_use() -> None:
    b, a = orthonormal(6, 2, 1) * 1e-200, orthonormal(6, 2, 2).T * 1e-100
    assert lora_spectrum(b, a, 1.0).singular_values == pytest.approx([1e-300] * 2, rel=1e-12, abs=0)


def test_dependent_columns_leave_values_of_rounding_size_only() -> None:
    b, a = factors(6, 5, 3)
    b[:, 2] = b[:, 0] - 2 * b[:, 1]
    found = lora_spectrum(b, a, 1.0)
    truth = [float(value) for value in exact(b, a, 1.0)]
    assert found.singular_values[:2] == pytest.approx(truth[:2], rel=1e-13)
    assert found.singular_values[2] < 1e-14 * found.singular_values[0]
    assert found.effective_rank is not None
    assert 1 < found.effective_rank <= 2 + 1e-12


@pytest.mark.parametrize("zeroed", ["b", "a", "multiplier"])
def test_no_update_has_no_shape(zeroed: str) -> None:
    b, a = factors(4, 3, 2)
    b, a = (b * 0 if zeroed == "b" else b), (a * 0 if zeroed == "a" else a)
    found = lora_spectrum(b, a, 0.0 if zeroed == "multiplier" else 2.0)
    assert found.singular_values == (0.0, 0.0)
    assert found.frobenius == 0.0
    assert (found.effective_rank, found.stable_rank, found.top1_energy) == (None, None, None)


def test_float32_factors_are_computed_in_float64() -> None:
    b, a = factors(6, 5, 3)
    single = lora_spectrum(b.float(), a.float(), 1.0)
    assert single == lora_spectrum(b.float().double(), a.float().double(), 1.0)
    assert single != lora_spectrum(b, a, 1.0)


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -float("inf")])
@pytest.mark.parametrize("which", ["b", "a"])
def test_what_is_no_number_has_no_spectrum(bad: float, which: str) -> None:
    b, a = factors(4, 3, 2)
    (b if which == "b" else a)[0, 1] = bad
    with pytest.raises(ValueError, match="holds NaN or infinity"):
        lora_spectrum(b, a, 1.0)


def test_a_multiplier_that_is_no_number_has_no_spectrum() -> None:
    b, a = factors(4, 3, 2)
    with pytest.raises(ValueError, match="multiplier nan"):
        lora_spectrum(b, a, float("nan"))


def test_factors_that_share_no_rank_raise_with_their_shapes() -> None:
    with pytest.raises(ValueError, match=r"\(4, 2\) and \(3, 5\) share no rank"):
        lora_spectrum(torch.ones(4, 2), torch.ones(3, 5), 1.0)


def test_nothing_is_asked_of_autograd() -> None:
    b, a = factors(4, 3, 2)
    assert lora_spectrum(b.requires_grad_(), a.requires_grad_(), 1.0).frobenius > 0


def test_tiny_updates_are_not_taken_for_none() -> None:
    """Values of 1e-170 have squares below the smallest float64, so their energy must not be formed directly."""
    found = lora_spectrum(orthonormal(6, 2, 1), orthonormal(6, 2, 2).T, 1e-170)
    assert found.singular_values == pytest.approx([1e-170] * 2, rel=1e-13, abs=0)
    assert found.effective_rank == pytest.approx(2, rel=1e-13)
    assert found.stable_rank == pytest.approx(2, rel=1e-13)
    assert found.frobenius == pytest.approx(math.sqrt(2) * 1e-170, rel=1e-13, abs=0)
