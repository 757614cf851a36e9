"""A worker that is no trainer: counts steps in job directories, says what becomes of it, and goes on where it stopped.

    python benchmarks/engines/counting.py JOB_DIR [JOB_DIR ...]

Each directory may hold `steps`, the tenths of a second that it takes (10 if there is none), and `linger`, the seconds
that it goes on once it is told to stop (0). What happened goes to `events.jsonl`, a line an event; a start tells what
the engine gave. `done` is written at the end, and `progress` at each tenth step and when the worker has been told to
stop (SIGTERM, SIGUSR2), after which it leaves with 75. For tests of engines, which need a job that behaves, quickly; it
knows nothing of claims.
"""

import json
import os
import signal
import sys
import time
from pathlib import Path
from typing import Any


class Job:
    """One directory's work."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._steps = int(self._read("steps", "10"))
        self._step = int(self._read("progress", "0"))
        self.linger = float(self._read("linger", "0"))
        environment = dict(os.environ)
        given = {"node": environment.get("SLURMD_NODENAME"), "env": environment, "arguments": sys.argv[1:]}
        self.tell("start", step=self._step, pid=os.getpid(), **given)

    @property
    def over(self) -> bool:
        """Whether there is nothing left to do."""
        return (self._folder / "done").exists()

    def advance(self) -> None:
        """Take a step."""
        self._step += 1
        if self._step % 10 == 0:
            self.keep()
        if self._step >= self._steps:
            self.tell("done", step=self._step)
            (self._folder / "done").touch()

    def keep(self) -> None:
        """Write down how far it is."""
        partial = self._folder / f".progress.{os.getpid()}"
        partial.write_text(str(self._step))
        partial.rename(self._folder / "progress")

    def stopped(self, why: str) -> None:
        """Write down what stopped it."""
        self.keep()
        self.tell("stopped", step=self._step, why=why)

    def tell(self, event: str, **what: Any) -> None:
        """Add an event."""
        line = json.dumps({"event": event, "at": round(time.time(), 2), **what}) + "\n"
        with (self._folder / "events.jsonl").open("a") as events:
            events.write(line)

    def _read(self, name: str, otherwise: str) -> str:
        file = self._folder / name
        return file.read_text() if file.exists() else otherwise


def main(folders: list[str]) -> int:
    """Work until all is done or somebody says stop."""
    told: list[str] = []
    for number in (signal.SIGTERM, signal.SIGUSR2):
        signal.signal(number, lambda number, _: told.append(signal.Signals(number).name))
    jobs = [Job(Path(folder)) for folder in folders]
    while left := [job for job in jobs if not job.over]:
        if told:
            time.sleep(max(job.linger for job in left))
            for job in left:
                job.stopped(told[0])
            return 75
        time.sleep(0.1)
        for job in left:
            job.advance()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
