"""An executor whose workers do not share this file system: jobs and results go through an exchange at a URL.

It wraps any other executor, which learns nothing of it: the engine starts the same worker with the same job folders,
whose last two names are all that a worker with `--exchange URL` reads of them. Jobs are put at the exchange before the
engine is told; what happens there is copied into the job directories here, so that a driver's loop, its policy,
`status` and `logs` see what they would see on a shared file system. A result is downloaded, compared with every
checksum of its manifest, and committed by the same rename.
"""

import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

from harness.execute.engine import Executor, Refused, Standing, Unreachable
from harness.execute.mirror import Mirror
from harness.record.atomic import IntegrityError, read_json
from harness.record.attempt import numbers
from harness.record.data import kept_rows
from harness.record.ending import Exit, Reason
from harness.record.exchange import SILENCE, ExchangedJob, hashes
from harness.record.job import JobDirectory
from harness.record.object_url import check
from harness.record.objects import Away, Objects, Unfit
from harness.source.found import model_files
from harness.source.rows import rows_file

EVERY = 30.0
"""Seconds between looks at a job that is at work: one request each."""
AT_ONCE = 8
"""Jobs that are asked about at a time."""
Value = TypeVar("Value")
Item = TypeVar("Item")


class ExchangedExecutor:
    """Hands jobs to another executor by way of an exchange; a handle is the job's name there, then the other's."""

    def __init__(
        self, inner: Executor, objects: Objects, store: Path, *, every: float = EVERY, silence: float = SILENCE
    ):
        self._inner, self._objects, self._store = inner, objects, store
        self._every, self._silence = every, silence
        self._fit = False
        self._shared: set[str] = set()
        """Keys of what several jobs need, and is there."""
        self._looked: dict[str, tuple[float, Standing]] = {}
        self._called_off: set[str] = set()
        """Jobs of which the exchange knows that a user called them off."""
        self._mirrors: dict[str, Mirror] = {}

    @property
    def name(self) -> str:
        """The other's name, and the exchange."""
        return f"{self._inner.name} through {self._objects.url}"

    @property
    def lasting(self) -> bool:
        """Whether jobs go on when this command ends."""
        return self._inner.lasting

    @property
    def interval(self) -> float:
        """Seconds between looks that the engine bears."""
        return self._inner.interval

    @property
    def log(self) -> Path:
        """Where to look if a job's process ends before it has a log of its own."""
        return self._inner.log

    def submit(self, jobs: Sequence[Path]) -> list[str]:
        """Put jobs at the exchange, then hand them to the engine.

        Raises:
            Unreachable: the exchange or the engine does not answer.
            Refused: one of them will not take a job.
        """
        try:
            if not self._fit:
                check(self._objects)
                self._fit = True
            self._offer_bases(jobs)
            _each(self._offer, jobs)
        except Away as error:
            raise Unreachable(str(error)) from None
        except (Unfit, IntegrityError) as error:
            raise Refused(str(error)) from None
        handles = self._inner.submit(jobs)
        for job in jobs:  # that the engine had let go of it before says nothing of this time
            self._looked.pop(_name(job), None)
            self._called_off.discard(_name(job))
        return [f"{_name(job)} {handle}" for job, handle in zip(jobs, handles, strict=True)]

    def poll(self, handles: Sequence[str]) -> dict[str, Standing]:
        """Return where the engine says that jobs stand, after copying here what the exchange says of them.

        Raises:
            Unreachable: the engine or the exchange does not answer.
        """
        parts = {handle: handle.partition(" ") for handle in handles}
        known = self._inner.poll([inner for _, _, inner in parts.values()])
        standing: dict[str, Standing] = {handle: known.get(inner, "gone") for handle, (_, _, inner) in parts.items()}
        here: dict[str, Standing] = {parts[handle][0]: where for handle, where in standing.items()}
        here |= dict.fromkeys(self._left_behind - here.keys(), "gone")
        due: dict[str, Standing] = {name: where for name, where in here.items() if self._due(name, where)}
        try:
            now = self._objects.now() if due else 0.0
            _each(lambda name: self._mirror(name).refresh(now), list(due))
        except (Away, Unfit) as error:  # a right that was withdrawn says nothing of the jobs either
            raise Unreachable(str(error)) from None
        for name, where in due.items():
            self._looked[name] = time.monotonic(), where
            if self._here(name).called_off:
                self._called_off.add(name)
        return standing

    def cancel(self, handles: Sequence[str]) -> None:
        """Stop jobs, and say so at the exchange of those that a user has called off.

        Raises:
            Unreachable: the engine or the exchange does not answer.
        """
        self._inner.cancel([handle.partition(" ")[2] for handle in handles])
        names = [handle.partition(" ")[0] for handle in handles]
        try:
            _each(lambda job: job.call_off(), [self._at(name) for name in names if self._here(name).called_off])
        except (Away, Unfit) as error:
            raise Unreachable(str(error)) from None

    def close(self) -> None:
        """Release what this command holds, and copy here what workers said as they were stopped."""
        self._inner.close()
        if self._inner.lasting:
            return
        with suppress(Away, Unfit, OSError):
            now = self._objects.now()
            left = [name for name in self._looked if self._here(name).manifest() is None]
            _each(lambda name: self._mirror(name).refresh(now), left)

    def _due(self, name: str, where: Standing) -> bool:
        """Whether to look at a job now: at once if it was called off or its engine let go of it, else now and then."""
        if where == "queued":
            return False
        if name not in self._called_off and self._here(name).called_off:
            return True
        looked, before = self._looked.get(name, (float("-inf"), where))
        return where != before or time.monotonic() - looked >= self._every

    @cached_property
    def _left_behind(self) -> set[str]:
        """Jobs of this store with an attempt at the exchange that had not ended when this command began.

        Nobody may hold a handle of theirs, as those of an engine that died with its command; a result may come yet.
        """
        found: set[str] = set()
        for path in (*self._store.glob("bases/*"), *self._store.glob("runs/*")):
            attempts = numbers(path / "attempts")
            if attempts and not (path / "result").exists():
                last = path / "attempts" / f"{attempts[-1]:04d}"
                claim: dict[str, Any] = read_json(last / "claim.json") or {}
                if claim.get("exchange") == f"{self._objects.url}/{_name(path)}" and not (last / "exit.json").exists():
                    found.add(_name(path))
        return found

    def _here(self, name: str) -> JobDirectory:
        return JobDirectory(self._store / name)

    def _at(self, name: str) -> ExchangedJob:
        return ExchangedJob(self._objects, name, self._silence)

    def _mirror(self, name: str) -> Mirror:
        return self._mirrors.setdefault(name, Mirror(self._here(name), self._at(name)))

    def _offer(self, path: Path) -> None:
        """Put a job at the exchange with all that its worker will look for."""
        here, there = JobDirectory(path), self._at(_name(path))
        spec = here.spec()
        folder = spec.pop("folder", None)
        there.offer(spec, here.resources().model_dump(mode="json"))
        look = there.look()
        for attempt in here.attempts():
            if (number := int(attempt.name)) not in look.attempts:
                end: Any = read_json(attempt / "exit.json") or Exit(Reason.KILLED, "").as_json()
                there.note(number, read_json(attempt / "claim.json") or {}, end)
        if here.called_off:
            there.call_off()
        elif look.called_off:
            there.call_on()
        if folder is not None and Path(folder).is_dir():
            there.offer_files(Path(folder), [file.name for file in model_files(Path(folder))])

    def _offer_bases(self, jobs: Sequence[Path]) -> None:
        """Put there what these jobs share, once: results of bases that runs start from, rows of published sets."""
        shared: dict[str, Path] = {}
        for path in jobs:
            identity = JobDirectory(path).spec()["identity"]
            if (base := identity.get("base_id")) is not None:
                shared[f"bases/{base}"] = path.parent.parent / "bases" / base / "result"
            rows = (rows_file(kept_rows(path), sha256) for sha256 in hashes(identity))
            shared |= {f"data/rows/{file.name}": file for file in rows if file.is_file()}
        for key, place in shared.items():
            if key in self._shared:
                continue
            if place.is_dir():
                self._at(key).publish(place)
            elif self._objects.read(key) is None:
                self._objects.upload(place, key)
            self._shared.add(key)


def _name(path: Path) -> str:
    return f"{path.parent.name}/{path.name}"


def _each(work: Callable[[Item], object], items: Sequence[Item]) -> None:
    """Do the work of all, several at a time; raise what the first to fail raised."""
    with ThreadPoolExecutor(AT_ONCE) as pool:
        list(pool.map(work, items))
