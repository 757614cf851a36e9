"""Problems of a task of the user's own: cut like those of addition, and refused with the first that is wrong."""

from pathlib import Path
from typing import Any

import pytest

from harness.source import items_hash, splits
from harness.spec import Addition, CustomTask, DeclarationError

HELD_OUT = {"evaluation_problems": 500, "validation_problems": 500, "training_prompts": 6, "split_seed": 20260423}
SUMS = "def sums():\n    return [(f'{a}+{b}', str(a + b)) for a in range(32) for b in range(32)]\n"
GOOD = "[(f'{a}*{b}=', str(a * b)) for a in range(32) for b in range(32)]"


def custom(root: Path | None, **more: Any) -> CustomTask:
    said = {"name": "custom", "code": "tasks:sums", "alphabet": "0123456789+", "longest_answer": 3, **HELD_OUT, **more}
    task = CustomTask.model_validate(said)
    return task.permitted(root) if root else task


def products(tmp_path: Path, returned: str) -> CustomTask:
    (tmp_path / "tasks.py").write_text(f"GOOD = {GOOD}\ndef products():\n    return {returned}\n")
    return custom(tmp_path, code="tasks:products", alphabet="0123456789*=<>pad")


def refused(task: CustomTask) -> list[str]:
    with pytest.raises(DeclarationError) as caught:
        splits(task)
    return caught.value.lines


def test_the_same_problems_are_cut_as_addition_is(tmp_path: Path) -> None:
    (tmp_path / "tasks.py").write_text(SUMS)
    ours = splits(custom(tmp_path))
    theirs = splits(Addition.model_validate({"name": "addition", "largest_operand": 31, **HELD_OUT}))
    for part in ("evaluation", "validation", "training", "pretraining"):  # addition's order is that of `a+b`
        expected = [(item.prompt.removesuffix("="), item.answer) for item in getattr(theirs, part)]
        assert [(item.prompt, item.answer) for item in getattr(ours, part)] == expected
    assert (len(ours.evaluation), len(ours.pretraining)) == (500, 24)


def test_the_order_in_which_problems_are_returned_does_not_count(tmp_path: Path) -> None:
    (tmp_path / "tasks.py").write_text(SUMS)
    before = splits(custom(tmp_path))
    (tmp_path / "tasks.py").write_text(SUMS.replace("range(32)]", "reversed(range(32))]"))
    assert splits(custom(tmp_path)) == before
    assert splits(custom(tmp_path, split_seed=1)).evaluation != before.evaluation


def test_a_changed_file_gives_other_problems_to_who_asks_anew_and_none_to_who_does_not(tmp_path: Path) -> None:
    (tmp_path / "tasks.py").write_text(SUMS)
    task = custom(tmp_path)
    (tmp_path / "tasks.py").write_text(SUMS.replace("a + b)", "b - a + 40)"))
    (said,) = refused(task)
    assert "is not the hash" in said
    (tmp_path / "tasks.py").write_text(SUMS)
    before = items_hash(splits(task).evaluation)
    (tmp_path / "tasks.py").write_text(SUMS.replace("a + b)", "b - a + 40)"))
    assert items_hash(splits(custom(tmp_path)).evaluation) != before


def test_without_permission_nothing_is_run(tmp_path: Path) -> None:
    (tmp_path / "tasks.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w').close()\n{SUMS}")
    assert refused(custom(None)) == [
        'task.code: "tasks:sums" is code, which runs only with permission. Read it, then repeat with --allow-code.'
    ]
    read_back = CustomTask.model_validate_json(custom(tmp_path).model_dump_json())
    refused(read_back)
    assert not (tmp_path / "ran").exists()
    splits(read_back.permitted(tmp_path))
    assert (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    ("returned", "says"),
    [
        ("None", "returned NoneType, no list of problems. Return a list of (prompt, answer)."),
        ("(pair for pair in GOOD)", "returned generator, no list of problems."),
        ("[*GOOD, '1*2=']", "problem 1024 is '1*2=', no (prompt, answer) of two texts, neither empty. Mend it."),
        ("[*GOOD, ('1*2=', 2)]", "problem 1024 is ('1*2=', 2), no (prompt, answer)"),
        ("[*GOOD, ('1*2=',)]", "problem 1024 is ('1*2=',), no (prompt, answer)"),
        ("[*GOOD, ('', '2')]", "problem 1024 is ('', '2'), no (prompt, answer)"),
        ("[*GOOD, ('1*2=', '')]", "problem 1024 is ('1*2=', ''), no (prompt, answer)"),
        ("[*GOOD, None]", "problem 1024 is None, no (prompt, answer)"),
        ("[*GOOD, ('1x2=', '2')]", 'problem 1024, ["1x2=", "2"], has "x". Add it to task.alphabet, or leave it out.'),
        ("[*GOOD, ('<pad>=', '2')]", "spells one of <pad>, <bos>, <eos>, <unk>. Write it otherwise."),
        ("[*GOOD, ('<pa', 'd>')]", "spells one of <pad>, <bos>, <eos>, <unk>. Write it otherwise."),
        ("[*GOOD, ('9*9999=', '89991')]", "has an answer of 5 characters, more than task.longest_answer 3."),
        ("[*GOOD, ('1' * 60 + '=', '22')]", "has 63 characters; 62 fit. Shorten it."),
        ("[*GOOD, ('1*2=', '3')]", 'problem 1024 repeats the prompt "1*2=" of problem 34. Name each once.'),
        ("GOOD[:1005]", "returned 1005 problems; evaluation, validation and training need 1006. Return more"),
        ("1 / 0", "raised ZeroDivisionError: division by zero. Mend it."),
    ],
)
def test_a_list_that_is_wrong_is_told_with_its_first_problem(tmp_path: Path, returned: str, says: str) -> None:
    (said,) = refused(products(tmp_path, returned))
    assert said.startswith(f"tasks.py:{3 if 'raised' in says else 2} tasks:products: ")
    assert says in said


def test_mistakes_of_several_kinds_are_told_at_once(tmp_path: Path) -> None:
    said = refused(products(tmp_path, "[('1x2=', '2'), ('1y2=', '2'), ('1=', '1'), ('1=', '1')]"))
    assert [line.split("products: ")[1].split(",")[0][:20] for line in said] == [
        "problem 0",
        "problem 3 repeats th",
        "returned 4 problems;",
    ]


def test_a_list_at_every_limit_is_taken(tmp_path: Path) -> None:
    parts = splits(products(tmp_path, "[*GOOD[:1005], ('1' * 58 + '=', '222')]"))  # 62 characters, an answer of 3
    assert len(parts.evaluation + parts.validation + parts.pretraining) == 1006
    assert parts.training == parts.pretraining
