"""The job of a base that exists: its files linked into the result, its hash, its accuracy, its spectra.

Files are linked to the Hub's cache where both lie on one disk, so that they stay when the cache is emptied; elsewhere
the result points into the cache, and the manifest's checksums tell when that has changed.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from harness.record.shards import write_shard
from harness.source import evaluation_hash, splits
from harness.source.found import model_files, read_config
from harness.source.hub import snapshot
from harness.spec.protocol import Evaluation
from harness.train.adapters import weights_hash
from harness.train.code import permitted_task
from harness.train.evaluate import accuracy, evaluate
from harness.train.exam import exam_of, in_text
from harness.train.load import load_found, tokenizer_facts
from harness.train.progress import Heartbeat
from harness.train.spectra import base_rows

SEED = 0
"""Of the sampled answers by which a base is scored."""
OURS = {"result.json", "manifest.json"}
"""Names that belong to the result, whatever a repository calls its files."""


def score_found(
    spec: dict[str, Any], stage: Path, heartbeat: Heartbeat, code_root: Path | None, data: Path | None = None
) -> dict[str, Any]:
    """Put a base that exists into `stage`, score it, and return the facts to record.

    Rows of published sets are read from the folder `data`.
    """
    identity = spec["identity"]
    found, dtype = identity["found"], identity["dtype"]
    task = permitted_task(identity, code_root, data)
    parts = splits(task)
    if evaluation_hash(task) != identity["evaluation_set"]:
        raise ValueError("the evaluation set made here is not the one that the base is identified by")
    heartbeat.tell(phase="loading")
    link_files(_folder(spec), stage)
    loaded = load_found(stage, dtype, found["prompting"])
    parts, plan = loaded.rendered(parts), Evaluation.model_validate(identity["evaluation"])
    heartbeat.tell(phase="scoring")
    exam = exam_of(task, loaded.model, loaded.tokenizer)

    model, tokenizer = loaded.model, loaded.tokenizer
    rows = [
        row
        for split in ("evaluation", "validation")
        for row in evaluate(model, tokenizer, getattr(parts, split), plan, SEED, step=0, split=split, exam=exam)
    ]
    write_shard(stage, "evaluation", rows)
    asked = in_text(task, parts, exam, {})
    exam.close()
    config = read_config(stage)
    facts = {
        "accuracy": accuracy([row for row in rows if row["split"] == "evaluation"]),
        "validation_accuracy": accuracy([row for row in rows if row["split"] == "validation"]),
        "updates": None,  # which its makers know
        "parameters": sum(p.numel() for p in model.parameters()),
        "base_weights": weights_hash(model.named_parameters()),
        "found": found,
        "dtype": dtype,
        "shape": {
            "architecture": config["model_type"],
            "hidden_size": config["hidden_size"],
            "layers": config["num_hidden_layers"],
        },
        "tokenizer": tokenizer_facts(stage, tokenizer),
        **asked,
    }
    device = model.device
    del loaded, model
    heartbeat.tell(phase="spectra")
    with _all_threads():
        write_shard(stage, "spectrum", base_rows(stage, keep=True, device=device))
    return facts


def link_files(folder: Path, stage: Path) -> None:
    """Link a model's files into `stage`, without a copy."""
    for path in model_files(folder):
        if path.name in OURS:
            continue
        source, link = path.resolve(), stage / path.name
        try:
            os.link(source, link)
        except OSError:  # another disk, or one without such links
            link.symlink_to(source)


def _folder(spec: dict[str, Any]) -> Path:
    """Return where the files lie: the folder that the driver named, else the commit in the library's cache."""
    named, found = Path(spec.get("folder", "/nowhere")), spec["identity"]["found"]
    if named.is_dir():
        return named
    if "hub" not in found:
        raise FileNotFoundError(f"{named}: the folder of this base is gone. Restore it and run again.")
    return snapshot(found["hub"], found["commit"], online=False)


@contextmanager
def _all_threads() -> Iterator[None]:
    """Take all cores: a spectrum is seconds of one core a matrix, and a base has hundreds."""
    before = torch.get_num_threads()
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    torch.set_num_threads(cores)
    try:
        yield
    finally:
        torch.set_num_threads(before)
