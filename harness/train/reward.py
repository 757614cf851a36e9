"""The verifiable reward: the score that the task's exam gives an answer, 1 for a right one; or a user's own.

Decoded completions leave special tokens out, so the end is looked for in the token ids. The first call's token ids
are kept: two seeds whose first completions agree are one seed that did not reach the sampler.
"""

import hashlib
import json
from collections import Counter
from collections.abc import Callable
from typing import Any

from transformers import PreTrainedTokenizerFast

from harness.source.code import call, finite, told
from harness.source.judgement import Judgement
from harness.spec.problem import shown
from harness.train.exam import Exam


class ExactAnswer:
    """TRL reward function over the dataset's `answer` column; without an exam, only the exact answer earns 1."""

    __name__ = "exact_answer"  # TRL names its metrics after it

    def __init__(self, tokenizer: PreTrainedTokenizerFast, exam: Exam | None = None):
        self._tokenizer = tokenizer
        self._exam = exam or Exam(tokenizer)
        self.first: list[list[int]] | None = None
        """Token ids of the completions of the first update; None until there are any."""
        self.counts: Counter[Judgement] = Counter()
        """Completions that were rewarded, by what became of them."""

    def __call__(
        self, completion_ids: list[list[int]], answer: list[str], row: list[int] | None = None, **_: Any
    ) -> list[float]:
        """Return one reward a completion; `row` is the number of the problem, where the data set has one."""
        if self.first is None:
            self.first = [list(map(int, ids)) for ids in completion_ids]
        return self._rewards(completion_ids, answer, row if row is not None else [-1] * len(answer))

    def _rewards(self, completions: list[list[int]], answers: list[str], rows: list[int]) -> list[float]:
        marked = self._exam.marked(completions, answers, rows)
        self.counts.update(one.judgement for one in marked)
        return [one.score for one in marked]

    def first_rollouts(self) -> dict[str, Any]:
        """Return the hash of the first update's completions and the text of the first eight."""
        return {
            "sha256": hashlib.sha256(json.dumps(self.first or []).encode()).hexdigest(),
            "texts": [self._tokenizer.decode(ids, skip_special_tokens=False) for ids in (self.first or [])[:8]],
        }


class OwnReward(ExactAnswer):
    """A function of the user's own, `(completion: str, answer: str) -> float`, in the place of the exact match.

    It sees the completion up to its end, special tokens spelt out; one without an end, up to where it was cut off.
    """

    def __init__(
        self,
        tokenizer: PreTrainedTokenizerFast,
        name: str,
        function: Callable[[str, str], Any],
        exam: Exam | None = None,
    ):
        super().__init__(tokenizer, exam)
        self._name = name
        self._function = function

    def _rewards(self, completions: list[list[int]], answers: list[str], rows: list[int]) -> list[float]:
        del rows
        return [self._one(ids, answer) for ids, answer in zip(completions, answers, strict=True)]

    def _one(self, completion: list[int], answer: str) -> float:
        text = self._exam.text(completion)
        value = call(self._name, self._function, text, answer)
        if (number := finite(value)) is None:
            rule = "a reward is a finite number. Return one for every completion."
            given = f"for completion {shown(text)} and answer {shown(answer)}"
            raise ValueError(f"{self._name} returned {told(value)} {given}: {rule}")
        return number
