"""Generalising over problems: the two-way variance against analysis of variance, and its coverage."""

import math
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.special import stdtrit  # pyright: ignore[reportMissingTypeStubs] - scipy ships none

from harness.decide import CellSample, Landmarks
from harness.decide.contrasts import contrast
from harness.decide.items import two_way
from harness.decide.means import find, rule
from harness.decide.terms import fixed
from harness.record.verdict import Outcome, Reason, RunLabel
from harness.spec.prediction import MinEffect

Items = NDArray[np.float64]
"""(n_runs, n_items)."""


def cell(items: Items, bounded: bool = False, planned: int | None = None) -> CellSample:
    """A cell of runs by items; unbounded unless said, so that no floor is in the way."""
    runs, n_items = items.shape
    labels = (RunLabel.TRAINED,) * runs
    return CellSample(items.mean(axis=1), labels, n_items, planned or runs, items=items, bounded=bounded)


def drawn(seed: int, runs: int, items: int, arms: int = 2) -> list[Items]:
    """Runs, problems, arms x problems and noise, all with a variance of their own; (n_runs, n_items) an arm."""
    rng = np.random.default_rng(seed)
    hard = rng.normal(0, 1.0, items)
    return [
        0.3 * arm + hard + rng.normal(0, 0.7, items) + rng.normal(0, 0.5, (runs, 1)) + rng.normal(0, 0.4, (runs, items))
        for arm in range(arms)
    ]


def mean_squares(y: list[Items]) -> tuple[float, float, float]:
    """Return the mean squares of runs in arms, arms x items and residual, by statsmodels' analysis of variance."""
    import pandas  # pyright: ignore[reportMissingTypeStubs] - it ships none
    import statsmodels.api as sm  # pyright: ignore[reportMissingTypeStubs] - it ships none
    import statsmodels.formula.api as smf  # pyright: ignore[reportMissingTypeStubs] - it ships none

    rows = [
        (f"m{m}", f"r{r}", f"i{i}", float(value))
        for m, arm in enumerate(y)
        for r, run in enumerate(arm)
        for i, value in enumerate(run)
    ]
    frame = pandas.DataFrame(rows, columns=["arm", "run", "item", "y"])
    runs, items = ("C(run)", "C(item)") if len(y) == 1 else ("C(arm):C(run)", "C(arm):C(item)")
    model = f"{runs} + {items}" if len(y) == 1 else f"C(arm) + C(item) + {items} + {runs}"
    table = sm.stats.anova_lm(smf.ols(f"y ~ {model}", frame).fit(), typ=1)  # pyright: ignore
    mean = {str(name): float(row["sum_sq"] / row["df"]) for name, row in table.iterrows()}  # pyright: ignore
    return mean[runs], mean[items], mean["Residual"]


def test_one_arm_is_the_two_way_layout_of_anova() -> None:
    # Of a balanced two-way random layout, Var(grand mean) = (MS_runs + MS_items - MS_residual) / (n N).
    (y,) = drawn(1, 5, 12, arms=1)
    runs, items, residual = mean_squares([y])
    variance = (runs + items - residual) / (5 * 12)
    fit = two_way((1.0,), [cell(y)])
    assert fit.estimate == pytest.approx(float(y.mean()))
    assert fit.se**2 == pytest.approx(variance)
    # Satterthwaite (1946): (sum)^2 / sum of squares over their degrees of freedom, 4, 11 and 44.
    df = (runs + items - residual) ** 2 / (runs**2 / 4 + items**2 / 11 + residual**2 / 44)
    assert fit.df == pytest.approx(df)


def test_two_arms_are_runs_nested_in_arms_crossed_with_items() -> None:
    # Var(difference) = 2 (MS_runs(arms) + MS_arms x items - MS_residual) / (n N).
    y = drawn(2, 4, 15)
    runs, crossed, residual = mean_squares(y)
    fit = two_way((1.0, -1.0), [cell(arm) for arm in y])
    assert fit.estimate == pytest.approx(float(y[0].mean() - y[1].mean()))
    assert fit.se**2 == pytest.approx(2 * (runs + crossed - residual) / (4 * 15))
    assert fit.pooled_df == 6
    assert fit.n_eff == pytest.approx(2)  # 1 / (1/4 + 1/4)


def test_what_all_arms_find_hard_cancels() -> None:
    y = drawn(3, 5, 30)
    harder = [arm + np.linspace(-50, 50, 30) for arm in y]
    before, after = (two_way((1.0, -1.0), [cell(arm) for arm in each]) for each in (y, harder))
    assert (after.estimate, after.se, after.df) == pytest.approx((before.estimate, before.se, before.df))


