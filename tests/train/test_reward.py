"""The reward is 1 for exactly the answer and its end, and nothing else."""

from typing import Any

import pytest

from harness.train.exam import is_correct
from harness.train.reward import ExactAnswer
from harness.train.tokenizer import character_tokenizer

TOKENIZER: Any = character_tokenizer()
PAD, BOS, EOS = "<pad>", "<bos>", "<eos>"


def ids(*tokens: str) -> list[int]:
    """Return token ids; a token is a character or a special token."""
    return [TOKENIZER.convert_tokens_to_ids(token) for token in tokens]


@pytest.mark.parametrize(
    ("completion", "correct"),
    [
        (ids("4", "2", EOS), True),
        (ids("4", "2", EOS, PAD, PAD), True),  # what follows the end does not count
        (ids("4", "2", EOS, "7"), True),
        (ids("4", "2"), False),  # cut off before the end
        (ids("4", "2", "0", EOS), False),
        (ids("4", EOS), False),
        (ids("2", "4", EOS), False),
        (ids("0", "4", "2", EOS), False),  # equal as a number, not as a string
        (ids(" ", "4", "2", EOS), False),
        (ids(PAD, "4", "2", EOS), False),
        (ids("4", BOS, "2", EOS), False),
        (ids(EOS), False),
        (ids(EOS, "4", "2"), False),
        ([], False),
    ],
)
def test_only_the_answer_and_its_end_are_correct(completion: list[int], correct: bool) -> None:
    assert is_correct(TOKENIZER, completion, "42") is correct
    assert ExactAnswer(TOKENIZER)(completion_ids=[completion], answer=["42"], prompts=["40+2="]) == [float(correct)]


def test_each_completion_is_held_against_its_own_answer() -> None:
    reward = ExactAnswer(TOKENIZER)
    assert reward([ids("1", EOS), ids("1", EOS), ids("2", EOS)], ["1", "2", "2"]) == [1.0, 0.0, 1.0]


def test_completions_and_answers_of_unequal_number_raise() -> None:
    with pytest.raises(ValueError, match="zip"):
        ExactAnswer(TOKENIZER)([ids("1", EOS)], ["1", "2"])


def test_the_first_rollouts_are_kept_and_later_ones_are_not() -> None:
    reward, other = ExactAnswer(TOKENIZER), ExactAnswer(TOKENIZER)
    reward([ids("1", EOS)], ["1"])
    kept = reward.first_rollouts()
    reward([ids("2", EOS)], ["2"])
    other([ids("2", EOS)], ["2"])
    assert reward.first_rollouts() == kept
    assert kept["texts"] == ["1<eos>"]
    assert other.first_rollouts()["sha256"] != kept["sha256"]
