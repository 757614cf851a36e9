"""Overlaps against closed forms and chance; the null beside a planted update; shifts of the spectrum."""

import pytest
import torch

from harness.spectra.basis import singular_basis
from harness.spectra.dense import Dense
from harness.spectra.dora import Dora
from harness.spectra.lora import LowRank
from harness.spectra.overlap import against_null, overlap, spectral_shift
from harness.spectra.spectrum import Source
from harness.spectra.update import Update


def normal(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def aligned(weight: torch.Tensor, first: int, r: int = 4) -> LowRank:
    """Return an update along the base's own left vectors `first` to `first + r`."""
    u = torch.linalg.svd(weight, full_matrices=False).U
    return LowRank(u[:, first : first + r], normal(r, weight.shape[1], seed=5))


@pytest.mark.parametrize(("rows", "columns"), [(40, 40), (50, 30), (30, 50)])
def test_inside_is_one_and_outside_is_zero(rows: int, columns: int) -> None:
    weight = normal(rows, columns)
    basis = singular_basis(weight)
    inside = overlap(aligned(weight, 0), basis)
    # 4 directions: of each, all lies within the leading 8 and 16, and 1/4 of the subspace within the first
    assert inside.shares == pytest.approx((0.25, 1.0, 1.0), abs=1e-6)
    assert (inside.directions, inside.within) == (4, (1, 8, 16))
    assert inside.chance == (1 / rows, 8 / rows, 16 / rows)
    assert overlap(aligned(weight, 16), basis).shares == pytest.approx((0.0, 0.0, 0.0), abs=1e-6)
    assert overlap(aligned(weight, 6), basis).shares == pytest.approx((0.0, 0.5, 1.0), abs=1e-6)


def test_random_directions_meet_chance() -> None:
    """The share of one random direction in k of m is Beta(k/2, (m - k)/2): mean k/m, variance 2 k (m-k)/m^2/(m+2).

    Orthonormal ones vary less together than independent ones, so 4 standard errors are at most 4 sqrt(variance / 20 q).
    """
    m, q, draws = 60, 4, 20
    basis = singular_basis(normal(m, 50))
    found = [
        overlap(LowRank(normal(m, q, seed=s), normal(q, 50, seed=s + 999)), basis) for s in range(100, 100 + draws)
    ]
    for i, k in enumerate((1, 8, 16)):
        mean = sum(x.shares[i] for x in found if x.shares) / draws
        assert found[0].chance[i] == k / m
        assert abs(mean - k / m) < 4 * (2 * k * (m - k) / m**2 / (m + 2) / (q * draws)) ** 0.5


def test_a_truncated_basis_is_enough_for_what_it_keeps() -> None:
    weight = normal(40, 30)
    update = LowRank(normal(40, 5, seed=1), normal(5, 30, seed=2))
    part, whole = overlap(update, singular_basis(weight, 16)), overlap(update, singular_basis(weight))
    assert part.shares == pytest.approx(whole.shares, abs=1e-7)
    with pytest.raises(ValueError, match="the basis keeps 8 triples"):
        overlap(update, singular_basis(weight, 8))


def test_more_than_there_are_means_all() -> None:
    found = overlap(LowRank(normal(6, 2), normal(2, 4)), singular_basis(normal(6, 4)), within=(2, 99))
    assert (found.within, found.chance) == ((2, 4), (2 / 6, 4 / 6))


@pytest.mark.parametrize(
    "update",
    [
        LowRank(torch.zeros(6, 2), torch.ones(2, 4)),
        Dora(normal(6, 4), torch.zeros(6, 2), torch.ones(2, 4), 1.0, normal(6, 4).norm(dim=1)),
        Dense(torch.zeros(6, 4), Source.FP32_DIFFERENCE, "float32"),
    ],
)
def test_no_update_lies_nowhere(update: Update) -> None:
    found = overlap(update, singular_basis(normal(6, 4)), within=(1, 2))
    assert (found.directions, found.shares) == (0, None)
    assert spectral_shift(update, singular_basis(normal(6, 4))) == 0.0


def test_an_aligned_update_stands_out_from_its_null() -> None:
    weight = normal(60, 60)
    update = aligned(weight, 0)
    update = LowRank(update.b_mr, update.a_rn, 5.0)
    found = against_null(update, singular_basis(weight), torch.Generator().manual_seed(1))
    again = against_null(update, singular_basis(weight), torch.Generator().manual_seed(1))
    assert found == again
    assert found.own.overlap.shares is not None
    assert found.null is not None
    assert found.null.overlap.shares is not None
    assert found.own.overlap.shares[1] == pytest.approx(1.0, abs=1e-6)
    assert found.null.overlap.shares[1] < 0.4
    # the null is as large, so that it displaces the leading directions as far or further
    assert found.null.intruders.counts[1].most >= found.own.intruders.counts[1].least


@pytest.mark.parametrize("share", [0.25, -0.25])
def test_a_scaled_base_shifts_by_the_scale(share: float) -> None:
    weight = normal(30, 20)
    update = Dense(share * weight, Source.FP32_DIFFERENCE, "float64")
    assert spectral_shift(update, singular_basis(weight)) == pytest.approx(0.25, rel=1e-5)


def test_a_shift_is_at_most_the_update() -> None:
    """Mirsky 1960: singular values move by no more, together, than the matrix does. A rotation moves none."""
    weight = normal(30, 20)
    update = LowRank(normal(30, 3, seed=1), normal(3, 20, seed=2), 0.3)
    basis = singular_basis(weight)
    shift = spectral_shift(update, basis)
    truth = torch.linalg.svdvals(weight + 0.3 * update.b_mr @ update.a_rn) - torch.linalg.svdvals(weight)
    assert shift == pytest.approx(float(truth.norm() / weight.norm()), rel=1e-5)
    assert shift is not None
    assert 0 < shift < update.frobenius() / float(weight.norm())
    turned = torch.linalg.qr(normal(30, 30, seed=3)).Q @ weight - weight
    assert spectral_shift(Dense(turned, Source.FP32_DIFFERENCE, "float64"), basis) == pytest.approx(0.0, abs=1e-6)


def test_a_shift_that_is_not_computed_is_none() -> None:
    update = LowRank(normal(30, 3), normal(3, 20))
    assert spectral_shift(update, singular_basis(normal(30, 20), keep=5)) is None
    assert spectral_shift(update, singular_basis(torch.zeros(30, 20))) is None
    big = LowRank(normal(520, 1), normal(1, 520))
    assert spectral_shift(big, singular_basis(normal(520, 520))) is None


def test_other_shapes_and_numbers_raise() -> None:
    basis = singular_basis(normal(6, 4))
    update = LowRank(normal(4, 2), normal(2, 6))
    for ask in (overlap, spectral_shift):
        with pytest.raises(ValueError, match="are not of one matrix"):
            ask(update, basis)
    with pytest.raises(ValueError, match="take 1 or more"):
        overlap(LowRank(normal(6, 2), normal(2, 4)), basis, directions=0)
