"""Measures of spectra, as time series of each run and of bases: values worked out by hand, and when there is none."""

from dataclasses import replace
from math import sqrt
from typing import TYPE_CHECKING, Any

import pytest

from harness.plan import PlannedRun
from harness.spec.canonical import digest
from harness.spec.measure import Grain, Steps
from harness.spec.shelf import Shelf
from harness.store import base_responses, query, refresh, responses, silences

if TYPE_CHECKING:
    from tests.conftest import Made

Row = dict[str, Any]

UPDATE: dict[str, Row] = {
    "q_proj": {
        "frobenius": 3.0,
        "effective_rank": 2.0,
        "effective_rank_energy": 1.25,
        "stable_rank": 1.5,
        "participation_ratio": 1.2,
        "top_energy": [0.5, 0.75, 0.875, 1.0, 1.0],
        "overlap": 0.25,
        "overlap_chance": 0.125,
        "intruders": 3,
        "intruders_unsettled": 0,
        "relative_norm": 0.01,
        "singular_values": [2.5, 1.5, 0.5, 0.25],
    },
    "up_proj": {
        "frobenius": 4.0,
        "effective_rank": 3.0,
        "effective_rank_energy": 1.75,
        "stable_rank": 2.5,
        "participation_ratio": 1.6,
        "top_energy": [0.25, 0.5, 0.625, 1.0, 1.0],
        "overlap": 0.5,
        "overlap_chance": 0.0625,
        "intruders": 4,
        "intruders_unsettled": 0,
        "relative_norm": 0.03,
        "singular_values": [2.0, 2.0, 2.0, 2.0, 0.0, 0.0],
    },
}
"""What two matrices have after the last update; the measures only average it, so it need not belong together."""
NULL: dict[str, Row] = {
    "q_proj": {"stable_rank": 3.0, "effective_rank": 4.0, "intruders": 1, "intruders_unsettled": 0},
    "up_proj": {"stable_rank": 10.0, "effective_rank": 6.0, "intruders": 5, "intruders_unsettled": 0},
}
EXPECTED = {
    "update_norm": 5.0,  # sqrt(3^2 + 4^2)
    "effective_rank": 2.5,
    "effective_rank_energy": 1.5,
    "effective_rank_share": 0.5,  # mean of 2/4 and 3/6
    "stable_rank": 2.0,
    "participation_ratio": 1.4,
    "top1_energy": 0.375,
    "top4_energy": 0.75,  # third of k = 1, 2, 4, 8, 16: mean of .875 and .625
    "principal_overlap": 0.375,
    "overlap_excess": 0.28125,  # mean of .125 and .4375
    "intruder_count": 3.5,
    "intruder_excess": 0.5,  # mean of 3 - 1 and 4 - 5
    "relative_update_norm": 0.02,
    "stable_rank_of_null": sqrt(0.5 * 0.25),  # 1.5/3 and 2.5/10
    "effective_rank_of_null": 0.5,  # 2/4 and 3/6
}
OF_BASES = {"base_stable_rank", "base_effective_rank", "base_participation_ratio", "base_alpha"}
PLACED = {"principal_overlap", "overlap_excess", "intruder_count", "intruder_excess"}
"""Measures of where an update lies in the base."""
NEEDS = {
    "update_norm": "frobenius",
    "effective_rank_share": "singular_values",
    "top1_energy": "top_energy",
    "top4_energy": "top_energy",
    "principal_overlap": "overlap",
    "overlap_excess": "overlap_chance",
    "intruder_count": "intruders",
    "intruder_excess": "intruders",
    "relative_update_norm": "relative_norm",
    "stable_rank_of_null": "stable_rank",
    "effective_rank_of_null": "effective_rank",
}
"""A column without which a measure has no value, where it has another name."""


def rehashed(run: PlannedRun) -> PlannedRun:
    """Return a run whose identity was changed, with the id that is its hash."""
    return replace(run, id=f"{run.id.rpartition('-')[0]}-{digest(run.identity)[:12]}")


def matrices(target: str, quantities: dict[str, Row], step: int = 20, source: str = "factors") -> list[Row]:
    return [
        {"step": step, "target": target, "module": f"model.layers.0.{kind}", "kind": kind, "source": source, **of}
        for kind, of in quantities.items()
    ]


