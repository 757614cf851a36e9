import itertools

import pytest

from harness.decide import conjunction
from harness.record.verdict import Outcome, PredictionVerdict, Reason

S, R, I, U = Outcome.SUPPORTED, Outcome.REFUTED, Outcome.INCONCLUSIVE, Outcome.UNTESTED  # noqa: E741 - the four outcomes
REASONS = {S: Reason.IN_SUPPORT, R: Reason.IN_REFUTE, I: Reason.STRADDLES, U: Reason.NO_RUNS}


def verdict(name: str, outcome: Outcome, role: str = "primary") -> PredictionVerdict:
    return PredictionVerdict(
        id=name,
        kind="min_effect",
        role=role,
        statement="It is what we predict.",
        outcome=outcome,
        reason=REASONS[outcome],
        detail=f"figures of {name}",
        needs="> 0.1",
        alpha=0.05,
        refute_alpha=0.025,
        estimates=(),
        effect_sizes=(),
        cells=(),
    )


@pytest.mark.parametrize(
    ("parts", "whole"),
    [((S,), S), ((S, S), S), ((S, R), R), ((I, R), R), ((U, R), R), ((S, I), I), ((S, U), I), ((I, U), I), ((U, U), U)],
)
def test_the_conjunction(parts: tuple[Outcome, ...], whole: Outcome) -> None:
    for order in itertools.permutations(parts):
        assert conjunction([verdict(f"p{i}", part) for i, part in enumerate(order)])[0] is whole


@pytest.mark.parametrize("auxiliary", list(Outcome))
def test_auxiliary_predictions_do_not_count(auxiliary: Outcome) -> None:
    assert conjunction([verdict("main", S), verdict("side", auxiliary, "auxiliary")])[0] is S


def test_the_reading_names_what_decided() -> None:
    assert conjunction([verdict("low", S)])[1] == "Supported: low (figures of low)."
    assert conjunction([verdict("low", S), verdict("high", S)])[1] == (
        "Supported: all 2 primary predictions are (low, high)."
    )
    assert conjunction([verdict("low", S), verdict("high", R)])[1] == (
        "Refuted: 1 of 2 primary predictions, high (figures of high)."
    )
    assert conjunction([verdict("low", S), verdict("high", I)])[1] == (
        "Inconclusive: 1 of 2 primary predictions supported (low); open: high: interval in neither region."
    )
    assert conjunction([verdict("low", U)])[1] == "Untested: no primary prediction has the runs it needs (low)."


def test_without_a_primary_prediction_there_is_no_claim() -> None:
    with pytest.raises(ValueError, match="none is primary"):
        conjunction([verdict("side", S, "auxiliary")])
