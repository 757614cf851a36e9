"""Validity: what makes a run unfit to count, told apart from everything that only looks like it."""

import math
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from harness.plan import PlannedRun
from harness.plan.runset import planned_run
from harness.spec import Cell
from harness.spec.canonical import digest
from harness.store import held, inert_factors, invalid_runs, query, refresh

if TYPE_CHECKING:
    from tests.conftest import Made

Rows = list[dict[str, Any]]


def rehashed(run: PlannedRun) -> PlannedRun:
    """Return a run whose identity was changed, with the id that is its hash."""
    return replace(run, id=f"{run.id.rpartition('-')[0]}-{digest(run.identity)[:12]}")


def of_rank(runs: list[PlannedRun], rank: int) -> list[PlannedRun]:
    return [run for run in runs if run.cell.rank == rank]


def like(made: "Made", run: PlannedRun, base: PlannedRun | None = None, **cell: Any) -> PlannedRun:
    """Return the run of another cell under the seed number of `run`, on the base of `base` if given."""
    other = Cell.model_validate({**run.cell.model_dump(), **cell})
    return planned_run((base or run).base, other, run.index, made.bench().protocol)


def log(**changes: Any) -> dict[str, Rows]:
    """Return a step log of twenty updates; `changes` give what to put into update 7."""
    rows: Rows = [{"step": i, "loss": 0.1, "grad_norm": 0.5, "reward": 0.25} for i in range(1, 21)]
    rows[6] = {**rows[6], **changes}
    return {"steps": rows}


def invalid(made: "Made", runs: list[PlannedRun]) -> dict[str, str]:
    refresh(made.store, [])
    return invalid_runs(made.store, [run.id for run in runs])


def test_runs_as_they_should_be_are_valid_whatever_they_scored(made: "Made", runs: list[PlannedRun]) -> None:
    for run, accuracy in zip(runs[:3], (0.0, 0.5, 1.0), strict=True):
        made.run(run, accuracy, log(reward=accuracy))
    assert invalid(made, runs) == {}  # the other nine are not committed, which is another matter


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("column", ["loss", "grad_norm"])
def test_a_number_that_is_not_finite(made: "Made", runs: list[PlannedRun], column: str, value: float) -> None:
    made.run(runs[0], 0.5, log())
    made.run(runs[1], 0.5, log(**{column: value}))
    assert invalid(made, runs) == {runs[1].id: "Loss or gradient norm is not a finite number at update 7."}


def test_a_gradient_norm_that_is_not_logged_is_none(made: "Made", runs: list[PlannedRun]) -> None:
    made.run(
        runs[0], 0.5, {"steps": [{name: row[name] for name in ("step", "loss", "reward")} for row in log()["steps"]]}
    )
    made.run(runs[1], 0.5, log(grad_norm=None))
    assert invalid(made, runs) == {}


@pytest.mark.parametrize("value", [None, math.nan])
def test_grpo_has_a_reward_in_every_update(made: "Made", runs: list[PlannedRun], value: float | None) -> None:
    made.run(runs[0], 0.5, log(reward=value))
    assert invalid(made, runs) == {runs[0].id: "19 of its 20 updates have a reward in its log."}


def test_sft_has_no_reward_and_needs_none(made: "Made", runs: list[PlannedRun]) -> None:
    sft = like(made, runs[0], algorithm="sft")
    without: Rows = [{"step": i, "loss": 0.1} for i in range(1, 21)]
    made.run(sft, 0.5, {"steps": without}, first_rollouts=None)
    made.run(runs[0], 0.5, {"steps": without})
    assert invalid(made, [sft, runs[0]]) == {runs[0].id: "0 of its 20 updates have a reward in its log."}


def test_changed_base_weights(made: "Made", runs: list[PlannedRun]) -> None:
    made.run(runs[0], 0.5, base_weights="w", base_weights_after="v")
    made.run(runs[1], 0.5, base_weights="v", base_weights_after="v")
    assert invalid(made, runs) == {runs[0].id: "Training changed the frozen weights of its base."}


def test_fewer_updates_in_the_log_than_were_made(made: "Made", runs: list[PlannedRun]) -> None:
    rows = log()["steps"]
    made.run(runs[0], 0.5, {"steps": rows[:-1]})
    made.run(runs[1], 0.5, {"steps": [*rows[:-1], rows[0]]})  # twenty rows, nineteen updates
    made.run(runs[2], 0.5, {"steps": []})
    made.run(runs[3], 0.5, {"steps": [{**row, "step": row["step"] + 1} for row in rows]})  # from 2 to 21
    assert invalid(made, runs) == {
        runs[0].id: "19 of its 20 updates are in its log.",
        runs[1].id: "19 of its 20 updates are in its log.",
        runs[2].id: "0 of its 20 updates are in its log.",
        runs[3].id: "19 of its 20 updates are in its log.",
    }


