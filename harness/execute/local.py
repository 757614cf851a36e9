"""Runs on this machine, as many at a time as its cores and devices bear.

Where the system allows it, one server imports torch and trl once and forks processes for each run (`train.serve`): the
import takes longer than a small run does. Elsewhere, and where runs take a device, several threads or several
processes, every run is a fresh process. Memory and time limits are kept by each run's own supervisor.
"""

import os
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path

from harness.execute.engine import Standing
from harness.execute.starters import ForkServer, FreshProcesses, Starter
from harness.record.process import FORKS_AFTER_IMPORT
from harness.spec.resources import Resources

Slot = tuple[str, ...] | None
"""The devices that a slot's runs see; None: whatever this process sees."""


class LocalExecutor:
    """Keeps its slots at work, in the order in which jobs were submitted; a handle is the job's folder as text.

    `worker` is the command that executes a job's folder, `server` the one that forks for many, where there may be one.
    """

    name = "local"
    lasting = False
    interval = 0.1

    def __init__(
        self,
        log: Path,
        worker: Sequence[str],
        slots: Sequence[Slot],
        *,
        server: Sequence[str] | None = None,
        grace: float = 10.0,
    ):
        self._log = log
        self._starter: Starter = ForkServer(log, server, grace) if server else FreshProcesses(log, worker, grace)
        self._free: deque[Slot] = deque(slots)
        self._queued: deque[str] = deque()
        self._running: dict[str, Slot] = {}

    @property
    def log(self) -> Path:
        """The file to which processes complain before their job's own log exists."""
        return self._log

    @property
    def slots(self) -> int:
        """How many jobs are at work at a time."""
        return len(self._free) + len(self._running)

    def submit(self, jobs: Sequence[Path]) -> list[str]:
        """Queue jobs; they start at the next poll with a free slot."""
        handles = [str(job) for job in jobs]
        self._queued.extend(handles)
        return handles

    def poll(self, handles: Sequence[str]) -> dict[str, Standing]:
        """Notice what ended, fill free slots, and return where each job stands."""
        for ended in self._starter.ended() & self._running.keys():
            self._free.append(self._running.pop(ended))
        while self._queued and self._free:
            handle, slot = self._queued.popleft(), self._free.popleft()
            self._starter.start(handle, slot)
            self._running[handle] = slot
        waiting = set(self._queued)
        return {h: "running" if h in self._running else "queued" if h in waiting else "gone" for h in handles}

    def cancel(self, handles: Sequence[str]) -> None:
        """Take jobs off the queue, or have them stopped."""
        for handle in handles:
            if handle in self._running:
                self._starter.stop(handle)
            else:
                with suppress(ValueError):
                    self._queued.remove(handle)

    def close(self) -> None:
        """Stop what runs and let go of the queue."""
        self._queued.clear()
        self._starter.close()


def forks(resources: Resources) -> bool:
    """Return whether runs may be forked from one process that has imported everything."""
    alone = resources.gpus == 0 and resources.threads == 1 and resources.launcher == "python"
    return alone and FORKS_AFTER_IMPORT


def local_slots(resources: Resources, devices: Sequence[str], at_once: int | None = None) -> list[Slot]:
    """Return the slots that this machine has for runs of these resources: `at_once`, else as many as it bears.

    Raises:
        ValueError: it has not the devices, or the cores, of one run.
    """
    found = list(_slots(resources, devices)) or ([None] if at_once else [])  # who names a number has thought of it
    if not found:
        has = f"{len(devices)} devices" if resources.gpus else f"{available_cores()} cores"
        wants = f"{resources.gpus:g} GPUs" if resources.gpus else f"{resources.cpus} cores"
        rule = "Lower it in the protocol, or name another --executor."
        raise ValueError(f"resources: a run wants {wants}, and this machine has {has}. {rule}")
    if at_once is None:
        return found
    return [found[i % len(found)] for i in range(at_once)]


def _slots(resources: Resources, devices: Sequence[str]) -> Iterator[Slot]:
    if resources.gpus == 0:
        yield from [None] * (available_cores() // resources.cpus)
        return
    each = max(1, int(resources.gpus))
    groups = [tuple(devices[i : i + each]) for i in range(0, len(devices) - each + 1, each)]
    for _ in range(resources.sharing):  # a first run on every device before a second one on any
        yield from groups


def available_cores() -> int:
    """Return how many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
