"""One token a character, and nothing added or lost on the way back."""

import pytest

from harness.train.tokenizer import CHARACTERS, SPECIAL, character_tokenizer


@pytest.mark.parametrize("text", ["0+0=", "99+99=", "198", CHARACTERS])
def test_text_comes_back_as_it_went_in(text: str) -> None:
    tokenizer = character_tokenizer()
    ids = tokenizer(text, add_special_tokens=False)["input_ids"]
    assert len(ids) == len(text)
    assert tokenizer.decode(ids) == text


def test_the_beginning_is_marked_and_the_end_is_not() -> None:
    tokenizer = character_tokenizer()
    ids = tokenizer("1+2=")["input_ids"]
    assert ids[0] == tokenizer.bos_token_id
    assert tokenizer.convert_ids_to_tokens(ids) == ["<bos>", "1", "+", "2", "="]


def test_padding_is_on_the_left_and_masked() -> None:
    tokenizer = character_tokenizer()
    batch = tokenizer(["1+2=", "10+20="], padding=True)
    assert batch["input_ids"][0][:2] == [tokenizer.pad_token_id] * 2
    assert batch["attention_mask"] == [[0, 0, 1, 1, 1, 1, 1], [1] * 7]


def test_special_tokens_are_distinct_and_decoded_only_when_asked() -> None:
    tokenizer = character_tokenizer()
    ids = [tokenizer.convert_tokens_to_ids(token) for token in SPECIAL.values()]
    assert len(set(ids)) == len(SPECIAL)
    three = [*tokenizer("3", add_special_tokens=False)["input_ids"], tokenizer.eos_token_id]
    assert tokenizer.decode(three) == "3<eos>"
    assert tokenizer.decode(three, skip_special_tokens=True) == "3"


def test_an_unknown_character_becomes_the_unknown_token() -> None:
    tokenizer = character_tokenizer()
    assert tokenizer("x", add_special_tokens=False)["input_ids"] == [tokenizer.unk_token_id]


def test_a_saved_tokenizer_reads_back_equal(tmp_path) -> None:
    from transformers import AutoTokenizer

    character_tokenizer().save_pretrained(tmp_path)
    again = AutoTokenizer.from_pretrained(tmp_path)
    assert (
        again(["1+2=", "10+20="], padding=True)["input_ids"]
        == (character_tokenizer()(["1+2=", "10+20="], padding=True)["input_ids"])
    )
    assert again.decode(again("12", add_special_tokens=False)["input_ids"]) == "12"
