"""One run: a frozen base, a fresh adapter, GRPO or SFT through TRL, then the score on held-out problems.

Departures from the trainers' defaults are all in the protocol. A run is never resumed from a checkpoint: TRL does not
save its buffered generations, so a resumed run would be another run; a killed one starts again from its seed.
"""

import time
from pathlib import Path
from typing import Any

import torch
from datasets import Dataset
from transformers import AutoModelForCausalLM, AutoTokenizer, PrinterCallback, TrainerCallback
from trl import GRPOTrainer, SFTTrainer

from harness.record.shards import write_shard
from harness.source import Item, items_hash, splits
from harness.spec import Cell
from harness.spec.protocol import Evaluation, Recipe
from harness.spectra import lora_spectrum
from harness.train.adapters import factors, frozen_hash, peft_config, realised, update_norm
from harness.train.arguments import trainer_arguments
from harness.train.code import permitted_task, reward_function
from harness.train.evaluate import accuracy, evaluate
from harness.train.progress import Heartbeat, StepLog
from harness.train.reward import ExactAnswer, OwnReward


class _Watch(TrainerCallback):
    """Looks at the policy in the middle of training: the norm of its first update, and declared evaluations."""

    def __init__(self, identity: dict[str, Any], score: Any):
        self._steps = set(identity["validate_at"])
        self._score = score
        self.first_update_norm: float | None = None
        self.rows: list[dict[str, Any]] = []

    def on_step_end(self, args: Any, state: Any, control: Any, model: Any = None, **_: Any) -> None:
        if state.global_step == 1:
            self.first_update_norm = update_norm(model)
        if state.global_step in self._steps:
            self.rows += self._score(model, "validation", state.global_step)


def train_run(
    identity: dict[str, Any],
    base: Path,
    stage: Path,
    scratch: Path,
    heartbeat: Heartbeat,
    code_root: Path | None = None,
) -> tuple[dict[str, Any], dict[str, float]]:
    """Train and score the run that `identity` describes on the base in folder `base`; return facts and seconds spent.

    Writes the evaluation, steps and spectrum shards and the adapter (PEFT format, safetensors) into `stage`. Code of
    the user's own that the identity names is run from the project `code_root`, never without one.
    """
    cell, recipe = Cell.model_validate(identity["cell"], strict=False), Recipe.model_validate(identity["recipe"])
    parts = splits(permitted_task(identity, code_root))
    if items_hash(parts.evaluation) != identity["evaluation_set"]:
        raise ValueError("the evaluation set made here is not the one that the run is identified by")
    tokenizer = AutoTokenizer.from_pretrained(base)
    model = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)
    base_hash = frozen_hash(model)

    def score(policy: Any, split: str, step: int) -> list[dict[str, Any]]:
        plan = Evaluation.model_validate(identity["evaluation"])
        seed = (identity["seed"] + 7919 * step + (split == "validation")) % 2**31
        return evaluate(policy, tokenizer, getattr(parts, split), plan, seed, step=step, split=split)

    log, watch = StepLog(heartbeat), _Watch(identity, score)
    reward = _reward(cell, recipe, tokenizer, code_root)
    arguments, record = trainer_arguments(cell.algorithm, identity["trainer"], identity["seed"], scratch)
    common = {
        "model": model,
        "args": arguments,
        "processing_class": tokenizer,
        "peft_config": peft_config(cell.adapter, recipe),
        "callbacks": [log, watch],
    }
    began = time.process_time()
    trainer = _trainer(cell, parts.training, reward, common)
    heartbeat.tell(phase="training", steps=len(trainer.get_train_dataloader()))
    adapter_at_start = update_norm(trainer.model)
    trainer.train()
    spent = {"train_cpu_seconds": time.process_time() - began}
    if not log.rows:
        raise ValueError("the trainer made no update: training_prompts are fewer than one update takes")
    if cell.algorithm == "grpo" and not reward.first:
        raise ValueError("the trainer never asked for a reward, so it cannot have trained towards it")

    heartbeat.tell(phase="scoring")
    policy = trainer.model
    rows = score(policy, "evaluation", log.rows[-1]["step"])
    write_shard(stage, "evaluation", [*watch.rows, *rows])
    write_shard(stage, "steps", log.rows)
    write_shard(stage, "spectrum", _spectra(policy, log.rows[-1]["step"]))
    _save(policy, stage, identity["base_id"])
    facts = {
        "accuracy": accuracy(rows),
        "updates": log.rows[-1]["step"],
        "first_update_norm": watch.first_update_norm,
        "final_update_norm": update_norm(policy),
        "update_norm_at_start": adapter_at_start,
        "adapter": realised(policy),
        "base_weights": base_hash,
        "base_weights_after": frozen_hash(policy),
        "first_rollouts": reward.first_rollouts() if cell.algorithm == "grpo" else None,
        "trainer": record,
    }
    return facts, spent


def _reward(cell: Cell, recipe: Recipe, tokenizer: Any, code_root: Path | None) -> ExactAnswer:
    if cell.algorithm != "grpo" or recipe.reward is None:
        return ExactAnswer(tokenizer)
    return OwnReward(tokenizer, recipe.reward, reward_function(recipe, code_root))


def _trainer(cell: Cell, items: tuple[Item, ...], reward: ExactAnswer, common: dict[str, Any]) -> Any:
    if cell.algorithm == "grpo":
        rewards: list[Any] = [reward]
        trainer: Any = GRPOTrainer(reward_funcs=rewards, train_dataset=_prompts(items), **common)
    else:
        trainer = SFTTrainer(train_dataset=_demonstrations(items), **common)
    trainer.remove_callback(PrinterCallback)  # without a progress bar it would print every log
    return trainer


def _save(policy: Any, stage: Path, base_id: str) -> None:
    """Write the adapter in PEFT's format, with nothing in it that tells in which folder or process it was made."""
    config = policy.peft_config["default"]
    config.base_model_name_or_path = base_id  # PEFT would write the folder of the base
    config.target_modules = sorted(config.target_modules)  # a set, whose order differs between processes
    policy.save_pretrained(stage, safe_serialization=True, save_embedding_layers=False)
    (stage / "README.md").unlink(missing_ok=True)  # PEFT's empty model card


def _prompts(items: tuple[Item, ...]) -> Dataset:
    return Dataset.from_list([{"prompt": item.prompt, "answer": item.answer} for item in items])


def _demonstrations(items: tuple[Item, ...]) -> Dataset:
    return Dataset.from_list([{"prompt": item.prompt, "completion": item.answer} for item in items])


def _spectra(policy: Any, step: int) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = []
    for name, b, a, multiplier in factors(policy):
        spectrum = lora_spectrum(b, a, multiplier)
        layer = next((int(part) for part in name.split(".") if part.isdigit()), -1)
        rows.append(
            {
                "step": step,
                "module": name,
                "layer": layer,
                "rows": spectrum.rows,
                "columns": spectrum.columns,
                "frobenius": spectrum.frobenius,
                "effective_rank": spectrum.effective_rank,
                "stable_rank": spectrum.stable_rank,
                "top1_energy": spectrum.top1_energy,
                "singular_values": list(spectrum.singular_values),
            }
        )
    return rows
