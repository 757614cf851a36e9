"""Updates of factors since a start in the base, against 50 digits: where they moved less, both products share more."""

from typing import Any

import mpmath
import pytest
import torch

from harness.spectra import Source
from harness.spectra.moved import Moved

Factors = tuple[torch.Tensor, torch.Tensor]
M, N, R = 9, 7, 2


def draw(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def moved(size: float, of: str = "ba", multiplier: float = 0.7) -> Moved:
    """Return factors in float32 that moved by `size` of themselves."""
    b0, a0 = draw(M, R, seed=1).float(), draw(R, N, seed=2).float()
    b = (b0 + size * draw(M, R, seed=3) * ("b" in of)).float()
    a = (a0 + size * draw(R, N, seed=4) * ("a" in of)).float()
    return Moved(b, a, b0, a0, multiplier, "float32")


def exact(update: Moved) -> list[float]:
    with mpmath.workdps(50):
        b, a, b0, a0 = (mpmath.matrix(x.tolist()) for x in (update.b_mr, update.a_rn, update.b0_mr, update.a0_rn))
        product: Any = mpmath.mpf(update.multiplier) * (b * a - b0 * a0)
        return [float(value) for value in mpmath.svd_r(product, compute_uv=False)]


@pytest.mark.parametrize("size", [1.0, 1e-2, 1e-4, 1e-6])
@pytest.mark.parametrize(("of", "rank"), [("ba", 4), ("b", 2), ("a", 2)])
def test_every_value_is_within_the_bound_however_small_the_change(size: float, of: str, rank: int) -> None:
    """Where the difference of the products, formed in float64, would lose as many digits as `size` has."""
    update = moved(size, of)
    found, truth = update.spectrum(), exact(update)
    assert (found.kernel.floor, len(found.singular_values)) == (0.0, 2 * R)
    assert found.kernel.bound <= 1e-10
    for value, known in zip(found.singular_values[:rank], truth[:rank], strict=True):
        assert value == pytest.approx(known, rel=found.kernel.bound, abs=0)
    assert found.singular_values[rank:] == (0.0,) * (2 * R - rank)
    assert update.directions(8).shape == (M, rank)


def test_factors_that_turned_into_each_other_say_what_is_left() -> None:
    """B -> B G and A -> G^-1 A change nothing, and rounding G^-1 next to nothing."""
    b0, a0 = draw(M, R, seed=1), draw(R, N, seed=2)
    turn = torch.eye(R, dtype=torch.float64) + 0.1 * draw(R, R, seed=5)
    update = Moved(b0 @ turn, torch.linalg.inv(turn) @ a0, b0, a0, 1.0, "float64")
    found, truth = update.spectrum(), exact(update)
    assert truth[0] < 1e-14
    assert found.singular_values == (0.0,) * 4
    assert found.effective_rank is None


def test_factors_that_did_not_move_are_no_update() -> None:
    update = moved(0.0)
    found = update.spectrum()
    assert (found.singular_values, found.frobenius, found.stable_rank) == ((0.0,) * 4, 0.0, None)
    assert update.directions(4).shape == (M, 0)
    null = update.random(torch.Generator().manual_seed(0))
    assert null.spectrum().frobenius == 0


def test_products_are_those_of_the_difference() -> None:
    update, x, y = moved(0.1), draw(N, 3, seed=8), draw(M, 3, seed=9)
    dense = 0.7 * (update.b_mr.double() @ update.a_rn.double() - update.b0_mr.double() @ update.a0_rn.double())
    assert torch.allclose(update.times(x), dense @ x, rtol=1e-12, atol=1e-14)
    assert torch.allclose(update.adjoint_times(y), dense.T @ y, rtol=1e-12, atol=1e-14)
    assert (update.rows, update.columns, update.source, update.dtype) == (M, N, Source.FACTORS, "float32")
    u = torch.linalg.svd(dense).U[:, :3]
    assert torch.linalg.svdvals(u.T @ update.directions(3)).tolist() == pytest.approx([1.0] * 3, abs=1e-9)


def test_what_the_start_cannot_tell_is_zero_and_its_error_in_the_floor() -> None:
    sure = moved(1e-3)
    sigma = sure.spectrum().singular_values
    parts = (sure.b_mr, sure.a_rn, sure.b0_mr, sure.a0_rn, 0.7, "float32")
    unsure = Moved(*parts, error=1e-3 * sigma[0]).spectrum()
    assert unsure.singular_values == sigma
    assert (unsure.kernel.bound, unsure.kernel.floor) == (1e-2, pytest.approx(0.1))


def test_values_that_are_left_out_count_as_error() -> None:
    sure = moved(1e-3)
    sigma = sure.spectrum().singular_values
    parts = (sure.b_mr, sure.a_rn, sure.b0_mr, sure.a0_rn, 0.7, "float32")
    unsure = Moved(*parts, untold=(sigma[1] + sigma[2]) / 2, error=1e-3 * sigma[0]).spectrum()
    assert unsure.singular_values == (*sigma[:2], 0.0, 0.0)
    assert sigma[2] > 1e-2 * sigma[0]  # no share of sigma_1 at which a hundredth would cover it
    assert (unsure.kernel.bound, unsure.kernel.floor) == (pytest.approx(1e-3 + sigma[2] / sigma[0], rel=1e-6), 1.0)


def test_the_null_moves_both_factors_from_the_start_as_far() -> None:
    """Its leading directions are those of a change of the start, so it is no product of two Gaussian factors."""
    update = moved(1e-3)
    null, again = (update.random(torch.Generator().manual_seed(3)) for _ in range(2))
    assert null.spectrum() == again.spectrum()
    assert null.source is Source.GAUSSIAN_CHANGE
    assert null.frobenius() == pytest.approx(update.spectrum().frobenius, rel=1e-9)
    assert len(null.spectrum().singular_values) == 2 * R
    b0, a0 = (torch.linalg.qr(x.double()).Q for x in (update.b0_mr, update.a0_rn.T))
    dense = null.times(torch.eye(N, dtype=torch.float64))
    outside = (dense - b0 @ (b0.T @ dense)) @ (torch.eye(N, dtype=torch.float64) - a0 @ a0.T)
    assert float(outside.norm()) < 1e-2 * float(dense.norm())
