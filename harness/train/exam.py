"""How a policy is asked, and how its answers are marked: character by character, or in text by a verifier.

An exact answer is the exact string, followed at once by the end-of-sequence token. An answer in text has to end too:
one that was cut off is wrong, whatever it holds, and is counted.
"""

import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from transformers import PreTrainedTokenizerFast

from harness.source import Item, Splits, items_hash
from harness.source.judgement import TRUNCATED, Judged, Judgement
from harness.source.questions import text_splits
from harness.source.verifier import Verifier, verifier_of
from harness.spec import Task
from harness.spec.protocol import Evaluation
from harness.spec.task import TextTask

SHOWN = 4000
"""Characters of the first prompt that a result keeps, for whoever wants to see what a model was asked."""


class Exam:
    """Bare prompts and exact answers, as bases that are made on the spot learn them."""

    def __init__(self, tokenizer: Any):
        self._tokenizer = tokenizer
        self.counts: Counter[Judgement] = Counter()
        """Answers that evaluations marked, by what became of them."""

    def encoded(self, items: Sequence[Item]) -> Any:
        """Return the token ids of prompts, padded on the left, with their attention mask."""
        return self._tokenizer([item.prompt for item in items], return_tensors="pt", padding=True)

    def most_tokens(self, items: Sequence[Item], plan: Evaluation) -> int:
        """Return how many tokens an answer may have, its end counted."""
        del plan
        return max(len(item.answer) for item in items) + 1

    def prompts(self, items: Sequence[Item]) -> list[dict[str, Any]]:
        """Return what GRPO trains on; the columns beside `prompt` reach the reward."""
        return [{"prompt": item.prompt, "answer": item.answer} for item in items]

    def demonstrations(self, items: Sequence[Item]) -> list[dict[str, Any]]:
        """Return what SFT trains on."""
        return [{"prompt": item.prompt, "completion": item.answer} for item in items]

    def marked(self, completions: Sequence[list[int]], answers: Sequence[str], rows: Sequence[int]) -> list[Judged]:
        """Return what became of each completion."""
        del rows
        return [self._exact(ids, answer) for ids, answer in zip(completions, answers, strict=True)]

    def text(self, completion: list[int]) -> str:
        """Return what a user's own reward sees of a completion."""
        return answered(self._tokenizer, completion)

    def facts(self, items: Sequence[Item]) -> dict[str, Any]:
        """Return what a result records of how its policy was asked and marked; nothing of the exact way."""
        del items
        return {}

    def close(self) -> None:
        """End what an exam has started."""

    def _exact(self, completion: list[int], answer: str) -> Judged:
        correct = is_correct(self._tokenizer, completion, answer)
        return Judged(Judgement.RIGHT if correct else Judgement.WRONG, float(correct))


