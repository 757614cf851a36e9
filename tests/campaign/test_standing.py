"""What a claim's verdict means beside those of its rivals."""

import pytest

from harness.campaign.standing import standing
from harness.record.verdict import Outcome

S, R, OPEN = Outcome.SUPPORTED, Outcome.REFUTED, Outcome.INCONCLUSIVE


@pytest.mark.parametrize(
    ("claim", "rivals", "said"),
    [
        (S, [], ""),
        (
            S,
            [("step size", S)],
            "Seen as claimed; step size would give the same: what is seen does not show the cause that is claimed.",
        ),
        (S, [("step size", R)], "Seen as claimed; what would follow from step size is not seen."),
        (S, [("step size", None)], "Seen as claimed; whether step size would give it is open."),
        (R, [("step size", S)], "Not seen as claimed; what follows from step size is seen."),
        (OPEN, [("step size", S)], "Open whether it is seen; what follows from step size is seen."),
        (
            S,
            [("a", S), ("b", R), ("c", OPEN), ("d", Outcome.UNTESTED), ("e", S)],
            "Seen as claimed; a and e would give the same: what is seen does not show the cause that is claimed; "
            "what would follow from b is not seen; whether c or d would give it is open.",
        ),
        (
            Outcome.SUGGESTIVE_FOR,
            [("a", Outcome.SUGGESTIVE_AGAINST)],
            "Open whether it is seen; whether a would give it is open.",
        ),
    ],
)
def test_what_stands(claim: Outcome, rivals: list[tuple[str, Outcome | None]], said: str) -> None:
    assert standing(claim, rivals) == said
