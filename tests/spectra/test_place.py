"""The columns of where an update lies in its base."""

from math import sqrt

import pytest
import torch

from harness.record.shards import SPECTRUM
from harness.spectra.basis import Basis, singular_basis
from harness.spectra.dense import Dense
from harness.spectra.intruders import EPSILONS, MARGIN
from harness.spectra.place import EPSILON, place
from harness.spectra.spectrum import Source
from harness.spectra.update import Update


def turned(cosine: float) -> tuple[Update, Basis]:
    """Return an update of a weight of one column that turns it by this cosine."""
    before = torch.tensor([[2.0], [0.0], [0.0]], dtype=torch.float64)
    after = torch.tensor([[3.0 * cosine], [3.0 * sqrt(1 - cosine**2)], [0.0]], dtype=torch.float64)
    return Dense(after - before, Source.FP32_DIFFERENCE, "float64"), singular_basis(before)


@pytest.mark.parametrize(
    ("cosine", "sweep", "borderline"),
    [
        (0.2, [1, 1, 1], [0, 0, 0]),
        (0.4, [0, 1, 1], [0, 0, 0]),
        (0.6, [0, 0, 1], [0, 0, 0]),
        (0.8, [0, 0, 0], [0, 0, 0]),
        (0.50005, [0, 0, 1], [0, 1, 0]),
        (0.49995, [0, 1, 1], [0, 1, 0]),
        (0.70005, [0, 0, 0], [0, 0, 1]),
        (0.49985, [0, 1, 1], [0, 0, 0]),
    ],
)
def test_intruders_are_counted_at_every_threshold(cosine: float, sweep: list[int], borderline: list[int]) -> None:
    found = place(*turned(cosine))
    assert found["intruder_sweep"] == sweep
    assert found["intruders"] == sweep[1]
    assert found["intruders_borderline"] == borderline
    assert found["intruders_unsettled"] == 0


def test_the_columns_are_those_of_the_record_and_say_the_thresholds() -> None:
    found = place(*turned(0.6))
    assert found.keys() <= SPECTRUM.keys()
    assert EPSILON in EPSILONS
    listed = " and ".join([", ".join(map(str, EPSILONS[:-1])), str(EPSILONS[-1])])
    for column in ("intruder_sweep", "intruders_borderline"):
        assert listed in SPECTRUM[column].definition
        assert len(found[column]) == len(EPSILONS)
    assert f"{MARGIN:.0e}".replace("e-0", "e-") in SPECTRUM["intruders_borderline"].definition
