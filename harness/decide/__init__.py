"""How runs decide a claim: exact counts, contrasts of means, the share of a drop, and the conjunction of all.

Declarations and arrays in, records out. Nothing here reads a file, knows a database or draws a random number.
"""

from harness.decide.claim import conjunction
from harness.decide.contrasts import ContrastFit, contrast, item_variance
from harness.decide.prediction import decide
from harness.decide.sample import CellSample, label, summary

__all__ = ["CellSample", "ContrastFit", "conjunction", "contrast", "decide", "item_variance", "label", "summary"]
