"""Rows of published sets, in the columns and files that they have."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from harness.source.dataset import in_folder
from harness.source.rows import DataError, Row, kept, read_kept, read_rows
from harness.spec.task import DataSet

if TYPE_CHECKING:
    from tests.conftest import Published


def declared(**said: Any) -> DataSet:
    return DataSet.model_validate_json(json.dumps({"format": "gsm8k", "split": "train", "folder": "data", **said}))


TABLE = {"format": "table", "columns": {"question": "q", "answer": "a"}}


def rows(root: Path, **said: Any) -> list[Row | None]:
    data_set = declared(**said)
    return read_rows(data_set, in_folder(data_set, root))


def test_gsm8k_is_read_with_its_result_and_a_solution_without_annotations(
    tmp_path: Path, published: "type[Published]"
) -> None:
    published.gsm8k(tmp_path / "data", rows=500)
    found = rows(tmp_path)
    assert len(found) == 500
    assert found[0] == Row("Ann has 0 pears and buys 2.  How many has she?", "2", None, "She has 0+2 = 2.\n#### 2")
    assert found[499] is not None
    assert found[499].answer == "1,499"


def test_deepmath_is_read_over_its_files_with_difficulty(tmp_path: Path, published: "type[Published]") -> None:
    made = published.deepmath(tmp_path / "data", 40)
    found = rows(tmp_path, format="deepmath-103k")
    assert [row and row.question for row in found] == [row["question"] for row in made]
    assert found[26] == Row(made[26]["question"], "\\dfrac{26}{2}", 3.0, "")
    with_solutions = {"question": "question", "answer": "final_answer", "solution": "r1_solution_1"}
    taught = rows(tmp_path, format="deepmath-103k", columns=with_solutions)
    assert taught[3] is not None
    assert taught[3].solution == made[3]["r1_solution_1"]


def test_math_500_is_read_from_its_lines(tmp_path: Path, published: "type[Published]") -> None:
    made = published.math500(tmp_path / "data", 3)
    found = rows(tmp_path, format="math-500", split="test")
    assert found[1] == Row(made[1]["problem"], "\\frac{1}{3}", None, made[1]["solution"])


@pytest.mark.parametrize("suffix", ["parquet", "jsonl", "json", "lines.json"])
def test_a_table_is_the_same_in_every_format_and_has_the_same_hash(
    suffix: str, tmp_path: Path, published: "type[Published]"
) -> None:
    made = [{"q": "one  and one?", "a": 2, "z": None}, {"q": "\u2028 naïve ∑?", "a": 3, "z": 1}]
    file = tmp_path / "data" / f"train.{suffix.rpartition('.')[2]}"
    if suffix == "parquet":
        published.parquet(file, made)
    elif suffix == "json":
        file.parent.mkdir()
        file.write_text(json.dumps(made))
    else:
        published.lines(file, made)
    found = rows(tmp_path, **TABLE)
    assert found == [Row("one  and one?", "2", None, ""), Row("naïve ∑?", "3", None, "")]
    content, sha256 = kept(found)
    assert read_kept(content) == found
    assert sha256 == "ae9b00f5f4c46d4c2aba613bc0d0f58c164d4b4b6883ddaf133666be4cdbba7d"


def test_a_row_that_is_left_out_keeps_the_numbers_of_the_others(tmp_path: Path, published: "type[Published]") -> None:
    published.lines(tmp_path / "data" / "train.jsonl", [{"q": "x", "a": str(i)} for i in range(3)])
    found = rows(tmp_path, **TABLE, without=[1])
    assert [row and row.answer for row in found] == ["0", None, "2"]
    assert read_kept(kept(found)[0]) == found
    with pytest.raises(DataError, match=r"`without` names row 3, and there are 3\. Remove it\."):
        rows(tmp_path, **TABLE, without=[3])


@pytest.mark.parametrize(
    ("made", "message"),
    [
        ([{"q": "x", "b": "1"}], 'train.jsonl has no column "a". Columns there: "q", "b". Name one.'),
        ([{"q": "x", "a": "1"}, {"q": "x", "a": None}], "row 1: its answer is null, no text. Mend it, or leave it out"),
        ([{"q": " ", "a": "1"}], 'row 0: its question is " ", no text. Mend it, or leave it out: `without: [0]`.'),
        ([{"q": "x", "a": ["1"]}], 'row 0: its answer is ["1"], no text'),
        ([{"q": "x", "a": True}], "row 0: its answer is true, no text"),
        ([{"q": "x" * 50_001, "a": "1"}], "row 0: its question has 50001 characters, more than 50000"),
        ([7], "train.jsonl holds 7, no object of columns. Write objects."),
        ([], "it has no row. Check the files."),
    ],
)
def test_what_is_no_question_with_an_answer_is_refused_by_its_row(
    made: list[Any], message: str, tmp_path: Path, published: "type[Published]"
) -> None:
    published.lines(tmp_path / "data" / "train.jsonl", made)
    with pytest.raises(DataError) as refused:
        rows(tmp_path, **TABLE)
    assert str(refused.value).startswith("table in data: ")
    assert message in str(refused.value)


def test_a_gsm8k_answer_without_a_result_is_refused_unless_it_is_left_out(
    tmp_path: Path, published: "type[Published]"
) -> None:
    file = tmp_path / "data" / "train.jsonl"
    published.lines(file, [{"question": "x", "answer": "It is 3.\n#### 3"}, {"question": "y", "answer": "It is 3."}])
    with pytest.raises(DataError, match=r'row 1: its answer "It is 3\." has no #### before a result\. Mend it, or'):
        rows(tmp_path)
    assert rows(tmp_path, without=[1]) == [Row("x", "3", None, "It is 3.\n#### 3"), None]


def test_a_difficulty_is_a_finite_number(tmp_path: Path, published: "type[Published]") -> None:
    columns = {"question": "q", "answer": "a", "difficulty": "d"}
    published.lines(tmp_path / "data" / "train.jsonl", [{"q": "x", "a": "1", "d": "hard"}])
    with pytest.raises(DataError, match='row 0: its difficulty is "hard", no finite number'):
        rows(tmp_path, format="table", columns=columns)


@pytest.mark.parametrize(("name", "what"), [("train.parquet", "no Parquet file"), ("train.jsonl", "no JSON")])
def test_a_damaged_file_is_told_by_its_name(name: str, what: str, tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / name).write_bytes(b"PAR1 and more {")
    with pytest.raises(DataError, match=rf"table in data: {name} is {what} \(.+\)\. Download it again\."):
        rows(tmp_path, **TABLE)
