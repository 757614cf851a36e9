"""QuanTA's operator against matrices written out index by index, and its update against arithmetic of 60 digits."""

import itertools
import math
from typing import Any

import mpmath
import numpy as np
import pytest
import torch

from harness.spectra.quanta import Quanta, apply, apply_adjoint, default_axes, materialise, pairs
from harness.spectra.spectrum import Source

SHAPES = [
    ((2, 3, 4), 24, 24),
    ((2, 3, 4), 17, 24),  # outputs cropped
    ((2, 3, 4), 24, 11),  # inputs padded
    ((2, 3, 4), 7, 20),
    ((2, 3, 4), 20, 7),
    ((2, 3, 4), 30, 26),  # outputs padded, inputs cropped
    ((3, 3, 3), 27, 16),
    ((2, 2, 2, 2), 16, 16),
    ((3, 2, 2, 2), 20, 9),
    ((4, 3), 12, 10),
]


def drawn(axes: tuple[int, ...], seed: int = 0, dtype: Any = torch.float64) -> tuple[torch.Tensor, ...]:
    generator = torch.Generator().manual_seed(seed)
    shapes = [(axes[j], axes[i], axes[j], axes[i]) for i, j in pairs(len(axes))]
    return tuple(
        torch.randn(shape, generator=generator, dtype=dtype) / math.sqrt(math.prod(shape[2:])) for shape in shapes
    )


def moved(start: tuple[torch.Tensor, ...], size: float, seed: int = 1) -> tuple[torch.Tensor, ...]:
    return tuple(s + size * g for s, g in zip(start, drawn_like(start, seed), strict=True))


def drawn_like(tensors: tuple[torch.Tensor, ...], seed: int) -> tuple[torch.Tensor, ...]:
    generator = torch.Generator().manual_seed(seed)
    return tuple(torch.randn(t.shape, generator=generator, dtype=t.dtype) for t in tensors)


def written_out(tensor: Any, i: int, j: int, axes: tuple[int, ...], zero: Any = 0.0) -> np.ndarray:
    """Return the matrix of one tensor: its entry where every other axis keeps its index, zero elsewhere."""
    size, others = math.prod(axes), [k for k in range(len(axes)) if k not in (i % len(axes), j % len(axes))]
    matrix = np.full((size, size), zero, dtype=object if not isinstance(zero, float) else float)
    for row, column in itertools.product(range(size), repeat=2):
        to, of = np.unravel_index(row, axes), np.unravel_index(column, axes)  # last axis fastest
        if all(to[k] == of[k] for k in others):
            matrix[row, column] = tensor[to[j]][to[i]][of[j]][of[i]]
    return matrix


def product(tensors: tuple[torch.Tensor, ...], axes: tuple[int, ...]) -> np.ndarray:
    """Return T as a matrix; the order is the published one, written out: every later axis pair from the last."""
    order = [(-1, -2), (-1, -3), (-1, -4), (-2, -3), (-2, -4), (-3, -4)]
    chosen = [pair for pair in order if min(pair) >= -len(axes)]
    total = np.eye(math.prod(axes))
    for tensor, (i, j) in zip(tensors, chosen, strict=True):
        total = written_out(tensor.double().tolist(), i, j, axes) @ total
    return total


def cropped(matrix: np.ndarray, rows: int, columns: int) -> np.ndarray:
    result = np.zeros((rows, columns))
    part = matrix[:rows, :columns]
    result[: part.shape[0], : part.shape[1]] = part
    return result


@pytest.mark.parametrize(("axes", "rows", "columns"), SHAPES)
def test_the_operator_is_the_product_of_its_written_out_tensors(axes: Any, rows: int, columns: int) -> None:
    tensors = drawn(axes)
    truth = product(tensors, axes)
    np.testing.assert_allclose(materialise(tensors, axes, rows, columns), cropped(truth, rows, columns), atol=1e-14)
    x = torch.randn(3, 2, math.prod(axes), dtype=torch.float64, generator=torch.Generator().manual_seed(5))
    np.testing.assert_allclose(apply(tensors, axes, x), x.numpy() @ truth.T, atol=1e-13)
    np.testing.assert_allclose(apply_adjoint(tensors, axes, x), x.numpy() @ truth, atol=1e-13)


