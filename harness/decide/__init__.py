"""How runs decide a claim: counts, contrasts of means, associations, looks, and how predictions combine.

Declarations and arrays in, records out. Nothing here reads a file or knows a database; what is random (the orders of a
large permutation test, a simulated world) draws from a seed that is an argument or the declaration's own hash.
"""

from harness.decide.associations import Unit
from harness.decide.claim import combined, decide, explored, rules_of, untested
from harness.decide.directions import directions
from harness.decide.prediction import Results, at_floor, course
from harness.decide.sample import CellSample, Landmarks, label, summary
from harness.decide.scales import item_variance

__all__ = [
    "CellSample",
    "Landmarks",
    "Results",
    "Unit",
    "at_floor",
    "combined",
    "course",
    "decide",
    "directions",
    "explored",
    "item_variance",
    "label",
    "rules_of",
    "summary",
    "untested",
]
