"""A claim's verdict on results made by hand: the base at .40, collapsed below .10, trained above .46."""

import os
from typing import TYPE_CHECKING, Any

import pytest

from harness.campaign.bench import Bench
from harness.campaign.verdicts import verdict_on
from harness.plan import PlannedRun
from harness.publish.card import integrity
from harness.record.job import JobDirectory
from harness.record.verdict import Outcome, Reason, Verdict
from harness.record.verdict_files import latest

if TYPE_CHECKING:
    from tests.conftest import Made


def decided(bench: Bench, name: str) -> Verdict:
    hypotheses = bench.hypotheses([name])
    return verdict_on(bench, name, hypotheses[name], bench.planned_bases(()))


def spread(run: PlannedRun) -> float:
    """Return a small difference between seeds, so that means have a spread."""
    return run.index / 1000


def as_claimed(run: PlannedRun) -> float:
    """Return a world in which ranks above 64 collapse under GRPO and nowhere else."""
    return spread(run) + (0.5 if run.cell.algorithm == "sft" or (run.cell.rank or 0) <= 64 else 0.01)


def healthy(run: PlannedRun) -> float:
    """Return a world in which every rank trains."""
    return spread(run) + 0.5


def half(run: PlannedRun) -> float:
    """Return a world in which rank 128 collapses at every other seed."""
    collapses = run.cell.algorithm == "grpo" and (run.cell.rank == 256 or (run.cell.rank == 128 and run.index % 2))
    return spread(run) + (0.01 if collapses else 0.5)


def test_the_claimed_world_supports_rank_collapse(made: "Made") -> None:
    bench = made.bench()
    bench.register_shelf()
    made.results(as_claimed, "rank-collapse")
    verdict = decided(bench, "rank-collapse")
    assert verdict.outcome is Outcome.SUPPORTED
    assert verdict.passed is True
    assert verdict.registered.confirmatory
    assert verdict.missing == ()
    assert verdict.used_runs == verdict.planned_runs == len(list(made.store.runs.iterdir()))
    assert verdict.base_accuracy == 0.4
    assert verdict.collapsed_below == pytest.approx(0.1)
    assert verdict.trained_above == pytest.approx(0.46)
    cells = {cell.name: cell for cell in verdict.cells}
    assert cells["grpo-lora-r128"].labels == {"collapsed": 10, "degraded": 0, "no gain": 0, "trained": 0}
    assert cells["grpo-lora-r64"].labels == {"collapsed": 0, "degraded": 0, "no gain": 0, "trained": 10}
    assert cells["grpo-lora-r64"].mean == pytest.approx(0.5045)  # .500 ... .509


def test_a_world_without_collapse_refutes_it(made: "Made") -> None:
    bench = made.bench()
    bench.register_shelf()
    made.results(healthy, "rank-collapse")
    verdict = decided(bench, "rank-collapse")
    assert verdict.outcome is Outcome.REFUTED
    assert verdict.passed is False
    outcomes = {said.id: said.outcome for said in verdict.predictions}
    assert outcomes["low-ranks-live"] is Outcome.SUPPORTED
    assert outcomes["high-ranks-collapse"] is Outcome.REFUTED


def test_from_the_floor_nothing_is_supported_or_refuted(made: "Made") -> None:
    """Five item errors at 18 of 500: 5 x sqrt(.0378 x .9622 / 500) = .043, above .036; at 28: .052, below .056."""
    made.results(lambda run: 0.0, "rank-collapse", base=0.036)
    verdict = decided(made.bench(), "rank-collapse")
    assert verdict.outcome is Outcome.INCONCLUSIVE
    assert {p.outcome for p in verdict.predictions} == {Outcome.INCONCLUSIVE}
    assert verdict.predictions[1].reason is Reason.AT_FLOOR
    assert "base llama: base accuracy 0.036 on 500 problems; collapsed 5/5" in verdict.predictions[1].detail


def test_just_above_the_floor_is_decided(made: "Made") -> None:
    made.bench().register_shelf()
    made.results(lambda run: 0.0, "rank-collapse", base=0.056)
    assert decided(made.bench(), "rank-collapse").predictions[1].outcome is Outcome.SUPPORTED


