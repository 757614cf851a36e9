"""The verifiable reward: 1 for exactly the right answer followed by the end of the sequence, else 0; or a user's own.

Decoded completions leave special tokens out, so the end is looked for in the token ids. The first call's token ids
are kept: two seeds whose first completions agree are one seed that did not reach the sampler.
"""

import hashlib
import json
from collections.abc import Callable
from typing import Any

from transformers import PreTrainedTokenizerFast

from harness.source.code import call, finite, told
from harness.spec.problem import shown
from harness.train.evaluate import answered, is_correct


class ExactAnswer:
    """TRL reward function over the dataset's `answer` column."""

    __name__ = "exact_answer"  # TRL names its metrics after it

    def __init__(self, tokenizer: PreTrainedTokenizerFast):
        self._tokenizer = tokenizer
        self.first: list[list[int]] = []
        """Token ids of the completions of the first update."""

    def __call__(self, completion_ids: list[list[int]], answer: list[str], **_: Any) -> list[float]:
        """Return one reward a completion."""
        if not self.first:
            self.first = [list(map(int, ids)) for ids in completion_ids]
        return [self._one(ids, correct) for ids, correct in zip(completion_ids, answer, strict=True)]

    def _one(self, completion: list[int], answer: str) -> float:
        return float(is_correct(self._tokenizer, completion, answer))

    def first_rollouts(self) -> dict[str, Any]:
        """Return the hash of the first update's completions and the text of the first eight."""
        return {
            "sha256": hashlib.sha256(json.dumps(self.first).encode()).hexdigest(),
            "texts": [self._tokenizer.decode(ids, skip_special_tokens=False) for ids in self.first[:8]],
        }


class OwnReward(ExactAnswer):
    """A function of the user's own, `(completion: str, answer: str) -> float`, in the place of the exact match.

    It sees the completion up to its end, special tokens spelt out; one without an end, up to where it was cut off.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerFast, name: str, function: Callable[[str, str], Any]):
        super().__init__(tokenizer)
        self._name = name
        self._function = function

    def _one(self, completion: list[int], answer: str) -> float:
        text = answered(self._tokenizer, completion)
        value = call(self._name, self._function, text, answer)
        if (number := finite(value)) is None:
            rule = "a reward is a finite number. Return one for every completion."
            given = f"for completion {shown(text)} and answer {shown(answer)}"
            raise ValueError(f"{self._name} returned {told(value)} {given}: {rule}")
        return number
