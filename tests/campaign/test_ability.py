"""What a protocol wants of a machine, held against machines of the test's own."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from harness.campaign.ability import ability
from harness.campaign.machine import Machine
from harness.spec import Protocol, load_protocol, read_task
from harness.spec.hardware import Hardware
from harness.spec.resources import Resources

H100 = Hardware(
    gpu="H100-80GB",
    memory_gib=79.0,
    flops=989e12,
    utilisation=0.35,
    bandwidth=3.35e12,
    decode_utilisation=0.45,
    prompt_tokens=200,
    longest_prompt=512,
    completion_tokens=400,
    fixed_minutes=10.0,
    source="supposed for these tests",
)
LARGE = {
    "hidden_size": 4096,
    "layers": 32,
    "intermediate_size": 14336,
    "heads": 32,
    "kv_heads": 8,
    "vocabulary": 128256,
}
ABLE = Machine(gpus=(("H100", 80.0),), host_gib=200.0, free_gib=500.0, hub=True, installed=frozenset({"vllm"}))


def protocol(**grpo: Any) -> Protocol:
    """Return a protocol on a model of 8 billion parameters with vLLM."""
    declared = load_protocol(Path(__file__).parents[1] / "found.yaml", "found.yaml")
    llama = declared.bases["llama"]
    shape = llama.shape.model_copy(update=LARGE)  # type: ignore[union-attr]
    bases = {"llama": llama.model_copy(update={"shape": shape})}
    fields = {**declared.grpo, "use_vllm": True, "vllm_gpu_memory_utilization": 0.4, "max_completion_length": 1024}
    fields["activation_checkpointing"] = True
    return declared.model_copy(update={"bases": bases, "grpo": {**fields, **grpo}, "hardware": H100})


def test_a_machine_that_has_everything_lacks_nothing() -> None:
    said = ability(protocol(), "paper", ABLE)
    assert said.missing == ()
    assert said.able
    assert said.notes == ("not resolved to a commit yet: lab/mini-llama@main",)


@pytest.mark.parametrize(
    ("machine", "told"),
    [
        ({"gpus": ()}, "no GPU is seen; a run on llama takes about "),
        ({"gpus": (("T4", 15.0),)}, "and the largest GPU has 15"),
        ({"installed": frozenset[str]()}, "vllm is not installed, and grpo.use_vllm asks for it"),
        ({"host_gib": 24.0}, "30 GiB of host memory keep the base as it is, and this host has 24"),
        ({"hub": False}, "the Hub does not answer, and lab/mini-llama@main is not in "),
        ({"free_gib": 10.0}, "16 GiB of weights are to be fetched, and 10 GiB are free at "),
    ],
)
def test_what_is_missing_is_told_one_by_one(machine: dict[str, Any], told: str) -> None:
    said = ability(protocol(), "paper", replace(ABLE, **machine))
    (line,) = said.missing
    assert told in line
    assert not said.able


@pytest.mark.parametrize(
    ("wants", "told"),
    [
        ({"gpus": 2}, "resources: a run wants 2 GPUs, and 1 are seen"),
        ({"cpus": 32}, "resources: a run wants 32 cores, and this machine has 16"),
        ({"memory_gib": 256}, "resources: a run wants 256 GiB of memory, and this host has 200"),
    ],
)
def test_resources_that_no_run_could_have_are_missing(wants: dict[str, Any], told: str) -> None:
    declared = protocol().model_copy(update={"resources": Resources(**wants)})
    machine = replace(ABLE, cores=16)
    assert ability(declared, "paper", machine).missing == (told,)
    assert ability(declared.model_copy(update={"resources": Resources(gpus=1, cpus=16)}), "paper", machine).able
    bare = ability(declared, "paper", replace(machine, gpus=())).missing
    assert sum("GPU is seen" in line or "GPUs" in line for line in bare) == 1


def test_a_model_in_the_cache_needs_neither_the_hub_nor_space(tmp_path: Path) -> None:
    home = tmp_path / "models--lab--mini-llama"
    (home / "refs").mkdir(parents=True)
    (home / "refs" / "main").write_text("a" * 40)
    (home / "snapshots" / ("a" * 40)).mkdir(parents=True)
    bare = replace(ABLE, hub=False, free_gib=0.0, cache=tmp_path)
    assert len(ability(protocol(), "paper", bare).missing) == 2
    (home / "snapshots" / ("a" * 40) / "config.json").write_text("{}")
    assert ability(protocol(), "paper", bare).missing == ()


def test_a_protocol_whose_pilot_was_not_run_is_noted_and_one_made_on_the_spot_runs_anywhere() -> None:
    declared = protocol()
    thresholds = declared.thresholds.model_copy(update={"healthy_gain": None})
    notes = ability(declared.model_copy(update={"thresholds": thresholds}), "paper", ABLE).notes
    assert notes[0] == "learning rate and healthy gain are not measured: `harness pilot --protocol paper` chooses them"
    tiny = load_protocol(Path(__file__).parents[2] / "runs" / "tiny.yaml", "tiny.yaml")
    assert ability(tiny, "tiny", Machine()) == ability(tiny, "tiny", ABLE)
    assert ability(tiny, "tiny", Machine()).able


@pytest.mark.parametrize(("name", "extra"), [("math-verify", "math"), ("reasoning-gym", "reasoning")])
def test_a_task_in_text_wants_its_verifier(name: str, extra: str) -> None:
    problems = {"split_seed": 5, "evaluation_problems": 500, "validation_problems": 500, "training_prompts": 80}
    rows = {"training": {"format": "gsm8k", "split": "train", "revision": "main"}, "prompt": "{question}"}
    asked = {
        "math-verify": {"name": "dataset", "verifier": "math-verify", **rows},
        "reasoning-gym": {
            "name": "reasoning-gym",
            "dataset": "chain_sum",
            "seed": 1,
            "size": 2000,
            "prompt": "{question}",
        },
    }[name]
    declared = protocol().model_copy(update={"task": read_task({**asked, **problems})})
    assert ability(declared, "paper", ABLE).missing == (
        f"{name} is not installed. Install it: pip install 'rlvr-harness[{extra}]'",
    )
    able = replace(ABLE, installed=frozenset({"vllm", name}))
    assert ability(declared, "paper", able).missing == ()
    assert any(note.startswith("not known yet of its task: ") for note in ability(declared, "paper", able).notes)