def test_a_rank_that_collapses_half_the_time_leaves_it_open(made: "Made") -> None:
    bench = made.bench()
    bench.register_shelf()
    made.results(half, "rank-collapse")
    verdict = decided(bench, "rank-collapse")
    assert verdict.outcome is Outcome.INCONCLUSIVE
    assert verdict.passed is None


def test_the_stored_verdict_is_taken_while_its_inputs_last(made: "Made", monkeypatch: pytest.MonkeyPatch) -> None:
    made.bench().register_shelf()
    made.results(healthy)
    first = decided(made.bench(), "live")

    def refuse(_: object) -> Verdict:
        raise AssertionError("decided again on the same inputs")

    monkeypatch.setattr("harness.campaign.decision.decided", refuse)
    assert decided(made.bench(), "live") == first
    assert len(list(made.store.verdicts.glob("*/*"))) == 1


def test_a_changed_result_is_decided_again_on_the_new_numbers(made: "Made") -> None:
    made.bench().register_shelf()
    made.results(healthy)
    assert decided(made.bench(), "live").outcome is Outcome.SUPPORTED
    for folder in made.store.runs.iterdir():
        (folder / "result").rename(folder / "put-aside")
        made.finish(folder, 0.01)
    verdict = decided(made.bench(), "live")
    assert verdict.outcome is Outcome.REFUTED
    assert {cell.name: cell.mean for cell in verdict.cells}["grpo-lora-r16"] == pytest.approx(0.01)


def test_a_file_beside_the_evaluation_is_an_input_too(made: "Made") -> None:
    made.bench().register_shelf()
    made.results(healthy)
    assert decided(made.bench(), "live").registered.confirmatory
    folder = next(made.store.runs.iterdir())
    (folder / "result").rename(folder / "put-aside")
    made.finish(folder, 0.5, base_weights_after="others")
    verdict = decided(made.bench(), "live")
    assert [run.reason for run in verdict.missing] == ["invalid: Training changed the frozen weights of its base."]
    assert verdict.outcome is Outcome.INCONCLUSIVE  # it could have been a collapse, and 1 of 6 leaves P < .5 open
    assert verdict.predictions[0].reason is Reason.MISSING_RUNS
    assert verdict.registered.confirmatory


def test_a_removed_result_is_missing_and_no_longer_counted(made: "Made") -> None:
    made.bench().register_shelf()
    made.results(healthy)
    decided(made.bench(), "live")
    gone = min(made.store.runs.glob("*-r8-*"))
    (gone / "result").rename(made.root / "put-aside")
    bench = made.bench()
    bench.failed[gone.name] = "killed 4 times"
    verdict = decided(bench, "live")
    assert verdict.used_runs == 11
    assert [(run.run_id, run.cell, run.reason) for run in verdict.missing] == [
        (gone.name, "grpo-lora-r8", "killed 4 times")
    ]
    assert {cell.name: cell.n_runs for cell in verdict.cells} == {"grpo-lora-r8": 5, "grpo-lora-r16": 6}


def test_runs_that_were_not_executed_say_so(made: "Made") -> None:
    made.bench().register_shelf()
    made.results(lambda run: 0.5 if run.index < 5 else None)
    verdict = decided(made.bench(), "live")
    assert {run.reason for run in verdict.missing} == {"not executed"}
    assert len(verdict.missing) == 2
    assert verdict.outcome is Outcome.INCONCLUSIVE  # one collapse of six would already leave P < .5 open


def test_without_runs_nothing_was_tested(made: "Made") -> None:
    made.bench().register_shelf()
    made.results(lambda run: None)
    verdict = decided(made.bench(), "live")
    assert verdict.outcome is Outcome.UNTESTED
    assert verdict.passed is None
    assert verdict.used_runs == 0


def test_without_its_base_there_is_no_verdict(made: "Made") -> None:
    with pytest.raises(RuntimeError, match="base llama has no result: it was not made yet"):
        decided(made.bench(), "live")


