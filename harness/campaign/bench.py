"""A bench: a shelf of declarations and a store of records, and the stages that lead from one to the other.

Every stage can be repeated at will: what exists is not made again, and what was decided on the same inputs is not
decided again. Torch is never imported here, and scipy only when something has to be decided.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from harness.campaign.execution import Progress, Watch, execute
from harness.execute import Executor
from harness.plan import PlannedBase, PlannedRun, RunSet, plan, registration_hash
from harness.record.job import JobDirectory, State
from harness.record.layout import Store
from harness.record.registration import Registration, register, registered
from harness.source import items_hash, splits
from harness.spec import Cell, DeclarationError, Hypothesis, Protocol
from harness.spec.shelf import Shelf

INDEX_EVERY = 20.0
"""Seconds between refreshes of the index while runs are at work."""

MakeExecutor = Callable[[], Executor]


@dataclass
class Bench:
    """The stages under one protocol."""

    shelf: Shelf
    store: Store
    protocol_name: str
    failed: dict[str, str] = field(default_factory=dict[str, str])
    """Job id: why it gave no result in this command."""

    @cached_property
    def protocol(self) -> Protocol:
        """The protocol that all cells share."""
        return self.shelf.protocol(self.protocol_name)

    def hypotheses(self, names: Sequence[str]) -> dict[str, Hypothesis]:
        """Return the hypotheses of these names; raise DeclarationError with the mistakes of all their files."""
        found: dict[str, Hypothesis] = {}
        lines: list[str] = []
        for name in names:
            try:
                found[name] = self.shelf.hypothesis(name)
                lines += self._same_cells(name, found[name])
            except DeclarationError as error:
                lines += error.lines
        if lines:
            raise DeclarationError(lines)
        return found

    def _same_cells(self, name: str, hypothesis: Hypothesis) -> list[str]:
        """Return a mistake for each prediction of which two arms are one cell once the protocol fills them in."""
        lines: list[str] = []
        for i, prediction in enumerate(hypothesis.predictions):
            seen: dict[Cell, str] = {}
            for arm, cell in prediction.cells(self.protocol.recipe.scaling).items():
                if cell in seen:
                    rule = f"under protocol {self.protocol_name}, {seen[cell]} and {arm} are the same cell"
                    lines.append(f"hypotheses/{name}.yaml predictions[{i}]: {rule}. Contrast two different ones.")
                seen[cell] = arm
        return lines

    def bases(self, asked: Sequence[str]) -> tuple[str, ...]:
        """Return the bases asked for, or the protocol's own choice; raise DeclarationError for an unknown one."""
        known = self.protocol.bases
        if unknown := [name for name in asked if name not in known]:
            rule = f"protocol {self.protocol_name} declares no base {unknown[0]!r}. Bases there: {', '.join(known)}."
            raise DeclarationError([rule])
        return tuple(dict.fromkeys(asked)) or self.protocol.default_bases

    def plan(self, hypotheses: Mapping[str, Hypothesis], bases: Sequence[str]) -> RunSet:
        """Return the union of the runs that these hypotheses need."""
        return plan(hypotheses, self.protocol, bases)

    def base_job(self, base: PlannedBase) -> JobDirectory:
        """Return the job directory of a base."""
        return JobDirectory(self.store.bases / base.id)

    def run_job(self, run: PlannedRun) -> JobDirectory:
        """Return the job directory of a run."""
        return JobDirectory(self.store.runs / run.id)

    def register_shelf(self) -> None:
        """Register every valid hypothesis of the shelf, so that none is written after data that it could share."""
        for name in self.shelf.names("hypotheses"):
            try:
                hypothesis = self.shelf.hypothesis(name)
            except DeclarationError:
                continue  # `validate` reports it; it cannot be tested, so it needs no registration
            content = {
                "declaration": hypothesis.model_dump(mode="json"),
                "protocol_declaration": self.protocol.model_dump(mode="json"),
                "evaluation_set": items_hash(splits(self.protocol.task).evaluation),
            }
            current = registration_hash(hypothesis, self.protocol)
            register(self.store, name, self.protocol_name, current, content)

    def registration(self, name: str) -> Registration | None:
        """Return the registration in force for a hypothesis under this protocol."""
        return registered(self.store, name, self.protocol_name)

    def unfinished(self, runs: RunSet) -> list[JobDirectory]:
        """Return the jobs of a run set that are not committed, bases first."""
        jobs = [self.base_job(base) for base in runs.bases] + [self.run_job(run) for run in runs.runs]
        return [job for job in jobs if job.state() is not State.COMMITTED]

    def execute(self, runs: RunSet, make_executor: MakeExecutor, watch: Watch) -> list[Progress]:
        """Execute what a run set lacks, bases first; a base that failed leaves its runs out, with the reason."""
        if not self.unfinished(runs):
            return []
        self.store.root.mkdir(parents=True, exist_ok=True)
        executor = make_executor()
        try:
            bases = self._execute("bases", {base.id: self.base_job(base) for base in runs.bases}, runs, executor, watch)
            ready = [run for run in runs.runs if run.base.id not in bases.failed]
            for run in runs.runs:
                if run.base.id in bases.failed:
                    self.failed[run.id] = f"its base failed: {bases.failed[run.base.id]}"
            return [bases, self._execute("runs", {run.id: self.run_job(run) for run in ready}, runs, executor, watch)]
        finally:
            executor.close()

    def _execute(
        self, what: str, jobs: Mapping[str, JobDirectory], runs: RunSet, executor: Executor, watch: Watch
    ) -> Progress:
        identities = {job.id: job.identity for job in (*runs.bases, *runs.runs)}
        for job_id, job in jobs.items():
            job.create({"id": job_id, "identity": identities[job_id]})
        progress = execute(what, list(jobs.values()), executor, self._indexing(watch))
        self.failed |= progress.failed
        return progress

    def _indexing(self, watch: Watch) -> Watch:
        """Return `watch` with a fresh index now and then, for whoever queries while runs are at work."""
        last = [time.monotonic(), 0]

        def watched(progress: Progress) -> None:
            watch(progress)
            if progress.executed > last[1] and time.monotonic() - last[0] > INDEX_EVERY:
                from harness.store import refresh  # duckdb, 0.2 s

                refresh(self.store, self.measures())
                last[:] = time.monotonic(), progress.executed

        return watched

    def measures(self) -> list[Path]:
        """Return the files of the declared measures."""
        return [self.shelf.path("analysis", name) for name in self.shelf.names("analysis")]

    def older_runs(self, registration: Registration, runs: RunSet) -> int:
        """Return how many of the runs began before the registration that should govern them."""
        jobs = [self.run_job(run) for run in runs.runs]
        return sum(job.began() < registration.registered_at for job in jobs if job.manifest())
