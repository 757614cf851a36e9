import pytest

from harness.publish.card import card
from harness.publish.width import WIDTH
from harness.record.verdict import (
    SCHEMA,
    CellSummary,
    EffectSize,
    Estimate,
    MissingRun,
    Outcome,
    PredictionVerdict,
    Reason,
    Refutation,
    Registered,
    Verdict,
)

LABELS = {"collapsed": 0, "degraded": 0, "no gain": 0, "trained": 0}


def count(rank: int, value: float, low: float, high: float) -> Estimate:
    return Estimate(
        name=f"P(collapsed) r={rank}",
        unit="probability",
        value=value,
        low=low,
        high=high,
        refute_low=low,
        refute_high=high,
        method="Clopper-Pearson",
        n_runs=5,
    )


def prediction(outcome: Outcome = Outcome.SUPPORTED, reason: Reason = Reason.IN_SUPPORT) -> PredictionVerdict:
    return PredictionVerdict(
        id="low-ranks-live",
        kind="collapse_probability",
        role="primary",
        statement="At each rank up to 64, GRPO runs collapse less often than not.",
        outcome=outcome,
        reason=reason,
        how=None,
        detail="collapsed 0/5 at each of r=8, r=16",
        needs="each P < 0.5",
        alpha=0.05,
        refute_alpha=0.025,
        look=1,
        looks=(5,),
        settled=True,
        p_support=0.03,
        p_refute=None,
        attainable_p=None,
        q=None,
        runs_to_resolve=None,
        assumptions="independent runs",
        failed_assumptions=(),
        estimates=(count(8, 0.0, 0.0, 0.4507), count(16, 0.0, 0.0, 0.4507), count(32, 0.2, 0.01, 0.657)),
        effect_sizes=(EffectSize(name="Hedges g", value=1.234),),
        cells=(),
    )


def verdict(
    outcome: Outcome = Outcome.SUPPORTED, deviations: tuple[str, ...] = (), missing: int = 0, **changes: object
) -> Verdict:
    said = Verdict(
        schema_version=SCHEMA,
        hypothesis="rank-collapse",
        title="Rank collapse",
        claim="Runs survive at low rank.",
        base="llama",
        base_id="llama64-0123456789ab",
        base_accuracy=0.4,
        protocol="smoke",
        outcome=outcome,
        reading="Supported: low-ranks-live.",
        recipe=("lr 0.001 constant", "rate chosen by rule"),
        collapsed_below=0.1,
        trained_above=0.45,
        n_items=500,
        predictions=(prediction(),),
        cells=(
            CellSummary(name="grpo-lora-r8", planned=5, n_runs=5, mean=0.571, sd=0.01, labels={**LABELS, "trained": 5}),
            CellSummary(name="grpo-lora-r16", planned=5, n_runs=0, mean=None, sd=None, labels=LABELS),
        ),
        runs=(),
        planned_runs=10,
        used_runs=10 - missing,
        missing=tuple(MissingRun(run_id=f"run-{i}", cell="grpo-lora-r16", reason="killed") for i in range(missing)),
        registered=Registered(hash="ab" * 32, confirmatory=not deviations, deviations=deviations),
        not_shown=("other bases", "8B models"),
        inputs="cd" * 32,
        software={},
    )
    return said.model_copy(update=changes)


def test_the_heading_says_pass_fail_or_open() -> None:
    for outcome, word in (("supported", "PASS"), ("refuted", "FAIL"), ("inconclusive", "OPEN"), ("untested", "OPEN")):
        first = card(verdict(Outcome(outcome))).splitlines()[0]
        assert first.startswith(f"rank-collapse  {word}  {outcome}")
        assert first.endswith("confirmatory   protocol smoke   base llama")


def test_every_part_stands_in_its_order() -> None:
    text = card(verdict())
    labels = ["claim", "recipe", "primary", "context", "reading", "integrity", "not shown"]
    places = [text.index(f"\n{label}") for label in labels]
    assert places == sorted(places)
    assert "not shown   other bases; 8B models" in text
    assert "registered abababababab before the first run; 0 of 10 runs without a result" in text
    assert max(map(len, text.splitlines())) <= WIDTH


def test_a_prediction_shows_outcome_estimates_runs_and_what_it_needs() -> None:
    lines = card(verdict()).splitlines()
    assert any(line.startswith("primary     At each rank up to 64") and line.endswith("supported") for line in lines)
    assert "              P(collapsed) r=8, r=16: each .00 [.00, .45], each 5 runs" in lines
    assert "              P(collapsed) r=32: .20 [.01, .66], 5 runs" in lines
    assert "              needs each P < 0.5; limits at one-sided 95 %; Hedges g 1.2" in lines


