"""Trackers of real runs: TensorBoard's events say what the record says, and change nothing in it."""

import hashlib
import json
import os
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from harness.record.job import JobDirectory
from harness.record.tracking import event_folders, report_to, reports_to

NAMES = {"completions/mean_length": "completion_length", "completions/clipped_ratio": "clipped_ratio"}
SECRETS = {
    name: f"canary-{name.lower()}-4711"
    for name in ("WANDB_API_KEY", "MLFLOW_TRACKING_PASSWORD", "HF_TOKEN", "COMET_API_KEY", "NEPTUNE_API_TOKEN")
}


def hashes(job: JobDirectory) -> dict[str, str]:
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in job.result.iterdir()}


@pytest.mark.slow
@pytest.mark.parametrize("algorithm", ["grpo", "sft"])
def test_events_equal_the_step_log_and_the_result_is_as_without_them(algorithm: str, shared: Any, fresh: Any) -> None:
    plain = shared.run(shared.cell(algorithm=algorithm))
    fresh.base()
    tracked = fresh.job(fresh.planned(fresh.cell(algorithm=algorithm)))
    assert tracked.id == plain.id
    report_to(tracked.path, ["tensorboard"])
    elsewhere = fresh.root / "elsewhere"
    inside = {**SECRETS, "TENSORBOARD_LOGGING_DIR": str(elsewhere)}
    assert fresh.execute(tracked, lambda: os.environ.update(inside)) == 0, tracked.last_exit()

    assert hashes(tracked) == hashes(plain)
    assert not elsewhere.exists()
    (folder,) = event_folders(tracked.path)
    assert folder == tracked.attempts()[0] / "events"
    events = EventAccumulator(str(folder)).Reload()
    rows = pq.read_table(tracked.result / "steps.parquet").to_pylist()
    seen = 0
    for tag in events.Tags()["scalars"]:
        name = tag.removeprefix("train/")
        column = NAMES.get(name, name)
        if column in rows[0]:
            told = {event.step: event.value for event in events.Scalars(tag)}
            assert told == {row["step"]: pytest.approx(row[column], rel=1e-6) for row in rows}, tag  # float32 there
            seen += 1
    assert seen == sum(value is not None for name, value in rows[0].items() if name != "step")
    assert json.loads(events.Tensors("args/text_summary")[0].tensor_proto.string_val[0])["run_name"] == tracked.id
    kept = b"".join(path.read_bytes() for path in fresh.root.rglob("*") if path.is_file())
    assert [name for name, value in SECRETS.items() if value.encode() in kept] == []


@pytest.mark.slow
def test_a_tracker_that_is_not_installed_fails_the_run_by_name(fresh: Any) -> None:
    fresh.base()
    job = fresh.job(fresh.planned(fresh.cell(algorithm="sft")))
    report_to(job.path, ["neptune"])
    assert fresh.execute(job) != 0
    end = job.last_exit()
    assert end is not None and "neptune" in end.message.lower()


def test_who_submits_last_decides_and_nothing_is_written_for_nothing(tmp_path: Path) -> None:
    job = tmp_path / "job"
    job.mkdir()
    report_to(job, [])
    assert list(job.iterdir()) == [] and reports_to(job) == ()
    report_to(job, ("wandb", "tensorboard"))
    assert reports_to(job) == ("wandb", "tensorboard")
    report_to(job, ())
    assert reports_to(job) == ()
