"""A base model made on the spot: a small decoder, pre-trained from a seed on a task's problems with their answers.

Departures from ordinary pre-training: the loss counts the answer tokens only, and the learning rate stays constant
after warm-up, so that a base stopped early is the beginning of the same path. Deterministic on one thread.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch.nn.functional import cross_entropy
from transformers import (
    LlamaConfig,
    LlamaForCausalLM,
    Olmo2Config,
    Olmo2ForCausalLM,
    PreTrainedModel,
    PreTrainedTokenizerFast,
    Qwen3Config,
    Qwen3ForCausalLM,
    set_seed,
)

from harness.source import Item
from harness.spec import BaseRecipe
from harness.spec.task import CONTEXT

ARCHITECTURES: dict[str, tuple[type, type]] = {
    "llama": (LlamaConfig, LlamaForCausalLM),
    "qwen3": (Qwen3Config, Qwen3ForCausalLM),
    "olmo2": (Olmo2Config, Olmo2ForCausalLM),
}
IGNORED = -100
"""Label of a position that the loss leaves out."""


def new_model(recipe: BaseRecipe, tokenizer: PreTrainedTokenizerFast) -> PreTrainedModel:
    """Return an untrained model of the recipe's shape, in float32; weights follow torch's current generator."""
    config_type, model_type = ARCHITECTURES[recipe.architecture]
    extra = {"head_dim": recipe.hidden_size // recipe.heads} if recipe.architecture == "qwen3" else {}
    tokens = {f"{name}_token_id": getattr(tokenizer, f"{name}_token_id") for name in ("pad", "bos", "eos")}
    config = config_type(
        vocab_size=len(tokenizer),
        hidden_size=recipe.hidden_size,
        num_hidden_layers=recipe.layers,
        num_attention_heads=recipe.heads,
        num_key_value_heads=recipe.heads,
        intermediate_size=recipe.intermediate_size,
        max_position_embeddings=CONTEXT,
        tie_word_embeddings=False,
        **tokens,
        **extra,
    )
    model = model_type(config)
    for name, token in tokens.items():  # the trainer and generate() read these, not the configuration
        setattr(model.generation_config, name, token)
    return model


def pretrain(
    recipe: BaseRecipe,
    items: tuple[Item, ...],
    tokenizer: PreTrainedTokenizerFast,
    on_step: Callable[[int, float], None],
    look: Callable[[PreTrainedModel, int], float],
) -> PreTrainedModel:
    """Return the recipe's model after pre-training; raise ValueError if it never reaches a declared accuracy.

    `on_step(step, loss)` is called after every update; `look(model, step)` returns the validation accuracy.
    """
    plan = recipe.pretraining
    set_seed(plan.seed)
    model = new_model(recipe, tokenizer).train()
    inputs_NT, labels_NT = _sequences(items, tokenizer)
    optimiser = torch.optim.AdamW(
        model.parameters(), lr=plan.learning_rate, betas=(0.9, plan.adam_beta2), weight_decay=plan.weight_decay
    )
    warm = torch.optim.lr_scheduler.LambdaLR(optimiser, lambda step: min(1.0, (step + 1) / max(plan.warmup_steps, 1)))
    pad: Any = tokenizer.pad_token_id
    order = torch.Generator().manual_seed(plan.seed)
    for step in range(1, plan.steps + 1):
        chosen_B = torch.randint(len(items), (plan.batch_size,), generator=order)
        inputs_BT, labels_BT = inputs_NT[chosen_B], labels_NT[chosen_B]
        logits_BTV = model(input_ids=inputs_BT, attention_mask=inputs_BT.ne(pad).long()).logits
        loss = cross_entropy(logits_BTV[:, :-1].flatten(0, 1), labels_BT[:, 1:].flatten(), ignore_index=IGNORED)
        optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
        warm.step()
        on_step(step, loss.item())
        if plan.until_accuracy and step % plan.look_every == 0 and look(model, step) >= plan.until_accuracy:
            break
    else:
        if plan.until_accuracy:
            raise ValueError(
                f"the base did not reach until_accuracy {plan.until_accuracy:g} in {plan.steps} steps. "
                "Raise pretraining.steps, or change its seed or learning_rate."
            )
    return model.eval()


def _sequences(items: tuple[Item, ...], tokenizer: Any) -> tuple[torch.Tensor, torch.Tensor]:
    """Return token ids and labels, both (n_items, longest sequence), padded on the right."""
    prompts = tokenizer([item.prompt for item in items])["input_ids"]
    answers = tokenizer([item.answer for item in items], add_special_tokens=False)["input_ids"]
    rows = [prompt + answer + [tokenizer.eos_token_id] for prompt, answer in zip(prompts, answers, strict=True)]
    longest = max(map(len, rows))
    inputs = torch.full((len(rows), longest), tokenizer.pad_token_id)
    labels = torch.full((len(rows), longest), IGNORED)
    for i, (row, prompt) in enumerate(zip(rows, prompts, strict=True)):
        inputs[i, : len(row)] = torch.tensor(row)
        labels[i, len(prompt) : len(row)] = torch.tensor(row[len(prompt) :])
    return inputs, labels
