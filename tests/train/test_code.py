"""Code of the user's own in real runs: permitted by whoever starts the worker, checked, used, recorded."""

import hashlib
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from transformers import AutoTokenizer

from harness.record.job import JobDirectory
from harness.source import splits
from harness.spec import load_protocol
from harness.train.job import FAILED, OK
from harness.train.reward import OwnReward
from harness.train.tokenizer import character_tokenizer

POCKET = (Path(__file__).parents[1] / "pocket.yaml").read_text()
TASK = 'name: custom\n  code: mine:tripled\n  alphabet: "0123, .x"\n  longest_answer: 2\n'
MINE = """
from pathlib import Path
Path(__file__).with_name("ran").touch()
def tripled():
    texts = [f"{n:05b}".replace("1", "3").replace("0", "2") for n in range(32)]
    return [(f"{a} , {b}x", a[0] + b[0]) for a in texts for b in texts]
def near(completion, answer):
    assert isinstance(completion, str) and isinstance(answer, str)
    return 0.25
"""


@pytest.fixture
def root(tmp_path: Path) -> Path:
    project = tmp_path / "mine"
    project.mkdir()
    (project / "mine.py").write_text(MINE)
    return project


def lab(fresh: Any, root: Path, task: bool = False, reward: bool = False, text: str = POCKET) -> Any:
    """Return a laboratory whose protocol names code."""
    lines = text.splitlines(keepends=True)
    addition = "".join(line for line in lines if "name: addition" in line or "largest_operand" in line)
    text = text.replace(addition, f"  {TASK}") if task else text
    text = text.replace("lora_dropout: 0.0", "lora_dropout: 0.0\n  reward: mine:near") if reward else text
    (root / "p.yaml").write_text(text)
    return replace(fresh, protocol=load_protocol(root / "p.yaml", "p.yaml", root))


def base_job(own: Any, root: Path) -> JobDirectory:
    """Return the job of a base on the task; planning it has run the code, the job must not because of that."""
    planned = own.planned(own.cell()).base
    job = JobDirectory(own.root / "bases" / planned.id)
    job.create({"id": planned.id, "identity": planned.identity})
    (root / "ran").unlink()
    return job


def facts(job: JobDirectory) -> dict[str, Any]:
    return json.loads((job.result / "result.json").read_text())


def said(job: JobDirectory) -> str:
    end = job.last_exit()
    assert end is not None
    return end.message


