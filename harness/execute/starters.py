"""How a local executor starts its workers: by a server that has imported everything once, or each from nothing.

Both ask a worker to stop (SIGTERM) before they kill it, because a run that may resume then writes a checkpoint.
"""

import json
import os
import queue
import subprocess
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Protocol

from harness.record.process import DRIVER, THREADS, driver

TICK = 0.02
"""Seconds between looks at workers that were asked to stop."""


class Starter(Protocol):
    """Starts one worker a job and tells which have ended."""

    def start(self, handle: str, devices: Sequence[str] | None) -> None:
        """Start the job's worker."""
        ...

    def ended(self) -> set[str]:
        """Return the jobs whose worker ended since the last call."""
        ...

    def stop(self, handle: str) -> None:
        """Ask the job's worker to stop."""
        ...

    def close(self) -> None:
        """Stop every worker."""
        ...


class ForkServer:
    """One server for all jobs; started at the first, and again if it is killed.

    Call from the main thread: on Linux the server dies with the thread that started it. What the server itself has
    to complain about (an import that fails) goes to the file `log`; a server that failed by itself is not tried again,
    and every job ends as soon as it starts.
    """

    def __init__(self, log: Path, command: Sequence[str], grace: float) -> None:
        self._log = log
        self._command = command
        self._grace = grace
        self._server: subprocess.Popen[str] | None = None
        self._listener: threading.Thread | None = None
        self._said: queue.SimpleQueue[str] = queue.SimpleQueue()
        self._at_work: set[str] = set()
        self._broken = False

    def start(self, handle: str, devices: Sequence[str] | None) -> None:
        """Have the server fork a child for the job, which sees what the server sees."""
        del devices
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

    def stop(self, handle: str) -> None:
        """Have the server ask the job's supervisor to stop."""
        self._tell(cancel=handle)

    def close(self) -> None:
        """Close the server's input, at which it stops its children and leaves."""
        if self._server is not None:
            assert self._server.stdin is not None
            with suppress(BrokenPipeError):
                self._server.stdin.close()
            try:
                self._server.wait(timeout=self._grace)
            except subprocess.TimeoutExpired:  # still importing, or a run takes its time
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
                self._command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                env={**os.environ, **THREADS, DRIVER: driver()},
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
    """One worker process a job; complaints from before the job's own log exists go to `log`."""

    def __init__(self, log: Path, worker: Sequence[str], grace: float) -> None:
        self._log = log
        self._worker = worker
        self._grace = grace
        self._at_work: dict[str, subprocess.Popen[bytes]] = {}

    def start(self, handle: str, devices: Sequence[str] | None) -> None:
        """Start the job's process, which sees these devices."""
        seen = {} if devices is None else {"CUDA_VISIBLE_DEVICES": ",".join(devices)}
        with self._log.open("ab") as log:
            self._at_work[handle] = subprocess.Popen(
                [*self._worker, handle],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=log,
                env={**os.environ, **seen, DRIVER: driver()},
                start_new_session=True,
            )

    def ended(self) -> set[str]:
        """Return the jobs whose process ended since the last call."""
        ended = {handle for handle, process in self._at_work.items() if process.poll() is not None}
        for handle in ended:
            del self._at_work[handle]
        return ended

    def stop(self, handle: str) -> None:
        """Ask the job's process to stop."""
        self._at_work[handle].terminate()

    def close(self) -> None:
        """Ask every process to stop, and kill those that do not."""
        for process in self._at_work.values():
            process.terminate()
        deadline = time.monotonic() + self._grace
        while any(process.poll() is None for process in self._at_work.values()) and time.monotonic() < deadline:
            time.sleep(TICK)
        for process in self._at_work.values():
            process.kill()
            process.wait()


def _forward(server: subprocess.Popen[str], said: queue.SimpleQueue[str]) -> None:
    assert server.stdout is not None
    with server.stdout:
        for line in server.stdout:
            said.put(line)