@pytest.mark.parametrize(("axes", "rows", "columns"), SHAPES)
def test_the_update_is_trained_minus_start_whichever_way_it_is_asked(axes: Any, rows: int, columns: int) -> None:
    start = drawn(axes)
    trained = moved(start, 0.3)
    update = Quanta(trained, start, axes, rows, columns, 1.7)
    truth = 1.7 * cropped(product(trained, axes) - product(start, axes), rows, columns)
    np.testing.assert_allclose(update.dense(), truth, atol=1e-13)
    generator = torch.Generator().manual_seed(6)
    x, y = (torch.randn(n, 3, dtype=torch.float64, generator=generator) for n in (columns, rows))
    np.testing.assert_allclose(update.times(x), truth @ x.numpy(), atol=1e-12)
    np.testing.assert_allclose(update.adjoint_times(y), truth.T @ y.numpy(), atol=1e-12)
    left, right = float((y * update.times(x)).sum()), float((update.adjoint_times(y) * x).sum())
    assert left == pytest.approx(right, rel=1e-12)  # <y, dW x> = <dW^T y, x>
    found = update.spectrum()
    assert (found.rows, found.columns, found.complete) == (rows, columns, True)
    np.testing.assert_allclose(found.singular_values, np.linalg.svd(truth, compute_uv=False), atol=1e-7)
    assert found.frobenius == pytest.approx(float(np.linalg.norm(truth)), rel=1e-10)
    assert update.frobenius() == pytest.approx(float(np.linalg.norm(truth)), rel=1e-12)


@pytest.mark.parametrize(("axes", "rows", "columns"), SHAPES)
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
def test_no_change_is_no_update_to_the_last_bit(axes: Any, rows: int, columns: int, dtype: Any) -> None:
    start = drawn(axes, dtype=dtype)
    update = Quanta(tuple(s.clone() for s in start), start, axes, rows, columns)
    assert torch.equal(update.dense(), torch.zeros(rows, columns, dtype=torch.float64))
    assert not update.times(torch.ones(columns, 2)).any()
    assert not update.adjoint_times(torch.ones(rows, 2)).any()
    assert update.spectrum().frobenius == 0.0
    assert update.spectrum().effective_rank is None
    assert update.directions(3).shape == (rows, 0)
    null = update.random(torch.Generator().manual_seed(0))
    assert null is not None
    assert null.frobenius() == 0.0


def exact_update(trained: Any, start: Any, axes: tuple[int, ...]) -> Any:
    """Return T - S by 60-digit arithmetic on the very same binary numbers."""
    with mpmath.workdps(60):
        totals = []
        for tensors in (trained, start):
            total = mpmath.eye(math.prod(axes))
            for tensor, (i, j) in zip(tensors, pairs(len(axes)), strict=True):
                step = written_out(tensor.double().tolist(), i, j, axes, zero=mpmath.mpf(0))
                total = mpmath.matrix(step.tolist()) * total
            totals.append(total)
        return totals[0] - totals[1]


@pytest.mark.parametrize("axes", [(2, 2, 2), (2, 2, 3)])
@pytest.mark.parametrize("change", [1e-9, 1e-10])
def test_a_tiny_change_keeps_its_digits(axes: tuple[int, ...], change: float) -> None:
    """The difference of the two products, with entries of about 1, is known to 1e-16 / change of its size only."""
    start = drawn(axes)
    trained = tuple(
        s + change * torch.linalg.norm(s) * noise / torch.linalg.norm(noise)
        for s, noise in zip(start, drawn_like(start, 1), strict=True)
    )
    size = math.prod(axes)
    with mpmath.workdps(60):
        truth = exact_update(trained, start, axes)
        values = np.array([float(value) for value in mpmath.svd_r(truth, compute_uv=False)])
        columns = np.array(truth.tolist(), dtype=float)
    update = Quanta(trained, start, axes, size, size)
    found = np.array(update.spectrum().singular_values)
    naive = torch.linalg.svdvals(materialise(trained, axes, size, size) - materialise(start, axes, size, size)).numpy()
    error, without = np.abs(found / values - 1).max(), np.abs(naive / values - 1).max()
    assert error < 1e-11
    assert without > 1e-16 / change
    np.testing.assert_allclose(
        update.times(torch.eye(size, dtype=torch.float64)), columns, rtol=0, atol=1e-13 * values[0]
    )
    adjoint = update.adjoint_times(torch.eye(size, dtype=torch.float64))
    np.testing.assert_allclose(adjoint, columns.T, rtol=0, atol=1e-13 * values[0])


def test_products_in_float32_keep_float32_of_a_small_change() -> None:
    axes = (2, 3, 4)
    start = drawn(axes, dtype=torch.float32)
    update = Quanta(moved(start, 1e-4), start, axes, 24, 24)
    x = torch.randn(24, 5, generator=torch.Generator().manual_seed(2))
    found, truth = update.times(x), update.dense() @ x.double()
    assert found.dtype == torch.float32
    assert float(torch.linalg.norm(found - truth) / torch.linalg.norm(truth)) < 1e-6


