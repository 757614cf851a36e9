"""Where an update lies in its base, in the columns of the record: its overlap and the intruders that it makes.

Intruders are counted at several thresholds, since the usual .5 is a choice, and beside each count stands how many of
its cosines lie so close to the threshold that rounding could put them on either side.
"""

from typing import Any

from harness.spectra.basis import Basis
from harness.spectra.intruders import EPSILONS, intruders
from harness.spectra.overlap import overlap
from harness.spectra.update import Update

WITHIN = 16
"""Leading singular directions of the base that an update's overlap is with."""
EPSILON = 0.5
"""The threshold of arXiv 2410.21228, which has columns of its own."""


def place(update: Update, basis: Basis) -> dict[str, Any]:
    """Return columns of where an update lies: in the base's leading directions, and the intruders that it makes.

    Raises:
        ValueError: shapes that differ, or a truncated basis.
    """
    lies = overlap(update, basis, within=(WITHIN,))
    counts = intruders(update, basis, epsilons=EPSILONS).counts
    (usual,) = (count for count in counts if count.epsilon == EPSILON)
    return {
        "overlap": lies.shares[0] if lies.shares else None,
        "overlap_chance": lies.chance[0],
        "intruders": usual.least,
        "intruders_unsettled": usual.most - usual.least,
        "intruder_sweep": [count.least for count in counts],
        "intruders_borderline": [count.borderline for count in counts],
    }
