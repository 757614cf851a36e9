from collections.abc import Mapping

import numpy as np
import pytest
from pydantic import TypeAdapter

from harness.decide import CellSample, decide
from harness.record.verdict import Outcome, Reason, RunLabel
from harness.spec import Prediction

READ: TypeAdapter[Prediction] = TypeAdapter(Prediction)
COMMON = {"id": "claim", "statement": "It is what we predict.", "role": "primary", "rationale": "For the test alone."}
A, B, C, D = ({"rank": 8}, {"rank": 128}, {"rank": 8, "algorithm": "sft"}, {"rank": 128, "algorithm": "sft"})
COLLAPSE = {"kind": "collapse_probability", "event": "collapsed", "direction": "below", "probability": 0.5}
KINDS: dict[str, dict[str, object]] = {
    "> 10 points": {"kind": "min_effect", "a": A, "b": B, "margin": 0.1},
    "> -5 points": {"kind": "non_inferiority", "a": A, "b": B, "margin": 0.05},
    "> 20 points": {"kind": "interaction", "a": A, "b": B, "c": C, "d": D, "margin": 0.2},
    "each P < 0.5": {**COLLAPSE, "among": {"rank": [8, 16]}},
    "P < 0.5": {**COLLAPSE, "among": {"rank": [8]}},
    "share > 0.8, total drop > 10 points": {"kind": "cliff", "ranks": [8, 16, 32], "share": 0.8, "min_total_drop": 0.1},
}


def read(fields: Mapping[str, object]) -> Prediction:
    return READ.validate_python({**COMMON, **fields}, strict=False)


def cell(mean: float) -> CellSample:
    values = np.array([mean - 0.02, mean - 0.01, mean, mean + 0.01, mean + 0.02])
    return CellSample(values, (RunLabel.TRAINED,) * 5, n_items=10**5, planned=5)


@pytest.mark.parametrize("needs", KINDS)
def test_every_kind_is_decided_and_says_what_it_needs(needs: str) -> None:
    prediction = read(KINDS[needs])
    samples = {name: cell(0.9 - 0.2 * i) for i, name in enumerate(prediction.arms())}
    verdict = decide(prediction, samples, 0.05)
    assert (verdict.needs, verdict.kind, verdict.id) == (needs, KINDS[needs]["kind"], "claim")
    assert [c.name for c in verdict.cells] == list(prediction.arms())
    assert verdict.estimates and verdict.detail
    assert verdict.model_dump_json() == decide(prediction, dict(reversed(samples.items())), 0.05).model_dump_json()


def test_the_outcome_and_levels_come_through() -> None:
    verdict = decide(read(KINDS["> 10 points"]), {"a": cell(0.9), "b": cell(0.2)}, 0.025)
    assert (verdict.outcome, verdict.reason) == (Outcome.SUPPORTED, Reason.IN_SUPPORT)
    assert (verdict.alpha, verdict.refute_alpha, verdict.role) == (0.05, 0.025, "primary")
    assert verdict.effect_sizes[0].name == "Hedges g (a - b)"


def test_samples_must_be_those_of_the_arms() -> None:
    with pytest.raises(ValueError, match=r"samples of \['a', 'x'\], arms \['a', 'b'\]"):
        decide(read(KINDS["> 10 points"]), {"a": cell(0.9), "x": cell(0.2)}, 0.05)


@pytest.mark.parametrize("level", [0.0, 0.5, 1.5])
def test_the_refuting_level_must_be_one_sided(level: float) -> None:
    with pytest.raises(ValueError, match="no one-sided level"):
        decide(read(KINDS["> 10 points"]), {"a": cell(0.9), "b": cell(0.2)}, level)
