"""Pre-training: the same recipe gives the same weights, and stops where it says."""

from typing import Any

import pytest
import torch

from harness.source import splits
from harness.spec import BaseRecipe, Protocol
from harness.train.adapters import weights_hash
from harness.train.base import IGNORED, _sequences, new_model, pretrain
from harness.train.tokenizer import character_tokenizer

TOKENIZER: Any = character_tokenizer()


def made(recipe: BaseRecipe, protocol: Protocol, look=lambda model, step: 0.0):
    """Return the losses of pre-training and the model."""
    losses: list[float] = []
    items = splits(protocol.task).pretraining
    model = pretrain(recipe, items, TOKENIZER, lambda step, loss: losses.append(loss), look)
    return losses, model


def changed(recipe: BaseRecipe, **fields) -> BaseRecipe:
    return recipe.model_copy(update={"pretraining": recipe.pretraining.model_copy(update=fields)})


def hashed(model: Any) -> str:
    return weights_hash(model.named_parameters())


def test_equal_recipes_give_equal_weights_whatever_the_generator_was_left_at(pocket: Protocol) -> None:
    recipe = pocket.made("llama")
    first_losses, first = made(recipe, pocket)
    torch.rand(1000)
    second_losses, second = made(recipe, pocket)
    assert first_losses == second_losses
    assert hashed(first) == hashed(second)


def test_the_seed_and_one_more_step_change_the_weights(pocket: Protocol) -> None:
    recipe = pocket.made("llama")
    hashes = {hashed(made(r, pocket)[1]) for r in (recipe, changed(recipe, seed=4), changed(recipe, steps=4))}
    assert len(hashes) == 3


def test_a_base_stopped_early_is_the_beginning_of_the_same_path(pocket: Protocol) -> None:
    recipe = changed(pocket.made("llama"), steps=6)
    assert made(changed(recipe, steps=3), pocket)[0] == made(recipe, pocket)[0][:3]


def test_pretraining_stops_at_the_first_look_that_reaches_the_accuracy(pocket: Protocol) -> None:
    looks: list[int] = []

    def look(model: torch.nn.Module, step: int) -> float:
        looks.append(step)
        return step / 100  # 0.04 is reached at step 4

    recipe = changed(pocket.made("llama"), steps=10, look_every=2, until_accuracy=0.04)
    losses, model = made(recipe, pocket, look)
    assert looks == [2, 4]
    assert len(losses) == 4
    assert not model.training


def test_an_accuracy_never_reached_is_an_error_that_says_what_to_change(pocket: Protocol) -> None:
    recipe = changed(pocket.made("llama"), steps=4, look_every=2, until_accuracy=0.5)
    with pytest.raises(ValueError, match=r"did not reach until_accuracy 0\.5 in 4 steps\. Raise pretraining\.steps"):
        made(recipe, pocket, lambda model, step: 0.49)


@pytest.mark.parametrize("name", ["llama", "qwen", "olmo"])
def test_every_architecture_learns(name: str, pocket: Protocol) -> None:
    losses, model = made(changed(pocket.made(name), steps=12, learning_rate=0.01), pocket)
    # an untrained model spreads its answers over 22 tokens: about ln 22 = 3.09 nats
    assert 2.5 < losses[0] < 3.7
    assert losses[-1] < losses[0] - 0.3
    assert model.config.model_type == {"llama": "llama", "qwen": "qwen3", "olmo": "olmo2"}[name]
    assert all(p.dtype == torch.float32 for p in model.parameters())


def test_generation_knows_the_tokens_and_the_head_is_not_tied(pocket: Protocol) -> None:
    model: Any = new_model(pocket.made("llama"), TOKENIZER)
    known = (model.generation_config.pad_token_id, model.generation_config.eos_token_id)
    assert known == (TOKENIZER.pad_token_id, TOKENIZER.eos_token_id)
    head, embedding = model.get_output_embeddings(), model.get_input_embeddings()
    assert head.weight.data_ptr() != embedding.weight.data_ptr()


def test_the_loss_counts_the_answer_and_its_end_only(pocket: Protocol) -> None:
    items = splits(pocket.task).pretraining[:20]
    inputs_NT, labels_NT = _sequences(items, TOKENIZER)
    for item, inputs, labels in zip(items, inputs_NT.tolist(), labels_NT.tolist(), strict=True):
        counted = [token for token in labels if token != IGNORED]
        assert TOKENIZER.decode(counted) == f"{item.answer}<eos>"
        assert TOKENIZER.decode(inputs).removesuffix("<pad>").startswith(f"<bos>{item.prompt}{item.answer}<eos>")
