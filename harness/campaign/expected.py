"""The declared world under a protocol: the model of a hypothesis with the protocol's thresholds and problems.

Without a model the base is taken to be where pre-training stops; only worlds that do not rest on a belief mean anything
then.
"""

from harness.campaign.bench import Bench
from harness.campaign.observed import answers, estimand, measures_of, relative_to
from harness.decide.diagnosis.alternatives import declared
from harness.decide.diagnosis.simulation import Estimands
from harness.decide.diagnosis.worlds import World
from harness.spec import BaseRecipe, Hypothesis
from harness.spec.measure import bounded_among
from harness.spec.prediction import Custom

USUAL_BASE = 0.35
"""Accuracy of a base where neither a model nor the pre-training says one."""
USUAL_GAIN = 0.1
"""What the healthy arm gains where no pilot has measured it."""


def expected(bench: Bench, hypothesis: Hypothesis) -> World:
    """Return the world that a hypothesis's model declares under the bench's protocol."""
    protocol = bench.protocol
    made = protocol.bases[protocol.default_bases[0]]
    stops = made.pretraining.until_accuracy if isinstance(made, BaseRecipe) else None
    base = hypothesis.model.base if hypothesis.model is not None else stops or USUAL_BASE
    bounded = bounded_among(bench.shelf.measures(), measures_of(hypothesis.predictions))
    n_items = protocol.task.evaluation_problems
    gain = protocol.thresholds.healthy_gain or USUAL_GAIN
    return declared(hypothesis, relative_to(base, bench, answers(bench)), n_items, protocol.given, gain, bounded)


def estimands(bench: Bench, hypothesis: Hypothesis) -> Estimands:
    """Return the authors' functions that a hypothesis names, which runs their files."""
    names = {p.estimand for p in hypothesis.predictions if isinstance(p, Custom)}
    return {name: estimand(bench, name) for name in sorted(names)}
