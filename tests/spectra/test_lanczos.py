"""Leading singular triples against decompositions in float64 and spectra that are known."""

import math

import pytest
import torch

from harness.spectra import LowRank
from harness.spectra.dense import gram_spectrum
from harness.spectra.lanczos import LANCZOS, TOLERANCE, Top, leading_spectrum, operator_spectrum, topk
from harness.spectra.norms import frobenius, participation_ratio

Float = torch.float64
DTYPES = [torch.float32, torch.float64]


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def draw(m: int, n: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(m, n, generator=seeded(seed), dtype=Float)


def known(sigma: torch.Tensor, m: int, n: int) -> torch.Tensor:
    """Return a matrix whose singular values are `sigma`, to about 1e-15 of the largest."""
    k = len(sigma)
    return torch.linalg.qr(draw(m, k, 1)).Q * sigma @ torch.linalg.qr(draw(n, k, 2)).Q.T


def leading_triples(w: torch.Tensor, k: int, seed: int = 0) -> Top:
    return topk(lambda x: w @ x, lambda y: w.T @ y, *tuple(w.shape), k=k, generator=seeded(seed), dtype=w.dtype)


def assert_triples(found: Top, w: torch.Tensor) -> None:
    """Assert that they are orthonormal and solve A v = sigma u, A^T u = sigma v as far as they say."""
    w, k, size = w.double(), len(found.sigma), found.sigma[0] + 1e-300
    for vectors in (found.u, found.v):
        assert vectors.dtype == Float
        assert vectors.T @ vectors == pytest.approx(torch.eye(k, dtype=Float), abs=1e-12)
    assert float((w @ found.v - found.u * found.sigma).norm(dim=0).max() / size) <= 2 * TOLERANCE
    assert float((w.T @ found.u - found.v * found.sigma).norm(dim=0).max() / size) <= 2 * TOLERANCE
    assert float(found.residuals.max() / size) <= TOLERANCE


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("m", "n"), [(500, 300), (300, 500), (400, 400), (40, 900)])
def test_a_flat_bulk_with_some_values_above(m: int, n: int, dtype: torch.dtype) -> None:
    """Values of the bulk lie close: the hardest ones that weights and updates have."""
    spikes = torch.tensor([200.0, 120, 90, 80, 75, 74, 73], dtype=Float)
    w = (draw(m, n) + known(spikes, m, n)).to(dtype)
    found = leading_triples(w, 16)
    truth = torch.linalg.svdvals(w.double())[:16]
    assert found.sigma == pytest.approx(truth, rel=1e-6 if dtype == torch.float32 else 1e-10)
    assert_triples(found, w)
    assert min(m, n, 36) <= found.steps <= min(m, n)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("rank", [1, 3, 8])
@pytest.mark.parametrize(("m", "n"), [(120, 90), (90, 120)])
def test_low_rank_is_exact_and_the_rest_rounding(m: int, n: int, rank: int, dtype: torch.dtype) -> None:
    sigma = torch.logspace(0, -3, rank, dtype=Float)
    w = known(sigma, m, n).to(dtype)
    found = leading_triples(w, 10)
    size = torch.finfo(dtype).eps
    assert found.sigma[:rank] == pytest.approx(sigma, abs=10 * size)
    assert float(found.sigma[rank:].max()) < 10 * size
    assert_triples(found, w)


@pytest.mark.parametrize("dtype", DTYPES)
def test_equal_values_are_all_found_where_there_is_nothing_else(dtype: torch.dtype) -> None:
    # the very first step leaves nothing, so every further one starts from a fresh random vector
    w = torch.linalg.qr(draw(200, 150)).Q.to(dtype)
    found = leading_triples(w, 12)
    assert found.sigma == pytest.approx(torch.ones(12, dtype=Float), abs=1e-6)
    assert_triples(found, w)


@pytest.mark.parametrize("gap", [1e-2, 1e-4, 1e-5])
def test_close_values_are_told_apart(gap: float) -> None:
    sigma = torch.cat([torch.tensor([1, 1 - gap], dtype=Float), torch.linspace(0.5, 0.01, 298, dtype=Float)])
    found = leading_triples(known(sigma, 400, 300), 3)
    assert found.sigma == pytest.approx(sigma[:3], rel=1e-9)


def test_of_exact_copies_some_may_be_missing_and_none_is_invented() -> None:
    """The stated limit: one start vector meets one direction of a double value, until rounding brings in the other."""
    sigma = torch.cat([torch.ones(2, dtype=Float), 0.95 ** torch.arange(1, 299, dtype=Float)])
    found = leading_triples(known(sigma, 400, 300), 3)
    assert found.sigma[0].item() == pytest.approx(1, rel=1e-12)
    for value in found.sigma:
        assert float((sigma - value).abs().min()) < 1e-9
    alone = known(sigma[1:], 400, 300)
    assert leading_triples(alone, 3).sigma == pytest.approx(sigma[1:4], rel=1e-9)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("m", "n"), [(1, 30), (30, 1), (1, 1), (5, 7), (7, 5), (6, 6)])
def test_small_matrices_are_decomposed_whole(m: int, n: int, dtype: torch.dtype) -> None:
    w = draw(m, n).to(dtype)
    found = leading_triples(w, 10)
    truth = torch.linalg.svdvals(w.double())
    assert found.sigma == pytest.approx(truth, rel=1e-6 if dtype == torch.float32 else 1e-12)
    assert (found.u.shape, found.v.shape, found.steps) == ((m, min(m, n)), (n, min(m, n)), min(m, n))
    assert_triples(found, w)


