"""A worker whose trainer takes seconds and needs no torch, behind the real supervisor and the real record.

    python benchmarks/engines/quick.py JOB_DIR...

A quick run makes `steps` steps of `seconds` each and adds up a sequence that only its seed decides, so that its result
can be checked. Every step of every attempt is appended to the attempt's `steps.txt`, so that repeated work is counted.
Where its resources allow it, a run keeps checkpoints and resumes as a real one does. One that `fails` raises in its
second step, always.
"""

import json
import signal
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from harness.record.atomic import read_json, write_json
from harness.record.attempt import COMPLETE
from harness.record.ending import Exit, Reason
from harness.record.job import Attempt, JobDirectory
from harness.record.process import die_with_parent
from harness.spec.canonical import digest
from harness.spec.resources import Resources

MODULUS = 2**61 - 1
RESUMES = Resources(resume="allowed", checkpoint_every=3)
"""What lets a quick run go on from its third step, sixth step, and so on."""


def expected(seed: int, steps: int) -> int:
    """Return what a run comes to."""
    total = seed
    for step in range(1, steps + 1):
        total = after(total, step)
    return total


def after(total: int, step: int) -> int:
    """Return the sum after one more step."""
    return (total * 6364136223846793005 + step) % MODULUS


def create(folder: Path, seed: int, steps: int, seconds: float, *, fails: bool = False) -> JobDirectory:
    """Make the job of a quick run in a folder of runs."""
    identity = {"kind": "quick", "seed": seed, "steps": steps, "seconds": seconds, "fails": fails}
    job = JobDirectory(folder / f"quick-{seed}-{digest(identity)[:12]}")
    job.create({"id": job.id, "identity": identity})
    return job


def worker(*more: str) -> list[str]:
    """Return the command that executes the job directories that are appended to it."""
    return [sys.executable, "-P", str(Path(__file__).resolve()), *more]


def train(attempt: Attempt) -> int:
    """Make the steps of an attempt; return the exit status."""
    job = JobDirectory(attempt.job)
    said, resources = job.spec()["identity"], job.resources()
    start, total = _resumed(job, said["seed"], resources)
    stop: list[int] = []
    if resources.resume == "allowed":
        signal.signal(signal.SIGTERM, lambda number, _: stop.append(number))
    with (attempt.path / "steps.txt").open("a", encoding="utf-8") as log:
        for step in range(start + 1, said["steps"] + 1):
            time.sleep(said["seconds"])
            if said["fails"] and step == 2:
                return _over(attempt, Exit(Reason.USER_ERROR, "ValueError: this run always fails"), 1)
            total = after(total, step)
            log.write(f"{step}\n")
            log.flush()
            attempt.tell({"phase": "training", "step": step, "steps": said["steps"], "reward": None})
            if resources.checkpoint_every and (step % resources.checkpoint_every == 0 or stop):
                _checkpoint(attempt, step, total)
            if stop and step < said["steps"]:
                return _over(attempt, Exit(Reason.PREEMPTED, f"stopped after step {step}"), 75)
    write_json(attempt.stage / "result.json", {"job": job.id, "total": total, "resumed_from": start})
    return _over(attempt, Exit(Reason.OK, ""), 0)


def _resumed(job: JobDirectory, seed: int, resources: Resources) -> tuple[int, int]:
    found = job.checkpoint() if resources.resume == "allowed" else None
    if found is None:
        return 0, seed
    return found[0], json.loads((found[1] / "state.json").read_text())["total"]


def _checkpoint(attempt: Attempt, step: int, total: int) -> None:
    folder = attempt.scratch / f"checkpoint-{step}"
    folder.mkdir(parents=True, exist_ok=True)
    write_json(folder / "state.json", {"total": total})
    (folder / COMPLETE).touch()


def _over(attempt: Attempt, end: Exit, status: int) -> int:
    write_json(attempt.path / "outcome.json", end.as_json())
    return status


def ends(job: JobDirectory) -> list[str]:
    """Return how each attempt of a job ended, with the checkpoint that it left, in their order."""
    found: list[str] = []
    for attempt in job.attempts():
        end = Exit.read(said) if (said := read_json(attempt / "exit.json")) is not None else None
        kept = "" if end is None or end.checkpoint is None else f", with checkpoint {end.checkpoint}"
        found.append("said nothing" if end is None else f"{end.reason}{kept}{end.message and f': {end.message}'}")
    return found


def look(jobs: Sequence[JobDirectory]) -> dict[str, Any]:
    """Return what became of quick runs: results right, wrong and missing, failures by reason, and repeated work."""
    right: list[str] = []
    wrong: list[str] = []
    ends: dict[str, str] = {}
    made = needed = 0
    attempts: list[int] = []
    for job in jobs:
        said = job.spec()["identity"]
        attempts.append(len(job.attempts()))
        made += sum(len((a / "steps.txt").read_text().split()) for a in job.attempts() if (a / "steps.txt").is_file())
        if job.manifest() is not None:
            needed += said["steps"]
            result = json.loads(job.verified("result.json").read_text())
            (right if result["total"] == expected(said["seed"], said["steps"]) else wrong).append(job.id)
        else:
            end = job.last_exit()
            ends[job.id] = f"{end.reason}: {end.message}" if end else str(job.state())
            needed += 1 if said["fails"] else 0
    return {
        "jobs": len(jobs),
        "right": len(right),
        "wrong": wrong,
        "without_result": ends,
        "attempts": sum(attempts),
        "most_attempts": max(attempts, default=0),
        "steps_needed": needed,
        "steps_repeated": made - needed,
    }


def main(arguments: list[str]) -> int:
    """Execute jobs, or be the trainer of an attempt."""
    if arguments[:1] == ["--trainer"]:
        import os

        die_with_parent(os.getppid())
        return train(Attempt.opened(Path(arguments[1])))
    from harness.train.side_by_side import side_by_side
    from harness.train.start import fresh

    return side_by_side([Path(said) for said in arguments], fresh(lambda a: [*worker("--trainer"), str(a.path)]))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