def indexed(made: "Made") -> None:
    shelf = Shelf(None, {})
    refresh(made.store, [shelf.path("analysis", name) for name in shelf.names("analysis")])


def value(made: "Made", measure: str, run: PlannedRun) -> float | None:
    found = responses(made.store, measure, [run.id])
    return found[run.id].value if found else None


def test_every_shipped_measure_of_spectra_is_worked_out_here() -> None:
    shelf = Shelf(None, {})
    reads = {name for name in shelf.names("analysis") if "FROM spectrum" in shelf.path("analysis", name).read_text()}
    assert reads == EXPECTED.keys() | OF_BASES
    heads = shelf.measures()
    assert {name for name in reads if heads[name].grain is Grain.STEP} == EXPECTED.keys()
    assert {name for name in reads if heads[name].grain is Grain.BASE} == OF_BASES
    of_steps = {name: head.at for name, head in heads.items() if head.grain is Grain.STEP}
    assert {name for name, at in of_steps.items() if at is Steps.LAST} == PLACED
    assert {name for name, at in of_steps.items() if at is Steps.SPECTRA} == EXPECTED.keys() - PLACED
    assert {name for name, at in of_steps.items() if at is Steps.EVERY} == {"reward_at"}
    shares = {"effective_rank_share", "top1_energy", "top4_energy", "principal_overlap"}
    assert {name for name in reads if heads[name].bounded} == shares


def test_every_measure_has_its_value_by_hand_at_every_step(made: "Made", runs: list[PlannedRun]) -> None:
    twice = {
        kind: {**of, "stable_rank": 2 * of["stable_rank"], "frobenius": of["frobenius"] / 2}
        for kind, of in UPDATE.items()
    }
    rows = [*matrices("update", UPDATE), *matrices("null", NULL), *matrices("weights", NULL)]
    rows += [*matrices("update", twice, step=4), *matrices("null", NULL, step=4)]
    made.run(runs[0], 0.5, {"spectrum": rows})
    indexed(made)
    for measure, expected in EXPECTED.items():
        assert value(made, measure, runs[0]) == pytest.approx(expected, rel=1e-15), measure
        assert value(made, f"{measure}@20", runs[0]) == pytest.approx(expected, rel=1e-15), measure
        assert value(made, f"{measure}@5", runs[0]) is None, measure
        key = query(made.store, f'SELECT count(*), count(DISTINCT (run_id, step)) FROM "{measure}"')[1]
        assert key == [(2, 2)], measure
    at_four = {"stable_rank": 4.0, "stable_rank_of_null": sqrt(0.5), "update_norm": 2.5, "effective_rank": 2.5}
    assert {name: value(made, f"{name}@4", runs[0]) for name in at_four} == pytest.approx(at_four, rel=1e-15)


@pytest.mark.parametrize("measure", EXPECTED)
def test_a_run_has_no_value_unless_all_its_matrices_have_one(
    made: "Made", runs: list[PlannedRun], measure: str
) -> None:
    lacks = {**UPDATE, "up_proj": {**UPDATE["up_proj"], NEEDS.get(measure, measure): None}}
    made.run(runs[0], 0.5, {"spectrum": [*matrices("update", UPDATE), *matrices("null", NULL)]})
    made.run(runs[1], 0.5, {"spectrum": [*matrices("update", lacks), *matrices("null", NULL)]})
    rounded = matrices("update", {"q_proj": UPDATE["q_proj"]}, source="low_precision_difference")
    rounded += matrices("update", {"up_proj": UPDATE["up_proj"]})
    made.run(runs[2], 0.5, {"spectrum": [*rounded, *matrices("null", NULL)]})
    made.run(runs[3], 0.5, {"spectrum": [*matrices("null", NULL), *matrices("weights", UPDATE)]})
    made.run(runs[4], 0.5, {"spectrum": []})
    indexed(made)
    assert [value(made, measure, run) is None for run in runs[:5]] == [False, True, True, True, True]


