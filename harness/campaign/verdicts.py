"""A verdict for a claim on its subject: the stored one as long as its inputs are unchanged, else a new one, stored.

The inputs are everything that a verdict rests on: the declaration, its registration, the checksums of all results,
exclusions, the measures, and the code that decides. Nothing heavy is imported unless something has to be decided. The
subject is one base, or, where the design combines bases, all that were asked for.
"""

from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path

from harness.campaign.bench import Bench
from harness.campaign.integrity import deviations
from harness.campaign.tuning import Tuning, tuned_on
from harness.plan import PlannedBase, RunSet, bases_of, planned_base, registration_hash
from harness.record.atomic import IntegrityError
from harness.record.exclusion import excluded
from harness.record.job import JobDirectory
from harness.record.registration import Registration
from harness.record.verdict import Verdict
from harness.record.verdict_files import load, renew, save
from harness.spec import Hypothesis
from harness.spec.canonical import digest
from harness.spec.protocol import AT

Subject = tuple[PlannedBase, ...]
"""The bases that one verdict is about."""


def subjects(bench: Bench, hypothesis: Hypothesis, bases: Sequence[PlannedBase] | None) -> list[Subject]:
    """Return what a hypothesis gets verdicts on: each base, or all of them together, with their replicates.

    None asks for the protocol's own choice of bases.
    """
    names = bases_of(hypothesis, bench.protocol, None if bases is None else [base.name for base in bases])
    found = [planned_base(name, bench.protocol) for name in names]
    if hypothesis.design.bases is None:
        return [(base,) for base in found]
    return [tuple(found)] if found else []


def made_subjects(bench: Bench, hypothesis: Hypothesis, bases: Sequence[PlannedBase] | None) -> list[Subject]:
    """Return the subjects without the bases that have no result; none that is left without a base."""
    found = (
        tuple(base for base in subject if bench.base_job(base).manifest() is not None)
        for subject in subjects(bench, hypothesis, bases)
    )
    return [subject for subject in found if subject]


def subject_name(subject: Subject) -> str:
    """Return how a verdict names what it is about: bases, or the families that their replicates are of."""
    if len(subject) == 1:
        return subject[0].name
    return "+".join(dict.fromkeys(base.name.partition(AT)[0] for base in subject))


def subject_id(subject: Subject) -> str:
    """Return what identifies a subject: the id of its base, or a hash over those of all."""
    return subject[0].id if len(subject) == 1 else digest([base.id for base in subject])


def runs_of(
    bench: Bench,
    name: str,
    hypothesis: Hypothesis,
    subject: Subject,
    seeds: Mapping[tuple[str, str], int] | None = None,
) -> RunSet:
    """Return the runs that a hypothesis needs on a subject, at the rates that its tuning has chosen there."""
    given = tuned_on(bench, name, hypothesis, subject[0]).given
    return bench.plan({name: hypothesis}, [base.name for base in subject], seeds, given)


def stored_on(bench: Bench, name: str, hypothesis: Hypothesis, subject: Subject) -> Verdict | None:
    """Return the verdict that was decided on what the records hold now, or None; computes nothing."""
    tuning = tuned_on(bench, name, hypothesis, subject[0])
    inputs = _inputs(bench, name, hypothesis, runs_of(bench, name, hypothesis, subject), tuning)
    found = load(bench.store, bench.protocol_name, name, subject_name(subject), inputs)
    if found is not None:
        renew(bench.store, found)
    return found


