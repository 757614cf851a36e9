"""Which cells a prediction compares, in which order and under which names; and how a hypothesis shares its level."""

import pytest
from pydantic import ValidationError

from harness.spec import Arm, Arms, Given, Hypothesis
from harness.spec.adapter import Constant, Dora, Lora, Proportional
from harness.spec.design import Bases, Design
from harness.spec.prediction import (
    Association,
    Cliff,
    CollapseProbability,
    Custom,
    Equivalence,
    Interaction,
    MeanBound,
    MinEffect,
    Prediction,
)

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
    assert Arm(rank=8).cell(Given(recipe, 64)).adapter == Lora(rank=8, scaling=recipe)
    assert Arm(rank=8, scaling=own).cell(Given(recipe, 64)).adapter == Lora(rank=8, scaling=own)
    dora = Dora(method="dora", rank=8)
    assert Arm(adapter=dora).cell(Given(recipe, 64)).adapter == Dora(method="dora", rank=8, scaling=recipe)


def test_contrasts_name_their_arms_by_letter() -> None:
    arms = {letter: Arm(rank=rank) for letter, rank in zip("abcd", (1, 2, 3, 4), strict=True)}
    four = Interaction.model_validate({**SAID, "kind": "interaction", "role": "primary", "margin": 0.1, **arms})
    assert four.arms() == arms
    assert list(four.arms()) == ["a", "b", "c", "d"]
    two = {name: arms[name] for name in "ab"}
    effect = MinEffect.model_validate({**SAID, "kind": "min_effect", "role": "primary", "margin": 0.1, **two})
    assert effect.arms() == two
    assert list(effect.cells(Given(Proportional(), 64))) == ["a", "b"]


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
    # Holm's first step: .05 / 2.
    assert [both.levels(p) for p in both.predictions] == [(0.05, 0.025), (0.05, 0.05), (0.05, 0.025)]
    either = both.model_copy(update={"combine": "any"})
    assert [either.levels(p) for p in either.predictions] == [(0.025, 0.05), (0.05, 0.05), (0.025, 0.05)]


def test_a_declaration_cannot_be_changed() -> None:
    arm = Arm(rank=8)
    with pytest.raises(ValidationError, match="frozen"):
        arm.rank = 16  # pyright: ignore[reportAttributeAccessIssue]  # that it is refused is the test


def test_an_arm_may_select_runs_by_what_became_of_them() -> None:
    dead, alive = Arm(rank=64, where="collapsed"), Arm(rank=64, where="trained")
    pair = MinEffect.model_validate(
        {
            **SAID,
            "kind": "min_effect",
            "role": "primary",
            "margin": 0.1,
            "a": alive,
            "b": dead,
            "measure": "stable_rank",
        }
    )
    assert (
        pair.cells(Given(Proportional(), 64))["a"] == pair.cells(Given(Proportional(), 64))["b"]
    )  # one cell, two selections
    assert [arm.in_words() for arm in pair.arms().values()] == [
        "GRPO r=64 (trained runs)",
        "GRPO r=64 (collapsed runs)",
    ]
    assert (
        Arm(rank=8, learning_rate_scale=0.5, scaling=Proportional(factor=4)).in_words() == "GRPO r=8 alpha = 4r lr x0.5"
    )


def test_the_one_arm_of_a_bound_and_the_two_of_a_gap() -> None:
    arms = {"a": Arm(rank=8), "b": Arm(rank=128)}
    bound = MeanBound.model_validate(
        {**SAID, "kind": "mean_bound", "role": "primary", "cell": arms["a"], "direction": "above", "value": 0.1}
    )
    assert bound.arms() == {"cell": arms["a"]}
    gap = Association.model_validate(
        {**SAID, "kind": "association", "role": "primary", "x": "depth", "direction": "positive", "strata": ("family",),
         "margin": 0.1, **arms}
    )  # fmt: skip
    assert gap.arms() == arms
    own = Custom.model_validate(
        {**SAID, "kind": "custom", "role": "primary", "estimand": "mine:median", "among": Arms(rank=(8, 16)),
         "direction": "above", "value": 0.1}
    )  # fmt: skip
    assert list(own.arms()) == ["r=8", "r=16"]


# Looks.


def _design(**fields: object) -> Design:
    return Design.model_validate(fields, strict=False)


@pytest.mark.parametrize(
    ("design", "schedule"),
    [
        ({}, (3, 5, 8)),
        ({"seeds": 5}, (3, 5)),
        ({"seeds": 12}, (3, 5, 8, 12)),
        ({"seeds": 6}, (3, 5, 6)),
        ({"seeds": 3}, (3,)),
        ({"seeds": 1}, (1,)),
        ({"seeds": 9, "looks": [4, 9]}, (4, 9)),
        ({"seeds": 6, "sequential": "always_valid"}, (3, 4, 5, 6)),
    ],
)
def test_the_moments_at_which_a_design_is_examined(design: dict[str, object], schedule: tuple[int, ...]) -> None:
    assert _design(**design).schedule() == schedule


def _hypothesis(prediction: Prediction, **design: object) -> Hypothesis:
    said = {"title": "abc", "claim": "What is predicted.", "source": "a test", "predictions": (prediction,)}
    return Hypothesis.model_validate({**said, "design": _design(**design)})


def test_counts_are_examined_once_and_so_is_an_own_estimand_without_a_plan() -> None:
    among = Arms(rank=(8,))
    own = Custom.model_validate(
        {**SAID, "kind": "custom", "role": "primary", "estimand": "mine:median", "among": among, "direction": "above",
         "value": 0.1}
    )  # fmt: skip
    alike = Equivalence.model_validate(
        {**SAID, "kind": "equivalence", "role": "primary", "a": Arm(rank=8), "b": Arm(rank=9), "low": -0.1, "high": 0.1}
    )
    for prediction, planned, unplanned in (
        (_collapse(among, role="primary"), (8,), (8,)),
        (own, (3, 5, 8), (8,)),
        (alike, (3, 5, 8), (3, 4, 5, 6, 7, 8)),
    ):
        assert _hypothesis(prediction).schedule(prediction) == planned
        assert _hypothesis(prediction, sequential="always_valid").schedule(prediction) == unplanned
    looking = alike.model_copy(update={"looks": (4, 8)})
    assert _hypothesis(looking).schedule(looking) == (4, 8)


@pytest.mark.parametrize(
    ("strata", "sizes"),
    # 3 families x 2 budgets x 4 seeds: 24 bases in 3 strata of 8, or 6 of 4; without strata the family is the unit.
    [((), [3]), (("family",), [8] * 3), (("family", "budget"), [4] * 6)],
)
def test_bases_fall_into_strata(strata: tuple[str, ...], sizes: list[int]) -> None:
    assert Bases(families=3, budgets=2, seeds=4).strata(strata) == sizes