ADAPTED = {"update_norm", "relative_update_norm", "intruder_count"}
"""Measures to which a matrix without an update contributes."""
UNTOLD: Row = {**dict.fromkeys(UPDATE["q_proj"]), "singular_values": [0.0] * 4}
"""What nothing is known of, but that it has no singular value above zero."""
ZERO: Row = {**UNTOLD, "frobenius": 0.0, "relative_norm": 0.0, "intruders": 0, "intruders_unsettled": 0}
"""What a matrix has whose update is exactly zero."""


@pytest.mark.parametrize("measure", sorted(EXPECTED.keys() - ADAPTED))
def test_a_matrix_without_an_update_is_in_no_mean_and_one_of_rounded_weights_silences_it(
    made: "Made", runs: list[PlannedRun], measure: str
) -> None:
    nulls = matrices("null", {**NULL, "k_proj": UNTOLD})
    updated, zero = matrices("update", UPDATE), matrices("update", {"k_proj": ZERO})
    rounded = matrices("update", {"k_proj": ZERO}, source="low_precision_difference")
    untold = matrices("update", {"k_proj": UNTOLD})  # null for another reason
    for run, rows in zip(runs, ([], zero, rounded, untold), strict=False):
        made.run(run, 0.5, {"spectrum": [*updated, *rows, *nulls]})
    made.run(runs[4], 0.5, {"spectrum": [*zero, *nulls]})
    indexed(made)
    expected = pytest.approx(EXPECTED[measure], rel=1e-15)
    assert [value(made, measure, run) for run in runs[:5]] == [expected, expected, None, None, None]
    assert query(made.store, f'SELECT DISTINCT n_matrices FROM "{measure}"')[1] == [(2,)]


def test_a_matrix_without_an_update_counts_where_zero_is_its_value(made: "Made", runs: list[PlannedRun]) -> None:
    made.run(runs[0], 0.5, {"spectrum": matrices("update", {**UPDATE, "k_proj": ZERO})})
    indexed(made)
    # sqrt(3^2 + 4^2 + 0); (.01 + .03 + 0) / 3; (3 + 4 + 0) / 3
    expected = {"update_norm": 5.0, "relative_update_norm": 0.04 / 3, "intruder_count": 7 / 3}
    assert {name: value(made, name, runs[0]) for name in ADAPTED} == pytest.approx(expected, rel=1e-15)


@pytest.mark.parametrize("measure", ["stable_rank_of_null", "effective_rank_of_null", "intruder_excess"])
@pytest.mark.parametrize("nulls", [{}, {"q_proj": NULL["q_proj"]}, {**NULL, "up_proj": dict.fromkeys(NULL["up_proj"])}])
def test_what_is_relative_to_a_null_needs_one_for_every_matrix(
    made: "Made", runs: list[PlannedRun], measure: str, nulls: dict[str, Row]
) -> None:
    made.run(runs[0], 0.5, {"spectrum": [*matrices("update", UPDATE), *matrices("null", nulls)]})
    indexed(made)
    assert value(made, measure, runs[0]) is None
    assert value(made, "stable_rank", runs[0]) == 2.0


@pytest.mark.parametrize("measure", ["stable_rank_of_null", "effective_rank_of_null", "intruder_excess"])
def test_a_null_from_before_its_form_was_recorded_counts_where_it_was_of_the_form(
    made: "Made", runs: list[PlannedRun], measure: str
) -> None:
    """It bore its update's source; of HRA it was a Gaussian matrix, ten times the rank of what eight reflections do."""
    said = matrices("null", NULL, source="gaussian_change")
    asked: list[PlannedRun] = []
    for run, method, null in (
        (runs[0], "lora", matrices("null", NULL)),
        (runs[1], "hra", matrices("null", NULL)),
        (runs[2], "hra", said),
        (runs[3], "hra", [*said[:1], *matrices("null", NULL)[1:]]),
    ):
        run.identity["cell"]["adapter"]["method"] = method
        asked.append(rehashed(run))
        made.run(asked[-1], 0.5, {"spectrum": [*matrices("update", UPDATE), *null]})
    indexed(made)
    expected = pytest.approx(EXPECTED[measure], rel=1e-15)
    assert [value(made, measure, run) for run in asked] == [expected, None, expected, None]
    silent = [asked[1].id, asked[3].id]
    assert silences(made.store, measure, silent) == dict.fromkeys(silent, "no null of the update's form")