def verdict_on(bench: Bench, name: str, hypothesis: Hypothesis, subject: Subject) -> Verdict:
    """Return the verdict on a subject, decided now unless it is stored.

    A run whose result is not what was committed counts as missing, and is noted in `bench.damaged`.

    Raises:
        RuntimeError: a base itself has no result.
        IntegrityError: that of a base is not what was committed, or the manifest of a run's.
    """
    found = stored_on(bench, name, hypothesis, subject)
    if found is not None:
        return found
    from harness.campaign.decision import Evidence, decided  # scipy and the index, 2 s
    from harness.campaign.observed import observed
    from harness.store import held, refresh

    damaged: dict[str, str] = {}
    refresh(bench.store, bench.measures(), damaged.__setitem__)
    runs, tuning = runs_of(bench, name, hypothesis, subject), tuned_on(bench, name, hypothesis, subject[0])
    concerned = {run.id for run in runs.runs} | {base.id for base in runs.bases}
    bench.damaged |= {job: why for job, why in damaged.items() if job in concerned}
    if out := [why for base in runs.bases if (why := damaged.get(base.id))]:
        raise IntegrityError("\n".join(out))
    seen = {base.name: observed(bench, hypothesis, base, of_base(runs, base), tuning) for base in subject}
    verdict = decided(
        Evidence(
            bench=bench,
            name=name,
            hypothesis=hypothesis,
            subject=subject_name(subject),
            subject_id=subject_id(subject),
            runs=runs,
            bases=subject,
            tuned=tuning.said,
            seen=seen,
            inputs=_inputs(bench, name, hypothesis, runs, tuning),
            integrity=deviations(bench, name, hypothesis, runs),
            held=(held(bench.store, [run.run_id for said in seen.values() for run in said.runs]),),
        )
    )
    save(bench.store, verdict)
    return verdict


def of_base(runs: RunSet, base: PlannedBase) -> RunSet:
    """Return the part of a run set that a verdict on one base rests on."""
    own = tuple(run for run in runs.runs if run.subject == base.name)
    starts = {base.id: base} | {run.base.id: run.base for run in own}
    return RunSet(tuple(starts.values()), own)


@lru_cache(maxsize=1)
def decision_code() -> str:
    """Return the hash of the code that decides, so that a mended rule decides again."""
    package = Path(__file__).parent.parent
    rest = ("decision", "integrity", "observed", "seeds", "units", "tuning", "adopted", "tables")
    files = [*sorted((package / "decide").glob("*.py")), *(package / "campaign" / f"{name}.py" for name in rest)]
    files += [
        package / name
        for name in (
            "record/verdict.py",
            "store/samples.py",
            "store/silence.py",
            "store/validity.py",
            "spec/hypothesis.py",
            "spec/design.py",
            "spec/measure.py",
        )
    ]
    return digest([[file.name, file.read_text(encoding="utf-8")] for file in files])


def frozen(registration: Registration | None) -> tuple[str | int | None, ...] | None:
    """Return what a verdict rests on of a registration; not its moment, so that equal work gives equal verdicts."""
    if registration is None:
        return None
    return (registration.hash, registration.number, registration.block, registration.reason)


def _inputs(bench: Bench, name: str, hypothesis: Hypothesis, runs: RunSet, tuning: Tuning) -> str:
    registration = bench.registration(name)
    jobs = [bench.base_job(base) for base in runs.bases] + [bench.run_job(run) for run in runs.runs]
    results = {job.id: _files(job) or bench.failed.get(job.id, str(job.state())) for job in jobs}
    results |= {job.id: ["damaged", results[job.id]] for job in jobs if job.id in bench.damaged}
    older = bench.older_runs(registration, runs) if registration else bench.explore
    out = {run_id: why for run_id, why in excluded(bench.store).items() if run_id in results}
    measures = [path.read_text(encoding="utf-8") for path in bench.measures()]
    declared = registration_hash(hypothesis, bench.protocol)
    parts = [declared, frozen(registration), older, results, out, measures, bench.code(hypothesis), decision_code()]
    tuned = [each.model_dump(mode="json") for each in tuning.said]
    return digest([*parts, tuned, tuning.lacking] if tuning.runs.runs else parts)


def _files(job: JobDirectory) -> dict[str, str] | None:
    manifest = job.manifest()
    return {name: file["sha256"] for name, file in manifest["files"].items()} if manifest else None
