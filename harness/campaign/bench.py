"""A bench: a shelf of declarations and a store of records, and the stages that lead from one to the other.

Every stage can be repeated at will: what exists is not made again, and what was decided on the same inputs is not
decided again. Torch is never imported here, and scipy only when something has to be decided.
"""

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from harness.campaign.askable import misfits, unsuitable
from harness.campaign.blocks import amended_block, first_block
from harness.campaign.execution import Progress, Watch, execute
from harness.campaign.found import Note, check_measured, fetched, resolve, with_resolved
from harness.campaign.pinning import Pinner
from harness.execute import Executor
from harness.plan import (
    PlannedBase,
    PlannedRun,
    RunSet,
    plan,
    planned_base,
    registration_hash,
)
from harness.record.clock import file_time
from harness.record.job import JobDirectory, State
from harness.record.layout import Store
from harness.record.registration import Registration, amend, register, registered
from harness.record.tracking import report_to
from harness.source import evaluation_hash
from harness.source.questions import REMEDY, Unpinned
from harness.source.seeds import CONFIRM, EXPLORE
from harness.spec import DeclarationError, Given, Hypothesis, Protocol
from harness.spec.code import is_code, read
from harness.spec.messages import nearest
from harness.spec.protocol import AT
from harness.spec.shelf import Shelf
from harness.spec.task import TextTask

INDEX_EVERY = 20.0
"""Seconds between refreshes of the index while runs are at work."""

MakeExecutor = Callable[[], Executor]


def _untold(_: str, __: str) -> None:
    """Tell nobody of a damaged result: whoever decides on it is told."""


def _unsaid(_: str) -> None:
    """Say nothing."""


