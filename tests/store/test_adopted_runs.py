"""Adopted runs in the index: found by queries, in tables of their own, made again, and in no verdict."""

import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from harness.record.adopted import parquet_rows
from harness.record.adopted_runs import AdoptedRun, adopt_run
from harness.record.atomic import IntegrityError
from harness.record.layout import Store
from harness.record.shards import SPECTRUM
from harness.record.trl_facts import known
from harness.record.trl_folder import output
from harness.store import query, rebuild, refresh

if TYPE_CHECKING:
    from tests.conftest import Made

pytestmark = pytest.mark.slow
SPECTRA = [
    {"step": 4, "target": "update", "module": "q_proj", "stable_rank": 1.5, "singular_values": [2.0, 1.0]},
    {"step": 4, "target": "update", "module": "v_proj", "stable_rank": 1.25, "singular_values": [1.0]},
]


def adopt(store: Store, folder: Path, name: str = "theirs") -> AdoptedRun:
    found = output(folder)
    return adopt_run(store, name, (folder.name, None), found, known(found), SPECTRA)


def rows(store: Store, sql: str) -> list[tuple[Any, ...]]:
    return query(store, sql)[1]


def test_steps_spectra_and_facts_are_found(made: "Made", trl_output: Path) -> None:
    refresh(made.store, [])
    run = adopt(made.store, trl_output / "grpo")
    refresh(made.store, [])
    assert rows(made.store, "SELECT run_id, algorithm, method, rank, updates, accuracy_stated FROM adopted_run") == [
        ("theirs", None, "lora", 4, 3, None)
    ]
    steps = parquet_rows(run.path / "steps.parquet")
    assert rows(made.store, "SELECT step, loss, reward, completion_length FROM adopted_step ORDER BY step") == [
        (row["step"], row["loss"], row["reward"], row["completion_length"]) for row in steps
    ]
    found = rows(made.store, "SELECT step, value FROM adopted_log WHERE name = 'rewards/shortest/mean' ORDER BY step")
    assert found == [(row["step"], row["reward"]) for row in steps]
    assert rows(made.store, "SELECT module, singular_values FROM adopted_spectrum ORDER BY module") == [
        ("q_proj", [2.0, 1.0]),
        ("v_proj", [1.0]),
    ]
    columns = {name for (name,) in rows(made.store, "SELECT column_name FROM (DESCRIBE adopted_spectrum)")}
    assert columns == {"run_id", *SPECTRUM}
    both = "SELECT count(*) FROM (SELECT * FROM step UNION ALL BY NAME SELECT * FROM adopted_step)"
    assert rows(made.store, both) == [(3,)]


def test_they_survive_a_rebuild_and_leave_with_their_record(made: "Made", trl_output: Path) -> None:
    run, other = adopt(made.store, trl_output / "grpo"), adopt(made.store, trl_output / "sft", "other")
    rebuild(made.store, [])
    assert rows(made.store, "SELECT run_id FROM adopted_run ORDER BY 1") == [("other",), ("theirs",)]
    before = rows(made.store, "SELECT * FROM adopted_step ORDER BY ALL")
    refresh(made.store, [])
    assert rows(made.store, "SELECT * FROM adopted_step ORDER BY ALL") == before
    shutil.rmtree(run.path)
    refresh(made.store, [])
    assert rows(made.store, "SELECT DISTINCT run_id FROM adopted_step") == [("other",)]
    shutil.rmtree(other.path)
    adopt(made.store, trl_output / "full", "other")  # another run under a name that the index knows
    refresh(made.store, [])
    assert rows(made.store, "SELECT run_id, method FROM adopted_run") == [("other", "full")]


def test_damage_is_named_and_keeps_no_other_out(made: "Made", trl_output: Path) -> None:
    run = adopt(made.store, trl_output / "sft")
    shutil.copyfile(run.path / "spectrum.parquet", run.path / "steps.parquet")
    with pytest.raises(IntegrityError, match=r"steps\.parquet: not what was adopted"):
        refresh(made.store, [])
    sound = adopt(made.store, trl_output / "full", "sound")
    damage: dict[str, str] = {}
    rebuild(made.store, [], damage.__setitem__)
    assert list(damage) == [run.id]
    assert "steps.parquet: not what was adopted" in damage[run.id]
    assert rows(made.store, "SELECT run_id FROM adopted_run") == [(sound.id,)]  # the others are there
    (run.path / "steps.parquet").unlink()
    with pytest.raises(IntegrityError, match=r"steps\.parquet: not what was adopted"):
        rebuild(made.store, [])


def test_no_table_of_our_own_runs_holds_them(made: "Made", trl_output: Path) -> None:
    made.results(lambda _: 0.5)
    adopt(made.store, trl_output / "sft")
    refresh(made.store, [])
    for table in ("run", "step", "spectrum", "evaluation", "ingested", "attempt"):
        assert rows(made.store, f"SELECT count(*) FROM {table} WHERE run_id = 'theirs'") == [(0,)], table
