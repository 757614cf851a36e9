"""Which seeds a declaration gets: the shelf's while none of its runs has begun, else some that nobody has seen."""

import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from harness.campaign.bench import Bench
from harness.campaign.foreseen import foreseen
from harness.plan import PlannedRun, RunSet
from harness.record.ending import Reason
from harness.record.registration import history
from harness.spec import DeclarationError

if TYPE_CHECKING:
    from tests.conftest import Made

RACE = """
import sys
from pathlib import Path
from harness.campaign.bench import Bench
from harness.record.ending import Reason
from harness.record.layout import Store
from harness.spec.shelf import find_shelf
bench = Bench(find_shelf(Path(sys.argv[1])), Store(Path(sys.argv[1]) / ".harness"), "bench")
print("ready", flush=True)
sys.stdin.readline()
bench.register_shelf()
print(*[f"{found.seal} {found.block}" for name in ("live", "low") if (found := bench.registration(name))])
"""
REASON = "the probability was a slip"


def planned(made: "Made", *names: str) -> RunSet:
    bench = made.bench()
    return bench.plan(bench.hypotheses(names), ["llama"])


def ids(runs: RunSet) -> set[str]:
    return {run.id for run in runs.runs}


def block(made: "Made", name: str) -> str:
    found = made.bench().registration(name)
    assert found is not None
    return found.block


def begin(made: "Made", run: PlannedRun) -> None:
    """Claim a run and leave it at that, as a killed process does."""
    job = made.bench().run_job(run)
    job.create({"id": run.id, "identity": run.identity})
    attempt = job.claim({})
    assert attempt is not None
    attempt.exit(Reason.PREEMPTED)


def low(made: "Made", ranks: str = "[8]") -> None:
    made.declare("hypotheses/low.yaml", made.claim_text.replace("rank: [8, 16]", f"rank: {ranks}"))


def changed(made: "Made", new: str = "probability: 0.49") -> Bench:
    made.declare("hypotheses/live.yaml", made.claim_text.replace("probability: 0.5", new))
    return made.bench()


def test_the_shelf_shares_a_block_while_nothing_has_begun(made: "Made") -> None:
    low(made)
    before = ids(planned(made, "live", "low"))
    made.bench().register_shelf()
    assert made.bench().blocks(["live", "low"]) == {"live": "confirm", "low": "confirm"}
    assert ids(planned(made, "live", "low")) == before
    assert ids(planned(made, "low")) < ids(planned(made, "live"))


def test_a_claim_that_comes_after_its_runs_gets_seeds_of_its_own(made: "Made") -> None:
    made.bench().register_shelf()
    begin(made, planned(made, "live").runs[0])
    low(made)
    made.bench().register_shelf()
    found = made.bench().registration("low")
    assert found is not None
    assert found.block == f"late-{found.hash[:12]}-1"
    assert block(made, "live") == "confirm"
    both = planned(made, "live", "low")
    assert len(both.runs) == 12 + 6
    assert {run.identity["seed"] for run in both.runs if run.block == "confirm"}.isdisjoint(
        run.identity["seed"] for run in both.runs if run.block != "confirm"
    )


def test_a_claim_on_cells_that_nobody_has_begun_joins_the_shelf(made: "Made") -> None:
    made.bench().register_shelf()
    made.results(lambda _: 0.5)
    low(made, "[32]")
    made.bench().register_shelf()
    assert block(made, "low") == "confirm"


def test_a_run_on_any_base_counts(made: "Made") -> None:
    bench = made.bench()
    begin(made, bench.plan(bench.hypotheses(["live"]), ["qwen"]).runs[-1])
    bench.register_shelf()
    assert block(made, "live").startswith("late-")


def test_a_job_that_was_never_claimed_has_not_begun(made: "Made") -> None:
    run = planned(made, "live").runs[0]
    made.bench().run_job(run).create({"id": run.id, "identity": run.identity})
    made.bench().register_shelf()
    assert block(made, "live") == "confirm"


def test_a_claim_copied_under_a_new_name_after_its_runs_gets_other_seeds(made: "Made") -> None:
    begin(made, planned(made, "live").runs[0])
    made.bench().register_shelf()
    begin(made, planned(made, "live").runs[0])
    made.declare("hypotheses/twin.yaml", made.claim_text)
    made.bench().register_shelf()
    assert (block(made, "live")[-2:], block(made, "twin")[-2:]) == ("-1", "-2")
    assert ids(planned(made, "live")).isdisjoint(ids(planned(made, "twin")))


def test_another_protocol_with_the_same_runs_does_not_find_them_fresh(made: "Made") -> None:
    made.bench().register_shelf()
    begin(made, planned(made, "live").runs[0])
    made.declare("runs/strict.yaml", made.protocol_text.replace("collapsed_share: 0.25", "collapsed_share: 0.3"))
    strict = Bench(made.bench().shelf, made.store, "strict")
    strict.register_shelf()
    assert strict.blocks(["live"])["live"].startswith("late-")


def test_what_is_mistaken_under_the_protocol_is_not_registered(made: "Made") -> None:
    made.declare("hypotheses/bad.yaml", made.claim_text.replace("seeds: 6", "seeds: many"))
    bench = made.bench()
    bench.register_shelf()
    assert bench.registration("bad") is None
    assert "bad" not in bench.valid()
    made.declare("runs/bench.yaml", "title: [")
    with pytest.raises(DeclarationError, match=r"runs/bench\.yaml"):
        made.bench().register_shelf()


