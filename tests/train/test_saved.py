"""What a run saves is read back, from its files and its base alone, as the update that the run measured."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from pydantic import TypeAdapter

from harness.spec import AdapterSpec, Cell, Protocol
from harness.spec.adapter import resolved
from harness.spec.scaling import Proportional
from harness.spectra import adapter_folder
from harness.spectra.checkpoint import Checkpoint
from harness.train import run
from harness.train.adapters import peft_config
from harness.train.base import new_model
from harness.train.tokenizer import character_tokenizer
from harness.train.updates import start, updates

DECLARED: list[dict[str, Any]] = [
    {"method": "lora", "rank": 3},
    {"method": "dora", "rank": 3},
    {"method": "pissa", "rank": 3},
    {"method": "quanta", "d": 3},
    {"method": "hra", "rank": 4},
    {"method": "peft", "type": "IA3"},
    {"method": "peft", "type": "IA3", "config": {"feedforward_modules": ["up_proj", "down_proj"]}},
    {"method": "peft", "type": "LOHA", "config": {"r": 4}},
]
SPEC: TypeAdapter[AdapterSpec] = TypeAdapter(AdapterSpec)


def spec(declared: dict[str, Any]) -> Any:
    return resolved(SPEC.validate_json(json.dumps(declared)), Proportional())


def trained(declared: dict[str, Any], base: Path, protocol: Protocol) -> Any:
    """Return a policy on `base` whose trained parameters have all moved."""
    from peft import get_peft_model
    from transformers import AutoModelForCausalLM

    torch.manual_seed(1)
    model = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)
    config: Any = peft_config(spec(declared), protocol.recipe, 10)
    policy: Any = get_peft_model(model, config)
    since = start(policy, spec(declared), base)
    with torch.no_grad():
        for parameter in policy.parameters():
            if parameter.requires_grad:
                parameter += 0.02 * torch.randn(parameter.shape)
    return policy, since


@pytest.mark.parametrize("declared", DECLARED, ids=lambda declared: Cell(adapter=spec(declared)).slug())
def test_what_is_saved_reads_back_as_what_was_measured(
    declared: dict[str, Any], pocket: Protocol, tmp_path: Path
) -> None:
    base, stage = tmp_path / "base", tmp_path / "stage"
    torch.manual_seed(0)
    new_model(pocket.made("llama"), character_tokenizer()).save_pretrained(base)
    policy, since = trained(declared, base, pocket)
    measured = dict(updates(policy, spec(declared), since))
    run._save(policy, stage, "b" * 64)
    read = dict(adapter_folder.updates(stage, Checkpoint(base)))
    assert set(read) == set(measured)
    for name, update in read.items():
        exact = measured[name].times(torch.eye(update.columns, dtype=torch.float64))
        seen = update.times(torch.eye(update.columns, dtype=torch.float64))
        assert float((seen - exact).norm()) <= 2e-4 * float(exact.norm())
    saved = json.loads((stage / "adapter_config.json").read_text())
    names = [value for key, value in saved.items() if key.endswith("_modules") and isinstance(value, list)]
    assert names
    assert all(value == sorted(value) for value in names)
