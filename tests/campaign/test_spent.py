"""What finished runs have cost, and what that says of those to come."""

import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from harness.campaign.outlook import outlook
from harness.campaign.spent import spent
from harness.record.atomic import write_json

if TYPE_CHECKING:
    from tests.conftest import Made

FOUND = (Path(__file__).parents[1] / "found.yaml").read_text(encoding="utf-8")
HARDWARE = """
hardware: {gpu: T4, memory_gib: 15.0, flops: 65.0e12, utilisation: 0.3, bandwidth: 3.2e11, decode_utilisation: 0.4,
  prompt_tokens: 6, longest_prompt: 8, completion_tokens: 3, fixed_minutes: 1.0, source: supposed for these tests}
"""


def timed(made: "Made", seconds: dict[int, list[float]]) -> None:
    """Commit the base and, by rank, as many runs as there are CPU-seconds."""
    bench = made.bench()
    bench.register(bench.hypotheses(["live"]))  # before the runs, so that they are its own
    runs = bench.plan(bench.hypotheses(["live"]), ["llama"])
    made.base(runs.bases[0])
    left = {rank: list(times) for rank, times in seconds.items()}
    for run in runs.runs:
        if left.get(run.cell.rank or 0):
            job = made.run(run, 0.5)
            write_json(job.attempts()[-1] / "timing.json", {"cpu_seconds": left[run.cell.rank or 0].pop(0)})


def test_a_run_to_come_takes_what_those_of_its_cell_took(made: "Made") -> None:
    timed(made, {8: [60.0, 240.0, 120.0]})
    bench = made.bench()
    plan = outlook(bench, bench.hypotheses(["live"]), ["llama"])
    assert len(plan.there) == 3
    # the median of 1, 4 and 2 minutes, of the cell itself; rank 16 has only others like it
    assert {plan.minutes[run.id] for run in plan.runs.runs if run.cell.rank == 8} == {(2.0, True)}
    assert {plan.minutes[run.id] for run in plan.runs.runs if run.cell.rank == 16} == {(2.0, False)}
    assert plan.cpu_minutes == 9 * 2.0  # three of twelve are there
    assert plan.unknown == 0


def test_nothing_is_supposed_where_nothing_like_it_was_run(made: "Made") -> None:
    timed(made, {8: [60.0]})
    bench = made.bench()
    claims = bench.hypotheses(["live"])
    other = outlook(bench, claims, ["qwen"])
    assert other.minutes == {}
    assert other.unknown == 12
    assert outlook(bench, claims, ["llama"]).unknown == 0


def test_the_time_of_an_attempt_that_was_lost_counts_for_nothing(made: "Made") -> None:
    bench = made.bench()
    runs = bench.plan(bench.hypotheses(["live"]), ["llama"])
    made.base(runs.bases[0])
    job = bench.run_job(runs.runs[0])
    job.create({"id": job.id, "identity": runs.runs[0].identity})
    made.fail(job.path, "killed")
    write_json(job.attempts()[0] / "timing.json", {"cpu_seconds": 6000.0})
    made.run(runs.runs[0], 0.5)
    assert spent(made.store).minutes(runs.runs[0]) is None  # the second attempt was not timed
    write_json(job.attempts()[1] / "timing.json", {"cpu_seconds": 30.0})
    assert spent(made.store).minutes(runs.runs[0]) == (0.5, True)


def test_an_empty_store_has_spent_nothing(made: "Made") -> None:
    assert not os.path.exists(made.store.runs)
    assert spent(made.store).alike == {}


def test_hours_are_of_what_does_not_exist(made: "Made") -> None:
    text = FOUND[: FOUND.index("  early:")] + FOUND[FOUND.index("default_bases") :]
    made.declare("runs/bench.yaml", text.replace("revision: main", f"revision: {'c' * 40}", 1) + HARDWARE)
    bench = made.bench()
    claims = bench.hypotheses(["live"])
    bench.register(claims)
    before = outlook(bench, claims, ["llama"])
    each = {cell.rank: cost.gpu_hours for (_, cell), cost in before.costs.items()}
    assert before.gpu_hours == pytest.approx(6 * each[8] + 6 * each[16] + before.base_hours["llama"])
    made.results(lambda run: 0.5 if run.cell.rank == 8 else None)
    after = outlook(bench, claims, ["llama"])
    assert after.gpu_hours == pytest.approx(6 * each[16])
    assert after.base_hours == {}
    assert (before.unresolved, before.unknown, before.gpu) == ((), 0, "T4")
