"""Real runs through TRL: what is trained, on what, and that it repeats to the bit."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import torch
from peft import PeftModel
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM, AutoTokenizer

from harness.plan import updates_of
from harness.record.atomic import sha256, write_json
from harness.record.job import JobDirectory
from harness.source import splits
from harness.spec import read_task

FILES = {
    "adapter_config.json",
    "adapter_model.safetensors",
    "evaluation.parquet",
    "manifest.json",
    "result.json",
    "spectrum.parquet",
    "steps.parquet",
}


def facts(job: JobDirectory) -> dict[str, Any]:
    return json.loads((job.result / "result.json").read_text())


def rows(job: JobDirectory, kind: str) -> list[dict[str, Any]]:
    return pq.read_table(job.result / f"{kind}.parquet").to_pylist()


def hashes(job: JobDirectory) -> dict[str, str]:
    return {path.name: sha256(path) for path in job.result.iterdir()}


@pytest.mark.parametrize("algorithm", ["grpo", "sft"])
def test_the_result_is_the_documented_files_and_nothing_is_left_beside_it(algorithm: str, shared) -> None:
    job = shared.run(shared.cell(algorithm=algorithm))
    assert {path.name for path in job.result.iterdir()} == FILES
    assert {path.name for path in job.path.iterdir()} == {"spec.json", "attempts", "result"}
    (attempt,) = job.attempts()
    assert {path.name for path in attempt.iterdir()} == {
        *("beat", "claim.json", "exit.json", "lock", "log.txt", "outcome.json", "progress.json", "timing.json")
    }


def test_a_base_is_the_documented_files(shared) -> None:
    assert {path.name for path in shared.base().result.iterdir()} == {
        *("config.json", "generation_config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json"),
        *("evaluation.parquet", "manifest.json", "result.json", "steps.parquet"),
        *("spectrum.parquet", "basis.safetensors"),
    }


@pytest.mark.parametrize("algorithm", ["grpo", "sft"])
def test_an_epoch_is_the_planned_number_of_updates(algorithm: str, shared) -> None:
    job = shared.run(shared.cell(algorithm=algorithm))
    assert facts(job)["updates"] == 3  # 6 prompts, 2 an update
    assert [row["step"] for row in rows(job, "steps")] == [1, 2, 3]
    assert [row["learning_rate"] for row in rows(job, "steps")] == [1e-3] * 3
    assert all(row["grad_norm"] is not None for row in rows(job, "steps"))
    assert {row["reward"] is None for row in rows(job, "steps")} == {algorithm == "sft"}


@pytest.mark.parametrize(
    ("algorithm", "fields", "made"),
    [
        ("grpo", {"num_iterations": 2}, 6),  # every batch of completions twice
        ("grpo", {"per_device_train_batch_size": 4, "gradient_accumulation_steps": 2}, 3),
        # 2 prompts a generation of 4 steps of 2 completions: 12 steps, 3 to an update
        ("grpo", {"per_device_train_batch_size": 2, "gradient_accumulation_steps": 3, "steps_per_generation": 4}, 4),
        ("grpo", {"num_train_epochs": 0.5}, 2),  # of three, rounded up
        ("sft", {"num_train_epochs": 1.5, "gradient_accumulation_steps": 2}, 3),  # of two, the last one of one step
        ("sft", {"per_device_train_batch_size": 4}, 2),
        ("sft", {"per_device_train_batch_size": 4, "dataloader_drop_last": True}, 1),
        ("sft", {"max_steps": 2}, 2),
    ],
)
def test_runs_make_as_many_updates_as_are_foreseen(
    algorithm: str, fields: dict[str, Any], made: int, shared: Any
) -> None:
    trainer = {**shared.protocol.trainer(algorithm), **fields}
    other = replace(shared, protocol=shared.protocol.model_copy(update={algorithm: trainer}))
    cell = shared.cell(algorithm=algorithm)
    assert updates_of(cell, other.protocol) == made
    assert facts(other.run(cell))["updates"] == made


@pytest.mark.parametrize("algorithm", ["grpo", "sft"])
def test_only_the_adapter_is_trained_and_it_starts_from_nothing(algorithm: str, shared) -> None:
    said = facts(shared.run(shared.cell(algorithm=algorithm)))
    assert said["update_norm_at_start"] == 0.0
    assert said["base_weights"] == said["base_weights_after"] == facts(shared.base())["base_weights"]
    if algorithm == "sft":  # an untrained policy may earn no reward at all, and then rightly learns nothing
        assert 0 < said["first_update_norm"] < said["final_update_norm"]


def test_what_is_scored_is_what_is_saved(shared) -> None:
    job = shared.run(shared.cell(algorithm="sft"))
    said = facts(job)
    spectrum = [row for row in rows(job, "spectrum") if row["target"] == "update" and row["step"] == said["updates"]]
    assert len(spectrum) == said["adapter"]["adapted_matrices"] == 7
    squares = sum(row["frobenius"] ** 2 for row in spectrum)
    assert squares**0.5 == pytest.approx(said["final_update_norm"], rel=1e-9)
    assert {(row["step"], row["layer"], row["rows"], row["columns"]) for row in spectrum} == {(3, 0, 16, 16)}
    evaluation = rows(job, "evaluation")
    assert said["accuracy"] == sum(row["correct"] for row in evaluation) / 500
    assert {(row["step"], row["split"], row["samples"]) for row in evaluation} == {(3, "evaluation", 1)}


def test_the_saved_adapter_on_the_base_is_the_policy(fresh) -> None:
    base = fresh.base().result
    job = fresh.job(fresh.planned(fresh.cell(algorithm="sft")))
    prompts = AutoTokenizer.from_pretrained(base)(["1+2=", "10+20="], return_tensors="pt", padding=True)
    kept = job.path / "logits.safetensors"

    def inside() -> None:
        from harness.train import run

        save = run._save

        def saved(policy: Any, stage: Path, base_id: str) -> None:
            with torch.no_grad():
                save_file({"logits": policy.eval()(**prompts).logits}, kept)
            save(policy, stage, base_id)

        run._save = saved

    assert fresh.execute(job, inside) == 0
    plain = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)
    with torch.no_grad():
        untrained = plain(**prompts).logits
        reloaded = PeftModel.from_pretrained(plain, job.result).eval()(**prompts).logits
    assert torch.equal(reloaded, load_file(kept)["logits"])
    assert not torch.equal(reloaded, untrained)


def test_the_adapter_names_its_base_and_no_folder(shared) -> None:
    job = shared.run(shared.cell())
    config = json.loads((job.result / "adapter_config.json").read_text())
    assert config["base_model_name_or_path"] == shared.base().id
    assert config["target_modules"] == sorted(config["target_modules"])  # PEFT keeps a set
    text = (job.result / "adapter_config.json").read_text() + (job.result / "result.json").read_text()
    assert str(shared.root) not in text


@pytest.mark.parametrize("algorithm", ["grpo", "sft"])
def test_the_same_job_gives_the_same_bytes_in_another_store(algorithm: str, shared, fresh) -> None:
    cell = shared.cell(algorithm=algorithm)
    assert hashes(shared.run(cell)) == hashes(fresh.run(cell))
    assert hashes(shared.base()) == hashes(fresh.base())


def test_seeds_draw_other_completions(shared) -> None:
    first, second = (facts(shared.run(shared.cell(), index))["first_rollouts"] for index in (0, 1))
    assert first["sha256"] != second["sha256"]
    assert len(first["texts"]) == 8


@pytest.mark.parametrize("name", ["qwen", "olmo"])
def test_every_architecture_is_trained(name: str, shared) -> None:
    said = facts(shared.run(shared.cell(algorithm="sft"), base=name))
    assert said["base_weights"] == said["base_weights_after"]
    assert said["final_update_norm"] > 0
    assert facts(shared.run(shared.cell(), base=name))["updates"] == 3


@pytest.mark.parametrize("algorithm", ["grpo", "sft"])
def test_looking_in_the_middle_changes_nothing(algorithm: str, shared) -> None:
    unwatched = shared.run(shared.cell(algorithm=algorithm))
    watched = shared.run(shared.cell(algorithm=algorithm), validate_at=(1, 3))
    assert watched.id != unwatched.id
    adapters = [load_file(job.result / "adapter_model.safetensors") for job in (unwatched, watched)]
    assert adapters[0].keys() == adapters[1].keys()
    assert all(torch.equal(adapters[0][name], adapters[1][name]) for name in adapters[0])
    assert rows(watched, "steps") == rows(unwatched, "steps")
    looks = {(row["step"], row["split"]) for row in rows(watched, "evaluation")}
    assert looks == {(1, "validation"), (3, "validation"), (3, "evaluation")}
    assert [row for row in rows(watched, "evaluation") if row["split"] == "evaluation"] == rows(unwatched, "evaluation")


def seen(lab: Any, algorithm: str, tmp_path: Path) -> list[list[Any]]:
    """Execute a run and return what its trainer saw, by update: (prompt, answer), or (token ids, labels) under SFT."""
    from harness.train import run

    kept, updates = tmp_path / "seen.json", []

    class Sft(run.SFTTrainer):
        def compute_loss(self, model: Any, inputs: Any, *rest: Any, **more: Any) -> Any:
            updates.append(list(zip(inputs["input_ids"].tolist(), inputs["labels"].tolist(), strict=True)))
            write_json(kept, updates)
            return super().compute_loss(model, inputs, *rest, **more)

    class Reward(run.ExactAnswer):
        def __call__(self, completion_ids: Any, answer: Any, **more: Any) -> Any:
            updates.append(list(zip(more["prompts"], answer, strict=True)))
            write_json(kept, updates)
            return super().__call__(completion_ids, answer, **more)

    def inside() -> None:
        run.SFTTrainer, run.ExactAnswer = Sft, Reward

    lab.base()
    job = lab.job(lab.planned(lab.cell(algorithm=algorithm)))
    assert lab.execute(job, inside) == 0, job.last_exit()
    return json.loads(kept.read_text())


def test_grpo_asks_every_training_prompt_once_in_groups(fresh, tmp_path: Path) -> None:
    updates = seen(fresh, "grpo", tmp_path)
    expected = sorted([item.prompt, item.answer] for item in splits(fresh.protocol.task).training)
    assert [len(update) for update in updates] == [8, 8, 8]
    asked = [update[i] for update in updates for i in range(0, 8, 4)]  # 4 completions a prompt
    assert all(update[i] == update[i - i % 4] for update in updates for i in range(8))
    assert sorted(asked) == expected


def test_sft_counts_the_answer_and_its_end_of_the_same_prompts(fresh, tmp_path: Path) -> None:
    tokenizer = AutoTokenizer.from_pretrained(fresh.base().result)
    updates = seen(fresh, "sft", tmp_path)
    expected = sorted((f"<bos>{item.prompt}", f"{item.answer}<eos>") for item in splits(fresh.protocol.task).training)
    assert [len(update) for update in updates] == [2, 2, 2]
    pairs = []
    for ids, labels in (row for update in updates for row in update):
        counted = [token for token in labels if token != -100]
        left_out = [token for token, label in zip(ids, labels, strict=True) if label == -100]
        assert all(label in (-100, token) for token, label in zip(ids, labels, strict=True))
        pairs.append(
            (tokenizer.decode([t for t in left_out if t != tokenizer.pad_token_id]), tokenizer.decode(counted))
        )
    assert sorted(pairs) == expected


def test_a_run_on_arithmetic_is_trained_on_easy_problems_and_scored_on_hard_ones(fresh) -> None:
    task = {
        **{"name": "arithmetic", "operations": ["+", "-"], "terms": [2], "largest_operand": 31, "split_seed": 1},
        **{"evaluation_problems": 500, "validation_problems": 500, "training_prompts": 6},
        "hard": {"from_operand": 16, "pretraining": "all"},
    }
    object.__setattr__(fresh, "protocol", fresh.protocol.model_copy(update={"task": read_task(task)}))
    job = fresh.run(fresh.cell())
    assert facts(job)["updates"] == 3
    scored = [row for row in rows(job, "evaluation") if row["split"] == "evaluation"]
    assert len(scored) == 500
    assert facts(job)["accuracy"] == sum(row["correct"] for row in scored) / 500
