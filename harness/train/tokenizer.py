"""A tokenizer of one token a character, in the format that every Hub checkpoint uses.

`decoders.Fuse` joins characters without spaces; without it no answer would ever match. The beginning-of-sequence
token is put in by the post-processor and padding is on the left, as generation needs it.
"""

from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, processors
from transformers import PreTrainedTokenizerFast

SPECIAL = {"pad_token": "<pad>", "bos_token": "<bos>", "eos_token": "<eos>", "unk_token": "<unk>"}
CHARACTERS = "0123456789+-*/=() "


def character_tokenizer() -> PreTrainedTokenizerFast:
    """Return the tokenizer: 4 special tokens, then the characters of arithmetic."""
    vocabulary = {token: i for i, token in enumerate([*SPECIAL.values(), *CHARACTERS])}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token=SPECIAL["unk_token"]))
    tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex("."), "isolated")
    tokenizer.decoder = decoders.Fuse()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<bos> $A", special_tokens=[("<bos>", vocabulary["<bos>"])]
    )
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, padding_side="left", **SPECIAL)