@pytest.mark.parametrize(
    ("d", "rows", "columns", "size"),
    [
        (3, 4096, 4096, 16),  # whose float cube root is 15.999999999999998
        (3, 4097, 4096, 17),
        (3, 512, 512, 8),
        (3, 256, 100, 7),
        (4, 256, 256, 4),
        (4, 4096, 4096, 8),
        (3, 4096, 14336, 25),  # 24^3 = 13,824 and 25^3 = 15,625
        (2, 1, 1, 1),
        (5, 10**10, 1, 100),
        (3, 10**15, 1, 10**5),
        (3, 10**15 + 1, 1, 10**5 + 1),
    ],
)
def test_axes_are_the_exact_root_rounded_up(d: int, rows: int, columns: int, size: int) -> None:
    assert default_axes(d, rows, columns) == (size,) * d
    assert default_axes(d, columns, rows) == (size,) * d


def test_three_axes_on_4096_have_196608_numbers() -> None:
    axes = default_axes(3, 4096, 4096)
    # three pairs of 16 x 16 axes, a matrix of 256 x 256 each: 3 x 65,536
    assert sum(axes[i] ** 2 * axes[j] ** 2 for i, j in pairs(3)) == 196_608


def test_leading_directions_are_those_of_the_dense_matrix() -> None:
    axes = (2, 3, 4)
    start = drawn(axes)
    update = Quanta(moved(start, 0.3), start, axes, 20, 24)
    u = np.linalg.svd(cropped(product(update.tensors, axes) - product(start, axes), 20, 24))[0]
    np.testing.assert_allclose(np.abs(u[:, :4].T @ update.directions(4).numpy()), np.eye(4), atol=1e-10)
    assert update.directions(99).shape == (20, 20)


def test_directions_leave_out_what_padding_makes_zero() -> None:
    start = drawn((2, 3))
    assert Quanta(moved(start, 0.3), start, (2, 3), 9, 8).directions(9).shape == (9, 6)


@pytest.mark.parametrize(("axes", "rows", "columns"), SHAPES)
def test_the_random_update_has_the_form_and_the_norm_and_another_shape(axes: Any, rows: int, columns: int) -> None:
    start = drawn(axes)
    update = Quanta(moved(start, 0.02), start, axes, rows, columns, -2.0)
    null, again = (update.random(torch.Generator().manual_seed(3)) for _ in range(2))
    assert null is not None
    assert again is not None
    assert torch.equal(null.dense(), again.dense())
    assert (null.rows, null.columns, null.axes) == (rows, columns, axes)
    assert float(torch.linalg.norm(null.dense())) == pytest.approx(update.frobenius(), rel=1e-12)
    for t, s, own in zip(null.tensors, null.frozen, update.tensors, strict=True):
        assert float(torch.linalg.norm(t - s)) == pytest.approx(float(torch.linalg.norm(own - s)), rel=1e-12)
    cosine = float((null.dense() * update.dense()).sum()) / update.frobenius() ** 2
    assert abs(cosine) < 0.9


def test_it_says_what_it_was_read_from() -> None:
    start = drawn((2, 3), dtype=torch.bfloat16)
    update = Quanta(start, start, (2, 3), 6, 6)
    assert update.source is Source.OPERATOR
    assert update.dtype == "bfloat16"


GOOD = drawn((2, 3))


@pytest.mark.parametrize(
    ("change", "rule"),
    [
        ({"tensors": ()}, r"trained tensors: shapes \[\] do not fit axes \(2, 3\), which need \[\(2, 3, 2, 3\)\]"),
        ({"frozen": drawn((3, 2))}, r"frozen tensors: shapes \[\(3, 2, 3, 2\)\] do not fit axes \(2, 3\)"),
        ({"tensors": (GOOD[0] * math.nan,)}, "trained tensors: one holds NaN or infinity"),
        ({"frozen": (GOOD[0] / 0,)}, "frozen tensors: one holds NaN or infinity"),
        ({"axes": (6,)}, r"axes: \(6,\) must be two or more"),
        ({"axes": (0, 3)}, r"axes: \(0, 3\) must be two or more"),
        ({"rows": 0}, "shape: a matrix of 0 x 6 has no entries"),
        ({"multiplier": math.inf}, "multiplier inf is no finite number"),
    ],
)
def test_what_cannot_be_an_update_is_refused(change: Any, rule: str) -> None:
    good: Any = {"tensors": GOOD, "frozen": GOOD, "axes": (2, 3), "rows": 6, "columns": 6}
    with pytest.raises(ValueError, match=rule):
        Quanta(**(good | change))


def test_one_axis_has_no_pair() -> None:
    with pytest.raises(ValueError, match="d: 1 axes have no pair"):
        default_axes(1, 4, 4)
