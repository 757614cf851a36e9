"""The power law of a spectrum's upper tail: density of lambda = sigma^2 proportional to lambda^-alpha above xmin.

Maximum likelihood for alpha, Kolmogorov-Smirnov distance for xmin, as in Clauset, Shalizi and Newman 2009 (SIAM Review
51:661), sections 3.1 and 3.3, over every value but the largest as xmin. The distance is that of their published code:
the empirical distribution is taken just below each value. Martin and Mahoney's alpha of a layer is this number.

A fit is always found: that a tail *is* a power law is a claim of its own, for which there is `power_law_p`. Departure
from their implementation for weights: no eigenvalue is dropped for being below 1e-5, since updates are that small as a
whole; a value counts as zero where it is too small, relative to the largest, for the kernels here to resolve.
"""

from dataclasses import dataclass

import torch

FEWEST = 50
"""Non-zero values below which there is no fit; below that alpha is biased (Clauset et al., section 3.5)."""
FLOOR = 1e-6
"""Share of the largest singular value at or below which a value counts as zero."""
BATCH = 2**14
"""Values of synthetic data sets that are fitted together."""
BLOCK = 2**16
"""Distances that are computed together: what stays in a core's cache."""


@dataclass(frozen=True, slots=True)
class PowerLaw:
    """A fitted tail."""

    alpha: float
    """Exponent of the density of lambda, above 1."""
    alpha_error: float
    """Standard error of alpha for a given xmin, (alpha - 1) / sqrt(n_tail)."""
    xmin: float
    """Smallest lambda of the tail, in units of sigma^2."""
    ks: float
    """Largest distance between the tail's distribution and the fitted one: smaller is better."""
    n_tail: int
    """Values in the tail, the one at xmin included."""


@torch.no_grad()
def power_law(sigma: torch.Tensor, floor: float = FLOOR) -> PowerLaw | None:
    """Return the power law of singular values (n,) in any order; None below 50 non-zero, or where all are equal.

    `floor`: share of the largest value at or below which a value counts as zero.

    Raises:
        ValueError: NaN, infinity or a negative value.
    """
    log_x = _logarithms(sigma, floor)
    if log_x.numel() < FEWEST or log_x[0] == log_x[-1]:
        return None
    alpha, ks, index = (value[0].item() for value in _fits(log_x.unsqueeze(0)))
    n_tail = log_x.numel() - int(index)
    xmin = float(sigma.double().max().square() * log_x[int(index)].exp())
    return PowerLaw(alpha, (alpha - 1) / n_tail**0.5, xmin, ks, n_tail)


@torch.no_grad()
def power_law_p(
    sigma: torch.Tensor, generator: torch.Generator, n_draws: int = 1000, floor: float = FLOOR
) -> float | None:
    """Return the p-value of the hypothesis that the tail is a power law.

    It is the share of `n_draws` synthetic data sets, drawn from the fit above xmin and from the values themselves
    below, whose own fit is as far off or farther (Clauset et al., section 4.1); they rule a power law out at p <= 0.1.
    Exact to about 1 / (2 sqrt(n_draws)). None where there is no fit.
    """
    fit = power_law(sigma, floor)
    if fit is None:
        return None
    log_x = _logarithms(sigma, floor)
    n = log_x.numel()
    below, start = log_x[: n - fit.n_tail], log_x[n - fit.n_tail]
    size, farther = max(1, BATCH // n), 0
    for done in range(0, n_draws, size):
        shape = (min(size, n_draws - done), n)
        drawn = start - torch.rand(shape, generator=generator, dtype=torch.float64).neg_().log1p() / (fit.alpha - 1)
        if len(below):
            chosen = below[torch.randint(len(below), shape, generator=generator)]
            in_tail = torch.rand(shape, generator=generator, dtype=torch.float64) < fit.n_tail / n
            drawn = torch.where(in_tail, drawn, chosen)
        farther += int((_fits(drawn.sort(dim=1).values)[1] >= fit.ks).sum())
    return farther / n_draws


def _logarithms(sigma: torch.Tensor, floor: float) -> torch.Tensor:
    """Return log(lambda / largest lambda) of the non-zero values, ascending, float64."""
    values = sigma.detach().double().flatten()
    if not torch.isfinite(values).all() or (values < 0).any():
        raise ValueError("singular values hold NaN, infinity or a negative number. Pass what a kernel returned")
    if not values.numel() or not values.max():
        return values.new_empty(0)
    relative = values / values.max()
    return 2 * relative[relative > floor].sort().values.log()


def _fits(log_x_bn: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Return alpha, distance and index of xmin (b,) of the best fit of every row of ascending logarithms (b, n)."""
    b, n = log_x_bn.shape
    tail_sums = log_x_bn.flip(1).cumsum(1).flip(1)
    counts = torch.arange(n, 0, -1, dtype=torch.float64)
    slopes = (counts / (tail_sums - counts * log_x_bn))[
        :, :-1
    ]  # alpha - 1 of every xmin; inf where all above are equal
    size = max(1, BLOCK // (b * n))
    ks = torch.cat([_distances(log_x_bn, slopes, i, min(i + size, n - 1)) for i in range(0, n - 1, size)], 1)
    ks = torch.where(slopes.isfinite() & (slopes > 0) & ~ks.isnan(), ks, torch.inf)
    found, index = ks.min(1)
    return 1 + slopes.gather(1, index.unsqueeze(1)).squeeze(1), found, index


def _distances(log_x_bn: torch.Tensor, slopes: torch.Tensor, start: int, stop: int) -> torch.Tensor:
    """Return the distances (b, stop - start) of the fits whose xmin are the values from `start` to `stop`."""
    n = log_x_bn.shape[1]
    above = log_x_bn[:, None, start:] - log_x_bn[:, start:stop, None]
    decay = above.clamp_(min=0).mul_(-slopes[:, start:stop, None]).exp_()  # 1 below xmin, where both sides are zero
    place = torch.arange(start, n, dtype=torch.float64) - torch.arange(start, stop, dtype=torch.float64).unsqueeze(1)
    empirical = place.clamp_(min=0) / torch.arange(n - start, n - stop, -1, dtype=torch.float64).unsqueeze(1)
    return decay.add_(empirical).sub_(1).abs_().amax(2)