class TextExam(Exam):
    """Questions as plain text or as a chat, and answers that a library's verifier reads."""

    def __init__(self, tokenizer: Any, task: TextTask, ends: Sequence[int]):
        super().__init__(tokenizer)
        self._task = task
        self._ends = frozenset(ends)
        self._verifier = Verifier(task)
        if task.chat is not None and not tokenizer.chat_template:
            rule = "the task asks in a chat, and the base's tokenizer has no chat template"
            raise ValueError(f"{rule}. Declare no chat, or a base that was trained on one.")
        tokenizer.padding_side = "left"  # as generation needs it
        if tokenizer.pad_token is None:
            tokenizer.pad_token = tokenizer.eos_token
        self._verifier.start()

    def encoded(self, items: Sequence[Item]) -> Any:
        """Return the token ids of prompts, padded on the left, with their attention mask."""
        if self._task.chat is None:
            return super().encoded(items)
        chats = [self._messages(item) for item in items]
        how = {"add_generation_prompt": True, "tokenize": True, "return_dict": True, "return_tensors": "pt"}
        return self._tokenizer.apply_chat_template(chats, padding=True, **how)

    def most_tokens(self, items: Sequence[Item], plan: Evaluation) -> int:
        """Return how many tokens an answer may have, its end counted."""
        if plan.max_tokens is None:
            rule = "an answer in text has no length of its own. Declare it."
            raise ValueError(f"evaluation.max_tokens is missing: {rule}")
        return plan.max_tokens

    def prompts(self, items: Sequence[Item]) -> list[dict[str, Any]]:
        """Return what GRPO trains on; the columns beside `prompt` reach the reward."""
        return [{"prompt": self._asked(item), "answer": item.answer, "row": item.row} for item in items]

    def demonstrations(self, items: Sequence[Item]) -> list[dict[str, Any]]:
        """Return what SFT trains on: the set's solution where it has one, else the boxed answer."""
        return [{"prompt": self._asked(item), "completion": self._said(item)} for item in items]

    def marked(self, completions: Sequence[list[int]], answers: Sequence[str], rows: Sequence[int]) -> list[Judged]:
        """Return what became of each completion."""
        ended = [not self._ends.isdisjoint(ids) for ids in completions]
        asked = [
            (answer, self.text(ids), row)
            for ids, answer, row, end in zip(completions, answers, rows, ended, strict=True)
            if end
        ]
        judged = iter(self._verifier.judge(asked))
        return [next(judged) if end else TRUNCATED for end in ended]

    def text(self, completion: list[int]) -> str:
        """Return the text before the first end, without special tokens."""
        first = next((i for i, token in enumerate(completion) if token in self._ends), len(completion))
        return self._tokenizer.decode(completion[:first], skip_special_tokens=True)

    def facts(self, items: Sequence[Item]) -> dict[str, Any]:
        """Return the verifier, the template of the prompts, and the first prompt as the model saw it."""
        first = self._asked(items[0])
        chat = self._task.chat is not None
        template = self._tokenizer.get_chat_template() if chat else None
        text = self._tokenizer.apply_chat_template(first, add_generation_prompt=True, tokenize=False) if chat else first
        return {
            "verifier": {"name": verifier_of(self._task), "version": self._task.verifier_version},
            "verifier_restarts": dict(self._verifier.restarts),
            "chat_template_sha256": hashlib.sha256(template.encode()).hexdigest() if template else None,
            "first_prompt": text[:SHOWN],
        }

    def close(self) -> None:
        """End the verifier's process."""
        self._verifier.close()

    def _asked(self, item: Item) -> Any:
        return item.prompt if self._task.chat is None else self._messages(item)

    def _said(self, item: Item) -> Any:
        said = item.solution or item.answer
        return said if self._task.chat is None else [{"role": "assistant", "content": said}]

    def _messages(self, item: Item) -> list[dict[str, str]]:
        system = self._task.chat.system if self._task.chat is not None else None
        first = [{"role": "system", "content": system}] if system is not None else []
        return [*first, {"role": "user", "content": item.prompt}]


def exam_of(task: Task, model: Any, tokenizer: Any) -> Exam:
    """Return the exam by which a task asks and marks this model."""
    return TextExam(tokenizer, task, ends_of(model, tokenizer)) if isinstance(task, TextTask) else Exam(tokenizer)


def in_text(task: Task, parts: Splits, exam: Exam, training: Mapping[Judgement, int]) -> dict[str, Any]:
    """Return what is recorded of a task in text: its problems, how they were asked, and what became of the answers."""
    if not isinstance(task, TextTask):
        return {}
    return {
        "problems": {name: items_hash(getattr(parts, name)) for name in ("evaluation", "validation", "training")},
        "left_out": asdict(text_splits(task)[1]),
        "answers": {"training": dict(training), "scored": dict(exam.counts)},
        **exam.facts(parts.evaluation),
    }


def ends_of(model: Any, tokenizer: Any) -> list[int]:
    """Return the tokens at which generation stops: the tokenizer's and those of the model's generation settings."""
    declared = model.generation_config.eos_token_id
    more = declared if isinstance(declared, list) else [] if declared is None else [declared]
    return list(dict.fromkeys([tokenizer.eos_token_id, *more]))


def is_correct(tokenizer: PreTrainedTokenizerFast, completion: list[int], answer: str) -> bool:
    """Return whether token ids spell exactly the answer and then end; what follows the end does not count."""
    return tokenizer.eos_token_id in completion and answered(tokenizer, completion) == answer


def answered(tokenizer: PreTrainedTokenizerFast, completion: list[int]) -> str:
    """Return the text of token ids before their end, or of all where there is none; special tokens are spelt out."""
    end: Any = tokenizer.eos_token_id
    text = tokenizer.decode(completion[: completion.index(end)] if end in completion else completion)
    assert isinstance(text, str)
    return text
