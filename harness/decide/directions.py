"""In which direction each measure goes against each comparator: where a claim's answer hangs on the choice of either.

Minimum effects that contrast one arm with several others, or in several measures, are read together, arm by arm. Each
is declared so that its claim is positive; its interval at the declared level then lies above zero (as claimed), below
(the other way), or across it (unclear). Nothing is decided here: it is what a reader needs beside decisions made one at
a time.
"""

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from harness.record.verdict import PredictionVerdict
from harness.spec.prediction import MinEffect, Prediction

AS_CLAIMED, OTHER_WAY, UNCLEAR = "as claimed", "the other way", "unclear"
Ways = defaultdict[str, list[str]]
"""The comparators by the direction of the contrast with them."""


@dataclass(frozen=True, slots=True)
class _Contrast:
    """A minimum effect with an estimate."""

    measure: str
    arms: tuple[str, str]
    way: str


def directions(predictions: Sequence[Prediction], verdicts: Sequence[PredictionVerdict]) -> tuple[str, ...]:
    """Return, for each arm that several contrasts share, one line a measure and one that says where they differ.

    `verdicts` are those of `predictions`, in their order. A contrast is read under the arm that most of them share.
    """
    left = [
        _Contrast(p.measure, (p.a.in_words(), p.b.in_words()), _direction(said))
        for p, said in zip(predictions, verdicts, strict=True)
        if isinstance(p, MinEffect) and said.estimates
    ]
    lines: list[str] = []
    while counts := Counter(arm for contrast in left for arm in contrast.arms):
        ((arm, count),) = counts.most_common(1)
        if count < 2:
            break
        lines += _of_arm(arm, [contrast for contrast in left if arm in contrast.arms])
        left = [contrast for contrast in left if arm not in contrast.arms]
    return tuple(lines)


def _of_arm(arm: str, contrasts: Sequence[_Contrast]) -> Iterator[str]:
    by_measure: defaultdict[str, Ways] = defaultdict(lambda: defaultdict(list))
    for said in contrasts:
        by_measure[said.measure][said.way].append(said.arms[1 - said.arms.index(arm)])
    for measure, ways in by_measure.items():
        parts = [f"{way} against {', '.join(ways[way])}" for way in (AS_CLAIMED, OTHER_WAY, UNCLEAR) if ways[way]]
        yield f"{measure} of {arm}: {'; '.join(parts)}"
    changing = [measure for measure, ways in by_measure.items() if ways[AS_CLAIMED] and ways[OTHER_WAY]]
    clear = {way for ways in by_measure.values() for way in (AS_CLAIMED, OTHER_WAY) if ways[way]}
    if changing:
        yield f"the direction changes with the comparator for {', '.join(changing)}"
    elif len(clear) > 1:
        yield "the direction changes with the measure"
    else:
        yield "the direction changes with no measure and no comparator, where it is clear"


def _direction(said: PredictionVerdict) -> str:
    estimate = said.estimates[0]
    if estimate.low is not None and estimate.low > 0:
        return AS_CLAIMED
    return OTHER_WAY if estimate.high is not None and estimate.high < 0 else UNCLEAR
