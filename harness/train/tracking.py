"""What a run tells TRL of the trackers that watch it.

TensorBoard's events go into the attempt, whatever the environment says, so that runs at work at once do not write into
one folder. Other trackers find their places, projects and tokens in the environment, as their own manuals say.
"""

import os
from pathlib import Path
from typing import Any

from harness.record.tracking import EVENTS, reports_to


def reporting(attempt: Path) -> dict[str, Any]:
    """Return the trainer fields of the trackers that an attempt (`JOB/attempts/NNNN`) reports to."""
    job = attempt.parents[1]
    trackers = reports_to(job)
    if not trackers:
        return {"report_to": "none"}
    os.environ["TENSORBOARD_LOGGING_DIR"] = str(attempt / EVENTS)
    return {"report_to": list(trackers), "run_name": job.name}