def test_an_exploration_registers_nothing_and_has_seeds_of_its_own(made: "Made") -> None:
    bench = made.bench()
    bench.explore = True
    bench.register_shelf()
    assert not made.store.registrations.exists()
    explored = bench.plan(bench.hypotheses(["live"]), ["llama"])
    assert {run.block for run in explored.runs} == {"explore"}
    confirming = planned(made, "live")
    begin(made, confirming.runs[0])
    made.bench().register_shelf()
    late = planned(made, "live")
    assert {run.block for run in late.runs} == {block(made, "live")} != {"confirm"}
    seeds: set[int] = {run.identity["seed"] for runs in (explored, confirming, late) for run in runs.runs}
    assert len(seeds) == 18
    assert bench.registration("live") is None  # not consulted
    assert made.bench().blocks(["live"], explore=True) == bench.blocks(["live"]) == {"live": "explore"}


def test_explored_runs_do_not_make_a_claim_late(made: "Made") -> None:
    bench = made.bench()
    bench.explore = True
    for run in bench.plan(bench.hypotheses(["live"]), ["llama"]).runs:
        begin(made, run)
    made.bench().register_shelf()
    assert block(made, "live") == "confirm"


def test_an_amendment_before_any_run_keeps_its_seeds(made: "Made") -> None:
    made.bench().register_shelf()
    bench = changed(made)
    amended = bench.amend(bench.hypotheses(["live"]), REASON)["live"]
    assert (amended.number, amended.block, amended.reason) == (2, "confirm", REASON)
    assert amended.content["declaration"]["predictions"][0]["probability"] == 0.49


def test_an_amendment_after_a_run_has_fresh_seeds_and_its_predecessor_stays(made: "Made") -> None:
    made.bench().register_shelf()
    before = planned(made, "live")
    begin(made, before.runs[3])
    (first,) = (made.store.registrations / "bench" / "live").iterdir()
    frozen = first.read_bytes()
    bench = changed(made)
    assert ids(planned(made, "live")) == ids(before)
    amended = bench.amend(bench.hypotheses(["live"]), REASON)["live"]
    assert amended.block == f"late-{amended.hash[:12]}-2"
    assert ids(planned(made, "live")).isdisjoint(ids(before))
    assert first.read_bytes() == frozen
    assert [found.number for found in history(made.store, "live", "bench")] == [1, 2]
    again = changed(made, "probability: 0.48")  # none of the amendment's own runs has begun
    assert again.amend(again.hypotheses(["live"]), REASON)["live"].block == amended.block
    begin(made, planned(made, "live").runs[0])
    last = changed(made, "probability: 0.47")
    assert last.amend(last.hypotheses(["live"]), REASON)["live"].block[-2:] == "-4"


def test_an_amendment_away_from_cells_that_have_begun_has_fresh_seeds_too(made: "Made") -> None:
    made.bench().register_shelf()
    begin(made, planned(made, "live").runs[0])
    made.declare("hypotheses/live.yaml", made.claim_text.replace("rank: [8, 16]", "rank: [32, 64]"))
    bench = made.bench()
    assert bench.amend(bench.hypotheses(["live"]), REASON)["live"].block.startswith("late-")


def test_an_amendment_towards_cells_that_have_begun_has_fresh_seeds_too(made: "Made") -> None:
    low(made, "[32]")
    made.bench().register_shelf()
    begin(made, planned(made, "live").runs[1])  # of rank 16
    low(made, "[16, 32]")
    bench = made.bench()
    assert bench.amend(bench.hypotheses(["low"]), REASON)["low"].block.startswith("late-")


def test_an_amended_protocol_has_fresh_seeds_once_runs_under_the_old_one_have_begun(made: "Made") -> None:
    made.bench().register_shelf()
    begin(made, planned(made, "live").runs[0])
    made.declare("runs/bench.yaml", made.protocol_text.replace("temperature: 1.0", "temperature: 0.9"))
    bench = made.bench()
    assert bench.amend(bench.hypotheses(["live"]), REASON)["live"].block.startswith("late-")


def test_an_amendment_of_nothing_is_refused_and_none_is_written(made: "Made") -> None:
    made.bench().register_shelf()
    low(made)
    bench = changed(made)
    with pytest.raises(DeclarationError) as caught:
        bench.amend(bench.hypotheses(["live", "low", "rank-collapse"]), REASON)
    assert [line.split(",")[0] for line in caught.value.lines] == [
        "low: not registered yet",
        f"rank-collapse: as registered ({history(made.store, 'rank-collapse', 'bench')[0].hash[:12]})",
    ]
    assert len(history(made.store, "live", "bench")) == 1


def test_what_is_foreseen_is_what_registering_gives(made: "Made") -> None:
    made.bench().register_shelf()
    made.results(lambda run: 0.5 if run.index == 0 else None)
    low(made)
    bench = made.bench()
    before = foreseen(bench, bench.hypotheses(["live", "low"]), ["llama"])
    assert bench.registration("low") is None
    bench.register_shelf()
    assert before == bench.plan(bench.hypotheses(["live", "low"]), ["llama"])


def test_commands_that_register_at_one_moment_agree(made: "Made") -> None:
    begin(made, planned(made, "live").runs[0])
    low(made, "[32]")
    racers = [
        subprocess.Popen(
            [sys.executable, "-c", RACE, str(made.root)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        for _ in range(2)
    ]
    for racer in racers:
        assert racer.stdout is not None
        assert racer.stdout.readline() == "ready\n"
    for racer in racers:
        assert racer.stdin is not None
        racer.stdin.write("\n")
        racer.stdin.flush()
    told = {racer.communicate()[0].strip() for racer in racers}
    found = [made.bench().registration(name) for name in ("live", "low")]
    assert told == {" ".join(f"{one.seal} {one.block}" for one in found if one)}
    assert block(made, "live").startswith("late-")
    assert len(list(made.store.registrations.rglob("*.json"))) == len(made.bench().valid())
