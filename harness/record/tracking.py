"""Which trackers watch a job, beside its record: `JOB/trackers.json`, which whoever submits the job replaces.

A tracker is not meant to change a result, and its events hold the time of day, so neither its name nor anything that
it writes is in `result/`: the same run with and without one has the same id and the same result to the bit. Events that
are files lie in the attempt that wrote them. Settings and tokens are the environment's and are never written here.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import cast

from harness.record.atomic import read_json, write_json

FILE = "trackers.json"
EVENTS = "events"
"""Folder of an attempt."""


def report_to(job: Path, trackers: Sequence[str]) -> None:
    """Say what attempts at the job in folder `job` report to from now on."""
    if reports_to(job) != tuple(trackers):
        write_json(job / FILE, list(trackers))


def reports_to(job: Path) -> tuple[str, ...]:
    """Return what attempts at a job report to: nothing unless somebody said otherwise."""
    return tuple(cast("list[str]", read_json(job / FILE, list) or []))


def event_folders(job: Path) -> list[Path]:
    """Return the folders of events that attempts at a job left, oldest first."""
    return sorted(folder for folder in job.glob(f"attempts/*/{EVENTS}") if folder.is_dir())
