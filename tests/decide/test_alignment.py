"""Spreads and their ratios, by hand and by simulation."""

import numpy as np
import pytest

from harness.decide.alignment import ratio, spread


def drawn(values: list[float], noise: float, seed: int = 0, count: int = 4000) -> tuple[np.ndarray, np.ndarray]:
    at = np.array(values)
    return at, at + noise * np.random.default_rng(seed).standard_normal((count, at.size))


def test_spread_noise_and_q_by_hand() -> None:
    # values -1, 0, 4: mean 1, SD sqrt((4 + 1 + 9) / 2) = sqrt 7
    values = np.array([-1.0, 0.0, 4.0])
    draws = values + np.array([[-0.5], [0.5]])  # variance .5 each, mean as it is
    said = spread(values, draws)
    assert said.octaves == pytest.approx(7**0.5)
    assert said.noise == pytest.approx(0.5**0.5)
    assert said.q == pytest.approx((4 + 1 + 9) / 0.5)
    assert said.p == pytest.approx(np.exp(-28 / 2))  # chi-square with 2 degrees of freedom


def test_precise_arms_weigh_more_in_q() -> None:
    values = np.array([0.0, 0.0, 1.0])
    rough = values + np.array([[-0.1, -0.1, -2.0], [0.1, 0.1, 2.0]])
    sharp = values + np.array([[-0.1, -0.1, -0.1], [0.1, 0.1, 0.1]])
    assert spread(values, rough).p > 0.5
    assert spread(values, sharp).p < 1e-6


def test_q_of_arms_that_are_alike_is_small_as_often_as_it_says() -> None:
    rng = np.random.default_rng(5)
    small = 0
    for _ in range(400):
        values = 0.2 * rng.standard_normal(6)
        small += spread(values, values + 0.2 * rng.standard_normal((300, 6))).p < 0.05
    assert 8 <= small <= 34  # of 400 at .05: 20 expected, outside with a probability below .005


def test_the_ratio_is_that_of_the_spreads_and_its_interval_is_pulled_to_one() -> None:
    rate, rate_draws = drawn([-2.0, 0.0, 2.0], 0.1)
    shrunk = ratio(rate / 4, rate_draws / 4, rate, rate_draws)
    assert (shrunk.value, shrunk.low, shrunk.high) == (pytest.approx(0.25), pytest.approx(0.25), pytest.approx(0.25))
    flat = ratio(np.zeros(3), rate_draws - rate, rate, rate_draws)
    assert flat.value == 0
    assert 0 < flat.low < flat.high < 0.2


def test_a_ratio_to_no_spread_at_all_has_no_value() -> None:
    rate, draws = drawn([1.0, 1.0, 1.0], 0.1)
    assert ratio(rate, draws, rate, draws).value is None


def test_two_arms_have_no_spread() -> None:
    values, draws = drawn([0.0, 1.0], 0.1)
    with pytest.raises(ValueError, match="2 arms have no spread"):
        spread(values, draws)