def test_a_condition_of_1e12_leaves_the_leading_values_alone() -> None:
    sigma = torch.logspace(0, -12, 100, dtype=Float)
    assert leading_triples(known(sigma, 120, 100), 30).sigma == pytest.approx(sigma[:30], rel=1e-10)


def test_zero_has_only_zeros() -> None:
    found = leading_triples(torch.zeros(50, 40), 5)
    assert found.sigma.tolist() == [0.0] * 5
    assert_triples(found, torch.zeros(50, 40))
    spectrum = leading_spectrum(torch.zeros(50, 40), 5, seeded(), participation=True)
    assert (spectrum.frobenius, spectrum.stable_rank, spectrum.participation_ratio) == (0.0, None, None)


def test_the_same_generator_gives_the_same_bits() -> None:
    w = draw(200, 150).float()
    first, again, other = (leading_triples(w, 5, seed) for seed in (1, 1, 2))
    assert torch.equal(first.u, again.u) and torch.equal(first.sigma, again.sigma)
    assert not torch.equal(first.sigma, other.sigma)
    assert first.sigma == pytest.approx(other.sigma, rel=1e-6)


def test_fewer_than_one_value_is_refused() -> None:
    with pytest.raises(ValueError, match="k 0 is below 1"):
        leading_triples(torch.eye(3), 0)


def test_an_operator_that_returns_no_number_is_refused() -> None:
    with pytest.raises(ValueError, match="a product with the operator holds NaN or infinity"):
        topk(lambda x: x * math.nan, lambda y: y, 4, 4, 2, seeded())


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize(("m", "n"), [(300, 200), (200, 300)])
def test_leading_spectrum_is_the_head_of_the_whole_one(m: int, n: int, dtype: torch.dtype) -> None:
    w = (draw(m, n) + known(torch.tensor([80.0, 60, 50], dtype=Float), m, n)).to(dtype)
    found, full = leading_spectrum(w, 10, seeded(), participation=True), gram_spectrum(w)
    assert (found.rows, found.columns, found.complete, found.kernel) == (m, n, False, LANCZOS)
    assert found.singular_values == pytest.approx(full.singular_values[:10], rel=1e-6)
    assert found.frobenius == pytest.approx(full.frobenius, rel=1e-12)
    assert found.stable_rank == pytest.approx(full.stable_rank, rel=1e-6)
    assert found.participation_ratio == pytest.approx(full.participation_ratio, rel=1e-11)
    assert full.top_energy is not None
    assert found.top_energy == pytest.approx(full.top_energy[:4], rel=1e-6)
    assert (found.effective_rank, found.effective_rank_energy) == (None, None)
    assert leading_spectrum(w, 2, seeded()).participation_ratio is None


@pytest.mark.parametrize("size", [1e-300, 1e-30, 1e30, 1e300])
def test_size_alone_changes_nothing(size: float) -> None:
    w = draw(60, 50) * size
    w = w.float() if 1e-38 < size < 1e38 else w
    found = leading_spectrum(w, 3, seeded())
    truth = torch.linalg.svdvals(w.double() / size)[:3]
    assert [value / size for value in found.singular_values] == pytest.approx(truth.tolist(), rel=1e-6)
    assert found.stable_rank == pytest.approx(gram_spectrum(w).stable_rank, rel=1e-6)


def test_values_above_the_floor_are_within_the_bound() -> None:
    truth = torch.logspace(0, -3, 200, dtype=Float)
    w = known(truth, 300, 200).float()
    found = torch.tensor(leading_spectrum(w, 150, seeded()).singular_values, dtype=Float)
    above = truth[:150] > LANCZOS.floor
    assert above.sum() > 100
    assert float((found[above] / truth[:150][above] - 1).abs().max()) <= LANCZOS.bound


def test_an_update_that_is_never_formed() -> None:
    update = LowRank(draw(90, 6, 1), draw(6, 70, 2), 0.5)
    found = operator_spectrum(update, 6, update.frobenius(), seeded())
    full = update.spectrum()
    assert (found.rows, found.columns, found.complete) == (90, 70, False)
    assert found.singular_values == pytest.approx(full.singular_values, rel=1e-6)
    assert found.stable_rank == pytest.approx(full.stable_rank, rel=1e-6)
    exact = operator_spectrum(update, 3, update.frobenius(), seeded(), torch.float64)
    assert exact.singular_values == pytest.approx(full.singular_values[:3], rel=1e-12)


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_what_is_no_number_has_no_spectrum(bad: float) -> None:
    w = torch.ones(4, 3)
    w[1, 2] = bad
    with pytest.raises(ValueError, match="holds NaN or infinity"):
        leading_spectrum(w, 2, seeded())


def test_norms_of_a_large_matrix_stand_beside_its_first_value() -> None:
    w = draw(700, 1100).float()
    found = leading_spectrum(w, 1, seeded(), participation=True)
    assert found.frobenius == frobenius(w)
    assert found.participation_ratio == participation_ratio(w)
    # ||W||_2 of a Gaussian matrix is close to sqrt(m) + sqrt(n) (Davidson and Szarek 2001)
    assert found.singular_values[0] == pytest.approx(math.sqrt(700) + math.sqrt(1100), rel=0.02)