def test_a_declaration_changed_after_registration_is_exploratory(made: "Made") -> None:
    bench = made.bench()
    bench.register_shelf()
    frozen = bench.registration("live")
    assert frozen is not None
    made.results(healthy)
    made.declare("hypotheses/live.yaml", made.claim_text.replace("probability: 0.5", "probability: 0.49"))
    bench = made.bench()
    bench.register_shelf()  # does not replace what is in force
    verdict = decided(bench, "live")
    assert not verdict.registered.confirmatory
    assert verdict.registered.hash != frozen.hash
    assert verdict.registered.deviations == (f"declaration changed since registration ({frozen.hash[:12]})",)
    assert verdict.registered.violated
    assert verdict.outcome is Outcome.SUGGESTIVE_FOR  # none of six: p = .51^6 = .0176 at each rank, q = .035
    assert verdict.passed is None
    assert verdict.predictions[0].q == pytest.approx(2 * 0.51**6, rel=1e-3)


def test_a_changed_protocol_is_a_deviation_too(made: "Made") -> None:
    made.bench().register_shelf()
    made.results(healthy)
    made.declare("runs/bench.yaml", made.protocol_text.replace("collapsed_share: 0.25", "collapsed_share: 0.3"))
    verdict = decided(made.bench(), "live")
    assert verdict.used_runs == 12  # thresholds are not part of a run's identity
    assert verdict.registered.deviations[0].startswith("protocol changed since registration")


def test_runs_older_than_the_registration_are_told(made: "Made") -> None:
    made.bench().register_shelf()
    made.results(healthy)
    for claim in made.store.runs.glob("*/attempts/0001/claim.json"):
        os.utime(claim, (1, 1))
    verdict = decided(made.bench(), "live")
    assert verdict.registered.deviations == ("12 runs are older than the registration",)


def test_runs_that_were_there_before_the_registration_are_not_used(made: "Made") -> None:
    made.results(healthy)
    made.bench().register_shelf()
    assert decided(made.bench(), "live").used_runs == 0
    made.results(lambda run: 0.01)
    verdict = decided(made.bench(), "live")
    assert verdict.registered.confirmatory
    assert verdict.outcome is Outcome.REFUTED
    assert len(list(made.store.runs.iterdir())) == 24


def test_an_exploration_is_never_confirmatory(made: "Made") -> None:
    made.bench().register_shelf()
    made.results(healthy)
    bench = made.bench()
    bench.explore = True
    assert decided(bench, "live").used_runs == 0
    for run in bench.plan(bench.hypotheses(["live"]), ["llama"]).runs:
        made.run(run, 0.01)
    verdict = decided(bench, "live")
    assert verdict.outcome is Outcome.SUGGESTIVE_AGAINST
    assert not verdict.registered.confirmatory
    assert decided(made.bench(), "live").outcome is Outcome.SUPPORTED


def test_a_run_that_began_before_the_registration_and_ended_after_it_is_older(made: "Made") -> None:
    made.bench().register_shelf()
    made.results(healthy)
    registration = made.bench().registration("live")
    assert registration is not None
    for number, folder in enumerate(sorted(made.store.runs.iterdir())[:2]):
        claim = folder / "attempts" / "0001" / "claim.json"
        began = registration.registered_at + (-5 if number == 0 else 5)
        os.utime(claim, (began, began))
    assert decided(made.bench(), "live").registered.deviations == ("1 run is older than the registration",)


def test_a_claim_that_was_never_registered_says_so(made: "Made") -> None:
    made.results(healthy)
    assert decided(made.bench(), "live").registered.deviations == ("never registered",)


def test_seeds_that_draw_the_same_completions_are_told(made: "Made") -> None:
    bench = made.bench()
    bench.register_shelf()
    runs = bench.plan(bench.hypotheses(["live"]), ["llama"])
    made.base(runs.bases[0])
    for run in runs.runs:  # seeds 0 and 1 of both ranks are alike; that two ranks share a seed's completions is normal
        made.run(run, 0.5, first_rollouts={"sha256": f"of seed {max(run.index, 1)}"})
    verdict = decided(bench, "live")
    assert [(run.cell, "first" in run.reason) for run in verdict.missing] == [
        ("grpo-lora-r8", True),
        ("grpo-lora-r16", True),
    ]
    assert verdict.outcome is Outcome.INCONCLUSIVE  # a seed that changed nothing is no further run