def test_a_worker_without_permission_runs_no_task(fresh, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HARNESS_ALLOW_CODE", "1")  # for the command line, not for a worker
    own = lab(fresh, root, task=True)
    job = base_job(own, root)
    assert own.execute(job) == FAILED
    assert said(job) == (
        "NotPermitted: task mine:tripled is code of the user's own, and this worker may run none. "
        "Repeat the command with --allow-code."
    )
    assert not (root / "ran").exists()


def test_a_worker_without_permission_runs_no_reward(fresh, root: Path) -> None:
    own = lab(fresh, root, reward=True)
    own.base()  # which has no reward, and needs no permission
    job = own.job(own.planned(own.cell()))
    assert own.execute(job) == FAILED
    assert said(job).startswith("NotPermitted: reward mine:near is code of the user's own")
    assert not (root / "ran").exists()


def test_a_reward_that_changed_since_it_was_planned_is_not_run(fresh, root: Path) -> None:
    own = lab(fresh, root, reward=True)
    own.base()
    job = own.job(own.planned(own.cell()))
    (root / "mine.py").write_text(MINE.replace("0.25", "0.50"))
    assert own.execute(job, code_root=root) == FAILED
    assert "the file has changed. Plan again, or restore the file." in said(job)
    assert not (root / "ran").exists()


def test_a_task_of_another_file_than_the_planned_one_is_not_run(fresh, root: Path) -> None:
    own = lab(fresh, root, task=True)
    identity = base_job(own, root).spec()["identity"]
    job = JobDirectory(own.root / "bases" / "other")
    job.create({"id": "other", "identity": {**identity, "task": {**identity["task"], "sha256": "0" * 64}}})
    assert own.execute(job, code_root=root) == FAILED
    assert "the file has changed. Plan again, or restore the file." in said(job)
    assert not (root / "ran").exists()


def test_a_task_is_trained_and_scored_on_its_own_problems_and_letters(fresh, root: Path) -> None:
    own = lab(fresh, root, task=True)
    base = base_job(own, root)
    assert own.execute(base, code_root=root) == OK, said(base)
    tokenizer: Any = AutoTokenizer.from_pretrained(base.result)
    assert len(tokenizer) == 4 + len("0123, .x")
    for item in splits(own.protocol.task).training:  # text comes back as it went in, spaces before commas too
        assert tokenizer.decode(tokenizer(item.prompt, add_special_tokens=False)["input_ids"]) == item.prompt
    sha256 = hashlib.sha256(MINE.encode()).hexdigest()
    assert facts(base)["code"] == {"mine:tripled": sha256}
    for algorithm in ("grpo", "sft"):
        job = own.job(own.planned(own.cell(algorithm=algorithm)))
        assert own.execute(job, code_root=root) == OK, said(job)
        assert facts(job)["code"] == {"mine:tripled": sha256}
        assert facts(job)["updates"] == 3


def test_grpo_trains_towards_the_reward_and_nothing_else_changes(fresh, shared, root: Path) -> None:
    own = lab(fresh, root, reward=True)
    assert facts(own.base())["base_weights"] == facts(shared.base())["base_weights"]
    job = own.job(own.planned(own.cell()))
    assert own.execute(job, code_root=root) == OK, said(job)
    rows = pq.read_table(job.result / "steps.parquet").to_pylist()
    assert [row["reward"] for row in rows] == [0.25] * 3
    assert facts(job)["accuracy"] < 0.25  # scored by exact match
    assert facts(job)["final_update_norm"] == 0.0  # equal rewards teach nothing
    assert facts(job)["code"] == {"mine:near": hashlib.sha256(MINE.encode()).hexdigest()}
    assert "code" not in facts(shared.run(shared.cell()))


def test_sft_asks_no_reward(fresh, root: Path) -> None:
    own = lab(fresh, root, reward=True)
    own.base()
    job = own.job(own.planned(own.cell(algorithm="sft")))
    assert own.execute(job) == OK, said(job)
    assert not (root / "ran").exists()


TOKENIZER: Any = character_tokenizer()


def own_reward(function: Any) -> OwnReward:
    return OwnReward(TOKENIZER, "mine:near", function)


def ids(*tokens: str) -> list[int]:
    return [TOKENIZER.convert_tokens_to_ids(token) for token in tokens]


@pytest.mark.parametrize(
    ("completion", "text"),
    [
        (ids("4", "2", "<eos>"), "42"),
        (ids("4", "2", "<eos>", "7", "<eos>", "<pad>"), "42"),
        (ids("4", "2"), "42"),
        (ids(" ", "4", " ", "<eos>"), " 4 "),
        (ids("4", "<bos>", "2", "<eos>"), "4<bos>2"),
        (ids("<eos>", "4"), ""),
        ([], ""),
    ],
)
def test_a_reward_sees_what_comes_before_the_end(completion: list[int], text: str) -> None:
    seen: list[tuple[str, str]] = []

    def near(completion: str, answer: str) -> float:
        seen.append((completion, answer))
        return len(seen)

    assert own_reward(near)([completion, completion], ["1", "2"]) == [1.0, 2.0]
    assert seen == [(text, "1"), (text, "2")]


def test_the_exact_match_can_be_written_as_a_reward() -> None:
    exact = own_reward(lambda completion, answer: completion == answer)
    assert exact([ids("4", "2", "<eos>"), ids("4", "<eos>")], ["42", "42"]) == [1.0, 0.0]


@pytest.mark.parametrize("value", [None, "1", float("nan"), float("inf"), [1.0]])
def test_a_reward_that_is_no_finite_number_is_told_with_its_completion(value: Any) -> None:
    with pytest.raises(ValueError) as caught:
        own_reward(lambda *_: value)([ids("4", "<eos>")], ["42"])
    assert f'mine:near returned {value!r} for completion "4" and answer "42": a reward is a finite' in str(caught.value)
