"""From a declared prediction and its runs to a verdict: one procedure a kind, chosen by the declaration alone.

The procedure never depends on what the runs look like: a test that switches once it sees two modes fails exactly
when it is needed, because few runs often show only one.
"""

from collections.abc import Mapping

from harness.decide.cliff import cliff
from harness.decide.counts import collapse_probability
from harness.decide.margins import limits, margin
from harness.decide.ruling import Ruling
from harness.decide.sample import CellSample, summary
from harness.record.verdict import PredictionVerdict
from harness.spec.prediction import Cliff, CollapseProbability, Prediction


def decide(prediction: Prediction, samples: Mapping[str, CellSample], refute_alpha: float) -> PredictionVerdict:
    """Decide one prediction. The same runs under the same declaration give the same bytes.

    Args:
        prediction: What was declared.
        samples: The runs of each arm, by the names of `prediction.arms()`; an arm without runs has an empty sample.
        refute_alpha: One-sided level at which it may be refuted (`Hypothesis.refute_alpha`).

    Raises:
        ValueError: The samples are not those of the prediction's arms, or the level is not in (0, 0.5).
    """
    arms = tuple(prediction.arms())
    if set(samples) != set(arms):
        raise ValueError(f"{prediction.id}: samples of {sorted(samples)}, arms {sorted(arms)}. Give one sample an arm.")
    if not 0 < refute_alpha < 0.5:
        raise ValueError(f"{prediction.id}: refute_alpha {refute_alpha:g} is no one-sided level. Give one in (0, 0.5).")
    ordered = {name: samples[name] for name in arms}
    ruling = _rule(prediction, ordered, refute_alpha)
    return PredictionVerdict(
        id=prediction.id,
        kind=prediction.kind,
        role=prediction.role,
        statement=prediction.statement,
        outcome=ruling.outcome,
        reason=ruling.reason,
        detail=ruling.detail,
        needs=needs(prediction),
        alpha=prediction.alpha,
        refute_alpha=refute_alpha,
        estimates=ruling.estimates,
        effect_sizes=ruling.effect_sizes,
        cells=tuple(summary(name, sample) for name, sample in ordered.items()),
    )


def needs(prediction: Prediction) -> str:
    """Return the support region in words: `each P < 0.5`, `> -5 points`, `share > 0.8, total drop > 10 points`."""
    if isinstance(prediction, CollapseProbability):
        each = "each P" if len(prediction.arms()) > 1 else "P"
        return f"{each} {'<' if prediction.direction == 'below' else '>'} {prediction.probability:g}"
    if isinstance(prediction, Cliff):
        return f"share > {prediction.share:g}, total drop > {100 * prediction.min_total_drop:g} points"
    return f"> {100 * limits(prediction)[0]:g} points"


def _rule(prediction: Prediction, samples: Mapping[str, CellSample], refute_alpha: float) -> Ruling:
    if isinstance(prediction, CollapseProbability):
        return collapse_probability(prediction, samples, refute_alpha)
    if isinstance(prediction, Cliff):
        return cliff(prediction, samples, refute_alpha)
    return margin(prediction, samples, refute_alpha)