def test_the_newest_verdict_is_the_one_whose_inputs_are_in_force(made: "Made") -> None:
    made.bench().register_shelf()
    made.results(healthy)
    first = decided(made.bench(), "live")
    age(made, 200)
    made.declare("hypotheses/live.yaml", made.claim_text.replace("probability: 0.5", "probability: 0.49"))
    second = decided(made.bench(), "live")
    age(made, 100)
    assert latest(made.store) == [second]
    made.declare("hypotheses/live.yaml", made.claim_text)
    assert decided(made.bench(), "live") == first
    assert latest(made.store) == [first]


def age(made: "Made", seconds: float) -> None:
    """Make every stored verdict older, as clocks of files are coarse."""
    for path in made.store.verdicts.glob("*/*.json"):
        then = path.stat().st_mtime - seconds
        os.utime(path, (then, then))


def test_the_software_of_the_runs_is_kept(made: "Made") -> None:
    made.results(healthy)
    software = decided(made.bench(), "live").software
    assert {name: software[name] for name in ("torch", "trl")} == {"torch": "1.0", "trl": "1.0"}
    assert set(software) >= {"harness", "numpy", "scipy", "statsmodels"}


def test_two_arms_that_the_protocol_makes_one_are_refused(made: "Made") -> None:
    text = made.claim_text.split("predictions:")[0] + (
        "predictions:\n  - {id: same, kind: non_inferiority, role: primary, statement: One is like the other.,\n"
        "     rationale: A contrast of a cell with itself., margin: 0.1, a: {rank: 8},\n"
        "     b: {rank: 8, scaling: {policy: proportional, factor: 2.0}}}\n"
    )
    made.declare("hypotheses/same.yaml", text)
    with pytest.raises(ValueError, match=r"predictions\[0\]: under protocol bench, a and b are the same cell"):
        made.bench().hypotheses(["same"])


def test_every_mistake_of_every_named_claim_is_told_at_once(made: "Made") -> None:
    made.declare("hypotheses/one.yaml", made.claim_text.replace("seeds: 6", "seeds: 0"))
    with pytest.raises(ValueError, match="seeds") as caught:
        made.bench().hypotheses(["one", "nowhere"])
    assert "hypotheses/one.yaml:5 design.seeds" in str(caught.value)
    assert "'nowhere' is not declared in hypotheses/" in str(caught.value)


def test_an_unknown_base_names_those_there_are(made: "Made") -> None:
    with pytest.raises(ValueError, match=r"declares no base 'gpt'. Bases there: llama, qwen\."):
        made.bench().bases(["gpt"])
    assert made.bench().bases(["qwen", "qwen"]) == ("qwen",)


def test_a_job_directory_is_where_the_bench_says(made: "Made") -> None:
    bench = made.bench()
    runs = bench.plan(bench.hypotheses(["live"]), ["llama"])
    assert bench.run_job(runs.runs[0]) == JobDirectory(made.store.runs / runs.runs[0].id)
    assert len(bench.unfinished(runs)) == 13
    made.base(runs.bases[0])
    made.run(runs.runs[3], 0.5)
    assert len(bench.unfinished(runs)) == 11


def test_the_card_says_of_how_many_runs_the_frozen_weights_were_compared(made: "Made") -> None:
    arms = "{adapter: [{method: full}, {method: lora, rank: 8}]}"
    made.declare("hypotheses/live.yaml", made.claim_text.replace("{rank: [8, 16]}", arms))
    bench = made.bench()
    runs = bench.plan(bench.hypotheses(["live"]), ["llama"])
    made.base(runs.bases[0])
    for run in runs.runs:
        none: dict[str, Any] = {"base_weights": None, "base_weights_after": None}
        made.run(run, 0.5 + spread(run), **(none if run.cell.adapter.method == "full" else {}))
    said = "derived seeds, which reached the sampler; {}; losses finite"
    verdict = decided(bench, "live")
    assert verdict.registered.held == (
        said.format("frozen base weights unchanged in 6 of 12 runs, the others froze none"),
    )
    assert any("froze none" in line for line in integrity(verdict))
