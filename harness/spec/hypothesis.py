"""A falsifiable claim: its predictions, how many seeds decide them, and what is believed of the world.

A hypothesis names no model, task or learning rate: those belong to the protocol, so that one declaration runs at
every scale. Its primary predictions form a conjunction (`combine: all`) or a disjunction (`any`); auxiliary ones speak
for themselves; exploratory ones are never supported or refuted, only suggestive. Rivals are tested beside the claim,
and reported results are shown beside it; neither changes its verdict.
"""

from dataclasses import replace
from typing import Annotated, Literal

from pydantic import Field

from harness.spec.arms import Given
from harness.spec.beside import Reported, Rival
from harness.spec.cell import Cell
from harness.spec.declared import Declared, unset
from harness.spec.design import Design
from harness.spec.model import Model
from harness.spec.prediction import Association, CollapseProbability, Custom, Prediction

Sentence = Annotated[str, Field(min_length=3, max_length=300)]


class Hypothesis(Declared):
    """A named claim; the file's stem is its name."""

    title: Sentence
    claim: Annotated[str, Field(min_length=10, max_length=1000)]
    source: Annotated[str, Field(min_length=3, max_length=1000)]
    combine: Literal["all", "any"] = "all"
    design: Design = Design()
    model: Model | None = None
    predictions: Annotated[tuple[Prediction, ...], Field(min_length=1)]
    rivals: Annotated[tuple[Rival, ...], Field(max_length=16, exclude_if=unset(()))] = ()
    reported: Annotated[tuple[Reported, ...], Field(max_length=64, exclude_if=unset(()))] = ()
    not_shown: tuple[Sentence, ...] = ()

    def primary(self) -> tuple[Prediction, ...]:
        """Return the predictions that make up the claim."""
        return tuple(p for p in self.predictions if p.role == "primary")

    def tuned(self, given: Given) -> tuple[Cell, ...]:
        """Return the cells, at the protocol's own rate, whose learning rate is chosen by tuning; each once."""
        usual = replace(given, rates={})
        arms = (arm for prediction in self.predictions for arm in prediction.arms().values() if arm.tuned)
        return tuple(dict.fromkeys(arm.cell(usual) for arm in arms))

    def levels(self, prediction: Prediction) -> tuple[float, float]:
        """Return the one-sided levels at which a prediction is supported and refuted.

        A conjunction is supported by all of its parts, each at alpha (an intersection-union test), but refuted by any
        of k, so each is held to the first Holm step, alpha / k; a disjunction is the mirror image. Auxiliary and
        exploratory predictions speak only for themselves.
        """
        return shared_levels(prediction, self.combine, len(self.primary()))

    def schedule(self, prediction: Prediction) -> tuple[int, ...]:
        """Return the runs a cell at each look at a prediction; associations have their last one only.

        So have counts whose looks nobody declared, as few looks suit few counts (5 and 10 do), and the author's own
        estimands where none are planned.
        """
        last = (self.design.seeds,)
        if isinstance(prediction, Association):
            return last
        if isinstance(prediction, CollapseProbability):
            return prediction.looks or self.design.looks or last
        unplanned = isinstance(prediction, Custom) and self.design.sequential == "always_valid"
        return last if unplanned else prediction.looks or self.design.schedule()


def shared_levels(prediction: Prediction, combine: str, primaries: int) -> tuple[float, float]:
    """Return the supporting and the refuting level of a prediction in a family of `primaries`."""
    share = prediction.alpha / (max(primaries, 1) if prediction.role == "primary" else 1)
    return (prediction.alpha, share) if combine == "all" else (share, prediction.alpha)
