"""A tokenizer of one token a character, in the format that every Hub checkpoint uses.

`decoders.Fuse` joins characters without spaces; without it no answer would ever match. The beginning-of-sequence
token is put in by the post-processor and padding is on the left, as generation needs it.
"""

from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, processors
from transformers import PreTrainedTokenizerFast

from harness.spec.task import RESERVED

SPECIAL = dict(zip(("pad_token", "bos_token", "eos_token", "unk_token"), RESERVED, strict=True))
CHARACTERS = "0123456789+-*/=() "
"""The characters of arithmetic."""


def character_tokenizer(alphabet: str = CHARACTERS) -> PreTrainedTokenizerFast:
    """Return the tokenizer: 4 special tokens, then the characters of `alphabet`."""
    vocabulary = {token: i for i, token in enumerate([*SPECIAL.values(), *alphabet])}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token=SPECIAL["unk_token"]))
    tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex("."), "isolated")
    tokenizer.decoder = decoders.Fuse()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<bos> $A", special_tokens=[("<bos>", vocabulary["<bos>"])]
    )
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, padding_side="left", **SPECIAL)