def test_it_is_never_narrower_than_with_the_problems_held_fixed() -> None:
    # Items without an effect of their own: V_run + V_item - V_res would often be below V_run.
    rng = np.random.default_rng(4)
    for _ in range(50):
        arms = [cell(rng.normal(0.5, 0.1, (4, 10)).clip(0, 1), bounded=True) for _ in range(2)]
        assert two_way((1.0, -1.0), arms).se >= contrast((1.0, -1.0), arms).se * (1 - 1e-12)


def test_answers_all_alike_are_no_certainty() -> None:
    right, wrong = np.ones((5, 98)), np.zeros((5, 98))
    fit = two_way((1.0, -1.0), [cell(right, bounded=True), cell(wrong, bounded=True)])
    # The floor: 2 x (.0099 / 98) / 5, as of a benchmark, with 2 x 4 degrees of freedom.
    assert (fit.estimate, fit.se, fit.df) == pytest.approx((1.0, math.sqrt(2 * 0.0099 / 98 / 5), 8))
    assert two_way((1.0, -1.0), [cell(right), cell(wrong)]).se == math.inf  # where nobody knows how answers vary


@pytest.mark.parametrize("lacks", ["items", "second run", "run", "second problem"])
def test_without_every_answer_there_is_no_interval(lacks: str) -> None:
    y, other = drawn(5, 4, 10)
    broken = {
        "items": CellSample(y.mean(axis=1), (RunLabel.TRAINED,) * 4, 10, 4, bounded=False),
        "second run": cell(y[:1]),
        "run": cell(y, planned=5),
        "second problem": cell(y[:, :1]),
    }[lacks]
    fit = two_way((1.0, -1.0), [broken, cell(other)])
    assert (fit.low(0.05), fit.high(0.05)) == (-math.inf, math.inf)


def claim(**fields: Any) -> MinEffect:
    said = {"id": "claim", "statement": "One is better.", "role": "primary", "rationale": "For the test alone."}
    arms: dict[str, Any] = {"a": {"rank": 8}, "b": {"rank": 128}}
    given = {**said, **arms, "kind": "min_effect", "margin": 0.2, "measure": "accuracy_items", **fields}
    return MinEffect.model_validate(given, strict=False)


def binary(rng: np.random.Generator, p: Items, runs: int) -> Items:
    return (rng.random((runs, p.size)) < p).astype(np.float64)


def test_a_claim_about_problems_is_decided_on_all_of_them() -> None:
    rng = np.random.default_rng(6)
    easy = rng.uniform(0.3, 1, 60)
    runs = {"a": cell(binary(rng, easy, 5), bounded=True), "b": cell(binary(rng, easy * 0.3, 5), bounded=True)}
    terms = fixed(0.05, 0.05, 5)
    wide, narrow = claim(generalise_to="items"), claim()
    assert find(wide, runs, terms, Landmarks()).outcome is Outcome.SUPPORTED
    shown = [rule(p, runs, terms, Landmarks()) for p in (wide, narrow)]
    lows = [r.estimates[0].low for r in shown]
    assert lows[0] is not None and lows[1] is not None and lows[0] < lows[1]
    assert (shown[0].runs_to_resolve, shown[1].runs_to_resolve) == (None, 0)
    missing = {**runs, "a": cell(binary(rng, easy, 5), bounded=True, planned=6)}
    assert find(wide, missing, terms, Landmarks()).reason is Reason.MISSING_RUNS


def test_the_scale_of_problems_is_their_own() -> None:
    with pytest.raises(ValueError, match="logit has no run by item variance"):
        claim(generalise_to="items", scale="logit")


def test_intervals_cover_the_difference_over_all_problems() -> None:
    """Two arms of equal mean over a population of problems, on which they differ problem by problem; 90 % intervals."""
    rng, repeats, covered = np.random.default_rng(7), 800, {"items": 0, "benchmark": 0}
    for _ in range(repeats):
        arms = [
            cell(rng.normal(0, 0.5, 100) + rng.normal(0, 0.04, (5, 1)) + rng.normal(0, 0.3, (5, 100))) for _ in range(2)
        ]
        for name, fit in (("items", two_way((1, -1), arms)), ("benchmark", contrast((1, -1), arms))):
            covered[name] += abs(fit.estimate) <= float(stdtrit(fit.df, 0.95)) * fit.se
    assert covered["items"] / repeats >= 0.90 - 3 * math.sqrt(0.9 * 0.1 / repeats)
    assert covered["benchmark"] / repeats < 0.8  # runs alone say nothing about other problems