def matrices(step: int = 20) -> dict[str, Rows]:
    """Return spectra of two matrices, 4 by 6 and 6 by 10: LoRA of rank r has r (4 + 6 + 6 + 10) = 26 r parameters."""
    shapes = (("up", 4, 6), ("down", 6, 10))
    rows: Rows = [
        {"step": step, "target": target, "module": name, "layer": 0, "rows": r, "columns": c}
        for name, r, c in shapes
        for target in ("update", "null")
    ]
    return {"spectrum": rows}


def trained(parameters: int) -> dict[str, Any]:
    return {"multipliers": [2.0], "trainable_parameters": parameters, "trainable_share": 0.1}


def test_parameters_are_those_of_rank_and_shapes(made: "Made", runs: list[PlannedRun]) -> None:
    low, high = of_rank(runs, 8), of_rank(runs, 16)
    made.run(low[0], 0.5, matrices(), adapter=trained(208))
    made.run(high[0], 0.5, matrices(), adapter=trained(416))
    made.run(low[1], 0.5, matrices(), adapter=trained(208 + 64))  # a bias or a norm as well
    made.run(high[1], 0.5, matrices(), adapter=trained(208))  # rank 8 after all
    assert invalid(made, [*low, *high]) == {
        low[1].id: "It trained 272 parameters, where rank 8 on its 2 adapted matrices has 208.",
        high[1].id: "It trained 208 parameters, where rank 16 on its 2 adapted matrices has 416.",
    }


@pytest.mark.parametrize(
    ("method", "parameters"),
    # Matrices 4 by 6 and 6 by 10 at rank 8: 8 x 26 in the factors; DoRA has magnitudes for 4 + 6 outputs besides.
    [("pissa", 208), ("dora", 208 + 10)],
)
def test_kin_of_lora_have_the_parameters_of_their_factors(
    made: "Made", runs: list[PlannedRun], method: str, parameters: int
) -> None:
    adapter = {"method": method, "rank": 8, "scaling": {"policy": "proportional", "factor": 2.0}}
    kin = [like(made, run, adapter=adapter) for run in of_rank(runs, 8)]
    made.run(kin[0], 0.5, matrices(), adapter=trained(parameters))
    made.run(kin[1], 0.5, matrices(), adapter=trained(parameters + 1))
    said = f"It trained {parameters + 1} parameters, where rank 8 on its 2 adapted matrices has {parameters}."
    assert invalid(made, kin) == {kin[1].id: said}


@pytest.mark.parametrize("adapter", [{"method": "full"}, {"method": "vera", "rank": 8}, {"method": "oft"}])
def test_methods_without_a_formula_are_not_counted(
    made: "Made", runs: list[PlannedRun], adapter: dict[str, Any]
) -> None:
    other = like(made, runs[0], adapter=adapter)
    made.run(other, 0.5, matrices(), adapter=trained(1))
    assert invalid(made, [other]) == {}


def test_where_nothing_is_frozen_nothing_frozen_can_have_changed(made: "Made", runs: list[PlannedRun]) -> None:
    full = like(made, runs[0], adapter={"method": "full"})
    made.run(full, 0.5, base_weights="w", base_weights_after=None)
    assert invalid(made, [full]) == {}
    assert query(made.store, "SELECT base_weights_unchanged FROM run")[1] == [(None,)]


def test_what_holds_of_the_weights_is_said_of_the_runs_that_froze_some(made: "Made", runs: list[PlannedRun]) -> None:
    full = [like(made, run, adapter={"method": "full"}) for run in of_rank(runs, 8)[:2]]
    for run in full:
        made.run(run, 0.5, base_weights=None, base_weights_after=None)
    made.run(runs[0], 0.5)
    refresh(made.store, [])
    whole, lora = [run.id for run in full], runs[0].id
    said = "derived seeds, which reached the sampler; {}; losses finite"
    assert held(made.store, [lora]) == said.format("frozen base weights unchanged")
    assert held(made.store, whole) == said.format("no base weights were frozen, so none are compared")
    mixed = "frozen base weights unchanged in 1 of 3 runs, the others froze none"
    assert held(made.store, [lora, *whole]) == said.format(mixed)


