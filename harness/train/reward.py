"""The verifiable reward: 1 for exactly the right answer followed by the end of the sequence, else 0.

Decoded completions leave special tokens out, so the end is looked for in the token ids. The first call's token ids
are kept: two seeds whose first completions agree are one seed that did not reach the sampler.
"""

import hashlib
import json
from typing import Any

from transformers import PreTrainedTokenizerFast

from harness.train.evaluate import is_correct


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
        return [
            float(is_correct(self._tokenizer, ids, correct))
            for ids, correct in zip(completion_ids, answer, strict=True)
        ]

    def first_rollouts(self) -> dict[str, Any]:
        """Return the hash of the first update's completions and the text of the first eight."""
        return {
            "sha256": hashlib.sha256(json.dumps(self.first).encode()).hexdigest(),
            "texts": [self._tokenizer.decode(ids, skip_special_tokens=False) for ids in self.first[:8]],
        }
