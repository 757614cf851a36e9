"""What testing many hypotheses took and came to: runs asked for apart, in union and executed, and the stored verdicts.

Everything is read from the records; nothing is decided here.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from harness.campaign.bench import Bench
from harness.campaign.beside import beside
from harness.campaign.foreseen import foreseen
from harness.campaign.verdicts import subject_name, subjects
from harness.plan import RunSet
from harness.record.atomic import read_json
from harness.record.foreign import reading
from harness.record.job import JobDirectory
from harness.record.verdict import Verdict
from harness.record.verdict_files import latest
from harness.spec import Hypothesis


@dataclass(frozen=True, slots=True)
class Tested:
    """One hypothesis: what it asks for, what there is of it, and what it came to."""

    name: str
    title: str
    verdicts: tuple[tuple[Verdict, str], ...]
    """The newest verdict on each subject, and what stands beside its rivals; none where it was not tested."""
    runs: int
    """Runs that a plan of its own asks for, all looks and tuning included."""
    executed: int
    """Those of them that have a result."""
    shared: int
    """Those of the executed that another of the hypotheses needs too."""
    cpu_minutes: float
    """Processor time of the executed, counted for every hypothesis that needs them."""


@dataclass(frozen=True, slots=True)
class Catalogue:
    """All of them together."""

    tested: tuple[Tested, ...]
    left_out: Mapping[str, str]
    """Hypotheses that cannot be asked under this protocol, with the first reason."""
    apart: int
    """Runs of all plans, each on its own."""
    union: int
    executed: int
    bases: int
    cpu_minutes: float
    """Processor time of bases and runs, each once."""
    wall_minutes: float
    """Time in which at least one job was at work."""


def catalogue(bench: Bench, names: Iterable[str]) -> Catalogue:
    """Return what was made of the hypotheses under the bench's protocol, on its own choice of bases."""
    found, left_out = bench.askable(names)
    plans = {name: foreseen(bench, {name: hypothesis}, None) for name, hypothesis in found.items()}
    everything = foreseen(bench, found, None)
    done = {run.id for run in everything.runs if bench.run_job(run).manifest() is not None}
    wanted = [run.id for runs in plans.values() for run in runs.runs]
    often = {run_id for run_id in done if wanted.count(run_id) > 1}
    stored = [verdict for verdict in latest(bench.store) if verdict.protocol == bench.protocol_name]
    tested = tuple(
        _tested(bench, name, hypothesis, plans[name], done, often, stored) for name, hypothesis in found.items()
    )
    jobs = [bench.base_job(base) for base in everything.bases] + [
        bench.run_job(run) for run in everything.runs if run.id in done
    ]
    return Catalogue(
        tested=tested,
        left_out=left_out,
        apart=len(wanted),
        union=len(everything.runs),
        executed=len(done),
        bases=sum(bench.base_job(base).manifest() is not None for base in everything.bases),
        cpu_minutes=sum(map(_cpu_seconds, jobs)) / 60,
        wall_minutes=_busy(jobs) / 60,
    )


def _tested(
    bench: Bench,
    name: str,
    hypothesis: Hypothesis,
    plan: RunSet,
    done: set[str],
    often: set[str],
    stored: list[Verdict],
) -> Tested:
    about = {subject_name(subject) for subject in subjects(bench, hypothesis, None)}
    own = [verdict for verdict in stored if verdict.hypothesis == name and verdict.base in about]
    mine = [run for run in plan.runs if run.id in done]
    return Tested(
        name=name,
        title=hypothesis.title,
        verdicts=tuple((verdict, beside(bench, verdict, stored).stands) for verdict in own),
        runs=len(plan.runs),
        executed=len(mine),
        shared=sum(run.id in often for run in mine),
        cpu_minutes=sum(_cpu_seconds(bench.run_job(run)) for run in mine) / 60,
    )


def _cpu_seconds(job: JobDirectory) -> float:
    """Return the processor time of all attempts that said theirs."""
    with reading(job.path / "attempts"):
        said = (read_json(attempt / "timing.json") for attempt in job.attempts())
        return sum(float(timing["cpu_seconds"]) for timing in said if timing)


def _busy(jobs: Iterable[JobDirectory]) -> float:
    """Return the seconds covered by at least one of the jobs, from its last claim to its commit."""
    spans: list[tuple[float, float]] = []
    for job in jobs:
        manifest = job.result / "manifest.json"
        if manifest.is_file() and job.attempts():
            spans.append(((job.attempts()[-1] / "claim.json").stat().st_mtime, manifest.stat().st_mtime))
    covered, until = 0.0, 0.0
    for began, ended in sorted(spans):
        covered += max(0.0, ended - max(began, until))
        until = max(until, ended)
    return covered