@dataclass
class Bench:
    """The stages under one protocol."""

    shelf: Shelf
    store: Store
    protocol_name: str
    explore: bool = False
    """Whether runs have the seeds of an exploration: nothing is registered then, and no registration is consulted."""
    retry: bool = False
    """Whether runs that failed in earlier commands are to be executed again, and so count as not executed yet."""
    failed: dict[str, str] = field(default_factory=dict[str, str])
    """Job id: why it gave no result in this command."""
    damaged: dict[str, str] = field(default_factory=dict[str, str])
    """Job id: which file of its result is not what was committed, so that it does not count."""

    @cached_property
    def protocol(self) -> Protocol:
        """The protocol that all cells share, its task and bases pinned as far as is known without asking anybody."""
        return self._pinner.pinned(self._resolved())

    def _resolved(self) -> Protocol:
        return with_resolved(self.shelf.protocol(self.protocol_name), self.store)

    @property
    def _pinner(self) -> Pinner:
        return Pinner(self.store, self.shelf.root)

    def resolve(self, note: Note = _unsaid) -> None:
        """Resolve the bases that name a branch, a tag or a folder; `note` hears of those that moved.

        Raises:
            DeclarationError: one cannot be resolved, and never was.
        """
        declared = self.shelf.protocol(self.protocol_name)
        resolve(declared, self.protocol_name, self.store, self.shelf.root, note)
        self.__dict__.pop("protocol", None)

    def pin(self) -> list[str]:
        """Pin what the protocol's task leaves open, from the Hub or the project's folders; return what is to be told.

        Whoever registers or executes asks for this and for `resolve` first: identities of what is not pinned are
        provisional.
        """
        self.protocol, told = self._pinner.pin(self._resolved())
        return told

    def unpinned(self) -> tuple[str, ...]:
        """Return what identities under this protocol lack; empty where they are final."""
        task = self.protocol.task
        return task.unpinned() if isinstance(task, TextTask) else ()

    def check_pinned(self) -> None:
        """Raise Unpinned where identities under this protocol are still provisional."""
        if unknown := self.unpinned():
            raise Unpinned([f"task: not known yet: {', '.join(unknown)}. {REMEDY}"])

    def hypotheses(self, names: Sequence[str]) -> dict[str, Hypothesis]:
        """Return the hypotheses of these names; raise DeclarationError with the mistakes of all their files."""
        found: dict[str, Hypothesis] = {}
        lines: list[str] = []
        for name in names:
            try:
                found[name] = self.shelf.hypothesis(name)
                lines += self.misfits(name, found[name])
            except DeclarationError as error:
                lines += error.lines
        if lines:
            raise DeclarationError(list(dict.fromkeys(lines)))  # the protocol's own come once a hypothesis
        return found

    def misfits(self, name: str, hypothesis: Hypothesis) -> list[str]:
        """Return a mistake for each arm that the protocol cannot run, two that are one cell, and a value not kept."""
        return misfits(name, hypothesis, self.protocol, self.protocol_name, self.shelf.measures())

    def bases(self, asked: Sequence[str]) -> tuple[str, ...]:
        """Return the bases asked for, or the protocol's own choice; raise DeclarationError for an unknown one."""
        known = self.protocol.base_names()
        if wrong := [name for name in asked if name not in known]:
            meant = nearest(wrong[0], known)
            rule = f"protocol {self.protocol_name} declares no base {wrong[0]!r}."
            hint = f" Did you mean {meant}?" if meant else ""
            raise DeclarationError([f"{rule}{hint} Bases there: {_listed(self.protocol)}."])
        return tuple(dict.fromkeys(asked)) or self.protocol.default_bases

    def planned_bases(self, asked: Sequence[str]) -> tuple[PlannedBase, ...]:
        """Return the bases asked for, or the protocol's own choice, with their identities."""
        return tuple(planned_base(name, self.protocol) for name in self.bases(asked))

    def check_bases(self, hypotheses: Mapping[str, Hypothesis], bases: Sequence[PlannedBase] | None) -> None:
        """Raise DeclarationError where a design combines other bases than these; None: its own choice.

        Or an arm does not fit one of them, or lacks a checkpoint that it names.
        """
        asked = None if bases is None else [base.name for base in bases]
        found = (unsuitable(name, said, self.protocol, self.protocol_name, asked) for name, said in hypotheses.items())
        if lines := [line for lines in found for line in lines]:
            raise DeclarationError(lines)

    def askable(
        self, names: Iterable[str], bases: Sequence[PlannedBase] | None = None
    ) -> tuple[dict[str, Hypothesis], dict[str, str]]:
        """Return the hypotheses that can be asked on these bases, or the protocol's, and why the others cannot."""
        found: dict[str, Hypothesis] = {}
        left_out: dict[str, str] = {}
        for name in names:
            try:
                one = self.hypotheses([name])
                self.check_bases(one, bases)
            except DeclarationError as error:
                left_out[name] = error.lines[0]
            else:
                found |= one
        return found, left_out

    def plan(
        self,
        hypotheses: Mapping[str, Hypothesis],
        bases: Sequence[str] | None,
        seeds: Mapping[tuple[str, str], int] | None = None,
        given: Given | None = None,
        blocks: Mapping[str, str] | None = None,
    ) -> RunSet:
        """Return the union of the runs that these hypotheses need, with the seeds that are theirs now.

        `seeds` says how many are wanted of each prediction, by the hypothesis's name and the prediction's id; `given`
        is what their arms take from the protocol, if not what it declares; `blocks` their seed blocks, if not those
        that are theirs now.
        """
        blocks = self.blocks(tuple(hypotheses)) if blocks is None else blocks
        return plan(hypotheses, self.protocol, bases, blocks=blocks, seeds=seeds, given=given)

    def blocks(self, names: Sequence[str], explore: bool = False) -> dict[str, str]:
        """Return each hypothesis's seed block; one that is not registered plans in the shelf's own."""
        if explore or self.explore:
            return dict.fromkeys(names, EXPLORE)
        in_force = {name: self.registration(name) for name in names}
        return {name: found.block if found else CONFIRM for name, found in in_force.items()}

    def first_blocks(self, hypotheses: Mapping[str, Hypothesis]) -> dict[str, str]:
        """Return the seed blocks that hypotheses have, or will have once they are registered."""
        blocks = self.blocks(tuple(hypotheses))
        for name, hypothesis in hypotheses.items():
            if self.registration(name) is None:
                blocks[name] = first_block(self.store, hypothesis, self.protocol)
        return blocks

    def base_job(self, base: PlannedBase) -> JobDirectory:
        """Return the job directory of a base."""
        return JobDirectory(self.store.bases / base.id)

    def run_job(self, run: PlannedRun) -> JobDirectory:
        """Return the job directory of a run."""
        return JobDirectory(self.store.runs / run.id)

    def register_shelf(self) -> None:
        """Register every valid hypothesis of the shelf, so that none is written after data that it could share."""
        if not self.explore:
            self.register(self.valid())

    def valid(self) -> dict[str, Hypothesis]:
        """Return the hypotheses of the shelf without a mistake; the others cannot be tested, and `validate` tells."""
        found: dict[str, Hypothesis] = {}
        _ = self.protocol  # its own mistakes are raised here, not taken for mistakes of every hypothesis
        for name in self.shelf.names("hypotheses"):
            with suppress(DeclarationError):
                found |= self.hypotheses([name])
        return found

    def register(self, hypotheses: Mapping[str, Hypothesis]) -> dict[str, Registration]:
        """Register those that are not registered yet; return what is in force for each, changed since or not."""
        self.check_pinned()
        in_force: dict[str, Registration] = {}
        check_measured(self.protocol, self.protocol_name)
        for name, hypothesis in hypotheses.items():
            found = registered(self.store, name, self.protocol_name)
            if found is None:
                block = first_block(self.store, hypothesis, self.protocol)
                frozen = registration_hash(hypothesis, self.protocol)
                content = self.content(hypothesis)
                found = register(self.store, name, self.protocol_name, frozen, content, block=block)
            in_force[name] = found
        return in_force

    def amend(self, hypotheses: Mapping[str, Hypothesis], reason: str) -> dict[str, Registration]:
        """Register changed declarations anew, beside their predecessors; return the amendments.

        Raises:
            DeclarationError: one of them was never registered or has not changed; then none is amended.
        """
        self.check_pinned()
        predecessors = {name: registered(self.store, name, self.protocol_name) for name in hypotheses}
        frozen = {name: registration_hash(hypothesis, self.protocol) for name, hypothesis in hypotheses.items()}
        lines = [_unamendable(name, found, frozen[name]) for name, found in predecessors.items()]
        if mistakes := [line for line in lines if line]:
            raise DeclarationError(mistakes)
        amended: dict[str, Registration] = {}
        for name, predecessor in predecessors.items():
            assert predecessor is not None
            content = self.content(hypotheses[name])
            block = amended_block(self.store, predecessor, hypotheses[name], self.protocol)
            amended[name] = amend(self.store, predecessor, frozen[name], content, block=block, reason=reason)
        return amended

    def content(self, hypothesis: Hypothesis) -> dict[str, Any]:
        """Return what a registration freezes, beside its hash."""
        return {
            "declaration": hypothesis.model_dump(mode="json"),
            "protocol_declaration": self.protocol.registered(),
            "evaluation_set": evaluation_hash(self.protocol.task),
            "code": self.code(hypothesis),
        }

    @cached_property
    def _began(self) -> float:
        """When this command began to execute, by the file server's clock: what was called off since stays so."""
        return file_time(self.store.root)

    def registration(self, name: str) -> Registration | None:
        """Return the registration in force for a hypothesis under this protocol; none governs an exploration."""
        return None if self.explore else registered(self.store, name, self.protocol_name)

    def unfinished(self, runs: RunSet) -> list[JobDirectory]:
        """Return the jobs of a run set that are not committed, bases first."""
        jobs = [self.base_job(base) for base in runs.bases] + [self.run_job(run) for run in runs.runs]
        return [job for job in jobs if job.state() is not State.COMMITTED]

    def execute(self, runs: RunSet, make_executor: MakeExecutor, watch: Watch, note: str = "") -> list[Progress]:
        """Execute what a run set lacks, bases first; a base that failed leaves its runs out, with the reason."""
        if not self.unfinished(runs):
            return []
        self.check_pinned()
        self.store.make()
        for job in self.unfinished(runs):
            if job.id not in self.failed:
                job.call_on(self._began)
        folders, failed = self._fetched(runs.bases)
        executor = make_executor()
        try:
            there = {base.id: self.base_job(base) for base in runs.bases if base.id not in failed}
            bases = self._execute("bases", there, runs, executor, watch, folders)
            failed |= bases.failed
            ready = [run for run in runs.runs if run.base.id not in failed and run.id not in self.failed]
            for run in runs.runs:
                if run.base.id in failed:
                    self.failed[run.id] = f"its base failed: {failed[run.base.id]}"
            what = f"runs, {note}" if note else "runs"
            return [bases, self._execute(what, {run.id: self.run_job(run) for run in ready}, runs, executor, watch)]
        finally:
            executor.close()

    def _fetched(self, bases: Sequence[PlannedBase]) -> tuple[dict[str, Path], dict[str, str]]:
        """Return the folders of bases that exist and are still to be scored, and why others cannot be had, by id."""
        missing = [base for base in bases if self.base_job(base).manifest() is None]
        folders, failed = fetched(missing, self.protocol, self.shelf.root)
        self.failed |= failed
        return folders, failed

    def _execute(
        self,
        what: str,
        jobs: Mapping[str, JobDirectory],
        runs: RunSet,
        executor: Executor,
        watch: Watch,
        folders: Mapping[str, Path] | None = None,
    ) -> Progress:
        identities = {job.id: job.identity for job in (*runs.bases, *runs.runs)}
        for job_id, job in jobs.items():
            where = {"folder": str(folders[job_id])} if folders and job_id in folders else {}
            job.create({"id": job_id, "identity": identities[job_id], **where})
            job.give(self.protocol.resources)
            if job.manifest() is None:
                report_to(job.path, self._trackers(identities[job_id]))
        progress = execute(what, list(jobs.values()), executor, self._indexing(watch))
        self.failed |= progress.failed
        return progress

    def _trackers(self, identity: Mapping[str, Any]) -> tuple[str, ...]:
        """Return what the job of this identity reports to: a run to the protocol's trackers, a base to none."""
        return self.protocol.trackers(identity["cell"]["algorithm"]) if identity["kind"] == "run" else ()

    def _indexing(self, watch: Watch) -> Watch:
        """Return `watch` with a fresh index now and then, for whoever queries while runs are at work."""
        last = [time.monotonic(), 0]

        def watched(progress: Progress) -> None:
            watch(progress)
            if progress.executed > last[1] and time.monotonic() - last[0] > INDEX_EVERY:
                from harness.store import refresh  # duckdb, 0.2 s

                refresh(self.store, self.measures(), _untold)
                last[:] = time.monotonic(), progress.executed

        return watched

    def measures(self) -> list[Path]:
        """Return the files of the declared measures."""
        return [self.shelf.path("analysis", name) for name in self.shelf.names("analysis")]

    def code(self, hypothesis: Hypothesis) -> dict[str, str]:
        """Return the SHA-256 of the files of the functions that a hypothesis names."""
        named = [getattr(p, key, "") for p in hypothesis.predictions for key in ("measure", "estimand")]
        root = self.shelf.code_root
        return {name: read(root, name).sha256 for name in named if root is not None and is_code(name)}

    def older_runs(self, registration: Registration, runs: RunSet) -> int:
        """Return how many of the runs began before the registration that should govern them."""
        jobs = [self.run_job(run) for run in runs.runs]
        return sum(job.began() < registration.registered_at for job in jobs if job.manifest())


def _unamendable(name: str, predecessor: Registration | None, frozen: str) -> str:
    """Return why a declaration of this hash cannot amend the one in force, or an empty string."""
    if predecessor is None:
        return f"{name}: not registered yet, so there is nothing to amend. Use `harness register {name}`."
    if predecessor.hash == frozen:
        return f"{name}: as registered ({frozen[:12]}), so there is nothing to amend. Change the declaration first."
    return ""


def _listed(protocol: Protocol) -> str:
    """Return the bases of a protocol with their checkpoints: `llama (also llama@cold, llama@early-1)`."""
    points = {name: [f"{name}{AT}{point}" for point in base.checkpoints] for name, base in protocol.bases.items()}
    return ", ".join(f"{name} (also {', '.join(also)})" if also else name for name, also in points.items())
