"""What a run keeps of its spectra: real runs through TRL of every method, and looking that changes nothing."""

import json
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow.parquet as pq
import pytest
import torch

from harness.record.job import JobDirectory
from harness.record.layout import Store
from harness.spec import Cell, Protocol
from harness.spec.adapter import Full
from harness.store import query, refresh, responses, silences
from harness.train.spectra import base_rows, update_rows
from harness.train.updates import start, updates
from tests.train.conftest import Laboratory
from tests.train.test_updates import DECLARED, folder, names, policy_of, spec, stirred

if TYPE_CHECKING:
    from tests.conftest import Made

__all__ = ["folder"]  # a fixture

SPECTRAL = Path(__file__).parents[2] / "analysis"


def rows(job: JobDirectory) -> list[dict[str, Any]]:
    return pq.read_table(job.verified("spectrum.parquet")).to_pylist()


def facts(job: JobDirectory) -> dict[str, Any]:
    return json.loads(job.verified("result.json").read_text())


@pytest.mark.parametrize("declared", DECLARED, ids=names)
def test_every_method_trains_from_the_base_and_keeps_its_spectra(declared: dict[str, Any], shared: Laboratory) -> None:
    cell = Cell(algorithm="sft", adapter=spec(declared))
    job = shared.run(cell)
    said, kept = facts(job), rows(job)
    assert said["update_norm_at_start"] < 1e-6 < said["first_update_norm"]
    assert said["final_update_norm"] > 0
    assert said["base_weights"] == said["base_weights_after"]
    assert (said["base_weights"] is None) == isinstance(cell.adapter, Full)
    assert 0 < said["adapter"]["trainable_share"] <= 1
    # three updates of two prompts; spectra after the first and the last, each with its null, of seven matrices
    assert {(row["step"], row["target"]) for row in kept} == {(s, t) for s in (1, 3) for t in ("update", "null")}
    assert len(kept) == 2 * 2 * 7
    last = [row for row in kept if row["step"] == 3]
    for own, null in zip(last[::2], last[1::2], strict=True):
        assert (own["module"], own["target"], null["target"]) == (null["module"], "update", "null")
        assert null["frobenius"] == pytest.approx(own["frobenius"], rel=1e-6)
        assert 0 <= own["intruders"] <= 10
        for placed in (own, null):
            least, usual, most = placed["intruder_sweep"]
            assert usual == placed["intruders"]
            assert 0 <= least <= usual <= most <= 10
            assert len(placed["intruders_borderline"]) == 3
            assert placed["intruders_unsettled"] == 0  # of a whole basis
        assert own["overlap"] is None or 0 <= own["overlap"] <= 1
        assert own["kernel"]
        assert own["bound"] <= 1e-2
        assert own["floor"] < 1
    total = sum(row["frobenius"] ** 2 for row in last if row["target"] == "update") ** 0.5
    beside = isinstance(cell.adapter, Full) or bool(declared.get("unfreeze_norms"))  # trained besides the matrices
    assert beside or said["final_update_norm"] == pytest.approx(total, rel=1e-12)
    assert not beside or said["final_update_norm"] > 1.005 * total
    assert said["adapter"]["adapted_matrices"] == 7


def test_looking_changes_nothing(shared: Laboratory) -> None:
    cell = Cell(algorithm="sft", adapter=spec({"method": "dora", "rank": 3}))
    looking = replace(shared, protocol=shared.protocol.model_copy(update={"spectra_at": (2,)}))
    plain, seen = shared.run(cell), looking.run(cell)
    assert plain.id != seen.id  # what a run keeps belongs to what it is
    assert {row["step"] for row in rows(seen)} == {1, 2, 3}
    weights = "adapter_model.safetensors"
    assert plain.verified(weights).read_bytes() == seen.verified(weights).read_bytes()
    assert rows(plain) == [row for row in rows(seen) if row["step"] != 2]


def test_a_base_keeps_the_spectra_of_its_frozen_weights(shared: Laboratory) -> None:
    kept = rows(shared.base())
    assert {row["target"] for row in kept} == {"weights"}
    assert {row["kind"] for row in kept} >= {"q_proj", "down_proj", "embed_tokens", "lm_head"}
    assert all(row["complete"] and row["source"] == "weights" for row in kept)
    assert all(len(row["singular_values"]) == min(row["rows"], row["columns"]) for row in kept)
    assert (shared.base().result / "basis.safetensors").is_file()


