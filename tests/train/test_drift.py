"""The base through hand-overs of weights: it drifts where nobody guards it, and comes back to the last bit otherwise.

vLLM is not needed: what merges is TRL's own code, and what it would load the weights into is left out.
"""

import inspect
import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from peft import LoraConfig, get_peft_model
from torch import nn
from trl.distributed import DistributedBackend
from trl.generation import vllm_generation
from trl.generation.vllm_generation import VLLMGeneration

from harness.record.layout import Store
from harness.spec import Protocol
from harness.store import invalid_runs, refresh
from harness.train import run
from harness.train.adapters import frozen_hash
from harness.train.drift import BaseGuard, seeded_engine

CYCLES = 30


def handed_over(model: Any) -> dict[str, torch.Tensor]:
    """Return the weights that TRL hands to an engine, by the names that it gives them; merges and unmerges."""
    generation = object.__new__(VLLMGeneration)
    generation.model = model
    state = SimpleNamespace(deepspeed_plugin=None, fsdp_plugin=None)
    generation._dist = DistributedBackend(SimpleNamespace(state=state))
    return {name: weight.clone() for name, weight in generation._iter_named_params()}


def policy(dtype: torch.dtype, **config: Any) -> tuple[Any, frozenset[str]]:
    """Return a model with an adapter that has been trained a little, and the names of its base."""
    torch.manual_seed(0)
    base = nn.Sequential(nn.Linear(64, 48), nn.Linear(48, 64)).to(dtype)
    names = frozenset(name for name, _ in base.named_parameters())
    model: Any = get_peft_model(base, LoraConfig(r=8, target_modules=["0", "1"], **config))  # type: ignore[arg-type]
    return model, names


def a_step(model: Any) -> None:
    """Move the adapter as an update does."""
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.requires_grad:
                parameter.add_(torch.randn_like(parameter) * 0.02)


@pytest.mark.parametrize("config", [{}, {"use_dora": True}, {"use_rslora": True}], ids=["lora", "dora", "rslora"])
def test_a_base_in_bfloat16_drifts_without_a_guard_and_is_put_back_with_one(config: dict[str, Any]) -> None:
    torch.manual_seed(1)
    changed: dict[bool, bool] = {}
    for guarded in (False, True):
        model, names = policy(torch.bfloat16, **config)
        before = frozen_hash(model, names)
        guard = BaseGuard(model) if guarded else None
        for _ in range(CYCLES):
            a_step(model)
            handed_over(model)
        changed[guarded] = frozen_hash(model, names) != before
        if guard is not None:
            said = guard.facts()
            assert said is not None
            assert said["count"] == CYCLES
            assert 0 < said["drift_undone"] < 1
    assert changed == {False: True, True: False}


def test_drift_without_a_guard_adds_up() -> None:
    """What issue 6688 of TRL measured: the longer, the more of the base is another."""
    model, _ = policy(torch.bfloat16)
    start = model.base_model.model[0].base_layer.weight.clone()
    shares: list[float] = []
    for _ in range(CYCLES):
        a_step(model)
        handed_over(model)
        shares.append(float((model.base_model.model[0].base_layer.weight != start).float().mean()))
    assert 0 < shares[0] < shares[-1]


def test_what_is_handed_over_is_the_policy(monkeypatch: pytest.MonkeyPatch) -> None:
    model, _ = policy(torch.float32)
    BaseGuard(model)
    a_step(model)
    inputs = torch.randn(3, 64)
    with torch.no_grad():
        wanted = model(inputs)
        plain = nn.Sequential(nn.Linear(64, 48), nn.Linear(48, 64))
        plain.load_state_dict(handed_over(model))
        assert torch.allclose(plain(inputs), wanted, atol=1e-5)
        assert torch.equal(model(inputs), wanted)


def test_a_guard_takes_no_copy_where_nobody_merges() -> None:
    model, _ = policy(torch.bfloat16)
    guard = BaseGuard(model)
    assert guard.facts() is None
    assert guard._pristine == {}
    assert BaseGuard(nn.Linear(2, 2)).facts() is None  # full fine-tuning has no adapter


class Synced(run.SFTTrainer):
    """Hands its weights over before each update, as TRL does before each generation."""

    def training_step(self, *given: Any, **more: Any) -> Any:
        for _ in range(CYCLES):
            handed_over(self.model)
        return super().training_step(*given, **more)


def executed(lab: Any, inside: Any, index: int) -> Any:
    job = lab.job(lab.planned(lab.cell(algorithm="sft"), index))
    assert lab.execute(job, inside) == 0, job.last_exit()
    return job


def test_a_run_whose_base_drifted_is_invalid_and_a_guarded_one_is_not(pocket: Protocol, tmp_path: Path) -> None:
    from tests.train.conftest import Laboratory

    recipe = pocket.recipe.model_copy(update={"dtype": "bfloat16"})
    sft = {**pocket.sft, "learning_rate": 0.02}  # updates as large as half a thousandth of a weight would not round
    lab = Laboratory(tmp_path, pocket.model_copy(update={"recipe": recipe, "sft": sft}))
    lab.base()

    class Unguarded(BaseGuard):
        def __init__(self, policy: Any) -> None:
            super().__init__(nn.Linear(1, 1))

    def without() -> None:
        run.SFTTrainer, run.BaseGuard = Synced, Unguarded

    def guarded() -> None:
        run.SFTTrainer = Synced

    drifted, kept = executed(lab, without, 0), executed(lab, guarded, 1)
    said = {job.id: json.loads((job.result / "result.json").read_text()) for job in (drifted, kept)}
    assert said[drifted.id]["base_weights"] != said[drifted.id]["base_weights_after"]
    assert said[kept.id]["base_weights"] == said[kept.id]["base_weights_after"]
    assert said[kept.id]["weight_syncs"]["count"] == 3 * CYCLES  # three updates
    assert said[kept.id]["weight_syncs"]["drift_undone"] > 0
    assert "weight_syncs" not in said[drifted.id]
    refresh(Store(lab.root), [])
    assert invalid_runs(Store(lab.root), [drifted.id, kept.id]) == {
        drifted.id: "Training changed the frozen weights of its base."
    }


def test_every_run_has_an_engine_of_its_own_seed(monkeypatch: pytest.MonkeyPatch) -> None:
    seeds: list[int] = []

    def engine(*, model: str, seed: int) -> None:
        seeds.append(seed)

    monkeypatch.setattr(vllm_generation, "LLM", engine, raising=False)
    with seeded_engine(41):
        vllm_generation.LLM(model="m", seed=0)
    vllm_generation.LLM(model="m", seed=0)
    assert seeds == [41, 0]
    assert "self.llm = LLM(" in inspect.getsource(VLLMGeneration)  # the name that is replaced is the one that is called
