"""Where several contrasts share an arm, the card can say in which direction each goes."""

from harness.decide.directions import directions
from harness.record.verdict import Estimate, Outcome, PredictionVerdict, Reason
from harness.spec import Arm
from harness.spec.prediction import MinEffect

COLLAPSED = Arm(rank=128, where="collapsed")
SLOW = Arm(rank=128, learning_rate_scale=0.1, where="trained")
SMALL = Arm(rank=8, where="trained")


def contrast(measure: str, a: Arm, b: Arm) -> MinEffect:
    return MinEffect(
        id=f"{measure.replace('_', '-')}-one",
        kind="min_effect",
        statement="One is larger than the other.",
        role="primary",
        rationale="As much as a reader would see.",
        margin=0.2,
        measure=measure,
        a=a,
        b=b,
    )


def said(low: float | None, high: float | None) -> PredictionVerdict:
    estimate = Estimate(
        name="a - b", unit="", value=0.0, low=low, high=high, refute_low=low, refute_high=high, method="t", n_runs=10
    )
    return PredictionVerdict.model_construct(
        id="one", outcome=Outcome.INCONCLUSIVE, reason=Reason.STRADDLES, estimates=(estimate,)
    )


def test_a_direction_that_hangs_on_the_comparator_is_told() -> None:
    claims = [contrast("stable_rank", SLOW, COLLAPSED), contrast("stable_rank", SMALL, COLLAPSED)]
    assert directions(claims, [said(0.1, 0.5), said(-0.5, -0.1)]) == (
        "stable_rank of GRPO r=128 (collapsed runs): as claimed against GRPO r=128 lr x0.1 (trained runs); "
        "the other way against GRPO r=8 (trained runs)",
        "the direction changes with the comparator for stable_rank",
    )


def test_a_direction_that_hangs_on_the_measure_is_told() -> None:
    claims = [contrast("stable_rank", SLOW, COLLAPSED), contrast("effective_rank", SLOW, COLLAPSED)]
    assert directions(claims, [said(0.1, 0.5), said(-0.5, -0.1)])[-1] == "the direction changes with the measure"


def test_an_interval_across_zero_is_no_direction() -> None:
    claims = [contrast("stable_rank", SLOW, COLLAPSED), contrast("stable_rank", SMALL, COLLAPSED)]
    found = directions(claims, [said(0.1, 0.5), said(-0.1, 0.2)])
    assert "unclear against GRPO r=8 (trained runs)" in found[0]
    assert found[-1] == "the direction changes with no measure and no comparator, where it is clear"


def test_arms_are_told_apart() -> None:
    """Where full fine-tuning stands to QuanTA says nothing of where collapsed runs stand to trained ones."""
    full, quanta = (Arm.model_validate({"adapter": a}) for a in ({"method": "full"}, {"method": "quanta", "d": 3}))
    claims = [contrast("stable_rank", other, COLLAPSED) for other in (SLOW, SMALL)]
    claims += [contrast("stable_rank", other, full) for other in (quanta, Arm(rank=16))]
    found = directions(claims, [said(0.1, 0.5), said(0.2, 0.6), said(-0.5, -0.1), said(-0.6, -0.2)])
    alike = "the direction changes with no measure and no comparator, where it is clear"
    assert (found[1], found[3]) == (alike, alike)
    assert found[0].startswith("stable_rank of GRPO r=128 (collapsed runs): as claimed against")
    assert found[2].startswith("stable_rank of GRPO full fine-tuning: the other way against GRPO QuanTA d=3")


def test_one_contrast_or_none_that_shares_an_arm_has_no_line() -> None:
    assert directions([contrast("stable_rank", SLOW, COLLAPSED)], [said(0.1, 0.5)]) == ()
    other = contrast("stable_rank", Arm(rank=4), Arm(rank=2))
    assert directions([contrast("stable_rank", SLOW, COLLAPSED), other], [said(0.1, 0.5), said(0.1, 0.5)]) == ()
