"""Scoring a policy on held-out problems: sampled answers and the most likely one, problem by problem.

The generator is seeded and torch's own is left untouched, so that scoring in the middle of a run does not change it.
How a policy is asked, and what counts as correct, are the exam's.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from transformers import PreTrainedModel, PreTrainedTokenizerFast

from harness.source import Item
from harness.spec.protocol import Evaluation
from harness.train.exam import Exam


def evaluate(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerFast,
    items: tuple[Item, ...],
    plan: Evaluation,
    seed: int,
    *,
    step: int,
    split: str,
    exam: Exam | None = None,
) -> list[dict[str, Any]]:
    """Return one row a problem, as `record.shards.EVALUATION` describes them; equal seeds give equal rows.

    Without an `exam`, problems are asked bare and answers are exact.
    """
    exam = exam or Exam(tokenizer)
    with _apart(model, seed):
        sampled = _sampled(model, exam, items, plan)
        greedy = _correct(model, exam, items, plan, do_sample=False)
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
        sampled = _sampled(model, Exam(tokenizer), items, plan)
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


def _sampled(model: PreTrainedModel, exam: Exam, items: tuple[Item, ...], plan: Evaluation) -> list[bool]:
    repeated = tuple(item for item in items for _ in range(plan.samples_per_problem))
    return _correct(model, exam, repeated, plan, do_sample=True, temperature=plan.temperature, top_k=0, top_p=1.0)


def _correct(
    model: PreTrainedModel, exam: Exam, items: tuple[Item, ...], plan: Evaluation, **generation: Any
) -> list[bool]:
    verdicts: list[bool] = []
    longest = exam.most_tokens(items, plan)
    generate: Any = model.generate
    for start in range(0, len(items), plan.batch):
        batch = items[start : start + plan.batch]
        prompts = exam.encoded(batch).to(model.device)
        tokens_BT = generate(**prompts, max_new_tokens=longest, **generation)
        answers_BT = tokens_BT[:, prompts["input_ids"].shape[1] :].tolist()
        answers, rows = [item.answer for item in batch], [item.row for item in batch]
        marked = exam.marked(answers_BT, answers, rows)
        exam.counts.update(one.judgement for one in marked)
        verdicts += [one.correct for one in marked]
    return verdicts
