"""Rivals are tested with a claim and shown beside it, as reported results are; neither is part of its verdict."""

from typing import TYPE_CHECKING, Any

import pytest

from harness.campaign.beside import Beside, beside, with_rivals
from harness.campaign.verdicts import verdict_on
from harness.plan import PlannedRun, planned_base
from harness.publish.card import card
from harness.record.verdict import Outcome
from harness.spec import DeclarationError

if TYPE_CHECKING:
    from tests.conftest import Made

RIVALS = """
rivals: [{hypothesis: rate, explains: the rate}]
reported:
  - {setting: rank 8 elsewhere, value: 0.7, spread: 0.05, source: somebody, arm: {rank: 8}}
  - {setting: rank 512 elsewhere, result: near floor, source: somebody, arm: {rank: 512}}
"""
RATE = """
title: A high rate kills
claim: At ten times the rate rank 8 collapses more often than not.
source: a rival of the tests
design: {seeds: 6}
predictions:
  - {id: dies, kind: collapse_probability, role: primary, statement: Runs collapse at ten times the rate.,
     event: collapsed, rationale: Above one half a user loses the policy., direction: above, probability: 0.5,
     among: {rank: [8], learning_rate_scale: [10.0]}}
"""


@pytest.fixture
def rivalled(made: "Made") -> "Made":
    made.declare("hypotheses/rate.yaml", RATE)
    made.declare("hypotheses/live.yaml", made.claim_text + RIVALS)
    bench = made.bench()
    bench.register(bench.hypotheses(["live", "rate"]))
    return made


def alive(run: PlannedRun) -> float:
    return 0.01 if run.cell.learning_rate_scale == 10 else 0.5


def verdicts(made: "Made", *names: str) -> list[Any]:
    bench = made.bench()
    return [
        verdict_on(bench, name, bench.shelf.hypothesis(name), (planned_base("llama", bench.protocol),))
        for name in names
    ]


def test_a_claims_rivals_are_tested_with_it_and_theirs_are_not(rivalled: "Made") -> None:
    rivalled.declare("hypotheses/rate.yaml", RATE + "rivals: [{hypothesis: rank-collapse, explains: the rank}]\n")
    bench = rivalled.bench()
    assert list(with_rivals(bench, bench.hypotheses(["live"]))[0]) == ["live", "rate"]
    assert list(with_rivals(bench, bench.hypotheses(["rate", "live"]))[0]) == ["rate", "live", "rank-collapse"]


def test_a_rival_that_the_protocol_cannot_ask_is_left_out_with_the_reason(rivalled: "Made") -> None:
    """A claim is not kept from its test by what somebody else's protocol would have to provide."""
    rivalled.declare("hypotheses/rate.yaml", RATE.replace("{rank: [8], ", "{rank: [8], checkpoint: [cold], "))
    bench = rivalled.bench()
    found, left_out = with_rivals(bench, bench.hypotheses(["live"]))
    assert list(found) == ["live"]
    assert "no base has a checkpoint 'cold'" in left_out["rate"]
    text = rivalled.protocol_text.replace("seed: 1}}", "seed: 1}, checkpoints: {cold: {steps: 5}}}", 1)
    rivalled.declare("runs/bench.yaml", text)
    bench = rivalled.bench()
    for base, asked in (("llama", ["live", "rate"]), ("qwen", ["live"])):
        found, left_out = with_rivals(bench, bench.hypotheses(["live"]), bench.planned_bases([base]))
        assert list(found) == asked
        assert ("base qwen has no checkpoint 'cold'" in left_out.get("rate", "")) == (base == "qwen")
    rivalled.declare("hypotheses/rate.yaml", RATE.replace("claim:", "clam:", 1))
    with pytest.raises(DeclarationError, match="clam"):
        with_rivals(rivalled.bench(), bench.hypotheses(["live"]))


def test_a_card_tells_what_stands_beside_the_rivals(rivalled: "Made") -> None:
    rivalled.results(alive, "live", "rate")
    claim, rival = verdicts(rivalled, "live", "rate")
    said = beside(rivalled.bench(), claim, [claim, rival])
    assert (claim.outcome, said.rivals[0].outcome) == (Outcome.SUPPORTED, Outcome.SUPPORTED)
    text = card(claim, said)
    assert text.splitlines()[0].startswith("live  PASS  supported; rate would give the same")
    assert "rivals      the rate (rate)" in text
    assert "Runs collapse at ten times the rate. supported" in text
    assert "stands      Seen as claimed; the rate would give the same" in text
    assert "reported    rank 8 elsewhere: .70 +- .05 (somebody); here .50" in text
    assert "rank 512 elsewhere: near floor (somebody); not run here" in text


def test_a_rival_on_another_base_is_no_verdict(rivalled: "Made") -> None:
    rivalled.results(alive, "live", "rate")
    claim, rival = verdicts(rivalled, "live", "rate")
    said = beside(rivalled.bench(), claim, [claim, rival.model_copy(update={"base_id": "another"})])
    assert said.rivals[0].outcome is None
    assert "no verdict" in card(claim, said)
    assert said.stands == "Seen as claimed; whether the rate would give it is open."


def test_rivals_change_no_verdict(rivalled: "Made") -> None:
    rivalled.results(alive, "live", "rate")
    before = verdicts(rivalled, "live")[0]
    rivalled.declare("hypotheses/live.yaml", rivalled.claim_text)
    after = verdicts(rivalled, "live")[0]
    same = {"inputs", "registered", "outcome", "predictions", "reading"}  # it changed, and so is exploratory now
    assert [p.estimates for p in before.predictions] == [p.estimates for p in after.predictions]
    assert before.model_dump(exclude=same) == after.model_dump(exclude=same)


def test_a_rival_that_is_not_there_is_a_mistake_with_its_line(made: "Made") -> None:
    made.declare("hypotheses/live.yaml", made.claim_text + "rivals: [{hypothesis: liv, explains: nothing}]\n")
    with pytest.raises(DeclarationError, match=r'hypotheses/live.yaml:\d+ rivals\[0\].hypothesis: "liv" is no other'):
        made.bench().hypotheses(["live"])


def test_a_verdict_whose_protocol_is_gone_stands_alone(rivalled: "Made") -> None:
    rivalled.results(alive, "live", "rate")
    claim, rival = verdicts(rivalled, "live", "rate")
    (rivalled.root / "runs" / "bench.yaml").unlink()
    assert beside(rivalled.bench(), claim, [claim, rival]) == Beside()
