"""Where the threshold may be: against the formula summed in another way, and where the answer is plain."""

import numpy as np
import pytest
from scipy.special import expit  # pyright: ignore[reportMissingTypeStubs] - scipy ships none

from harness.decide.threshold import MASS, WIDTHS, locate

MIXED = [(-1.0, False), (0.25, False), (0.5, True), (0.0, True), (2.0, True)]


def test_weights_are_the_products_of_logistic_probabilities() -> None:
    found = locate(MIXED, -3, 3)
    expected = np.zeros(found.places.size)
    for width in WIDTHS:
        each = [expit((x - found.places) / width if event else (found.places - x) / width) for x, event in MIXED]
        expected += np.prod(each, axis=0)
    np.testing.assert_allclose(found.weights, expected / expected.sum(), rtol=1e-10)
    assert found.weights.sum() == pytest.approx(1)


def test_without_runs_every_place_is_as_likely() -> None:
    found = locate([], -4, 4)
    assert found.median == pytest.approx(0, abs=1e-9)
    low, high = found.interval
    assert (low, high) == (pytest.approx(-4 * MASS, abs=0.02), pytest.approx(4 * MASS, abs=0.02))


def test_a_mirrored_world_has_a_mirrored_answer() -> None:
    found, mirrored = locate(MIXED, -3, 3), locate([(-x, not event) for x, event in MIXED], -3, 3)
    np.testing.assert_allclose(mirrored.weights, found.weights[::-1])
    assert mirrored.median == pytest.approx(-found.median)
    low, high = found.interval
    assert mirrored.interval == (pytest.approx(-high), pytest.approx(-low))


def test_more_of_the_same_narrows_the_interval() -> None:
    once, thrice = (locate([(0.0, False), (0.25, True)] * n, -5.875, 6.125) for n in (1, 3))
    assert once.median == pytest.approx(0.125)
    assert thrice.median == pytest.approx(0.125)
    assert thrice.interval[1] - thrice.interval[0] < 0.6 * (once.interval[1] - once.interval[0])


def test_far_outcomes_stay_finite() -> None:
    found = locate([(-1000.0, False), (1000.0, True)], -2, 2)
    assert np.isfinite(found.weights).all()
    assert found.median == pytest.approx(0, abs=1e-6)


def test_draws_follow_the_posterior_and_the_generator() -> None:
    found = locate(MIXED, -3, 3)
    draws = found.draws(np.random.default_rng(4), 20_000)
    low, high = found.interval
    # standard error of a share of .9 in 20,000: .0021
    assert np.mean((draws > low) & (draws < high)) == pytest.approx(MASS, abs=0.01)
    assert np.median(draws) == pytest.approx(found.median, abs=0.02)
    assert np.array_equal(draws, found.draws(np.random.default_rng(4), 20_000))
