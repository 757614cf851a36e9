"""Regions that the declared seeds cannot reach are refused, with the bound and the number of runs it takes."""

from collections.abc import Callable

import pytest

from harness.spec.reachability import unanimous_runs

Told = Callable[[str | bytes], list[str]]

COUNT = """\
title: High ranks collapse
claim: Runs collapse at rank 128.
source: a paper
design: {{seeds: {seeds}}}
predictions:
  - id: collapse
    kind: collapse_probability
    role: primary
    statement: Runs at rank 128 collapse.
    rationale: The text that explains the number.
    event: collapsed
    direction: {direction}
    probability: {probability}
    among: {{rank: {ranks}}}
"""

MEANS = """\
title: Ranks differ
claim: Rank 8 beats rank 16.
source: a paper
design: {{seeds: {seeds}}}
predictions:
  - {{id: gain, kind: {kind}, role: primary, statement: Rank 8 beats rank 16., rationale: Five points are two SDs,
     {rest}}}
"""


@pytest.mark.parametrize(
    ("alpha", "probability", "runs"),
    [
        (0.05, 0.5, 5),  # .05 ** (1/4) = .4729, .05 ** (1/5) = .5493
        (0.05, 0.8, 14),  # .05 ** (1/13) = .7942, .05 ** (1/14) = .8074
        (0.05, 0.2, 2),  # .05 ** 1 = .05, .05 ** (1/2) = .2236
        (0.05, 0.04, 1),  # one run bounds the probability by .05 itself
        (0.0125, 0.5, 7),  # .0125 ** (1/6) = .4817, .0125 ** (1/7) = .5347
        (0.025, 0.5, 6),  # .025 ** (1/5) = .4782, .025 ** (1/6) = .5407
        (0.05, 0.9, 29),  # ln .05 / ln .9 = 28.43
        (0.05, 0.05, 2),  # a bound equal to the probability does not exceed it
        (0.0625, 0.5, 5),  # .0625 = .5 ** 4, likewise
    ],
)
def test_unanimous_runs(alpha: float, probability: float, runs: int) -> None:
    assert unanimous_runs(alpha, probability) == runs


def test_three_seeds_cannot_show_more_than_one_half(hypothesis_mistakes: Told) -> None:
    support, refute = hypothesis_mistakes(COUNT.format(seeds=3, direction="above", probability=0.5, ranks="[128]"))
    assert support.startswith(
        "f.yaml:13 predictions[0].probability: the support region cannot be reached: with 3 unanimous runs a cell "
        "the best one-sided bound is 0.368, never above 0.5; it takes 5 runs. Set design.seeds to 5 or more."
    )  # .05 ** (1/3) = .3684
    assert "the refute region cannot be reached: with 3 runs in all" in refute
    assert "0.632, never below 0.5; it takes 5 runs. Set design.seeds to 5 or more." in refute


def test_three_seeds_cannot_show_less_than_one_half(hypothesis_mistakes: Told) -> None:
    (support,) = hypothesis_mistakes(COUNT.format(seeds=3, direction="below", probability=0.5, ranks="[8, 16]"))
    assert "best one-sided bound is 0.632, never below 0.5; it takes 5 runs." in support


def test_only_the_refute_region_is_out_of_reach(hypothesis_mistakes: Told) -> None:
    # P < .2 is refuted by a lower bound above .2: 2 runs. P > .2 is refuted by an upper bound below .2: 14 runs.
    assert hypothesis_mistakes(COUNT.format(seeds=14, direction="below", probability=0.2, ranks="[8]")) == []
    (refute,) = hypothesis_mistakes(COUNT.format(seeds=6, direction="above", probability=0.2, ranks="[8, 16]"))
    assert refute.startswith("f.yaml:13 predictions[0].probability: the refute region cannot be reached: with 12 runs")
    assert "at the level 0.05 is 0.221, never below 0.2; it takes 14 runs. Set design.seeds to 7 or more." in refute
    assert hypothesis_mistakes(COUNT.format(seeds=7, direction="above", probability=0.2, ranks="[8, 16]")) == []


def test_primary_predictions_share_the_level_at_which_they_refute(hypothesis_mistakes: Told) -> None:
    one = COUNT.format(seeds=5, direction="above", probability=0.5, ranks="[128]")
    assert hypothesis_mistakes(one) == []
    second = one[one.index("  - id") :].replace("id: collapse", "id: again")
    lines = hypothesis_mistakes(one + second)  # .05 / 2 takes 6 runs
    assert [line.split(": ")[0] for line in lines] == [
        "f.yaml:13 predictions[0].probability",
        "f.yaml:22 predictions[1].probability",
    ]
    assert all("at the level 0.025" in line and "it takes 6 runs" in line for line in lines)
    assert hypothesis_mistakes(one + second.replace("role: primary", "role: auxiliary")) == []


def test_a_probability_that_no_design_reaches_says_so(hypothesis_mistakes: Told) -> None:
    (support,) = hypothesis_mistakes(COUNT.format(seeds=1000, direction="above", probability=0.999, ranks="[8]"))
    assert "it takes 2995 runs. No design has that many" in support  # ln .05 / ln .999 = 2994.2
    assert support.endswith("Move the probability towards 0.5.")


@pytest.mark.parametrize(
    ("kind", "rest"),
    [
        ("min_effect", "margin: 0.1, a: {rank: 8}, b: {rank: 16}"),
        ("non_inferiority", "margin: 0.1, a: {rank: 8}, b: {rank: 16}"),
        ("interaction", "margin: 0.1, a: {rank: 8}, b: {rank: 16}, c: {rank: 32}, d: {rank: 64}"),
        ("cliff", "ranks: [8, 16, 32], share: 0.8, min_total_drop: 0.1"),
    ],
)
def test_two_seeds_give_a_contrast_of_means_no_variance(kind: str, rest: str, hypothesis_mistakes: Told) -> None:
    assert hypothesis_mistakes(MEANS.format(seeds=3, kind=kind, rest=rest)) == []
    assert hypothesis_mistakes(MEANS.format(seeds=2, kind=kind, rest=rest)) == [
        "f.yaml:4 design.seeds: 2 seeds give a cell no usable between-run variance, so neither region of gain can be "
        "reached. Write 3 or more."
    ]


def test_a_single_seed_is_told_in_the_singular(hypothesis_mistakes: Told) -> None:
    support, refute = hypothesis_mistakes(COUNT.format(seeds=1, direction="above", probability=0.5, ranks="[8]"))
    assert "with 1 unanimous run a cell the best one-sided bound is 0.050, never above 0.5" in support
    assert "with 1 run in all" in refute
