"""Runs on this machine: a process a run, one thread each, as many at a time as there are cores.

Where the system allows it, one server imports torch and trl once and forks a child for each run (`train.serve`): the
import takes longer than a small run does. Elsewhere every run is a fresh process.
"""

import json
import os
import queue
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Protocol

from harness.execute.engine import Standing
from harness.record.process import FORKS_AFTER_IMPORT, THREADS


class _Starter(Protocol):
    """Starts one process a job and tells which have ended."""

    def start(self, handle: str) -> None: ...

    def ended(self) -> set[str]: ...

    def kill(self, handle: str) -> None: ...

    def close(self) -> None: ...


class LocalExecutor:
    """Keeps `slots` jobs at work, in the order in which they were submitted.

    With `code_root`, jobs may run the code of that project which they name.
    """

    def __init__(
        self, log: Path, slots: int | None = None, *, fork: bool = FORKS_AFTER_IMPORT, code_root: Path | None = None
    ):
        self._log = log
        self._slots = slots or available_cores()
        self._starter: _Starter = ForkServer(log, code_root) if fork else FreshProcesses(log, code_root)
        self._queued: deque[str] = deque()
        self._running: set[str] = set()
        self._gone: set[str] = set()

    @property
    def log(self) -> Path:
        """The file to which processes complain before their job's own log exists."""
        return self._log

    @property
    def slots(self) -> int:
        """How many jobs are at work at a time."""
        return self._slots

    def submit(self, jobs: Sequence[Path]) -> list[str]:
        """Queue jobs; they start at the next poll with a free slot."""
        handles = [str(job) for job in jobs]
        self._gone -= set(handles)
        self._queued.extend(handles)
        return handles

    def poll(self) -> dict[str, Standing]:
        """Notice what ended, fill free slots, and return where each job stands."""
        ended = self._starter.ended() & self._running
        self._running -= ended
        self._gone |= ended
        while self._queued and len(self._running) < self._slots:
            handle = self._queued.popleft()
            self._starter.start(handle)
            self._running.add(handle)
        standing: dict[str, Standing] = dict.fromkeys(self._gone, "gone")
        standing.update(dict.fromkeys(self._queued, "queued"))
        standing.update(dict.fromkeys(self._running, "running"))
        return standing

    def cancel(self, handles: Sequence[str]) -> None:
        """Take jobs off the queue, or kill their processes."""
        for handle in handles:
            if handle in self._queued:
                self._queued.remove(handle)
                self._gone.add(handle)
            elif handle in self._running:
                self._starter.kill(handle)

    def close(self) -> None:
        """Kill what runs and let go of the queue."""
        self._queued.clear()
        self._starter.close()


class ForkServer:
    """One `python -m harness.train --serve` for all jobs; started at the first, and again if it is killed.

    Call from the main thread: on Linux the server dies with the thread that started it. What the server itself has
    to complain about (an import that fails) goes to the file `log`; a server that failed by itself is not tried again,
    and every job ends as soon as it starts.
    """

    def __init__(self, log: Path, code_root: Path | None = None) -> None:
        self._log = log
        self._code_root = code_root
        self._server: subprocess.Popen[str] | None = None
        self._listener: threading.Thread | None = None
        self._said: queue.SimpleQueue[str] = queue.SimpleQueue()
        self._at_work: set[str] = set()
        self._broken = False

    def start(self, handle: str) -> None:
        """Have the server fork a child for the job."""
        if self._server is None and not self._broken:
            self._launch()
        self._at_work.add(handle)
        self._tell(run=handle)

    def ended(self) -> set[str]:
        """Return the jobs whose process ended since the last call; all of them if the server died."""
        ended: set[str] = set()
        status = None if self._server is None else self._server.poll()
        if status is not None:
            self._bury()  # waits for its last words, so that none is taken for its successor's
            self._broken = status >= 0
        while not self._said.empty():
            said = json.loads(self._said.get())
            if "ended" in said:
                ended.add(said["ended"])
        if self._server is None:
            ended |= self._at_work
        self._at_work -= ended
        return ended

    def kill(self, handle: str) -> None:
        """Have the server kill the job's child."""
        self._tell(cancel=handle)

    def close(self) -> None:
        """Close the server's input, at which it kills its children and leaves."""
        if self._server is not None:
            assert self._server.stdin is not None
            with suppress(BrokenPipeError):
                self._server.stdin.close()
            try:
                self._server.wait(timeout=10)
            except subprocess.TimeoutExpired:  # still importing
                self._server.kill()
                self._server.wait()
            self._bury()

    def _bury(self) -> None:
        assert self._server is not None and self._server.stdin is not None and self._listener is not None
        with suppress(BrokenPipeError):  # what it never read
            self._server.stdin.close()
        self._listener.join()
        self._server = None

    def _launch(self) -> None:
        with self._log.open("ab") as log:
            self._server = subprocess.Popen(
                _worker(self._code_root, "--serve"),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                env={**os.environ, **THREADS},
                start_new_session=True,  # Ctrl-C reaches the command only, which then stops its runs
                text=True,
            )
        self._listener = threading.Thread(target=_forward, args=(self._server, self._said), daemon=True)
        self._listener.start()

    def _tell(self, **said: str) -> None:
        if self._server is not None and self._server.stdin is not None:
            with suppress(BrokenPipeError):  # it died; `ended` will say so
                self._server.stdin.write(json.dumps(said) + "\n")
                self._server.stdin.flush()


class FreshProcesses:
    """One `python -m harness.train JOB` a job; complaints from before the job's own log exists go to `log`."""

    def __init__(self, log: Path, code_root: Path | None = None) -> None:
        self._log = log
        self._code_root = code_root
        self._at_work: dict[str, subprocess.Popen[bytes]] = {}

    def start(self, handle: str) -> None:
        """Start the job's process."""
        with self._log.open("ab") as log:
            self._at_work[handle] = subprocess.Popen(
                _worker(self._code_root, handle),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=log,
                env={**os.environ, **THREADS},
                start_new_session=True,
            )

    def ended(self) -> set[str]:
        """Return the jobs whose process ended since the last call."""
        ended = {handle for handle, process in self._at_work.items() if process.poll() is not None}
        for handle in ended:
            del self._at_work[handle]
        return ended

    def kill(self, handle: str) -> None:
        """Kill the job's process."""
        self._at_work[handle].kill()

    def close(self) -> None:
        """Kill every process."""
        for process in self._at_work.values():
            process.kill()
        for process in self._at_work.values():
            process.wait()


def available_cores() -> int:
    """Return how many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _worker(code_root: Path | None, what: str) -> list[str]:
    """Return a worker's command line; the permission to run a project's code is an argument, never inherited.

    `-P` keeps the working directory off the import path, where a project's file of a library's name would be run.
    """
    permitted = ["--code", str(code_root)] if code_root else []
    return [sys.executable, "-P", "-m", "harness.train", *permitted, what]


def _forward(server: subprocess.Popen[str], said: queue.SimpleQueue[str]) -> None:
    assert server.stdout is not None
    with server.stdout:
        for line in server.stdout:
            said.put(line)
