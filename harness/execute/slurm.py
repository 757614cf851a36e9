"""Runs on SLURM: arrays of sbatch, asked after with squeue, stopped with scancel. No library, no accounting.

A handle is SLURM's name for an array's task and the mark of its submission, `17_4-9f2c01ab`. The mark is in the jobs'
name at SLURM, so that a cluster that was set up anew and counts from 1 again does not have somebody else's job taken
for ours, and stopped. Runs of a part of a device (`gpus: 0.25`) share a task, a device and so a handle: to cancel one
is to cancel all of them.

SLURM itself queues jobs again that a node's failure, a preemption or an operator stopped; they keep their handle. What
it does not queue again is `gone`, for whatever reason, and the job's directory says what became of it.
"""

import os
import re
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeVar

from harness.execute import slurm_answers as answers
from harness.execute import slurm_batch as batch
from harness.execute.engine import Refused, Standing, Unreachable
from harness.record.atomic import IntegrityError, read_json, write_bytes, write_json, write_text
from harness.spec.engines import SlurmSettings
from harness.spec.resources import Resources

HANDLE = re.compile(r"(?P<task>(?P<array>[0-9]{1,10})_[0-9]{1,10})-[0-9a-f]{8}")
AT_A_TIME = 500
"""Jobs named on one command line."""

T = TypeVar("T")


