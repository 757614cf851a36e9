"""How questions of published sets are cut: disjoint, in one order everywhere, and never from an unpinned set."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from harness.source import evaluation_hash, splits, trainable
from harness.source.dataset import in_folder
from harness.source.items import PROVISIONAL
from harness.source.questions import Removed, Unpinned, text_splits
from harness.source.rows import DataError, kept, read_rows, rows_file
from harness.spec import read_task
from harness.spec.task import DataSet, DatasetTask, ReasoningTask

if TYPE_CHECKING:
    from tests.conftest import Published

GSM8K = {"format": "gsm8k", "split": "train"}
PROMPT = "{question}\nPut the answer in a box."
VERSION = "0.9.0"


def pinned(root: Path, said: dict[str, Any]) -> dict[str, Any]:
    """Keep the rows of the set in the folder of its format, and return it with their hash."""
    there = DataSet.model_validate_json(json.dumps({**said, "folder": said["format"]}))
    content, sha256 = kept(read_rows(there, in_folder(there, root)))
    rows_file(root, sha256).write_bytes(content)
    return {**said, "sha256": sha256}


def task(root: Path, training: dict[str, Any], evaluation: dict[str, Any] | None = None, **said: Any) -> DatasetTask:
    declared: dict[str, Any] = {
        **{"name": "dataset", "training": pinned(root, training), "prompt": PROMPT, "split_seed": 5},
        **{"evaluation_problems": 500, "validation_problems": 500, "training_prompts": 60},
        **{"verifier": "math-verify", "verifier_version": VERSION},
    }
    if evaluation is not None:
        declared["evaluation"] = pinned(root, evaluation)
    read = read_task({**declared, **said})
    assert isinstance(read, DatasetTask)
    return read.at(root)


def test_one_set_is_cut_into_disjoint_parts_in_an_order_of_the_split_seed(
    tmp_path: Path, published: "type[Published]"
) -> None:
    made = published.gsm8k(tmp_path / "gsm8k")
    declared = task(tmp_path, GSM8K)
    parts = splits(declared)
    assert [len(p) for p in (parts.evaluation, parts.validation, parts.training)] == [500, 500, 60]
    every = [*parts.evaluation, *parts.validation, *parts.pretraining]
    assert {item.prompt for item in every} == {PROMPT.replace("{question}", row["question"]) for row in made}
    assert len(every) == 1100
    assert trainable(declared) == 100
    one = parts.training[0]
    assert (one.prompt, one.answer) == (PROMPT.replace("{question}", made[one.row]["question"]), f"{3 * one.row + 2:,}")
    assert one.solution.endswith(f"#### {one.answer}")
    assert splits(declared.model_copy(update={"training_prompts": 100})).evaluation == parts.evaluation
    assert splits(declared.model_copy(update={"split_seed": 6})).evaluation != parts.evaluation


def test_a_question_of_the_evaluation_set_is_taken_out_of_training_however_it_is_spaced(
    tmp_path: Path, published: "type[Published]"
) -> None:
    made = published.gsm8k(tmp_path / "gsm8k", rows=900)
    tests = [{**row, "question": row["question"].replace(" ", "\n ")} for row in made[:7]]
    tests += published.gsm8k(tmp_path / "gsm8k", split="test", rows=600, start=5000)
    published.parquet(tmp_path / "gsm8k" / "main" / "test-00000-of-00001.parquet", [*tests, tests[-1]])
    declared = task(tmp_path, GSM8K, {"format": "gsm8k", "split": "test"})
    parts, removed = text_splits(declared)
    assert removed == Removed(repeated=1, overlap=7)
    assert removed.told() == "7 training questions are in the evaluation set, 1 questions occur twice: left out"
    assert len(parts.pretraining) == 900 - 7 - 500
    overlapping = {f"{3 * i + 2:,}" for i in range(7)}
    assert overlapping.isdisjoint(item.answer for item in (*parts.pretraining, *parts.validation))
    assert {item.answer for item in parts.evaluation} - {f"{3 * (5000 + i) + 2:,}" for i in range(600)} <= overlapping


def test_validation_comes_from_the_set_that_is_named(tmp_path: Path, published: "type[Published]") -> None:
    published.gsm8k(tmp_path / "gsm8k", rows=600)
    published.gsm8k(tmp_path / "gsm8k", split="test", rows=1000, start=5000)
    test = {"format": "gsm8k", "split": "test"}
    own = splits(task(tmp_path, GSM8K, test))
    shared = splits(task(tmp_path, GSM8K, test, validation_from="evaluation"))
    assert shared.evaluation == own.evaluation
    assert all(item.row < 600 and "5,000" not in item.answer for item in own.validation)
    assert {item.answer for item in shared.validation} == {f"{3 * (5000 + i) + 2:,}" for i in range(1000)} - {
        item.answer for item in shared.evaluation
    }
    assert (len(own.pretraining), len(shared.pretraining)) == (100, 600)


def test_a_hard_evaluation_set_is_a_range_of_difficulty(tmp_path: Path, published: "type[Published]") -> None:
    made = published.deepmath(tmp_path / "deepmath-103k", 2600)
    easy = {"format": "deepmath-103k", "split": "train", "difficulty": {"below": 7.0}}
    hard = {"format": "deepmath-103k", "split": "train", "difficulty": {"at_least": 7.0}}
    parts = splits(task(tmp_path, easy, hard))
    assert {made[item.row]["difficulty"] >= 7 for item in parts.evaluation} == {True}
    assert {made[item.row]["difficulty"] < 7 for item in (*parts.validation, *parts.pretraining)} == {True}
    assert parts.training[0].solution == f"\\boxed{{{parts.training[0].answer}}}"


@pytest.mark.parametrize(
    ("said", "message"),
    [
        ({"training_prompts": 101}, "gsm8k@rows: 100 training questions where 101 are needed. Ask for fewer"),
        ({"validation_problems": 1050}, "0 training questions where 60 are needed"),
    ],
)
def test_too_few_questions_are_told_with_their_number(
    said: dict[str, Any], message: str, tmp_path: Path, published: "type[Published]"
) -> None:
    published.gsm8k(tmp_path / "gsm8k")
    with pytest.raises(DataError, match=message.replace(".", r"\.")):
        splits(task(tmp_path, GSM8K, **said))


def test_a_table_is_evaluated_on_500_questions_where_it_has_them(tmp_path: Path, published: "type[Published]") -> None:
    published.gsm8k(tmp_path / "gsm8k", rows=600)
    table = {"format": "table", "split": "test", "columns": {"question": "q", "answer": "a"}}
    for rows, fits in ((30, True), (499, True), (500, False)):
        published.lines(tmp_path / "table" / "test.jsonl", [{"q": f"{i} more?", "a": i} for i in range(rows)])
        declared = task(tmp_path, GSM8K, table, evaluation_problems=30)
        if fits:
            assert len(splits(declared).evaluation) == 30
        else:
            with pytest.raises(DataError, match="30 evaluation problems of a set that has 500: too few for a verdict"):
                splits(declared)


def test_rows_that_are_absent_or_damaged_are_never_used(tmp_path: Path, published: "type[Published]") -> None:
    published.gsm8k(tmp_path / "gsm8k")
    declared = task(tmp_path, GSM8K)
    with pytest.raises(Unpinned, match=r"rows of openai/gsm8k@rows are not in this store\. `harness register`"):
        splits(declared.at(tmp_path / "elsewhere"))
    assert trainable(declared.at(tmp_path / "elsewhere")) is None
    assert declared.training.sha256 is not None
    file = rows_file(tmp_path, declared.training.sha256)
    file.write_bytes(file.read_bytes().replace(b"pears", b"plums"))
    with pytest.raises(DataError, match="damaged, not the rows of its name"):
        splits(declared)


def test_what_is_evaluated_on_is_known_by_hash_without_the_rows(tmp_path: Path, published: "type[Published]") -> None:
    published.gsm8k(tmp_path / "gsm8k")
    published.gsm8k(tmp_path / "gsm8k", split="test", rows=500, start=5000)
    declared = task(tmp_path, GSM8K, {"format": "gsm8k", "split": "test"})
    found = evaluation_hash(declared)
    assert len(found) == 64
    assert evaluation_hash(declared.at(tmp_path / "elsewhere")) == found
    unpinned = DataSet.model_validate_json('{"format": "gsm8k", "split": "train", "revision": "v"}')
    assert evaluation_hash(declared.model_copy(update={"training_prompts": 7})) == found
    assert evaluation_hash(declared.model_copy(update={"prompt": "{question}"})) != found
    assert evaluation_hash(declared.model_copy(update={"split_seed": 6})) != found
    unknown = evaluation_hash(declared.model_copy(update={"training": unpinned}))
    assert unknown == PROVISIONAL + found


def test_an_unpinned_task_has_no_problems(tmp_path: Path, published: "type[Published]") -> None:
    published.gsm8k(tmp_path / "gsm8k")
    said = task(tmp_path, GSM8K).model_dump(mode="json")
    said["training"] = {**GSM8K, "revision": "main"}
    said.pop("verifier_version")
    declared = read_task(said)
    assert isinstance(declared, DatasetTask)
    assert declared.unpinned() == ("openai/gsm8k@main", "the version of math-verify")
    with pytest.raises(Unpinned, match=r"not known yet: openai/gsm8k@main, the version of math-verify\. `harness reg"):
        splits(declared)


def test_reasoning_gym_is_cut_from_one_set_without_repeats() -> None:
    said = {
        **{"name": "reasoning-gym", "dataset": "chain_sum", "seed": 3, "size": 1500, "prompt": PROMPT},
        "config": {"max_terms": 2, "max_digits": 3},
        **{"evaluation_problems": 500, "validation_problems": 500, "training_prompts": 60, "split_seed": 5},
    }
    declared = read_task({**said, "verifier_version": "0.1.25"})
    assert isinstance(declared, ReasoningTask)
    parts, removed = text_splits(declared)
    every = [*parts.evaluation, *parts.validation, *parts.pretraining]
    assert len({item.prompt for item in every}) == len(every) == 1500 - removed.repeated
    assert removed.repeated > 0  # a third of the draws are of some 200 sums of one digit
    assert every[0].solution == f"<answer>{every[0].answer}</answer>"  # where its scorer looks
    for item in every[:50]:
        expression = item.prompt.split(": ")[1].split(" =")[0]
        assert item.answer == str(eval(expression))
    assert splits(declared) == parts


@pytest.mark.parametrize(
    ("said", "message"),
    [
        ({"dataset": "chain_sums"}, "has no set 'chain_sums'. It has chain_sum, "),
        ({"config": {"max_term": 2}}, "reasoning-gym's chain_sum refuses it: "),
        ({"config": {"min_terms": 9}}, "refuses it: max_terms must be >= min_terms. Mend it."),
        ({"verifier_version": "0.0.1"}, "0.1.25 is installed, and the task is identified by 0.0.1. Install that."),
        ({"config": {"max_terms": 2, "max_digits": 1}}, "training questions where 60 are needed. Raise task.size."),
    ],
)
def test_a_reasoning_task_that_cannot_be_made_is_told(said: dict[str, Any], message: str) -> None:
    declared = read_task(
        {
            **{"name": "reasoning-gym", "dataset": "chain_sum", "seed": 3, "size": 1200, "prompt": PROMPT},
            **{"evaluation_problems": 500, "validation_problems": 500, "training_prompts": 60, "split_seed": 5},
            **{"verifier_version": "0.1.25", **said},
        }
    )
    with pytest.raises(DataError) as refused:
        splits(declared)
    assert message in str(refused.value)
