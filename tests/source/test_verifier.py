"""Answers in text, marked by math-verify and by reasoning-gym's own scorers, in a process that can be lost."""

import os
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from harness.source.judgement import Judged, Judgement
from harness.source.reasoning import problems
from harness.source.rows import DataError
from harness.source.verifier import Verifier, installed
from harness.spec import read_task
from harness.spec.task import TextTask

COUNTS = {"split_seed": 1, "evaluation_problems": 500, "validation_problems": 500, "training_prompts": 6}
MATH: dict[str, Any] = {
    **COUNTS,
    "name": "dataset",
    "training": {"format": "gsm8k", "split": "train", "sha256": "0" * 64},
    "prompt": "{question}",
    "verifier": "math-verify",
}
SUMS: dict[str, Any] = {
    **COUNTS,
    **{"name": "reasoning-gym", "dataset": "chain_sum", "seed": 3, "size": 1100, "prompt": "{question}"},
}


def task(**said: Any) -> Any:
    declared = read_task(said)
    assert isinstance(declared, TextTask)
    return declared


@pytest.fixture(scope="module")
def math() -> Iterator[Verifier]:
    with Verifier(task(**MATH)) as verifier:
        yield verifier


@pytest.mark.parametrize(
    ("gold", "answer", "judgement"),
    [
        ("72", "She sold 48 + 24, which is \\boxed{72}.", Judgement.RIGHT),
        ("72", "The answer is 72", Judgement.RIGHT),
        ("72", "$\\frac{144}{2}$", Judgement.RIGHT),
        ("1,234", "\\boxed{1234}", Judgement.RIGHT),
        ("\\frac{1}{2}", "\\boxed{0.5}", Judgement.RIGHT),
        ("6r^2-4r-24", "\\boxed{2(3r^2 - 2r - 12)}", Judgement.RIGHT),
        ("\\text{Evelyn}", "\\boxed{Evelyn}", Judgement.RIGHT),
        ("72", "\\boxed{71}", Judgement.WRONG),
        ("72", "\\boxed{72x}", Judgement.WRONG),
        ("72", "\\boxed{72} or \\boxed{71}", Judgement.WRONG),  # two boxes are a pair
        ("72", "\\boxed{72", Judgement.UNPARSABLE),  # malformed: the brace never closes
        ("72", "\\boxed{\\frac{72}{}", Judgement.UNPARSABLE),
        ("72", "\\boxed{}", Judgement.UNPARSABLE),
        ("72", "I do not know.", Judgement.UNPARSABLE),
        ("72", "", Judgement.UNPARSABLE),
        ("72", "}{" * 500, Judgement.UNPARSABLE),
    ],
)
def test_answers_are_right_wrong_or_not_to_be_read(
    math: Verifier, gold: str, answer: str, judgement: Judgement
) -> None:
    assert math.judge([(gold, answer, 0)]) == [Judged(judgement, float(judgement is Judgement.RIGHT))]


def test_the_correct_answer_comes_first(math: Verifier) -> None:
    """An interval answers an inequality; an inequality does not answer a question for an interval."""
    assert [one.correct for one in math.judge([("1<x<2", "$(1,2)$", 0), ("(1,2)", "$1<x<2$", 0)])] == [True, False]


@pytest.mark.parametrize(("gold", "readable"), [("72", True), ("x=5", True), ("\\frac{1}{", False), ("?", False)])
def test_a_correct_answer_has_to_be_readable_itself(math: Verifier, gold: str, readable: bool) -> None:
    assert math.readable(gold) is readable


def test_an_answer_is_never_held_against_one_that_cannot_be_read(math: Verifier) -> None:
    with pytest.raises(
        DataError, match=r"row 17: the verifier cannot read its correct answer '\?'\. Mend it, or leave"
    ):
        math.judge([("?", "\\boxed{1}", 17)])


