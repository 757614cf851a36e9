"""Scoring a policy on held-out problems: sampled answers and the most likely one, problem by problem.

The generator is seeded and torch's own is left untouched, so that scoring in the middle of a run does not change it.
An answer is correct if it is the exact string, followed at once by the end-of-sequence token.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from transformers import PreTrainedModel, PreTrainedTokenizerFast

from harness.source import Item
from harness.spec.protocol import Evaluation

BATCH = 512
"""Sequences generated together."""


def evaluate(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerFast,
    items: tuple[Item, ...],
    plan: Evaluation,
    seed: int,
    *,
    step: int,
    split: str,
) -> list[dict[str, Any]]:
    """Return one row a problem, as `record.shards.EVALUATION` describes them; equal seeds give equal rows."""
    with _apart(model, seed):
        sampled = _sampled(model, tokenizer, items, plan)
        greedy = _correct(model, tokenizer, items, do_sample=False)
    n = plan.samples_per_problem
    return [
        {
            "step": step,
            "split": split,
            "problem": i,
            "samples": n,
            "correct": sum(sampled[i * n : (i + 1) * n]),
            "greedy_correct": greedy[i],
        }
        for i in range(len(items))
    ]


def sampled_accuracy(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerFast, items: tuple[Item, ...], plan: Evaluation, seed: int
) -> float:
    """Return the share of sampled answers that are correct, without the most likely ones and without rows."""
    with _apart(model, seed):
        sampled = _sampled(model, tokenizer, items, plan)
    return sum(sampled) / len(sampled)


def accuracy(rows: list[dict[str, Any]]) -> float:
    """Return the share of sampled answers that are correct: the mean over problems of each problem's mean."""
    return sum(row["correct"] for row in rows) / sum(row["samples"] for row in rows)


@contextmanager
def _apart(model: PreTrainedModel, seed: int) -> Iterator[None]:
    """Put the model into evaluation under a generator of its own, and both back as they were."""
    training = model.training
    model.eval()
    devices = [model.device] if model.device.type == "cuda" else []
    with torch.inference_mode(), torch.random.fork_rng(devices):
        torch.manual_seed(seed)
        yield
    model.train(training)


def _sampled(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerFast, items: tuple[Item, ...], plan: Evaluation
) -> list[bool]:
    repeated = tuple(item for item in items for _ in range(plan.samples_per_problem))
    return _correct(model, tokenizer, repeated, do_sample=True, temperature=plan.temperature, top_k=0, top_p=1.0)


def _correct(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerFast, items: tuple[Item, ...], **generation: Any
) -> list[bool]:
    verdicts: list[bool] = []
    longest = max(len(item.answer) for item in items) + 1
    generate: Any = model.generate
    for start in range(0, len(items), BATCH):
        batch = items[start : start + BATCH]
        prompts = tokenizer([item.prompt for item in batch], return_tensors="pt", padding=True).to(model.device)
        tokens_BT = generate(**prompts, max_new_tokens=longest, **generation)
        answers_BT = tokens_BT[:, prompts["input_ids"].shape[1] :].tolist()
        verdicts += [is_correct(tokenizer, ids, item.answer) for ids, item in zip(answers_BT, batch, strict=True)]
    return verdicts


def is_correct(tokenizer: PreTrainedTokenizerFast, completion: list[int], answer: str) -> bool:
    """Return whether token ids spell exactly the answer and then end; what follows the end does not count."""
    return tokenizer.eos_token_id in completion and answered(tokenizer, completion) == answer


def answered(tokenizer: PreTrainedTokenizerFast, completion: list[int]) -> str:
    """Return the text of token ids before their end, or of all where there is none; special tokens are spelt out."""
    end: Any = tokenizer.eos_token_id
    text = tokenizer.decode(completion[: completion.index(end)] if end in completion else completion)
    assert isinstance(text, str)
    return text
