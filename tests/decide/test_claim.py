import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from scipy.stats import (  # pyright: ignore[reportMissingTypeStubs] - scipy ships none
    false_discovery_control,  # pyright: ignore[reportUnknownVariableType] - likewise
)

from harness.decide import CellSample, Landmarks, Results, combined, decide, explored, rules_of, untested
from harness.decide.claim import together
from harness.record.verdict import Outcome, PredictionVerdict, Reason, Refutation, RunLabel
from harness.spec import Hypothesis

S, R, I, U = Outcome.SUPPORTED, Outcome.REFUTED, Outcome.INCONCLUSIVE, Outcome.UNTESTED  # noqa: E741 - the four outcomes
F, A = Outcome.SUGGESTIVE_FOR, Outcome.SUGGESTIVE_AGAINST
REASONS = {S: Reason.IN_SUPPORT, R: Reason.IN_REFUTE, I: Reason.STRADDLES, U: Reason.NO_RUNS}


def verdict(name: str, outcome: Outcome, role: str = "primary", **more: Any) -> PredictionVerdict:
    said = PredictionVerdict(
        id=name,
        kind="min_effect",
        role=role,
        statement="It is what we predict.",
        outcome=outcome,
        reason=REASONS.get(outcome, Reason.IN_SUPPORT),
        how=None,
        detail=f"figures of {name}",
        needs="> 0.1",
        alpha=0.05,
        refute_alpha=0.025,
        look=1,
        looks=(5,),
        settled=True,
        p_support=None,
        p_refute=None,
        attainable_p=None,
        q=None,
        runs_to_resolve=None,
        assumptions="none",
        failed_assumptions=(),
        estimates=(),
        effect_sizes=(),
        cells=(),
    )
    return said.model_copy(update=more)


@pytest.mark.parametrize(
    ("parts", "whole"),
    [((S,), S), ((S, S), S), ((S, R), R), ((I, R), R), ((U, R), R), ((S, I), I), ((S, U), I), ((I, U), I), ((U, U), U),
     ((F, F), F), ((F, A), A), ((F, I), I), ((A, U), A)],
)  # fmt: skip
def test_of_all_one_refutes_and_every_one_has_to_hold(parts: tuple[Outcome, ...], whole: Outcome) -> None:
    for order in itertools.permutations(parts):
        assert combined([verdict(f"p{i}", part) for i, part in enumerate(order)])[0] is whole
        assert together(order, "all") is whole


@pytest.mark.parametrize(
    ("parts", "whole"),
    [((R,), R), ((R, R), R), ((S, R), S), ((S, I), S), ((S, U), S), ((R, I), I), ((R, U), I), ((I, U), I), ((U, U), U),
     ((A, A), A), ((F, A), F), ((A, I), I), ((F, U), F)],
)  # fmt: skip
def test_of_any_one_supports_and_every_one_has_to_fall(parts: tuple[Outcome, ...], whole: Outcome) -> None:
    for order in itertools.permutations(parts):
        assert combined([verdict(f"p{i}", part) for i, part in enumerate(order)], "any")[0] is whole


@pytest.mark.parametrize("combine", ["all", "any"])
@pytest.mark.parametrize("auxiliary", list(Outcome))
@pytest.mark.parametrize("role", ["auxiliary", "exploratory"])
def test_other_predictions_do_not_count(auxiliary: Outcome, role: str, combine: str) -> None:
    assert combined([verdict("main", S), verdict("side", auxiliary, role)], combine)[0] is S


def test_the_reading_names_what_decided() -> None:
    assert combined([verdict("low", S)])[1] == "Supported: low (figures of low)."
    assert combined([verdict("low", S), verdict("high", S)])[1] == (
        "Supported: all 2 primary predictions are (low, high)."
    )
    assert combined([verdict("low", S), verdict("high", R)])[1] == (
        "Refuted: 1 of 2 primary predictions, and all had to hold: high (figures of high)."
    )
    assert combined([verdict("low", S), verdict("high", R)], "any")[1] == (
        "Supported: 1 of 2 primary predictions, and one was enough: low (figures of low)."
    )
    assert combined([verdict("low", S), verdict("high", I)])[1] == (
        "Inconclusive: held: low; open: high: interval in neither region."
    )
    assert combined([verdict("low", F), verdict("high", I)])[1] == (
        "Inconclusive: held: low; open: high: interval in neither region."
    )
    assert combined([verdict("low", I)])[1] == "Inconclusive: open: low: interval in neither region."
    assert combined([verdict("low", U)])[1] == "Untested: low: no runs."


