"""A whole frontier on runs made by hand: what is found, how it resumes, and what has no critical rate."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from harness.campaign.aligned import NORM, RATE, aligned
from harness.campaign.bench import Bench
from harness.campaign.execution import Progress
from harness.campaign.frontier import Frontier, FrontierArm, NoFrontier, Searched, policy, trace
from harness.decide.bisection import End, Ladder
from harness.record.exclusion import exclude
from harness.record.job import JobDirectory, State
from harness.source import items_hash, splits
from harness.source.seeds import EXPLORE, derived_seed
from harness.spec.adapter import Constant, Proportional, RankStabilised

if TYPE_CHECKING:
    from tests.conftest import Made, Scripted

LADDER = Ladder(per_octave=2, lowest=-8, highest=8, seeds=2)
TWO_R = Proportional()
AT_32 = Constant(policy="constant", alpha=32)
CRITICAL = 0.0092
"""The dose at which runs of these tests collapse: rate x multiplier x sqrt(rank)."""
ONE = (FrontierArm(8, TWO_R),)
THREE = (FrontierArm(8, TWO_R), FrontierArm(128, TWO_R), FrontierArm(128, AT_32))

Dose = Callable[[float, float, int], float]


def quiet(_: Progress) -> None:
    """Watch nothing."""


def norm(rate: float, multiplier: float, rank: int) -> float:
    return rate * multiplier * rank**0.5


def facts(path: Path) -> tuple[float, float, int]:
    """Return a run's learning rate, multiplier and rank, from what it was asked to be."""
    identity = JobDirectory(path).spec()["identity"]
    adapter: dict[str, Any] = identity["cell"]["adapter"]
    rank, scaling = adapter["rank"], adapter["scaling"]
    multiplier = scaling["factor"] if scaling["policy"] == "proportional" else scaling["alpha"] / rank
    return identity["trainer"]["learning_rate"], multiplier, rank


def finish(made: "Made", path: Path, dose: Dose = norm) -> None:
    """Commit what a base or run comes to: collapse above a dose, and a first update as large as the norm says."""
    if path.parent.name == "bases":
        made.finish(path, 0.4)
    else:
        made.finish(path, 0.01 if dose(*facts(path)) > CRITICAL else 0.5, first_update_norm=50 * norm(*facts(path)))


def found(made: "Made", executor: "Scripted", arms: tuple[FrontierArm, ...]) -> Frontier:
    bench = Bench(made.bench().shelf, made.store, "bench", explore=True)
    return trace(bench, bench.planned_bases(())[0], arms, LADDER, lambda: executor, quiet)


def critical(frontier: Frontier, one: Searched) -> float:
    assert one.found is not None
    return frontier.learning_rate * 2**one.found.median


def steps(frontier: Frontier) -> list[Any]:
    return [(one.arm, one.end, one.tried) for one in frontier.searched]