def test_only_the_last_spectrum_counts_the_matrices(made: "Made", runs: list[PlannedRun]) -> None:
    (run, other, *_) = of_rank(runs, 8)
    both = {"spectrum": [*matrices(10)["spectrum"], *matrices(20)["spectrum"]]}
    made.run(run, 0.5, both, adapter=trained(208))
    made.run(other, 0.5, matrices(10), adapter=trained(1))  # without one there is nothing to count
    assert invalid(made, [run, other]) == {}


ALIKE: dict[str, Any] = {"first_rollouts": {"sha256": "same"}}


def test_seeds_that_drew_the_same_are_one_seed(made: "Made", runs: list[PlannedRun]) -> None:
    low = of_rank(runs, 8)
    for run in low[:3]:
        made.run(run, 0.5, **ALIKE)
    made.run(low[3], 0.5)
    said = f"It drew the same first completions as {low[0].id}: its seed did not reach the sampler."
    assert invalid(made, low) == {low[1].id: said, low[2].id: said}
    backwards = invalid_runs(made.store, [run.id for run in low[::-1]])
    assert list(backwards) == [low[1].id, low[0].id]  # the first in the order asked stays
    assert invalid(made, low[1:2]) == {}  # what is not asked for is not compared with


def test_other_cells_and_bases_may_draw_the_same(made: "Made", runs: list[PlannedRun]) -> None:
    bench = made.bench()
    (qwen, *_) = bench.plan(bench.hypotheses(["live"]), ["qwen"]).runs
    low = of_rank(runs, 8)
    made.base(qwen.base)
    others = [like(made, run, learning_rate_scale=3.0) for run in low[1:2]]
    others += [like(made, low[2], base=qwen), like(made, low[3], algorithm="sft"), like(made, low[4], algorithm="sft")]
    others += of_rank(runs, 16)[:1]
    for run in [low[0], *others]:
        made.run(run, 0.5, **ALIKE)
    assert invalid(made, [low[0], *others]) == {}


def test_the_first_of_several_reasons_is_told_in_the_order_of_the_runs(made: "Made", runs: list[PlannedRun]) -> None:
    short = {"steps": [{**row, "loss": math.nan} for row in log()["steps"][:5]]}
    made.run(runs[0], 0.5, short, base_weights_after="v")
    made.run(runs[1], 0.5, base_weights_after="v")
    found = invalid(made, [runs[1], runs[0], runs[1]])
    assert list(found.items()) == [
        (runs[1].id, "Training changed the frozen weights of its base."),
        (runs[0].id, "5 of its 20 updates are in its log."),
    ]


def inert(made: "Made", runs: list[PlannedRun]) -> list[str]:
    refresh(made.store, [])
    return inert_factors(made.store, [run.id for run in runs])


def test_cells_whose_adapters_agree_differ_in_nothing(made: "Made", runs: list[PlannedRun]) -> None:
    low, high = of_rank(runs, 8), of_rank(runs, 16)
    scaled = [like(made, run, learning_rate_scale=3.0) for run in low]
    for i in range(3):
        made.run(low[i], 0.5, weights=b"low %d" % i)
        made.run(scaled[i], 0.5, weights=b"low %d" % i if i < 2 else b"another")
        made.run(high[i], 0.5, weights=b"high %d" % i)
    first, second = sorted((low[0].cell.slug(), scaled[0].cell.slug()))
    ended = "ended in byte-identical adapters under 2 of 3 seeds: what differs between them changed nothing."
    assert inert(made, [*scaled, *high, *low]) == [f"{first} and {second} {ended}"]
    assert inert(made, [*high, *low]) == []


def test_agreement_across_seeds_bases_or_without_adapters_means_nothing(made: "Made", runs: list[PlannedRun]) -> None:
    low, high = of_rank(runs, 8), of_rank(runs, 16)
    bench = made.bench()
    (qwen, *_) = bench.plan(bench.hypotheses(["live"]), ["qwen"]).runs
    made.base(qwen.base)
    elsewhere = like(made, high[0], base=qwen)
    elsewhere = rehashed(replace(elsewhere, identity={**elsewhere.identity, "seed": low[0].identity["seed"]}))
    made.run(low[0], 0.5, weights=b"same")
    made.run(low[1], 0.5, weights=b"same")  # one cell
    made.run(high[2], 0.5, weights=b"same")  # another seed
    made.run(elsewhere, 0.5, weights=b"same")  # another base
    made.run(low[3], 0.5)
    made.run(high[3], 0.5)  # neither kept an adapter
    assert inert(made, [*runs, elsewhere]) == []
