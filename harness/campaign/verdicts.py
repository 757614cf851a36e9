"""A verdict for a claim on a base: the stored one as long as its inputs are unchanged, else a new one, stored.

The inputs are everything that a verdict rests on: the declaration, its registration, the checksums of all results,
the measures, and the code that decides. Nothing heavy is imported unless something has to be decided.
"""

from pathlib import Path

from harness.campaign.bench import Bench
from harness.plan import PlannedBase, RunSet, registration_hash
from harness.record.job import JobDirectory
from harness.record.verdict import Verdict
from harness.record.verdict_files import load, renew, save
from harness.spec import Hypothesis
from harness.spec.canonical import digest


def verdict_on(bench: Bench, name: str, hypothesis: Hypothesis, base: PlannedBase) -> Verdict:
    """Return the verdict on one base.

    Raises:
        RuntimeError: the base itself has no result.
    """
    runs = bench.plan({name: hypothesis}, [base.name])
    inputs = _inputs(bench, name, hypothesis, runs)
    stored = load(bench.store, bench.protocol_name, name, base.name, inputs)
    if stored is not None:
        renew(bench.store, stored)
        return stored
    from harness.campaign.decision import Evidence, decided  # scipy and the index, 2 s

    verdict = decided(Evidence(bench, name, hypothesis, runs, inputs))
    save(bench.store, verdict)
    return verdict


def _inputs(bench: Bench, name: str, hypothesis: Hypothesis, runs: RunSet) -> str:
    registration = bench.registration(name)
    jobs = [bench.base_job(base) for base in runs.bases] + [bench.run_job(run) for run in runs.runs]
    results = {job.id: _files(job) or bench.failed.get(job.id, "not executed") for job in jobs}
    frozen = (registration.hash, bench.older_runs(registration, runs)) if registration else None
    measures = [path.read_text(encoding="utf-8") for path in bench.measures()]
    return digest([registration_hash(hypothesis, bench.protocol), frozen, results, measures, _decision_code()])


def _files(job: JobDirectory) -> dict[str, str] | None:
    manifest = job.manifest()
    return {name: file["sha256"] for name, file in manifest["files"].items()} if manifest else None


def _decision_code() -> str:
    """Return the hash of the code that decides, so that a mended rule decides again."""
    package = Path(__file__).parent.parent
    rest = (package / "campaign" / "decision.py", package / "record" / "verdict.py")
    files = [*sorted((package / "decide").glob("*.py")), *rest]
    return digest([[file.name, file.read_text(encoding="utf-8")] for file in files])