def test_every_arm_finds_its_rate_and_the_norm_lines_them_up(made: "Made", scripted: "type[Scripted]") -> None:
    executor = scripted(lambda path, _: finish(made, path))
    arms = tuple(FrontierArm(rank, scaling) for scaling in (TWO_R, AT_32) for rank in (8, 32, 128))
    frontier = found(made, executor, arms)
    for one in frontier.searched:
        at_rate_one = norm(1, one.arm.multiplier, one.arm.rank)
        assert critical(frontier, one) == pytest.approx(CRITICAL / at_rate_one, rel=0.25)  # a rung is a factor of 1.41
        assert one.norm_line is not None
        slope, log2_norm = one.norm_line
        assert slope == pytest.approx(1, abs=1e-3)  # factors have four digits
        assert 2**log2_norm == pytest.approx(50 * 1e-3 * at_rate_one, rel=1e-3)
    assert frontier.grid == 6 * 17 * 2
    assert frontier.runs == len(list(made.store.runs.iterdir())) < frontier.grid / 3
    assert executor.closed
    assert not made.store.registrations.exists()
    groups = aligned(frontier)
    assert [(group.group, group.arms) for group in groups] == [
        ("all arms", 6), ("alpha = 2r", 3), ("alpha = 32 at every rank", 3),
    ]  # fmt: skip
    assert groups == aligned(frontier)
    by_name = {quantity.name: quantity for quantity in groups[0].quantities}
    assert groups[0].better == "norm"
    assert by_name[NORM].fits
    assert not by_name[RATE].fits
    assert by_name[RATE].to_rate.value == 1
    # here rate x multiplier x sqrt(rank) is constant: over ranks 8, 32, 128 an octave a step is left without the root
    assert by_name["learning rate x alpha / sqrt(r)"].spread.octaves < 0.25
    assert groups[0].least.name in (NORM, "learning rate x alpha / sqrt(r)")
    # with rate x multiplier x sqrt(rank) constant, rate x sqrt(multiplier x rank) goes as multiplier ** -1/2
    left = [-0.5 * np.log2(one.arm.multiplier) for one in frontier.searched]
    assert by_name["learning rate x sqrt(alpha)"].spread.octaves == pytest.approx(np.std(left, ddof=1), abs=0.25)
    assert by_name["learning rate x alpha / r"].spread.octaves == pytest.approx(0.894, abs=0.25)
    assert {q.name: q for q in groups[1].quantities}[RATE].spread.octaves == pytest.approx(1, abs=0.25)


def test_runs_have_the_seeds_of_an_exploration(made: "Made", scripted: "type[Scripted]") -> None:
    (one,) = found(made, scripted(lambda path, _: finish(made, path)), ONE).searched
    protocol = made.bench().protocol
    content = protocol.model_dump(mode="json", include={"task", "recipe", "grpo", "sft", "evaluation"})
    base = next(made.store.bases.iterdir()).name
    expected = [derived_seed(content, items_hash(splits(protocol.task).evaluation), base, i, EXPLORE) for i in range(2)]
    for run in one.tried:
        identity = JobDirectory(made.store.runs / run.run_id).spec()["identity"]
        assert identity["seed"] == expected[run.trial.seed]
        assert identity["cell"]["learning_rate_scale"] == LADDER.factor(run.trial.rung)


def test_a_killed_search_goes_on_and_ends_as_one_that_was_not(
    made: "Made", scripted: "type[Scripted]", tmp_path: Path
) -> None:
    def killed(path: Path, _: int) -> None:
        if len(first.started) == 9:
            raise KeyboardInterrupt
        finish(made, path)

    first = scripted(killed)
    with pytest.raises(KeyboardInterrupt):
        found(made, first, THREE)
    assert first.closed
    second = scripted(lambda path, _: finish(made, path))
    resumed = found(made, second, THREE)
    assert not set(first.started[:-1]) & set(second.started)  # the last was killed
    third = scripted(lambda path, _: finish(made, path))
    assert steps(found(made, third, THREE)) == steps(resumed)
    assert third.started == []
    whole = type(made)(tmp_path / "whole")
    uninterrupted = found(whole, scripted(lambda path, _: finish(whole, path)), THREE)
    assert steps(uninterrupted) == steps(resumed)
    assert len(first.started[:-1]) + len(second.started) == uninterrupted.runs + 1  # and the base


def test_where_the_rate_decides_the_rate_lines_the_arms_up(made: "Made", scripted: "type[Scripted]") -> None:
    frontier = found(
        made, scripted(lambda path, _: finish(made, path, lambda rate, _multiplier, _rank: 3 * rate)), THREE
    )
    (whole,) = aligned(frontier)
    assert whole.better == "rate"


def test_an_arm_that_never_collapses_is_censored_and_in_no_spread(made: "Made", scripted: "type[Scripted]") -> None:
    def dose(rate: float, multiplier: float, rank: int) -> float:
        return 0.0 if rank == 8 else norm(rate, multiplier, rank)

    frontier = found(made, scripted(lambda path, _: finish(made, path, dose)), THREE)
    low, *others = frontier.searched
    assert (low.end, low.found) == (End.NEVER, None)
    assert [run.trial.collapsed for run in low.tried] == [False] * len(low.tried)
    assert all(one.found is not None for one in others)
    assert aligned(frontier) == ()  # two arms are left


