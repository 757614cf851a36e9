"""Measures that are functions of the project, `(result: Path) -> float | None`, instead of SQL views.

The function is given the folder of a run's committed result and may read whatever files are in it. None is no value:
the run counts as missing, never as 0. A NaN or an infinity is a mistake of the function, not a value.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from harness.record.job import JobDirectory
from harness.record.layout import Store
from harness.source.code import call, finite, load, place, told
from harness.spec import DeclarationError
from harness.store.measures import MeasureError
from harness.store.samples import Response


def code_responses(root: Path, name: str, store: Store, run_ids: Sequence[str]) -> dict[str, Response]:
    """Return what the function `name` of the project `root` says of those of `run_ids` that have a value.

    Runs without a committed result are left out. Calling this is permission: whoever does has checked that there is
    one.

    Raises:
        MeasureError: the function is not there, fails, or returns something else than a finite number or None.
        IntegrityError: a file of a result is not the one that was committed.
    """
    try:
        function = load(root, name)
        jobs = [JobDirectory(store.runs / run_id) for run_id in sorted(set(run_ids))]
        found = {job.id: _value(name, function, job) for job in jobs if job.manifest() is not None}
    except DeclarationError as error:
        raise MeasureError(error.lines) from error
    return {run_id: Response(run_id, value) for run_id, value in found.items() if value is not None}


def _value(name: str, function: Callable[..., Any], job: JobDirectory) -> float | None:
    for file in (job.manifest() or {"files": {}})["files"]:
        job.verified(file)  # the index checks what it reads; here nobody else would
    value = call(name, function, job.result)
    if value is None:
        return None
    if (number := finite(value)) is None:
        rule = "a measure is a finite number, or None where there is no value. Mend it."
        raise MeasureError([f"{place(name, function)}: returned {told(value)} for run {job.id}: {rule}"])
    return number
