"""What is believed before data: expected means, spread and collapse rates. Only the diagnosis of a design reads it.

The numbers are on the scale of the response (accuracy: 0 to 1). They decide nothing; they say for which world the
design should have power.
"""

from typing import Annotated

from pydantic import Field

from harness.spec.arms import Arms
from harness.spec.declared import Declared

Probability = Annotated[float, Field(ge=0, le=1)]
Spread = Annotated[float, Field(ge=0)]


class Expected(Declared):
    """What the runs of some cells are expected to give: a mean over runs that do not collapse, and how many do."""

    among: Arms
    mean: float
    sd: Spread | None = None
    """Standard deviation between runs that do not collapse; the model's own where it is left out."""
    collapse: Probability = 0.0


class Model(Declared):
    """The declared world. `slope` is for associations: change of the gap for one standard deviation of x."""

    base: Annotated[float, Field(gt=0, lt=1)]
    sd: Spread
    expected: Annotated[tuple[Expected, ...], Field(min_length=1)]
    slope: float | None = None