def test_the_terms_say_look_refutation_and_what_more_runs_would_do() -> None:
    said = prediction(Outcome.INCONCLUSIVE, Reason.STRADDLES)
    text = card(verdict(predictions=(said.model_copy(update={"look": 2, "looks": (3, 5, 8), "runs_to_resolve": 4}),)))
    assert "look 2 of 3, 5 runs a cell; 4 more runs a cell would resolve it at this estimate" in text
    assert "given" not in text  # counts assume next to nothing
    of_means = said.model_copy(update={"kind": "min_effect", "assumptions": "no cell mixes"})
    assert "given no cell mixes" in card(verdict(predictions=(of_means,)))
    refuted = prediction(Outcome.REFUTED, Reason.IN_REFUTE).model_copy(update={"how": Refutation.TOO_GRADUAL})
    assert "refuted: too gradual" in card(verdict(predictions=(refuted,)))
    few = prediction(Outcome.INCONCLUSIVE, Reason.UNDERPOWERED).model_copy(update={"attainable_p": 1 / 6, "q": 0.3333})
    assert "attainable p 0.17; q 0.33 (false discovery rate)" in card(verdict(predictions=(few,)))
    assert "look 1 of" not in card(verdict())  # a single look is no news


def test_collapses_say_whether_they_had_launched() -> None:
    cell = CellSummary(
        name="grpo-lora-r64", planned=5, n_runs=5, mean=0.1, sd=0.1, labels={**LABELS, "collapsed": 3, "trained": 2}
    )
    text = card(verdict(cells=(cell.model_copy(update={"launched": 1}),)))
    assert "(3 collapsed: 2 never launched, 1 launched first, 2 trained)" in text
    assert "(3 collapsed, 2 trained)" in card(verdict(cells=(cell,)))


def test_a_table_without_a_base_accuracy_has_no_landmarks() -> None:
    text = card(verdict(base_accuracy=None, collapsed_below=None, trained_above=None))
    assert "held-out" not in text and "grpo-lora-r8 .57" in text


def test_runs_that_no_look_needed_are_counted_apart() -> None:
    missing = tuple(MissingRun(run_id=f"run-{i}", cell="c", reason="not executed") for i in range(4))
    lost = (*missing, MissingRun(run_id="dead", cell="c", reason="killed"))
    text = card(verdict().model_copy(update={"missing": lost, "used_runs": 5}))
    assert "1 of 6 runs without a result, 4 more were planned and not executed" in " ".join(text.split())
    assert "dead: killed" in text and "run-0" not in text


def test_an_outcome_without_proof_gives_its_reason() -> None:
    open_one = prediction(Outcome.INCONCLUSIVE, Reason.MIXED_CELLS)
    text = card(verdict(Outcome.INCONCLUSIVE, predictions=(open_one,)))
    assert "assumption failed: a cell has both collapsed and other runs: collapsed 0/5" in " ".join(text.split())
    assert "assumption failed" not in card(verdict())


def test_context_gives_cells_with_labels_and_cells_without_runs() -> None:
    text = card(verdict())
    assert "base .40 on 500 held-out problems; collapsed < .100, trained > .450" in text
    assert "grpo-lora-r8 .57 (5 trained)   grpo-lora-r16 n/a (no runs)" in text


def test_deviations_and_missing_runs_are_told() -> None:
    text = card(verdict(deviations=("declaration changed since registration",), missing=7))
    assert "exploratory   protocol smoke" in text.splitlines()[0]
    assert "integrity   declaration changed since registration; 7 of 10 runs without a result" in text
    assert "run-4: killed" in text and "run-5: killed" not in text
    assert "and 2 more (in --json)" in text


@pytest.mark.parametrize("width", [60, 80, 100, 112])
def test_a_card_says_the_same_at_every_width(width: int) -> None:
    said = verdict(Outcome.SUGGESTIVE_AGAINST, deviations=("declaration changed since registration",), missing=7)
    text = card(said, width=width)
    assert max(map(len, text.splitlines())) <= width
    full = card(said)
    assert sorted(text.split()) == sorted(full.split())
    assert [line[:12].strip() for line in text.splitlines()[1:] if line[:12].strip() not in ("", "rank-collaps")] == [
        line[:12].strip() for line in full.splitlines()[1:] if line[:12].strip()
    ]


def test_what_a_card_cannot_break_stays_whole() -> None:
    run = "llama256-grpo-lora-r128-constant32-lrx0.22-w20-from-cold-0123456789ab"
    lost = (MissingRun(run_id=run, cell="grpo-lora-r16", reason="killed"),)
    assert run in card(verdict().model_copy(update={"missing": lost, "used_runs": 9}), width=60)


def test_a_heading_too_long_for_a_line_has_its_terms_on_the_next() -> None:
    lines = card(verdict(Outcome.SUPPORTED), width=60).splitlines()
    assert lines[:2] == ["rank-collapse  PASS  supported", "            confirmatory   protocol smoke   base llama"]
