"""From a claimed attempt to a finished stage, or to the reason why there is none: what a trainer process does.

It claims nothing and commits nothing: its supervisor does (`train.supervise`). How it ended is in `outcome.json`.
"""

import platform
import shutil
import sys
import traceback
from contextlib import suppress
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
import transformers

from harness import __version__
from harness.record.atomic import create_json, write_json
from harness.record.data import kept_rows
from harness.record.ending import Exit, Reason, of_system
from harness.record.job import Attempt, JobDirectory
from harness.record.shards import write_shard
from harness.source import items_hash, splits
from harness.spec import BaseRecipe, CustomTask
from harness.spec.protocol import Evaluation
from harness.spec.secrets import without_secrets
from harness.train.adapters import weights_hash
from harness.train.base import pretrain
from harness.train.checkpoints import Checkpoints, Stopped
from harness.train.code import permitted_task, recorded_code
from harness.train.evaluate import accuracy, evaluate, sampled_accuracy
from harness.train.found import score_found
from harness.train.progress import Heartbeat
from harness.train.ranks import first, lost
from harness.train.run import train_run
from harness.train.spectra import base_rows
from harness.train.start import forked
from harness.train.supervise import FAILED, OK, STOPPED, supervise
from harness.train.tokenizer import character_tokenizer

RECORDED = ("torch", "transformers", "trl", "peft", "datasets", "tokenizers", "numpy")


def execute(folder: Path, code_root: Path | None = None) -> int:
    """Execute the job in `folder`, the trainer a fork of this process, which has imported what it needs."""
    return supervise(folder, forked(lambda attempt: train(attempt, code_root)))


def train(attempt: Attempt, code_root: Path | None = None) -> int:
    """Do the work of an attempt, and leave how it ended in its folder; return the exit status of the process.

    A job that names code of the user's own fails unless whoever calls permits that of the project `code_root`.
    """
    job = JobDirectory(attempt.job)
    spent: dict[str, Any] = {}
    try:
        with Heartbeat(attempt) as heartbeat:
            facts, spent = _facts(job, attempt, heartbeat, code_root)
        if first():
            facts |= recorded_code(job.spec()["identity"])
            write_json(attempt.stage / "result.json", {"job": job.id, **facts, "software": software()})
        end = Exit(Reason.OK, "")
    except Stopped as stopped:
        end = Exit(Reason.PREEMPTED, str(stopped))
    except Exception as error:
        shutil.rmtree(attempt.stage, ignore_errors=True)  # room on a full disk for what is said below
        with suppress(OSError):
            traceback.print_exc()
            sys.stderr.flush()
        end = Exit(_reason(error), without_secrets(f"{type(error).__name__}: {error}"))
    if first() or end.reason not in (Reason.OK, Reason.PREEMPTED):
        with suppress(OSError):
            (attempt.path / "reserve").unlink()
        # of several processes the first to fail is heard: the others fail because it is gone
        create_json(attempt.path / "outcome.json", {**end.as_json(), "spent": {**spent, **_device()}})
    return {Reason.OK: OK, Reason.PREEMPTED: STOPPED}.get(end.reason, FAILED)


def _reason(error: Exception) -> Reason:
    """Return the reason that an exception stands for."""
    if isinstance(error, FloatingPointError):
        return Reason.NAN
    if isinstance(error, torch.OutOfMemoryError):
        return Reason.OOM_DEVICE
    if lost(error):
        return Reason.KILLED
    if isinstance(error, MemoryError) or "DefaultCPUAllocator: can't allocate memory" in str(error):
        return Reason.OOM_HOST
    return of_system(error)


def _device() -> dict[str, Any]:
    """Return the device that this process trained on, and the most memory that it held there."""
    if not torch.cuda.is_initialized():
        return {"device": "cpu"}
    return {"device": torch.cuda.get_device_name(), "device_peak_bytes": torch.cuda.max_memory_allocated()}


def software() -> dict[str, str]:
    """Return the versions that a result rests on; recorded, not part of any identity."""
    return {name: version(name) for name in RECORDED} | {"python": platform.python_version(), "harness": __version__}


def _facts(
    job: JobDirectory, attempt: Attempt, heartbeat: Heartbeat, code_root: Path | None
) -> tuple[dict[str, Any], dict[str, float]]:
    """Return the facts to record, and seconds spent, which belong to the attempt because no repeat has the same."""
    torch.set_num_threads(job.resources().threads)
    transformers.utils.logging.disable_progress_bar()
    identity = job.spec()["identity"]
    if identity["kind"] == "base" and "found" in identity:
        return score_found(job.spec(), attempt.stage, heartbeat, code_root, kept_rows(job.path)), {}
    if identity["kind"] == "base":
        return _base(identity, attempt.stage, heartbeat, code_root), {}
    base = job.path.parent.parent / "bases" / identity["base_id"] / "result"
    if not (base / "manifest.json").is_file():
        raise FileNotFoundError(f"base {identity['base_id']} has no result in this store, and the run starts from it")
    return train_run(
        identity, base, attempt.stage, Checkpoints.of(job, attempt), heartbeat, code_root, kept_rows(job.path)
    )


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