def test_an_update_read_from_bfloat16_weights_is_flagged_and_enters_no_measure(fresh: Laboratory) -> None:
    recipe = fresh.protocol.recipe.model_copy(update={"dtype": "bfloat16"})
    rough = replace(fresh, protocol=fresh.protocol.model_copy(update={"recipe": recipe}))
    full = Cell(algorithm="sft", adapter=Full(method="full"))
    exact, rounded = fresh.run(full), rough.run(full)
    lora = rough.run(Cell(algorithm="sft", adapter=spec({"method": "lora", "rank": 3})))
    dora = rough.run(Cell(algorithm="sft", adapter=spec({"method": "dora", "rank": 3})))
    sources = [{(row["target"], row["source"]) for row in rows(job)} for job in (exact, rounded, lora, dora)]
    assert sources[0] == {("update", "fp32_difference"), ("null", "gaussian_matrix")}
    assert sources[1] == {("update", "low_precision_difference")}  # and no null, which nothing random is
    assert sources[2] == {("update", "factors"), ("null", "gaussian_factors")}  # which a rounded base leaves alone
    assert sources[3] == sources[1]  # its magnitudes began as rounded norms of rows
    assert {row["dtype"] for job in (rounded, dora) for row in rows(job)} == {"bfloat16"}
    store = Store(fresh.root)
    refresh(store, sorted(SPECTRAL.glob("*.sql")))
    ids = [exact.id, rounded.id, lora.id, dora.id]
    for measure in ("stable_rank", "effective_rank@1", "update_norm", "principal_overlap"):
        assert responses(store, measure, ids).keys() == {exact.id, lora.id}, measure


ADAPTED = {"update_norm", "relative_update_norm", "intruder_count"}
"""Measures to which a matrix without an update contributes: a norm of zero, no intruder."""


def pruned(policy: Any, modules: tuple[str, ...]) -> Any:
    """Take every direction of AdaLoRA from some matrices, as its pruning does: their diagonal becomes zero."""
    with torch.no_grad():
        for name, parameter in policy.named_parameters():
            if "lora_E" in name and any(module in name for module in modules):
                parameter.zero_()
    return policy


def test_a_matrix_that_is_pruned_away_leaves_the_others_their_mean(
    made: "Made", folder: Path, pocket: Protocol
) -> None:
    """Real rows: of seven matrices, of five of them that are left, and of none."""
    base_rows(folder)
    adapter = spec({"method": "adalora", "rank": 2, "initial_rank": 4})
    bench = made.bench()
    runs = bench.plan(bench.hypotheses(["live"]), ["llama"])
    made.base(runs.bases[0])
    gone = ((), ("q_proj", "up_proj"), ("proj",))
    kept: list[list[dict[str, Any]]] = []
    for run, modules in zip(runs.runs, gone, strict=False):
        policy = policy_of(adapter, folder, pocket)
        since = start(policy, adapter, folder)
        found = updates(pruned(stirred(policy), modules), adapter, since)
        kept.append(update_rows(found, 20, 7, folder, placed=True))
        made.run(run, 0.5, {"spectrum": kept[-1]})
    refresh(made.store, sorted(SPECTRAL.glob("*.sql")))
    ids = [run.id for run in runs.runs[: len(gone)]]
    left = {row["module"]: row for row in kept[1] if row["target"] == "update" and row["frobenius"]}
    assert len(left) == 5
    assert {row["effective_rank"] for row in kept[1] if not row["frobenius"]} == {None}
    _, counts = query(made.store, "SELECT run_id, n_matrices FROM effective_rank ORDER BY n_matrices DESC")
    assert counts == [(ids[0], 7), (ids[1], 5)]
    mean = sum(row["effective_rank"] for row in left.values()) / 5
    assert responses(made.store, "effective_rank", ids)[ids[1]].value == pytest.approx(mean, rel=1e-15)
    spectral = {path.stem for path in SPECTRAL.glob("*.sql") if "target = 'update'" in path.read_text()}
    assert len(spectral) == 15
    for measure in spectral:
        assert responses(made.store, measure, ids).keys() == set(ids if measure in ADAPTED else ids[:2]), measure
    assert [responses(made.store, name, ids)[ids[2]].value for name in sorted(ADAPTED)] == [0.0, 0.0, 0.0]
    none = "no matrix was updated: every dW is exactly zero"
    assert silences(made.store, "effective_rank", ids[2:]) == {ids[2]: none}