def test_without_a_primary_prediction_there_is_no_claim() -> None:
    with pytest.raises(ValueError, match="none is primary"):
        combined([verdict("side", S, "auxiliary")])


# Levels.

EFFECT = {"kind": "min_effect", "margin": 0.1, "a": {"rank": 8}, "b": {"rank": 128}}


def hypothesis(roles: Sequence[str], combine: str = "all", **design: Any) -> Hypothesis:
    """One min_effect a role, on the same arms; two looks of 5 and 8 unless the design says otherwise."""
    said = {"statement": "It is what we predict.", "rationale": "For the test alone.", **EFFECT}
    return Hypothesis.model_validate(
        {
            "title": "abc",
            "claim": "One or several predictions.",
            "source": "a test",
            "combine": combine,
            "design": {"seeds": 5, "looks": [5], **design},
            "predictions": [{**said, "id": f"p{i}", "role": role} for i, role in enumerate(roles)],
        },
        strict=False,
    )


@pytest.mark.parametrize(
    ("combine", "roles", "levels"),
    [
        ("all", ["primary"], [(0.05, 0.05)]),
        ("all", ["primary", "auxiliary", "primary"], [(0.05, 0.025), (0.05, 0.05), (0.05, 0.025)]),
        ("any", ["primary", "exploratory", "primary"], [(0.025, 0.05), (0.05, 0.05), (0.025, 0.05)]),
        ("any", ["primary"] * 4, [(0.0125, 0.05)] * 4),
    ],
)
def test_the_side_on_which_one_decides_is_held_to_the_first_holm_step(
    combine: str, roles: list[str], levels: list[tuple[float, float]]
) -> None:
    declared = hypothesis(roles, combine)
    rules = [rules_of(declared, prediction) for prediction in declared.predictions]
    assert [(r.alpha, r.refute_alpha) for r in rules] == levels


def test_the_levels_are_those_of_the_intervals() -> None:
    # Welch p, one-sided, of runs .63 +- and .5: t = (.13 - .1) / .02 = 1.5, df 8: p = .086; with .645: t = 2.25, .027.
    spread = np.array([-0.04, -0.02, 0.0, 0.02, 0.04])
    runs = {n: CellSample(m + spread, (RunLabel.TRAINED,) * 5, 10**5, 5) for n, m in (("a", 0.645), ("b", 0.5))}
    alone, both = hypothesis(["primary"], "any"), hypothesis(["primary", "primary"], "any")
    one, of_two = (decide(h, h.predictions[0], Results(runs, 5)) for h in (alone, both))
    assert (one.outcome, of_two.outcome) == (S, I)  # .025 < .0273 <= .05
    assert one.p_support == pytest.approx(0.02730, abs=2e-5)
    assert of_two.p_support == one.p_support


# Exploratory predictions.


def tried(*ps: tuple[float | None, float | None], alpha: float = 0.05) -> list[PredictionVerdict]:
    """Exploratory verdicts with these p of support and of refutation, decided at alpha each."""
    said: list[PredictionVerdict] = []
    for i, (support, refute) in enumerate(ps):
        outcome = S if (support or 1) <= alpha else R if (refute or 1) <= alpha else I
        how = Refutation.TOO_SMALL if outcome is R else None
        more: dict[str, Any] = {"p_support": support, "p_refute": refute, "alpha": alpha, "how": how}
        said.append(verdict(f"e{i}", outcome, "exploratory", **more))
    return said


@pytest.mark.parametrize("seed", range(5))
def test_q_is_that_of_benjamini_and_hochberg(seed: int) -> None:
    rng = np.random.default_rng(seed)
    ps = rng.beta(0.3, 3, 9)
    pairs = [(float(p), None) if side else (None, float(p)) for p, side in zip(ps, rng.integers(0, 2, 9), strict=True)]
    qs = [float(q) for q in false_discovery_control(np.minimum(1, 2 * ps), method="bh")]
    said = explored(tried(*pairs))
    assert [v.q for v in said] == pytest.approx(qs)
    for v, (support, _), q in zip(said, pairs, qs, strict=True):
        assert v.outcome is ((F if support is not None else A) if q <= 0.05 else I)
        assert v.outcome not in (S, R)


