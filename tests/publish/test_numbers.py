import pytest

from harness.publish.numbers import estimate, short
from harness.record.verdict import Estimate


@pytest.mark.parametrize(
    ("value", "digits", "shown"),
    [
        (0.5, 2, ".50"),
        (-0.044, 2, "-.04"),
        (1.0, 2, "1.00"),
        (0.0, 2, ".00"),
        (-0.001, 2, ".00"),  # never a negative zero
        (0.0986, 3, ".099"),
        (12.5, 1, "12.5"),
        (None, 2, "n/a"),
    ],
)
def test_short_numbers(value: float | None, digits: int, shown: str) -> None:
    assert short(value, digits) == shown


def said(unit: str, value: float | None, low: float | None, high: float | None) -> Estimate:
    return Estimate(
        name="x", unit=unit, value=value, low=low, high=high, refute_low=None, refute_high=None, method="m", n_runs=5
    )


def test_differences_of_accuracy_are_in_points() -> None:
    assert estimate(said("accuracy", -0.012, -0.03, 0.006)) == "-1.2 [-3.0, 0.6] points"


def test_probabilities_and_unbounded_limits() -> None:
    assert estimate(said("probability", 1.0, 0.5493, None)) == "1.00 [.55, inf]"
    assert estimate(said("share", None, None, 0.9)) == "n/a [-inf, .90]"
    assert estimate(said("accuracy", None, None, None)) == "n/a [-inf, inf] points"