def test_policies_that_meet_at_a_rank_share_its_runs(made: "Made", scripted: "type[Scripted]") -> None:
    arms = (FrontierArm(16, TWO_R), FrontierArm(16, AT_32), FrontierArm(64, TWO_R))
    frontier = found(made, scripted(lambda path, _: finish(made, path)), arms)
    one, other, third = frontier.searched
    assert one.tried == other.tried
    assert frontier.runs == len(one.tried) + len(third.tried)
    assert frontier.grid == 2 * 17 * 2
    assert aligned(frontier) == ()  # two different trainings


def test_a_run_that_fails_is_no_collapse(made: "Made", scripted: "type[Scripted]") -> None:
    failed: list[str] = []

    def act(path: Path, _: int) -> None:
        if path.parent.name == "runs" and not failed:
            failed.append(path.name)
            made.fail(path, "probabilities are not finite")
        else:
            finish(made, path)

    executor = scripted(act)
    bench = Bench(made.bench().shelf, made.store, "bench", explore=True)
    frontier = trace(bench, bench.planned_bases(())[0], ONE, LADDER, lambda: executor, quiet)
    assert list(bench.failed) == failed
    (one,) = frontier.searched
    assert [(run.trial.rung, run.trial.seed, run.trial.collapsed) for run in one.tried[:2]] == [
        (0, 0, None), (0, 1, False),
    ]  # fmt: skip
    assert critical(frontier, one) == pytest.approx(CRITICAL / norm(1, 2, 8), rel=0.25)


def test_an_excluded_run_says_nothing(made: "Made", scripted: "type[Scripted]") -> None:
    before = found(made, scripted(lambda path, _: finish(made, path)), ONE)
    out = before.searched[0].tried[0].run_id
    exclude(made.store, out, "the disk was replaced during this run")
    first = found(made, scripted(lambda path, _: finish(made, path)), ONE).searched[0].tried[0]
    assert (first.run_id, first.trial.collapsed, first.first_update_norm) == (out, None, None)


def test_without_norms_rates_are_found_and_not_lined_up(made: "Made", scripted: "type[Scripted]") -> None:
    def act(path: Path, _: int) -> None:
        if path.parent.name == "bases":
            made.finish(path, 0.4)
        else:
            made.finish(path, 0.01 if norm(*facts(path)) > CRITICAL else 0.5, first_update_norm=None)

    frontier = found(made, scripted(act), THREE)
    assert all(one.found is not None and one.norm_line is None for one in frontier.searched)
    assert aligned(frontier) == ()


def test_a_base_at_the_floor_has_nothing_to_lose(made: "Made", scripted: "type[Scripted]") -> None:
    with pytest.raises(NoFrontier, match=r"base accuracy 0\.000 on 500 problems: nothing is left to collapse"):
        found(made, scripted(lambda path, _: made.finish(path, 0.0)), ONE)


def test_a_base_that_fails_is_told(made: "Made", scripted: "type[Scripted]") -> None:
    executor = scripted(lambda path, _: made.fail(path, "no space"))
    with pytest.raises(NoFrontier, match=r"base llama has no result: no space"):
        found(made, executor, ONE)
    assert executor.closed
    (job,) = made.store.bases.iterdir()
    assert JobDirectory(job).state() is State.FAILED


def test_policies_without_a_number_meet_the_protocols_at_rank_16() -> None:
    assert policy("proportional", None, TWO_R) == TWO_R
    assert policy("constant", None, TWO_R) == AT_32
    assert policy("rank_stabilised", None, TWO_R) == RankStabilised(policy="rank_stabilised", alpha=8)
    assert policy("constant", 5, TWO_R) == Constant(policy="constant", alpha=5)
    assert policy("constant", None, Constant(policy="constant", alpha=7)) == Constant(policy="constant", alpha=7)
    assert policy("proportional", None, AT_32) == TWO_R
    assert policy("proportional", 1, AT_32) == Proportional(factor=1)
