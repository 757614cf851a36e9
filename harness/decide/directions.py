"""In which direction each measure goes against each comparator: where a claim's answer hangs on the choice of either.

Minimum effects that contrast one arm with several others, or in several measures, are read together. Each is declared
so that its claim is positive; its interval at the declared level then lies above zero (as claimed), below (the other
way), or across it (unclear). Nothing is decided here: it is what a reader needs beside decisions made one at a time.
"""

from collections import Counter, defaultdict
from collections.abc import Sequence

from harness.record.verdict import PredictionVerdict
from harness.spec.prediction import MinEffect, Prediction

AS_CLAIMED, OTHER_WAY, UNCLEAR = "as claimed", "the other way", "unclear"


def directions(predictions: Sequence[Prediction], verdicts: Sequence[PredictionVerdict]) -> tuple[str, ...]:
    """Return one line a measure, and a last one that names the measures whose direction changes; empty without several.

    `verdicts` are those of `predictions`, in their order.
    """
    pairs = [(p, said) for p, said in zip(predictions, verdicts, strict=True) if isinstance(p, MinEffect)]
    arms = Counter(arm.in_words() for p, _ in pairs for arm in p.arms().values())
    common = {name for name, count in arms.items() if count > 1}
    found: defaultdict[str, defaultdict[str, list[str]]] = defaultdict(lambda: defaultdict(list))
    for prediction, said in pairs:
        names = [arm.in_words() for arm in prediction.arms().values()]
        shared = max((name for name in names if name in common), key=lambda name: arms[name], default=None)
        if shared is not None and said.estimates:
            other = names[1 - names.index(shared)]
            found[prediction.measure][_direction(said)].append(other)
    if sum(len(of) for by in found.values() for of in by.values()) < 2:
        return ()
    lines = [f"{measure}: {_told(by)}" for measure, by in found.items()]
    changing = [measure for measure, by in found.items() if by[AS_CLAIMED] and by[OTHER_WAY]]
    one_way = {way for by in found.values() for way in (AS_CLAIMED, OTHER_WAY) if by[way]}
    if changing:
        lines.append(f"the direction changes with the comparator for {', '.join(changing)}")
    elif len(one_way) > 1:
        lines.append("the direction changes with the measure")
    else:
        lines.append("the direction changes with no measure and no comparator, where it is clear")
    return tuple(lines)


def _direction(said: PredictionVerdict) -> str:
    estimate = said.estimates[0]
    if estimate.low is not None and estimate.low > 0:
        return AS_CLAIMED
    return OTHER_WAY if estimate.high is not None and estimate.high < 0 else UNCLEAR


def _told(by_way: defaultdict[str, list[str]]) -> str:
    parts = [f"{way} against {', '.join(by_way[way])}" for way in (AS_CLAIMED, OTHER_WAY, UNCLEAR) if by_way[way]]
    return "; ".join(parts)
