"""Which cells a prediction compares, in which order and under which names; and how a hypothesis shares its level."""

import pytest
from pydantic import ValidationError

from harness.spec import Arm, Arms, Cliff, CollapseProbability, Hypothesis, Interaction, MinEffect
from harness.spec.adapter import Constant, Proportional
from harness.spec.hypothesis import Design

SAID = {"id": "a", "statement": "What is predicted.", "rationale": "Why this number and no other."}


def _collapse(among: Arms, **more: str) -> CollapseProbability:
    fields = {"kind": "collapse_probability", "role": "primary", "event": "collapsed", "direction": "below"}
    return CollapseProbability.model_validate({**SAID, **fields, **more, "probability": 0.5, "among": among})


def test_arms_come_in_the_declared_order_the_rank_fastest() -> None:
    among = Arms(algorithm=("sft", "grpo"), rank=(8, 16), learning_rate_scale=(1.0, 0.5))
    assert list(_collapse(among).arms()) == [
        "sft r=8 lr x1",
        "sft r=16 lr x1",
        "sft r=8 lr x0.5",
        "sft r=16 lr x0.5",
        "grpo r=8 lr x1",
        "grpo r=16 lr x1",
        "grpo r=8 lr x0.5",
        "grpo r=16 lr x0.5",
    ]


def test_only_what_varies_stands_in_a_name() -> None:
    assert list(_collapse(Arms(algorithm=("sft",), rank=(8,), learning_rate_scale=(0.5,))).arms()) == ["r=8"]


def test_names_never_merge_two_arms() -> None:
    among = Arms(
        algorithm=("grpo", "sft"),
        rank=(8, 16),
        scaling=(
            Proportional(),
            Proportional(factor=2.0000001),  # equal to 2 in six digits
            Constant(policy="constant", alpha=2.0),
            Constant(policy="constant", alpha=2.0000001),
        ),
        learning_rate_scale=(1.0, 1.0000001),
    )
    arms = _collapse(among).arms()
    assert len(arms) == among.size() == 2 * 2 * 4 * 2
    assert list(arms.values()) == list(among.each())


def test_an_arm_without_a_scaling_follows_the_recipe() -> None:
    recipe, own = Proportional(factor=4), Constant(policy="constant", alpha=3.0)
    assert Arm(rank=8).cell(recipe).adapter.alpha() == 32.0
    assert Arm(rank=8, scaling=own).cell(recipe).adapter.alpha() == 3.0


def test_contrasts_name_their_arms_by_letter() -> None:
    arms = {letter: Arm(rank=rank) for letter, rank in zip("abcd", (1, 2, 3, 4), strict=True)}
    four = Interaction.model_validate({**SAID, "kind": "interaction", "role": "primary", "margin": 0.1, **arms})
    assert four.arms() == arms
    assert list(four.arms()) == ["a", "b", "c", "d"]
    two = {name: arms[name] for name in "ab"}
    effect = MinEffect.model_validate({**SAID, "kind": "min_effect", "role": "primary", "margin": 0.1, **two})
    assert effect.arms() == two
    assert list(effect.cells(Proportional())) == ["a", "b"]


def test_a_cliff_has_one_arm_a_rank_in_order() -> None:
    fields = {"kind": "cliff", "role": "primary", "ranks": (8, 16, 128), "share": 0.8, "min_total_drop": 0.1}
    cliff = Cliff.model_validate({**SAID, **fields, "algorithm": "sft"})
    assert list(cliff.arms()) == ["r=8", "r=16", "r=128"]
    assert [arm.algorithm for arm in cliff.arms().values()] == ["sft"] * 3


def test_only_primary_predictions_share_the_level_of_refutation() -> None:
    among = Arms(rank=(8,))
    first, second = _collapse(among, id="a"), _collapse(among, id="b")
    beside = _collapse(among, id="c", role="auxiliary")
    both = Hypothesis(
        title="abc",
        claim="Three predictions.",
        source="a test",
        design=Design(seeds=10),
        predictions=(first, beside, second),
    )
    assert both.primary() == (first, second)
    assert [both.refute_alpha(p) for p in both.predictions] == [0.025, 0.05, 0.025]  # Holm's first step: .05 / 2


def test_a_declaration_cannot_be_changed() -> None:
    arm = Arm(rank=8)
    with pytest.raises(ValidationError, match="frozen"):
        arm.rank = 16  # pyright: ignore[reportAttributeAccessIssue]  # that it is refused is the test
