"""From a job directory to a committed result, or to an attempt that says why there is none."""

import os
import platform
import resource
import shutil
import sys
import time
import traceback
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
import transformers

from harness import __version__
from harness.record.atomic import write_json
from harness.record.data import kept_rows
from harness.record.job import Attempt, JobDirectory
from harness.record.shards import write_shard
from harness.source import items_hash, splits
from harness.spec import BaseRecipe, CustomTask
from harness.spec.protocol import Evaluation
from harness.train.adapters import weights_hash
from harness.train.base import pretrain
from harness.train.code import permitted_task, recorded_code
from harness.train.evaluate import accuracy, evaluate, sampled_accuracy
from harness.train.found import score_found
from harness.train.progress import Heartbeat
from harness.train.run import train_run
from harness.train.spectra import base_rows
from harness.train.tokenizer import character_tokenizer

RECORDED = ("torch", "transformers", "trl", "peft", "datasets", "tokenizers", "numpy")
OK, FAILED, LOST_CLAIM = 0, 1, 77


def execute(folder: Path, code_root: Path | None = None) -> int:
    """Execute the job in `folder` unless it is committed or claimed; return the exit status of the process.

    A job that names code of the user's own fails unless whoever calls permits that of the project `code_root`.
    """
    job = JobDirectory(folder)
    attempt = job.claim({"engine": "process", "harness": __version__})
    if attempt is None:
        return LOST_CLAIM
    _write_output_to(attempt.path / "log.txt")
    began = time.monotonic()
    try:
        with Heartbeat(attempt) as heartbeat:
            facts, spent = _facts(job, attempt, heartbeat, code_root)
        facts |= recorded_code(job.spec()["identity"])
        write_json(attempt.stage / "result.json", {"job": job.id, **facts, "software": software()})
        write_json(attempt.path / "timing.json", {**spent, **_used(began)})
        committed = attempt.commit()
        _remove_stages(job, attempt, committed)
    except Exception as error:
        traceback.print_exc()
        sys.stderr.flush()
        write_json(attempt.path / "timing.json", _used(began))
        attempt.exit("error", f"{type(error).__name__}: {error}")
        return FAILED
    attempt.exit("ok" if committed else "lost_claim")
    return OK if committed else LOST_CLAIM


def _used(began: float) -> dict[str, Any]:
    """Return what this process has used since it began: seconds, bytes, and the device that it trained on."""
    unit = 1 if sys.platform == "darwin" else 1024  # of ru_maxrss
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
    used = {"cpu_seconds": time.process_time(), "wall_seconds": time.monotonic() - began, "peak_bytes": memory}
    if not torch.cuda.is_initialized():
        return {**used, "device": "cpu"}
    return {**used, "device": torch.cuda.get_device_name(), "device_peak_bytes": torch.cuda.max_memory_allocated()}


def _remove_stages(job: JobDirectory, attempt: Attempt, committed: bool) -> None:
    """Remove what killed attempts had made; only after a commit, when no late rename of theirs can win any more."""
    for stage in job.path.glob(".stage-*") if committed else [attempt.stage]:
        shutil.rmtree(stage, ignore_errors=True)


def software() -> dict[str, str]:
    """Return the versions that a result rests on; recorded, not part of any identity."""
    return {name: version(name) for name in RECORDED} | {"python": platform.python_version(), "harness": __version__}


def _facts(
    job: JobDirectory, attempt: Attempt, heartbeat: Heartbeat, code_root: Path | None
) -> tuple[dict[str, Any], dict[str, float]]:
    """Return the facts to record, and seconds spent, which belong to the attempt because no repeat has the same."""
    torch.set_num_threads(1)
    transformers.utils.logging.disable_progress_bar()
    identity = job.spec()["identity"]
    if identity["kind"] == "base" and "found" in identity:
        return score_found(job.spec(), attempt.stage, heartbeat, code_root, kept_rows(job.path)), {}
    if identity["kind"] == "base":
        return _base(identity, attempt.stage, heartbeat, code_root), {}
    base = job.path.parent.parent / "bases" / identity["base_id"] / "result"
    if not (base / "manifest.json").is_file():
        raise FileNotFoundError(f"base {identity['base_id']} has no result in this store, and the run starts from it")
    scratch = attempt.path / "trainer"
    try:
        return train_run(identity, base, attempt.stage, scratch, heartbeat, code_root, kept_rows(job.path))
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _base(identity: dict[str, Any], stage: Path, heartbeat: Heartbeat, code_root: Path | None) -> dict[str, Any]:
    recipe = BaseRecipe.model_validate(identity["recipe"])
    task = permitted_task(identity, code_root)
    parts = splits(task)
    if items_hash(parts.pretraining) != identity["pretraining_set"]:
        raise ValueError("the pre-training set made here is not the one that the base is identified by")
    tokenizer = character_tokenizer(task.alphabet) if isinstance(task, CustomTask) else character_tokenizer()
    steps = recipe.pretraining.steps
    losses: list[dict[str, Any]] = []

    def on_step(step: int, loss: float) -> None:
        losses.append({"step": step, "loss": loss})
        heartbeat.tell(phase="pre-training", step=step, steps=steps)

    plan, seed = Evaluation.model_validate(identity["evaluation"]), recipe.pretraining.seed

    def score(model: Any, split: str) -> list[dict[str, Any]]:
        return evaluate(model, tokenizer, getattr(parts, split), plan, seed, step=0, split=split)

    once = plan.model_copy(update={"samples_per_problem": 1})

    def look(model: Any, step: int) -> float:
        return sampled_accuracy(model, tokenizer, parts.validation, once, seed)

    model = pretrain(recipe, parts.pretraining, tokenizer, on_step, look)
    heartbeat.tell(phase="scoring")
    rows = [row for split in ("evaluation", "validation") for row in score(model, split)]
    write_shard(stage, "evaluation", rows)
    write_shard(stage, "steps", losses)
    model.save_pretrained(stage)
    tokenizer.save_pretrained(stage)
    write_shard(stage, "spectrum", base_rows(stage))
    return {
        "accuracy": accuracy([row for row in rows if row["split"] == "evaluation"]),
        "validation_accuracy": accuracy([row for row in rows if row["split"] == "validation"]),
        "updates": len(losses),
        "parameters": sum(p.numel() for p in model.parameters()),
        "base_weights": weights_hash(model.named_parameters()),
    }


def _write_output_to(path: Path) -> None:
    log = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    os.dup2(log, 1)
    os.dup2(log, 2)
    os.close(log)
