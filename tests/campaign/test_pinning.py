"""What a protocol leaves open is found out once, before anything that rests on it is registered or run."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from harness.campaign import pinning
from harness.campaign.bench import Bench
from harness.campaign.pilot import run_pilot
from harness.record.job import JobDirectory
from harness.record.layout import Store
from harness.source.dataset import Place, in_folder
from harness.source.items import PROVISIONAL
from harness.source.questions import Unpinned
from harness.source.rows import DataError
from harness.spec import DeclarationError
from harness.spec.shelf import find_shelf
from harness.spec.task import DataSet, DatasetTask

if TYPE_CHECKING:
    from tests.conftest import Made, Published, Scripted

COMMIT = "c" * 40
TASK = """task:
  name: dataset
  training: {format: gsm8k, split: train, SOURCE}
  evaluation: {format: math-500, split: test, folder: data/math}
  prompt: "{question}"
  verifier: math-verify
  split_seed: 5
  evaluation_problems: 500
  validation_problems: 500
  training_prompts: 160
"""
LOCAL = TASK.replace("SOURCE", "folder: data/gsm8k")


def later_version(_: object) -> str:
    return "0.10.0"


def no_version(_: object) -> None:
    return None


@pytest.fixture
def project(made: "Made", published: "type[Published]") -> "Made":
    """Return a project with both sets in folders, and a model of the Hub as its base."""
    published.gsm8k(made.root / "data" / "gsm8k", rows=700)
    published.math500(made.root / "data" / "math")
    made.in_text(LOCAL)
    return made


def bench(made: "Made") -> Bench:
    return Bench(find_shelf(made.root), made.store, "bench")


def runs(of: Bench) -> Any:
    return of.plan(of.hypotheses(["live"]), of.bases(()))


def test_before_it_is_pinned_a_plan_counts_and_nothing_is_registered_or_run(project: "Made") -> None:
    declared = bench(project)
    planned = runs(declared)
    assert len(planned.runs) == 12
    assert all(run.identity["evaluation_set"].startswith(PROVISIONAL) for run in planned.runs)
    assert declared.unpinned() == ("gsm8k in data/gsm8k", "math-500 in data/math")
    with pytest.raises(Unpinned, match="gsm8k in data/gsm8k, math-500 in data/math"):
        declared.register(declared.hypotheses(["live"]))
    with pytest.raises(Unpinned, match="harness register"):
        declared.execute(planned, lambda: pytest.fail("executed"), lambda _: None)
    assert not project.store.registrations.exists()


def test_pinning_makes_identities_final_and_forgets_the_folder(project: "Made") -> None:
    first = bench(project)
    assert first.pin() == []
    task = first.protocol.task
    assert isinstance(task, DatasetTask)
    assert (task.training.folder, task.unpinned(), task.verifier_version) == (None, (), "0.9.0")
    assert "data/gsm8k" not in json.dumps(runs(first).runs[0].identity)
    again = bench(project)  # without asking for it: the store knows
    assert [run.id for run in runs(again).runs] == [run.id for run in runs(first).runs]
    assert again.registration("live") is None
    assert again.register(again.hypotheses(["live"]))["live"].content["evaluation_set"]


def test_a_folder_that_has_gone_changes_nothing_and_one_that_changed_is_another_set(
    project: "Made", published: "type[Published]"
) -> None:
    first = bench(project)
    first.pin()
    ids = [run.id for run in runs(first).runs]
    (project.root / "data").rename(project.root / "moved")
    assert [run.id for run in runs(bench(project)).runs] == ids
    published.gsm8k(project.root / "data" / "gsm8k", rows=701)
    (project.root / "moved" / "math").rename(project.root / "data" / "math")
    assert bench(project).unpinned() == ("gsm8k in data/gsm8k",)
    changed = bench(project)
    changed.pin()
    assert {run.id for run in runs(changed).runs}.isdisjoint(ids)


def test_what_is_left_out_is_told(project: "Made", published: "type[Published]") -> None:
    rows = published.math500(project.root / "data" / "math", 600)
    shared = [{"question": row["problem"], "answer": "#### 1"} for row in rows[:3]]
    more = published.gsm8k(project.root / "data" / "gsm8k", rows=700)
    published.parquet(project.root / "data" / "gsm8k" / "main" / "train-00000-of-00001.parquet", [*more, *shared])
    assert bench(project).pin() == ["task: 3 training questions are in the evaluation set: left out"]


def test_a_correct_answer_that_cannot_be_read_names_its_row_and_may_be_left_out(
    project: "Made", published: "type[Published]"
) -> None:
    rows = published.math500(project.root / "data" / "math", 501)
    rows[17]["answer"] = "\\frac{1}{"
    published.lines(project.root / "data" / "math" / "test.jsonl", rows)
    project.in_text(LOCAL.replace("problems: 500", "problems: 501", 1))
    with pytest.raises(DataError) as refused:
        bench(project).pin()
    told = "math-500@rows: row 17: math-verify cannot read its answer '\\\\frac{1}{'. Mend it, or leave it out"
    assert str(refused.value).startswith(told.replace("math-500@rows", "HuggingFaceH4/MATH-500@rows"))
    project.in_text(LOCAL.replace("data/math}", "data/math, without: [17]}"))
    assert bench(project).pin() == []


def test_the_hub_is_asked_once_and_a_branch_that_moves_changes_nothing(
    project: "Made", monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []

    def on_hub(data_set: DataSet) -> Place:
        asked.append(f"{data_set.repository}@{data_set.revision}")
        local = data_set.model_copy(update={"revision": None, "folder": "data/gsm8k"})
        return Place(in_folder(local, project.root), COMMIT)

    monkeypatch.setattr(pinning, "on_hub", on_hub)
    project.in_text(TASK.replace("SOURCE", "revision: main"))
    assert bench(project).unpinned() == ("openai/gsm8k@main", "math-500 in data/math")
    first = bench(project)
    first.pin()
    assert isinstance(first.protocol.task, DatasetTask)
    assert first.protocol.task.training.revision == COMMIT
    assert runs(first).runs[0].identity["task"]["training"]["revision"] == COMMIT
    bench(project).pin()
    assert asked == ["openai/gsm8k@main"]
    rows = next(path for path in project.store.rows.iterdir() if str(first.protocol.task.training.sha256) in path.name)
    rows.unlink()
    bench(project).pin()  # rows that are gone are had again, at the commit that they were of
    assert asked == ["openai/gsm8k@main", f"openai/gsm8k@{COMMIT}"]
    project.in_text(TASK.replace("SOURCE", f"revision: {COMMIT}"))
    direct = bench(project)
    direct.pin()
    assert [run.id for run in runs(direct).runs] == [run.id for run in runs(first).runs]


def test_a_declared_hash_or_version_is_held_to(project: "Made") -> None:
    project.in_text(LOCAL.replace("data/gsm8k}", f"data/gsm8k, sha256: {'ab' * 32}}}"))
    with pytest.raises(DataError, match=rf"gsm8k in data/gsm8k: its rows have the hash .*, not {'ab' * 32}"):
        bench(project).pin()
    project.in_text(LOCAL.replace("verifier: math-verify", "verifier: math-verify\n  verifier_version: 0.8.0"))
    with pytest.raises(DataError, match=r"0\.9\.0 is installed, and runs of this task are scored by 0\.8\.0\. Install"):
        bench(project).pin()


def test_a_store_keeps_to_the_version_that_its_first_runs_were_scored_by(
    project: "Made", monkeypatch: pytest.MonkeyPatch
) -> None:
    first = bench(project)
    first.pin()
    ids = [run.id for run in runs(first).runs]
    monkeypatch.setattr(pinning, "installed", later_version)
    assert [run.id for run in runs(bench(project)).runs] == ids
    with pytest.raises(DeclarationError, match=r"0\.10\.0 is installed, and runs of this task are scored by 0\.9\.0"):
        bench(project).pin()


def test_without_the_verifier_a_plan_counts_and_pinning_tells_the_extra(
    project: "Made", monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pinning, "installed", no_version)
    assert "the version of math-verify" in bench(project).unpinned()
    with pytest.raises(
        DataError, match=r"math-verify is not installed\. Install it: pip install 'rlvr-harness\[math\]'"
    ):
        bench(project).pin()


def test_workers_find_the_rows_in_the_store_and_in_that_of_a_pilot(project: "Made") -> None:
    from harness.record.data import kept_rows

    bench(project).pin()
    store = project.store
    assert kept_rows(JobDirectory(store.runs / "r").path) == store.rows
    assert kept_rows(JobDirectory(store.pilot("bench").runs / "r").path) == store.rows
    assert kept_rows(Store(Path("elsewhere")).runs / "r") == Path("elsewhere/data/rows")


def test_a_pilot_asks_what_was_pinned(
    project: "Made", scripted: "type[Scripted]", monkeypatch: pytest.MonkeyPatch
) -> None:
    def nothing(*_: object) -> tuple[dict[str, Path], dict[str, str]]:
        return {}, {}

    def act(path: Path, _: int) -> None:
        identity = JobDirectory(path).spec()["identity"]
        base = identity["kind"] == "base"
        facts: dict[str, Any] = {"shape": {"architecture": "llama", "hidden_size": 16, "layers": 1}} if base else {}
        project.finish(path, 0.3 if base else 0.6 + identity["seed"] % 5 / 100, **facts)

    monkeypatch.setattr("harness.campaign.bench.fetched", nothing)  # the base's files, which no job here reads
    with pytest.raises(Unpinned):
        run_pilot(bench(project), lambda: pytest.fail("executed"), lambda _: None)
    pinned = bench(project)
    pinned.pin()
    assert run_pilot(pinned, lambda: scripted(act), lambda _: None).learning_rate == 1e-2
    asked = [JobDirectory(path).spec()["identity"]["task"] for path in project.store.pilot("bench").runs.iterdir()]
    task = pinned.protocol.task
    assert isinstance(task, DatasetTask)
    assert {one["training"]["sha256"] for one in asked} == {task.training.sha256}
    assert {(one["split_seed"], one["verifier_version"]) for one in asked} == {(6, "0.9.0")}