def test_benjamini_and_hochbergs_own_example() -> None:
    # Benjamini and Hochberg 1995 (JRSS B 57:289, section 3.2): fifteen p of a trial; at .05 the four smallest are
    # discoveries (.0095 <= 4/15 x .05 = .0133, and .0201 > 5/15 x .05). One-sided here, so each p is halved.
    ps = [0.0001, 0.0004, 0.0019, 0.0095, 0.0201, 0.0278, 0.0298, 0.0344, 0.0459, 0.3240, 0.4262, 0.5719, 0.6528,
          0.7590, 1.0]  # fmt: skip
    said = explored(tried(*((p / 2, None) for p in ps)))
    assert [v.outcome for v in said] == [F] * 4 + [I] * 11


def test_a_discovery_has_its_direction() -> None:
    said = explored(tried((0.001, None), (None, 0.001), (0.001, 0.4), (None, None)))
    assert [v.outcome for v in said] == [F, A, F, I]
    assert [v.reason for v in said] == [Reason.IN_SUPPORT, Reason.IN_REFUTE, Reason.IN_SUPPORT, Reason.STRADDLES]
    assert [v.how for v in said] == [None, Refutation.TOO_SMALL, None, None]
    # Of four, the three at 2 x .001 share the rank 3: q = .002 x 4 / 3; the last is 1.
    assert [v.q for v in said] == pytest.approx([0.002 * 4 / 3] * 3 + [1.0])


def test_what_is_decided_alone_may_be_no_discovery_among_many() -> None:
    # One p of .01 among twenty: q = .02 x 20 / 1 = .4.
    said = explored(tried((0.01, None), *[(None, None)] * 19))
    assert (said[0].outcome, said[0].reason) == (I, Reason.FALSE_DISCOVERY)
    assert said[0].q == pytest.approx(0.4)
    alone = explored(tried((0.01, None)))
    assert (alone[0].outcome, alone[0].q) == (F, pytest.approx(0.02))


def test_a_p_between_half_of_alpha_and_alpha_is_none_since_two_sides_were_open() -> None:
    assert explored(tried((0.026, None)))[0].reason is Reason.FALSE_DISCOVERY
    assert explored(tried((0.024, None)))[0].outcome is F


@pytest.mark.parametrize(
    "more",
    [
        {"outcome": I, "reason": Reason.UNDERPOWERED},
        {"outcome": I, "reason": Reason.MIXED_CELLS, "failed_assumptions": (str(Reason.MIXED_CELLS),)},
    ],
)
def test_what_could_not_be_decided_is_no_discovery_and_counts_among_them(more: dict[str, Any]) -> None:
    (first, second) = explored([verdict("e", I, "exploratory").model_copy(update=more), *tried((0.02, None))])
    assert (first.outcome, first.reason, first.q) == (more["outcome"], more["reason"], 1.0)
    assert second.q == pytest.approx(0.08)  # 2 x .02 x 2 / 1
    assert second.outcome is I


def test_what_was_not_tested_is_not_among_them() -> None:
    (first, second) = explored([verdict("e", U, "exploratory"), *tried((0.02, None))])
    assert (first.outcome, first.reason, first.q) == (U, Reason.NO_RUNS, None)
    assert (second.outcome, second.q) == (F, pytest.approx(0.04))


def test_nothing_to_explore_is_nothing() -> None:
    assert explored([]) == []


def test_the_false_discovery_rate_is_held_where_nothing_is_true() -> None:
    """Ten exploratory predictions without any effect, each at its edge: some are suggestive in at most 5 % of cases."""
    rng, repeats, wrong = np.random.default_rng(9), 2000, 0
    for _ in range(repeats):
        p = rng.uniform(size=10)  # of support; of refutation it is the complement
        wrong += any(v.outcome in (F, A) for v in explored(tried(*((float(x), float(1 - x)) for x in p))))
    assert 0.03 < wrong / repeats <= 0.05 + 3 * (0.05 * 0.95 / repeats) ** 0.5


def test_untested_says_why_and_shows_the_cells() -> None:
    declared = hypothesis(["primary", "primary"])
    sample = CellSample(np.array([0.5]), (RunLabel.NO_GAIN,), 500, 5)
    said = untested(declared, declared.predictions[0], {"a": sample}, "no column seed")
    assert (said.outcome, said.reason, said.detail) == (U, Reason.NO_INFORMATION, "no column seed")
    assert (said.alpha, said.refute_alpha, said.looks, said.settled) == (0.05, 0.025, (5,), True)
    assert [cell.name for cell in said.cells] == ["a"]
    assert (said.p_support, said.p_refute, said.runs_to_resolve) == (None, None, None)


def test_landmarks_are_part_of_the_results() -> None:
    assert Results({}, 0).landmarks == Landmarks()
