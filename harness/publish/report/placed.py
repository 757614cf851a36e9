"""Where the two regions of a prediction lie on the axis of each of its estimates, as numbers; `regions` has the words.

A region that is about all cells together is not drawn beside a single one: what supports a claim about each cell is
shown at the cells, what refutes it by their mean is shown at the mean. Nor is what refutes a cliff at no declared step,
for which every step has to fall short, drawn beside the steepest.
"""

import math
from dataclasses import dataclass

from harness.campaign.findings import Chapter
from harness.decide import Landmarks, means
from harness.decide.prediction import needs
from harness.decide.sequential import Regions
from harness.record.verdict import PredictionVerdict
from harness.spec import Hypothesis
from harness.spec.prediction import Association, Cliff, CollapseProbability, Custom, Prediction

ANY = math.inf
NONE = Regions(support_above=ANY)
"""No region at all."""


@dataclass(frozen=True, slots=True)
class Regional:
    """The predictions of a chapter whose declaration still says what the verdict was on, by id."""

    declared: dict[str, Prediction]

    def of(self, prediction: str, position: int) -> Regions:
        """Return the regions on the axis of an estimate, numbered from 1; none where the declaration is another now."""
        found = self.declared.get(prediction)
        return NONE if found is None else regions(found, position)


def regional(chapter: Chapter) -> Regional:
    """Return the regions of a chapter's predictions."""
    found = ((said.id, still_declared(said, chapter.hypothesis)) for said in chapter.verdict.predictions)
    return Regional({id: prediction for id, prediction in found if prediction is not None})


def still_declared(said: PredictionVerdict, hypothesis: Hypothesis | None) -> Prediction | None:
    """Return the declaration of a prediction; None where it no longer asks for what the verdict says it needed."""
    declared = next((p for p in hypothesis.predictions if p.id == said.id), None) if hypothesis else None
    return declared if declared and declared.kind == said.kind and needs(declared) == said.needs else None


def regions(prediction: Prediction, position: int) -> Regions:
    """Return the regions on the axis of the estimate at `position`, from 1, in the estimate's own unit."""
    match prediction:
        case CollapseProbability():
            return _of_counts(prediction, position)
        case Cliff():
            if position > 1:
                return Regions(support_above=prediction.min_total_drop, refute_below=prediction.min_total_drop)
            below = -ANY if prediction.location is None else prediction.share
            return Regions(support_above=prediction.share, refute_below=below)
        case Association():
            below = prediction.margin if prediction.refute_below is None else prediction.refute_below
            return Regions(support_above=prediction.margin, refute_below=below)
        case Custom():
            beyond = prediction.value if prediction.refute_beyond is None else prediction.refute_beyond
            return _sided(prediction.direction == "above", prediction.value, beyond)
        case _:
            return means.regions(prediction, Landmarks(0.0, 0.0, 0.0))


def _of_counts(prediction: CollapseProbability, position: int) -> Regions:
    cells = len(prediction.arms())
    mean, alone, each = position > cells, cells == 1, prediction.quantifier == "each_cell"
    supports = alone or mean != each
    refutes = alone or mean != (prediction.refute_by == "any_cell")
    both = _sided(prediction.direction == "above", prediction.probability, prediction.probability)
    return Regions(
        support_above=both.support_above if supports else ANY,
        support_below=both.support_below,
        refute_below=both.refute_below if refutes else -ANY,
        refute_above=both.refute_above if refutes else ANY,
    )


def _sided(above: bool, value: float, beyond: float) -> Regions:
    if above:
        return Regions(support_above=value, refute_below=beyond)
    return Regions(-math.inf, support_below=value, refute_above=beyond)
