"""Power laws of tails against drawn ones, an independent slow fit and another implementation's numbers."""

import math

import pytest
import torch

from harness.spectra.power_law import FEWEST, PowerLaw, power_law, power_law_p

Float = torch.float64


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def pareto(n: int, alpha: float, seed: int = 0) -> torch.Tensor:
    """Return sigma whose lambda = sigma^2 have the density (alpha - 1) lambda^-alpha from 1 on."""
    return (1 - torch.rand(n, generator=seeded(seed), dtype=Float)) ** (-0.5 / (alpha - 1))


def slow(sigma: torch.Tensor) -> tuple[float, float, float, int]:
    """Return alpha, xmin, distance and size of the tail by the article's equations 3.1 and 3.9, one xmin at a time."""
    x = sorted(value**2 for value in sigma.tolist() if value > 0)
    best = (math.inf, 0.0, 0.0, 0)
    for i in range(len(x) - 1):
        tail = x[i:]
        logs = math.fsum(math.log(value / tail[0]) for value in tail)
        if not logs:
            continue
        alpha = 1 + len(tail) / logs
        distances = [abs(1 - (value / tail[0]) ** (1 - alpha) - j / len(tail)) for j, value in enumerate(tail)]
        best = min(best, (max(distances), alpha, tail[0], len(tail)))
    ks, alpha, xmin, n_tail = best
    return alpha, xmin, ks, n_tail


def fit(sigma: torch.Tensor) -> PowerLaw:
    found = power_law(sigma)
    assert found is not None
    return found


@pytest.mark.parametrize("n", [50, 51, 64, 300])
@pytest.mark.parametrize("kind", ["pareto", "gaussian matrix", "heavy bulk", "ties"])
def test_fit_equals_the_slow_one(n: int, kind: str) -> None:
    gauss = torch.randn(n, 2 * n, generator=seeded(n), dtype=Float)
    sigma = {
        "pareto": pareto(n, 2.5),
        "gaussian matrix": torch.linalg.svdvals(gauss),
        "heavy bulk": torch.linalg.svdvals(gauss * pareto(n, 1.8).unsqueeze(1)),
        "ties": pareto(n, 2.0).mul(4).ceil(),
    }[kind]
    found = fit(sigma)
    alpha, xmin, ks, n_tail = slow(sigma)
    assert found.n_tail == n_tail
    assert found.alpha == pytest.approx(alpha, rel=1e-11)
    assert found.xmin == pytest.approx(xmin, rel=1e-14)
    assert found.ks == pytest.approx(ks, rel=1e-11)
    assert found.alpha_error == pytest.approx((alpha - 1) / math.sqrt(n_tail), rel=1e-11)


def test_fit_equals_that_of_weightwatcher() -> None:
    """Values (1 - u)^(-1/3), u = (i + 0.5) / n: WeightWatcher 0.7.7 fits lambda with the alpha and distance below.

    Over 200 matrices of 50 to 400 values its alpha and ours differed by 2e-15 at most.
    """
    u = (torch.arange(1000, dtype=Float) + 0.5) / 1000
    found = fit((1 - u) ** (-1 / 3))
    assert found.alpha == pytest.approx(2.5012710616011047, rel=1e-9)
    assert found.ks == pytest.approx(0.0006726060434378844, rel=1e-9)


@pytest.mark.parametrize("alpha", [1.7, 2.5, 4.0])
def test_the_exponent_of_drawn_values_is_found(alpha: float) -> None:
    found = fit(pareto(4000, alpha))
    assert abs(found.alpha - alpha) < 3 * (alpha - 1) / math.sqrt(found.n_tail)
    assert found.n_tail > 2000
    assert found.ks < 0.03


def test_the_tail_above_a_bulk_is_found() -> None:
    """A thousand values uniform on (0, 1) below a thousand of density lambda^-2.5 above it."""
    bulk = torch.rand(1000, generator=seeded(1), dtype=Float).sqrt()
    found = fit(torch.cat([bulk, pareto(1000, 2.5)]))
    assert found.alpha == pytest.approx(2.5, abs=0.25)
    assert 0.7 < found.xmin < 3
    assert found.n_tail < 1400


def test_size_and_order_change_nothing() -> None:
    sigma = pareto(200, 2.2)
    found = fit(sigma)
    for size in (1e-200, 1e-6, 1e150):
        scaled = fit(sigma.flip(0) * size)
        assert scaled.alpha == pytest.approx(found.alpha, rel=1e-11)
        assert (scaled.n_tail, scaled.ks) == (found.n_tail, pytest.approx(found.ks, rel=1e-11))
    assert fit(sigma * 1e-6).xmin == pytest.approx(found.xmin * 1e-12, rel=1e-12)
    assert fit(sigma.float()).alpha == pytest.approx(found.alpha, rel=1e-3)


def test_too_few_values_have_no_power_law() -> None:
    assert power_law(pareto(FEWEST - 1, 2.0)) is None
    assert power_law(pareto(FEWEST, 2.0)) is not None
    assert power_law(torch.cat([pareto(FEWEST - 1, 2.0), torch.zeros(100)])) is None
    assert power_law_p(pareto(FEWEST - 1, 2.0), seeded()) is None
    assert power_law(torch.zeros(100)) is None
    assert power_law(torch.ones(100)) is None
    assert power_law(torch.ones(0)) is None


def test_what_no_kernel_resolves_counts_as_zero() -> None:
    noise = torch.full((500,), 1e-9, dtype=Float) * torch.rand(500, generator=seeded(), dtype=Float)
    sigma = pareto(60, 2.0)
    assert power_law(torch.cat([sigma, noise])) == power_law(sigma)
    assert power_law(torch.cat([sigma[:40], noise])) is None
    assert power_law(torch.cat([sigma[:40], noise]), floor=1e-12) is not None


@pytest.mark.parametrize("bad", [math.nan, math.inf, -1.0])
def test_what_is_no_singular_value_raises(bad: float) -> None:
    sigma = pareto(60, 2.0)
    sigma[7] = bad
    with pytest.raises(ValueError, match="NaN, infinity or a negative number"):
        power_law(sigma)


def test_power_laws_are_ruled_out_about_as_often_as_said() -> None:
    """At p <= 0.1 one of ten true power laws is ruled out; at most 18 of 100 with probability 0.995."""
    generator = seeded(5)
    p = [power_law_p(pareto(80, 2.5, seed), generator, 50) for seed in range(100)]
    assert all(value is not None for value in p)
    assert sum(value is not None and value <= 0.1 for value in p) <= 18


def test_the_bulk_of_a_random_matrix_is_ruled_out() -> None:
    uniform = torch.linspace(1, 2, 400, dtype=Float)
    found = power_law_p(uniform, seeded(), 100)
    assert found is not None and found <= 0.1
    truth = power_law_p(pareto(400, 2.5), seeded(), 100)
    assert truth is not None and truth > 0.1


def test_the_same_generator_gives_the_same_p() -> None:
    sigma = pareto(100, 2.5)
    assert power_law_p(sigma, seeded(3), 60) == power_law_p(sigma, seeded(3), 60)