class SlurmExecutor:
    """Executes jobs on the cluster that SLURM's commands reach from here.

    `folder` takes the batch scripts, the lists of jobs and what jobs print before they have a log of their own; nodes
    must see it, and the jobs. `worker` is the command line before the job directories, of which a task that is shared
    gets several. A command of SLURM that has not answered after `patience` seconds is given up.

    Raises:
        Refused: the settings hold shell, which was not permitted, or SLURM could not write to the folder.
        Unreachable: nobody answers, and nobody ever has in this store.
    """

    def __init__(
        self,
        folder: Path,
        worker: Sequence[str],
        resources: Resources,
        settings: SlurmSettings,
        *,
        setup_allowed: bool,
        environment: Mapping[str, str] | None = None,
        interval: float = 5.0,
        patience: float = 45.0,
    ):
        if settings.setup and not setup_allowed:
            lines = f"{settings.setup[0]!r}{' and more' if len(settings.setup) > 1 else ''}"
            raise Refused(f"[tool.harness.slurm] setup: {lines} is code. Read it and allow it with --allow-code.")
        self._folder = folder.absolute()
        batch.check_folder(self._folder)
        self._worker = list(worker)
        self._resources = resources
        self._settings = settings
        self._environment = batch.environment(os.environ if environment is None else environment)
        self._interval = interval
        self._patience = patience
        self._folder.mkdir(parents=True, exist_ok=True)
        self._cluster, self._longest = self._identified()

    @property
    def name(self) -> str:
        """`slurm` and the cluster's name."""
        return f"slurm {self._cluster}"

    @property
    def lasting(self) -> bool:
        """Jobs go on when this command ends."""
        return True

    @property
    def interval(self) -> float:
        """Seconds between looks."""
        return self._interval

    @property
    def log(self) -> Path:
        """The folder of `slurm-ARRAY_TASK.out`, to which a task prints."""
        return self._folder

    def submit(self, jobs: Sequence[Path]) -> list[str]:
        """Submit jobs as arrays no longer than the cluster takes; if one of them is refused, cancel those before it.

        Raises:
            Unreachable: nobody answers.
            Refused: sbatch will not have them; its words, or a path that no list can hold.
        """
        share = self._resources.sharing
        paths = [job.absolute() for job in jobs]
        tasks = [paths[first : first + share] for first in range(0, len(paths), share)]
        handles: list[str] = []
        for chunk in _chunks(tasks, self._longest):
            try:
                array, mark = self._submit(chunk)
            except (Refused, Unreachable):
                with suppress(Unreachable):
                    self.cancel(handles)
                raise
            handles += [f"{array}_{index}-{mark}" for index, task in enumerate(chunk) for _ in task]
        return handles

    def poll(self, handles: Sequence[str]) -> dict[str, Standing]:
        """Return where each stands.

        Raises:
            Unreachable: nobody answers, or not so that it can be understood.
        """
        arrays = dict.fromkeys(found["array"] for handle in handles if (found := HANDLE.fullmatch(handle)))
        listed: dict[str, Standing] = {}
        for some in _chunks(list(arrays), AT_A_TIME):
            listed |= self._listed(some)
        return {handle: listed.get(handle, "gone") for handle in handles}

    def cancel(self, handles: Sequence[str]) -> None:
        """Stop what waits or runs.

        Raises:
            Unreachable: nobody answers.
        """
        live = [handle for handle, standing in self.poll(handles).items() if standing != "gone"]
        for some in _chunks([handle.partition("-")[0] for handle in live], AT_A_TIME):
            ended = self._call("scancel", *some)
            if ended.returncode and not answers.over(ended.stderr):
                raise Unreachable(_words(ended))

    def close(self) -> None:
        """Leave jobs alone; there is nothing to release."""

    def _submit(self, tasks: Sequence[Sequence[Path]]) -> tuple[str, str]:
        """Submit one array; return SLURM's number for it and the mark of this submission."""
        mark = os.urandom(4).hex()
        name = answers.NAME + mark
        listed, script = self._folder / f"{name}.jobs", self._folder / f"{name}.sh"
        write_bytes(listed, batch.listed(tasks))
        write_text(script, batch.script(self._settings))
        options = batch.options(self._resources, self._settings, tasks=len(tasks), name=name, folder=self._folder)
        command = [*options, str(script), str(listed), str(self._resources.sharing), *self._worker]
        try:
            return self._made(self._call("sbatch", *command)), mark
        except Unreachable as error:
            if answers.in_doubt(str(error)) and (array := self._taken_on(name)):
                return array, mark
            raise

    @staticmethod
    def _made(ended: "subprocess.CompletedProcess[str]") -> str:
        """Return the array that sbatch made."""
        array = answers.array_id(ended.stdout)
        if ended.returncode == 0 and array is not None:
            return array
        if ended.returncode and not answers.silent(ended.stderr):
            raise Refused(_words(ended))
        raise Unreachable(_words(ended))

    def _taken_on(self, name: str) -> str | None:
        """Return the array of this name: one may have been taken on although sbatch never heard of it."""
        ended = self._call("squeue", "--noheader", "--states=all", f"--name={name}", "--format=%F")
        return None if ended.returncode else answers.array_id(ended.stdout)

    def _listed(self, arrays: Sequence[str]) -> dict[str, Standing]:
        """Return where each task of some arrays stands; arrays that SLURM has forgotten are left out."""
        user = f"--user={os.getuid()}"  # or the controller sends the jobs of everybody
        asked = ("--noheader", "--array", "--states=all", user, f"--jobs={','.join(arrays)}")
        ended = self._call("squeue", *asked, f"--format={answers.FIELDS}")
        if ended.returncode == 0:
            try:
                return answers.standings(ended.stdout)
            except ValueError as error:
                raise Unreachable(f"slurm: squeue: {error}") from None
        if not answers.unknown(ended.stderr):
            raise Unreachable(_words(ended))
        if len(arrays) == 1:
            return {}
        known = (self._listed([array]) for array in arrays)  # some release may refuse all for the sake of one
        return {handle: standing for some in known for handle, standing in some.items()}

    def _identified(self) -> tuple[str, int]:
        """Return the cluster's name and the longest array it takes, as it says or, while it is silent, once said."""
        kept, place = self._folder / "clusters.json", self._environment.get("SLURM_CONF", "")
        try:
            once: dict[str, list[Any]] = read_json(kept) or {}
        except IntegrityError:  # nothing is lost: it is asked for again
            once = {}
        try:
            ended = self._call("scontrol", "show", "config")
            said = answers.configuration(ended.stdout)
            if ended.returncode or "ClusterName" not in said:
                raise Unreachable(_words(ended))
        except Unreachable:
            if place in once:
                return once[place][0], once[place][1]
            raise
        found = said["ClusterName"], max(1, int(said.get("MaxArraySize", "1001")))
        if once.get(place) != list(found):
            write_json(kept, {**once, place: found})
        return found

    def _call(self, command: str, *arguments: str) -> "subprocess.CompletedProcess[str]":
        """Call one of SLURM's commands.

        Raises:
            Unreachable: it is not here, or has not answered in time.
        """
        try:
            return subprocess.run(
                [command, *arguments],
                env=self._environment,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                encoding="utf-8",
                errors="replace",
                timeout=self._patience,
            )
        except FileNotFoundError:
            raise Unreachable(f"slurm: {command} is not on PATH. Start the command where SLURM's own are.") from None
        except subprocess.TimeoutExpired:
            raise Unreachable(f"slurm: {command}: {answers.NO_ANSWER} within {self._patience:g} s") from None


def _words(ended: "subprocess.CompletedProcess[str]") -> str:
    """Return which command complained, and of what, in one line."""
    command = ended.args[0]
    lines = [line.strip().removeprefix(f"{command}: ") for line in ended.stderr.splitlines() if line.strip()]
    return f"slurm: {command}: {'; '.join(lines)[:600] or f'exit status {ended.returncode}, and not a word'}"


def _chunks(items: Sequence[T], size: int) -> Iterator[Sequence[T]]:
    return (items[first : first + size] for first in range(0, len(items), size))
