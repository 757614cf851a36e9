import json
from typing import Any

import pytest

from harness.decide.prediction import needs
from harness.publish.report.intervals import MARGIN, WIDTH, Interval, intervals
from harness.record.verdict import Estimate, PredictionVerdict, Verdict
from harness.spec import Hypothesis

LEFT, RIGHT = MARGIN, WIDTH - MARGIN
MIDDLE = WIDTH / 2


def declared(prediction: dict[str, Any]) -> Hypothesis:
    said = {
        "id": "it",
        "role": "primary",
        "statement": "It is as it was said.",
        "rationale": "Because it was said before.",
    }
    around = {"title": "A title", "claim": "A claim that says something.", "source": "a test", "design": {"seeds": 6}}
    return Hypothesis.model_validate_json(json.dumps({**around, "predictions": [{**said, **prediction}]}))


def said(verdict: Verdict, hypothesis: Hypothesis, *estimates: Estimate, **changed: Any) -> PredictionVerdict:
    """Return what was said of the declared prediction, with these estimates."""
    (prediction,) = hypothesis.predictions
    about = {"id": "it", "kind": prediction.kind, "needs": needs(prediction), "estimates": estimates}
    return verdict.predictions[0].model_copy(update={**about, **changed})


def estimate(name: str, unit: str, value: float | None, low: float | None, high: float | None) -> Estimate:
    limits = {"value": value, "low": low, "high": high, "refute_low": low, "refute_high": high}
    return Estimate(name=name, unit=unit, method="by hand", n_runs=6, **limits)


CELLS = {"kind": "collapse_probability", "event": "collapsed", "direction": "below", "probability": 0.25}


def test_a_probability_is_drawn_from_zero_to_one(verdict: Verdict) -> None:
    hypothesis = declared({**CELLS, "among": {"rank": [8]}})
    (drawn,) = intervals(
        said(verdict, hypothesis, estimate("P(collapsed) r=8", "probability", 0.5, 0.0, 1.0)), hypothesis
    )
    quarter = LEFT + (RIGHT - LEFT) / 4
    assert drawn == Interval(
        value=MIDDLE,
        low=LEFT,
        high=RIGHT,
        open_low=False,
        open_high=False,
        wide=(LEFT, RIGHT),
        support=(LEFT, quarter),
        refute=((quarter, RIGHT),),
        zero=None,
    )


@pytest.mark.parametrize(
    ("changed", "supports", "refutes"),
    [
        # of a cell, and of the mean over both
        ({}, (True, False), (False, True)),
        ({"refute_by": "any_cell"}, (True, False), (True, False)),
        ({"quantifier": "mean_over_cells"}, (False, True), (False, True)),
        ({"quantifier": "always"}, (False, True), (False, True)),
    ],
)
def test_a_region_stands_at_the_estimate_that_decides(
    verdict: Verdict, changed: dict[str, Any], supports: tuple[bool, bool], refutes: tuple[bool, bool]
) -> None:
    hypothesis = declared({**CELLS, "among": {"rank": [8, 16]}, **changed})
    names = ("P(collapsed) r=8", "P(collapsed) r=16", "P(collapsed) mean over 2 cells")
    found = said(verdict, hypothesis, *(estimate(name, "probability", 0.1, 0.0, 0.3) for name in names))
    drawn = intervals(found, hypothesis)
    assert tuple(each is not None and each.support is not None for each in drawn) == (supports[0], *supports)
    assert tuple(each is not None and bool(each.refute) for each in drawn) == (refutes[0], *refutes)


def test_a_contrast_is_drawn_over_both_of_its_regions(verdict: Verdict) -> None:
    hypothesis = declared({"kind": "equivalence", "low": -0.1, "high": 0.1, "a": {"rank": 8}, "b": {"rank": 16}})
    (drawn,) = intervals(said(verdict, hypothesis, estimate("a - b", "accuracy", 0.0, -0.05, 0.05)), hypothesis)
    assert drawn is not None and drawn.support is not None and drawn.zero == drawn.value == MIDDLE
    (below, above) = drawn.refute
    assert below == (LEFT, drawn.support[0]) and above == (drawn.support[1], RIGHT)
    # The scale reaches 8 % of 0.2 beyond the regions: 0.232 in all, of which half of 0.05 lies from 0.
    assert drawn.high - MIDDLE == pytest.approx(0.05 / 0.232 * (RIGHT - LEFT), abs=0.06)


def test_an_effect_between_the_regions_is_in_neither(verdict: Verdict) -> None:
    hypothesis = declared(
        {"kind": "min_effect", "margin": 0.1, "refute_below": 0.0, "a": {"rank": 8}, "b": {"rank": 16}}
    )
    (drawn,) = intervals(said(verdict, hypothesis, estimate("a - b", "accuracy", 0.05, None, None)), hypothesis)
    assert drawn is not None and drawn.support is not None
    assert drawn.open_low and drawn.open_high and (drawn.low, drawn.high) == (LEFT, RIGHT)
    assert drawn.refute[0][1] < MIDDLE < drawn.support[0]


def test_a_cliff_has_a_region_for_its_share_and_one_for_its_drop(verdict: Verdict) -> None:
    hypothesis = declared({"kind": "cliff", "ranks": [8, 16, 32], "share": 0.8, "min_total_drop": 0.1})
    found = (estimate("share", "share", 0.5, 0.2, 0.7), estimate("drop", "accuracy", 0.4, 0.3, 0.5))
    share, drop = intervals(said(verdict, hypothesis, *found), hypothesis)
    assert share is not None and share.support is not None and share.high < share.support[0]
    assert drop is not None and drop.support is not None and drop.support[0] < drop.low
    assert share.refute == ()  # every step has to fall short of it, and this is the steepest
    assert drop.refute == ((LEFT, drop.support[0]),)


def test_the_declared_step_of_a_cliff_may_refute_it(verdict: Verdict) -> None:
    where = {"ranks": [8, 16, 32], "location": [8, 16]}
    hypothesis = declared({"kind": "cliff", "share": 0.8, "min_total_drop": 0.1, **where})
    found = (estimate("share", "share", 0.5, 0.2, 0.7), estimate("drop", "accuracy", 0.4, 0.3, 0.5))
    for drawn in intervals(said(verdict, hypothesis, *found), hypothesis):
        assert drawn is not None and drawn.support is not None
        assert drawn.refute == ((LEFT, drawn.support[0]),)


def test_regions_of_another_declaration_are_not_drawn(verdict: Verdict) -> None:
    hypothesis = declared({**CELLS, "among": {"rank": [8]}})
    found = said(verdict, hypothesis, estimate("P", "probability", 0.1, 0.0, 0.3), needs="P < 0.5")
    for told, declaration in ((found, hypothesis), (found, None)):
        (drawn,) = intervals(told, declaration)
        assert drawn is not None and drawn.support is None and drawn.refute == ()


def test_nothing_is_drawn_of_nothing(verdict: Verdict) -> None:
    assert intervals(verdict.predictions[0].model_copy(update={"estimates": ()}), None) == []
    undefined = verdict.predictions[0].model_copy(update={"estimates": (estimate("s", "share", None, None, None),)})
    assert intervals(undefined, None) == [None]