def test_directions_that_cannot_be_told_leave_intruders_uncounted(made: "Made", runs: list[PlannedRun]) -> None:
    unsettled = {**UPDATE, "q_proj": {**UPDATE["q_proj"], "intruders_unsettled": 1}}
    made.run(runs[0], 0.5, {"spectrum": matrices("update", unsettled)})
    indexed(made)
    assert value(made, "intruder_count", runs[0]) is None
    assert value(made, "principal_overlap", runs[0]) == 0.375


@pytest.mark.parametrize("open_in", ["update", "null"])
def test_what_a_truncated_basis_leaves_open_is_in_no_excess(made: "Made", runs: list[PlannedRun], open_in: str) -> None:
    rows = [*matrices("update", UPDATE), *matrices("null", NULL)]
    unsettled = [{**row, "intruders_unsettled": int(row["target"] == open_in)} for row in rows]
    made.run(runs[0], 0.5, {"spectrum": rows})
    made.run(runs[1], 0.5, {"spectrum": unsettled})
    indexed(made)
    assert [value(made, "intruder_excess", run) for run in runs[:2]] == [0.5, None]


def test_a_base_is_the_mean_over_its_hidden_matrices_that_have_a_value(made: "Made", runs: list[PlannedRun]) -> None:
    hidden = ("stable_rank", "effective_rank", "participation_ratio", "alpha")
    of: dict[str, Row] = {
        "q_proj": dict(zip(hidden, (2.0, 30.0, 8.0, 3.5), strict=True)),
        "up_proj": dict(zip(hidden, (4.0, 50.0, 12.0, None), strict=True)),  # too few values for a tail
        "embed_tokens": dict(zip(hidden, (100.0, 100.0, 100.0, 9.0), strict=True)),
        "lm_head": dict(zip(hidden, (200.0, 200.0, 200.0, 9.0), strict=True)),
    }
    bench = made.bench()
    (qwen,) = bench.plan(bench.hypotheses(["live"]), ["qwen"]).bases
    made.base(qwen, kept={"spectrum": matrices("weights", of, step=0, source="weights")})
    made.run(runs[0], 0.5, {"spectrum": matrices("update", UPDATE)})
    indexed(made)
    expected = {"base_stable_rank": 3.0, "base_effective_rank": 40.0, "base_participation_ratio": 10.0}
    for measure, mean in {**expected, "base_alpha": 3.5}.items():
        assert base_responses(made.store, measure, [qwen.id, runs[0].base.id]) == {qwen.id: mean}, measure
        assert query(made.store, f'SELECT count(*) FROM "{measure}"')[1] == [(1,)]
    assert query(made.store, "SELECT DISTINCT run_id FROM stable_rank")[1] == [(runs[0].id,)]
    held = "SELECT kind, n_rows FROM ingested WHERE run_id = ? ORDER BY kind"
    assert query(made.store, held, [qwen.id])[1] == [("evaluation", 20), ("result", 1), ("spectrum", 4)]


@pytest.mark.parametrize(
    ("rewards", "at"),
    [
        ([0.2, 0.4, 0.6, 0.8, 1.0, 0.0], {1: 0.2, 2: 0.3, 4: 0.5, 5: 0.6, 6: 0.56}),
        ([0.5, None, 0.5, 0.5, 0.5, 0.5, 0.5], {1: 0.5, 2: None, 6: None, 7: 0.5}),  # 2 to 6 have no reward of 2
        ([None, None], {1: None, 2: None}),  # SFT
    ],
)
def test_the_reward_at_an_update_is_that_of_the_last_five(
    made: "Made", runs: list[PlannedRun], rewards: list[float | None], at: dict[int, float | None]
) -> None:
    steps = [{"step": i, "loss": 1.0, "reward": reward} for i, reward in enumerate(rewards, 1)]
    made.run(runs[0], 0.5, {"steps": steps}, updates=len(rewards))
    indexed(made)
    found = {step: value(made, f"reward_at@{step}", runs[0]) for step in at}
    assert found == {step: None if mean is None else pytest.approx(mean) for step, mean in at.items()}
    assert value(made, "reward_at", runs[0]) == found[len(rewards)]
    assert value(made, "reward_at@0", runs[0]) is None
