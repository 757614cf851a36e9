"""What a claim says of whose it is, beside host and process: the engine and its name for the job, devices, command."""

import json
import os
from contextlib import suppress
from typing import Any

from harness import __version__


def claimed_by() -> dict[str, Any]:
    """Return what a claim says of whose it is, beside host and process."""
    known = {"driver": "HARNESS_DRIVER", "devices": "CUDA_VISIBLE_DEVICES"}
    said: dict[str, Any] = {"engine": "process", "harness": __version__}
    task = [os.environ.get(f"SLURM_ARRAY_{part}_ID", "") for part in ("JOB", "TASK")]
    if job := os.environ.get("SLURM_JOB_ID"):
        said |= {"engine": "slurm", "engine_job": "_".join(task) if all(task) else job}
    if (ray := os.environ.get("RAY_JOB_CONFIG_JSON_ENV_VAR")) is not None:
        with suppress(ValueError, KeyError, TypeError):
            said |= {"engine": "ray", "engine_job": str(json.loads(ray)["metadata"]["job_submission_id"])}
    return said | {key: os.environ[name] for key, name in known.items() if os.environ.get(name)}