def test_an_answer_that_would_take_the_machine_is_exhausted_and_the_next_one_is_marked() -> None:
    with Verifier(task(**MATH), seconds=0.5) as verifier:
        asked = [("72", "$9^{9^{9^{9}}}$", 0), ("72", "\\boxed{72}", 0)]
        assert [one.judgement for one in verifier.judge(asked)] == [Judgement.EXHAUSTED, Judgement.RIGHT]
        assert sum(verifier.restarts.values()) == 1


def test_threads_and_forked_processes_are_answered(math: Verifier) -> None:
    found: list[list[Judged]] = []
    asked = [(str(i), f"\\boxed{{{i}}}", 0) for i in range(40)]
    threads = [threading.Thread(target=lambda: found.append(math.judge(asked))) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [[one.correct for one in judged] for judged in found] == [[True] * 40] * 3
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            status = 0 if math.judge([("1", "\\boxed{0.5+0.5}", 0)])[0].correct else 2
            math.close()
        finally:
            os._exit(status)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    assert math.judge([("2", "\\boxed{1+1}", 0)])[0].correct  # its own process was left alone


def test_a_lost_process_is_replaced(math: Verifier) -> None:
    with Verifier(task(**MATH)) as verifier:
        assert verifier.judge([("1", "1", 0)])[0].correct
        process: Any = vars(verifier)["_process"]
        process.kill()
        process.wait()
        assert verifier.judge([("2", "2", 0)])[0].judgement is Judgement.EXHAUSTED
        assert verifier.judge([("3", "3", 0)])[0].correct


def test_another_version_than_the_task_s_is_refused() -> None:
    declared = task(**MATH, verifier_version="0.0.1")
    with Verifier(declared) as verifier, pytest.raises(DataError, match=r"identified by 0\.0\.1\. Install that\."):
        verifier.judge([("1", "1", 0)])
    assert installed(declared) == "0.9.0"


def test_a_missing_verifier_is_told_with_its_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "math_verify.py").write_text("raise ImportError('not here')")
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path}:{os.environ.get('PYTHONPATH', '')}")
    with Verifier(task(**MATH)) as verifier, pytest.raises(DataError, match=r"pip install 'rlvr-harness\[math\]'"):
        verifier.judge([("1", "1", 0)])


def test_whoever_asks_may_have_many_files_open(math: Verifier) -> None:
    """Files numbered past 1,023 are out of `select`'s range."""
    held = [os.open(os.devnull, os.O_RDONLY) for _ in range(1024)]
    try:
        with Verifier(task(**MATH)) as verifier:
            assert verifier.judge([("72", "72", 0)]) == math.judge([("72", "72", 0)])
    finally:
        for number in held:
            os.close(number)


def test_reasoning_gym_scores_its_own_answers() -> None:
    declared = task(**SUMS)
    (asked, gold), *_ = [(question, answer) for _, question, answer in problems(declared)]
    expression = asked.split(": ")[1].split(" =")[0]
    assert str(eval(expression)) == gold
    answers = {
        f"I add. <answer> {gold} </answer>": (Judgement.RIGHT, 1.0),
        f"<answer>0</answer> no: <answer>{gold}</answer> done": (Judgement.RIGHT, 1.0),  # the last one counts
        "<answer>nothing</answer>": (Judgement.WRONG, 0.0),
        f"<answer>{gold} or so</answer>": (Judgement.WRONG, len(gold) / len(f"{gold} or so")),  # its own partial score
        f"It is {gold}.": (Judgement.UNPARSABLE, 0.0),
        f"<answer>{gold}": (Judgement.UNPARSABLE, 0.0),
        "<answer> </answer>": (Judgement.UNPARSABLE, 0.0),
    }
    with Verifier(declared) as verifier:
        found = verifier.judge([(gold, answer, 0) for answer in answers])
    assert {answer: (one.judgement, one.score) for answer, one in zip(answers, found, strict=True)} == answers
    with Verifier(task(**SUMS, answer_tag=None)) as verifier:
        assert [one.correct for one in verifier.judge([(gold, gold, 0), (gold, f"<answer>{gold}</answer>", 0)])] == [
            True,
            False,
        ]
