"""What runs on this machine have cost: CPU-minutes of those that finished, and so of those like them.

A run is like another if both have the same base, cell, prompts and scoring, whatever their seeds; else, as a guess, the
same algorithm and method on a base of the same shape. Nothing is estimated where nothing like it was run.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from statistics import median
from typing import Any

from harness.plan import PlannedRun
from harness.record.atomic import read_json
from harness.record.foreign import reading
from harness.record.job import JobDirectory
from harness.record.layout import Store
from harness.spec.canonical import canonical_json

Kind = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Spent:
    """CPU-minutes of finished runs, by kind."""

    alike: Mapping[Kind, list[float]] = field(default_factory=dict[Kind, list[float]])
    similar: Mapping[Kind, list[float]] = field(default_factory=dict[Kind, list[float]])

    def minutes(self, run: PlannedRun) -> tuple[float, bool] | None:
        """Return the median of runs like this one, and whether they are the same but for the seed; None without any."""
        for known, kind, same in ((self.alike, _alike, True), (self.similar, _similar, False)):
            if found := known.get(kind(run.id, run.identity)):
                return median(found), same
        return None


def spent(store: Store) -> Spent:
    """Return what the committed runs of a store have cost, in the attempts that committed them."""
    alike: defaultdict[Kind, list[float]] = defaultdict(list)
    similar: defaultdict[Kind, list[float]] = defaultdict(list)
    for job, minutes in _finished(store):
        identity = job.spec()["identity"]
        with reading(job.path / "spec.json"):
            alike[_alike(job.id, identity)].append(minutes)
            similar[_similar(job.id, identity)].append(minutes)
    return Spent(dict(alike), dict(similar))


def _finished(store: Store) -> Iterable[tuple[JobDirectory, float]]:
    for path in sorted(store.runs.glob("*/result/manifest.json")):
        job = JobDirectory(path.parent.parent)
        attempt = (job.manifest() or {}).get("attempt", 1)
        timing = read_json(job.path / "attempts" / f"{attempt:04d}" / "timing.json")
        with reading(job.path):
            minutes = None if timing is None else float(timing["cpu_seconds"]) / 60
        if minutes is not None:
            yield job, minutes


def _alike(_: str, identity: Mapping[str, Any]) -> Kind:
    parts = ("base_id", "cell", "task", "evaluation", "trainer", "validate_at")
    return tuple(canonical_json(identity[part]) for part in parts)


def _similar(run_id: str, identity: Mapping[str, Any]) -> Kind:
    cell = identity["cell"]
    prompts = str(identity["task"]["training_prompts"])
    return run_id.split("-", 1)[0], cell["algorithm"], cell["adapter"]["method"], prompts
