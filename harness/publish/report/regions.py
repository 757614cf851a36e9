"""What a prediction estimates and where its two regions lie, in words for readers of a paper; `placed` has numbers."""

from math import isfinite

from harness.decide import Landmarks, means
from harness.spec.prediction import Association, Cliff, CollapseProbability, Contrast, Custom, Prediction


def regions(prediction: Prediction) -> tuple[str, str, str]:
    """Return a prediction's estimand and its two regions, in words."""
    match prediction:
        case CollapseProbability():
            return _of_counts(prediction)
        case Cliff():
            share, drop = f"{100 * prediction.share:g} %", _amount(prediction.min_total_drop, prediction.measure)
            ranks = f"rank {prediction.ranks[0]} to rank {prediction.ranks[-1]}"
            where = (
                "" if prediction.location is None else f" (from {prediction.location[0]} to {prediction.location[1]})"
            )
            return (
                f"the share of the drop in mean {prediction.measure} from {ranks} that one step of rank carries{where}",
                f"one step carries more than {share} and the drop exceeds {drop}",
                f"the drop is smaller, or no step{where} carries as much",
            )
        case Association():
            unit = (
                "doubling of the tokens" if prediction.x == "log2_tokens" else f"standard deviation of {prediction.x}"
            )
            within = f"within {' x '.join(prediction.strata)}" if prediction.strata else "across families"
            sign = "" if prediction.direction == "positive" else "minus "
            below = prediction.margin if prediction.refute_below is None else prediction.refute_below
            return (
                f"{sign}the slope of the gap in {prediction.measure}, {prediction.a.in_words()} less "
                f"{prediction.b.in_words()}, for one {unit}, {within}",
                f"it exceeds {_amount(prediction.margin, prediction.measure)}",
                f"it is below {_amount(below, prediction.measure)}",
            )
        case Custom():
            beyond = prediction.value if prediction.refute_beyond is None else prediction.refute_beyond
            other = "below" if prediction.direction == "above" else "above"
            return (
                f"{prediction.estimand} of {prediction.measure}",
                f"it is {prediction.direction} {prediction.value:g}",
                f"it is {other} {beyond:g}",
            )
        case _:
            return _of_means(prediction)


def _of_counts(prediction: CollapseProbability) -> tuple[str, str, str]:
    cells = ", ".join(prediction.arms())
    other = "above" if prediction.direction == "below" else "below"
    side, share = f"{prediction.direction} {prediction.probability:g}", f"{other} {prediction.probability:g}"
    estimand = f"the probability that a run is {prediction.event}, at {cells}"
    if prediction.quantifier == "each_cell":
        one = prediction.refute_by == "any_cell"
        return (
            estimand,
            f"it is {side} in each cell",
            f"it is {share} in {'one cell' if one else 'the mean over cells'}",
        )
    exception = " or one run is shown to be an exception" if prediction.quantifier == "always" else ""
    return estimand, f"its mean over cells is {side}", f"its mean over cells is {share}{exception}"


def _of_means(prediction: Contrast) -> tuple[str, str, str]:
    where = means.regions(prediction, Landmarks(0.0, 0.0, 0.0))
    amounts = [
        _amount(bound, prediction.measure, prediction.scale) if isfinite(bound) else ""
        for bound in (where.support_above, where.support_below, where.refute_below, where.refute_above)
    ]
    above, below, under, over = amounts
    support = [*([f"above {above}"] if above else []), *([f"below {below}"] if below else [])]
    refute = [*([f"below {under}"] if under else []), *([f"above {over}"] if over else [])]
    items = ", problems taken as a sample too" if prediction.generalise_to == "items" else ""
    scale = {"raw": "", "log_ratio": " (logarithms)", "logit": " (logits)"}[prediction.scale]
    estimand = f"mean {prediction.measure}{scale}, {means.in_words(prediction)}{items}"
    return estimand, f"it is {' and '.join(support)}", f"it is {' or '.join(refute)}"


def _amount(value: float, measure: str, scale: str = "raw") -> str:
    if scale != "raw":
        return f"{value:g}"
    return f"{100 * value:g} points" if "accuracy" in measure else f"{value:g}"
