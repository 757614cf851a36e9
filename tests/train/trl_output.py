"""Writes what TRL leaves behind: `python trl_output.py FOLDER` trains tiny models for seconds and saves as users do.

sft/     LoRA: the final adapter, checkpoints 2 and 4, metrics with an accuracy, the state of the trainer
grpo/    LoRA by GRPO: checkpoints 2 and 3 alone
dora/    as sft, with DoRA, whose update is known beside its base only
full/    a whole model, tuned
base/    the model that all of them start from
"""

import sys
from pathlib import Path
from typing import Any, cast

import torch
from datasets import Dataset
from peft import LoraConfig
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast
from trl import GRPOConfig, GRPOTrainer, SFTConfig, SFTTrainer

WORDS = {word: i for i, word in enumerate(["<pad>", "<eos>", *"0123456789+= "])}
TRAINED = {
    "logging_steps": 1,
    "save_steps": 2,
    "report_to": "none",
    "use_cpu": True,
    "bf16": False,
    "disable_tqdm": True,
}
ITEMS = [f"{i}+{i}=" for i in range(16)]


def tokenizer() -> PreTrainedTokenizerFast:
    """Return a tokenizer of single characters."""
    made = Tokenizer(models.WordLevel(WORDS, unk_token="<pad>"))
    made.pre_tokenizer = pre_tokenizers.Split("", "isolated")
    return PreTrainedTokenizerFast(tokenizer_object=made, pad_token="<pad>", eos_token="<eos>")


def model(folder: Path) -> LlamaForCausalLM:
    """Return the base as it lies on the disk."""
    return LlamaForCausalLM.from_pretrained(folder / "base")


def sft(folder: Path, name: str, peft: LoraConfig | None) -> None:
    """Train on demonstrations, and save model, metrics and state as TRL's own script does."""
    arguments = SFTConfig(output_dir=str(folder / name), max_steps=4, per_device_train_batch_size=2, **TRAINED)
    items = Dataset.from_list([{"text": f"{item}{i + i}"} for i, item in enumerate(ITEMS)])
    trainer = SFTTrainer(
        model=model(folder), args=arguments, train_dataset=items, processing_class=tokenizer(), peft_config=peft
    )
    trainer.train()
    trainer.save_model()
    trainer.save_state()
    trainer.save_metrics("eval", {"eval_accuracy": 0.375, "eval_loss": 2.5})


def shortest(completions: list[str], **_: object) -> list[float]:
    """Reward few plus signs."""
    return [1.0 / (1 + completion.count("+")) for completion in completions]


def grpo(folder: Path) -> None:
    """Train towards a reward and leave the checkpoints."""
    arguments = GRPOConfig(
        output_dir=str(folder / "grpo"),
        max_steps=3,
        per_device_train_batch_size=4,
        num_generations=4,
        max_completion_length=4,
        **TRAINED,
    )
    trainer = GRPOTrainer(
        model=model(folder),
        args=arguments,
        reward_funcs=cast("Any", shortest),
        train_dataset=Dataset.from_list([{"prompt": item} for item in ITEMS]),
        processing_class=tokenizer(),
        peft_config=LoraConfig(r=4, lora_alpha=8, target_modules="all-linear"),
    )
    trainer.train()


if __name__ == "__main__":
    root = Path(sys.argv[1])
    torch.manual_seed(0)
    shape: dict[str, Any] = {
        "hidden_size": 16,
        "intermediate_size": 24,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
    }
    LlamaForCausalLM(LlamaConfig(vocab_size=len(WORDS), eos_token_id=1, pad_token_id=0, **shape)).save_pretrained(
        root / "base"
    )
    sft(root, "sft", LoraConfig(r=4, lora_alpha=8, target_modules="all-linear"))
    sft(root, "dora", LoraConfig(r=2, lora_alpha=4, target_modules="all-linear", use_dora=True))
    sft(root, "full", None)
    grpo(root)
