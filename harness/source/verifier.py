"""Asking the process that verifies: answers of a policy against correct ones, safely and from any thread.

Which process answered has no part in what it says, so one that was ended, by its limits or by a signal, is replaced and
its last answer counts as exhausted. A process that was forked from one that asks gets a process of its own.
"""

import json
import os
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from multiprocessing.connection import wait
from typing import Any

from harness.source.judgement import EXHAUSTED, Judged, Judgement
from harness.source.rows import DataError
from harness.spec.task import ReasoningTask, TextTask

SECONDS = 10.0
"""CPU time that one answer is given."""
BYTES = 4 * 2**30
"""Address space of the process that verifies."""
LOST: Any = object()
"""What a process says that says nothing more."""
PATIENCE = 60.0
"""Seconds of waiting, as a multiple of the CPU time, before a process that says nothing is ended."""


def verifier_of(task: TextTask) -> str:
    """Return the name of the library that verifies a task's answers."""
    return "reasoning-gym" if isinstance(task, ReasoningTask) else "math-verify"


def missing(task: TextTask) -> str:
    """Return what is said where a task's verifier is not installed."""
    extra = "reasoning" if isinstance(task, ReasoningTask) else "math"
    return f"{verifier_of(task)} is not installed. Install it: pip install 'rlvr-harness[{extra}]'."


def installed(task: TextTask) -> str | None:
    """Return the version of the library that verifies a task's answers here, or None where it is not installed."""
    try:
        return version(verifier_of(task))
    except PackageNotFoundError:
        return None


class Verifier:
    """The verifier of a task; `close` it, or use it in a `with` statement."""

    def __init__(self, task: TextTask, seconds: float = SECONDS):
        self._setup = {"task": task.model_dump(mode="json"), "seconds": seconds, "bytes": BYTES}
        self._wanted, self._seconds = task.verifier_version, seconds
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._owner = 0
        self._known: dict[str, Judged | None] = {}
        self.restarts: Counter[str] = Counter()
        """How often a process ended over an answer, by the signal or status."""

    def __enter__(self) -> "Verifier":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def start(self) -> None:
        """Start the process now, so that a verifier that cannot serve is told before anything is trained.

        Raises:
            DataError: the verifier is not installed, or not in the version that the task is identified by.
        """
        with self._lock:
            self._started()

    def judge(self, asked: Sequence[tuple[str, str, int]]) -> list[Judged]:
        """Return what each answer is worth; each is (the correct answer, what was answered, number of its row).

        Raises:
            DataError: as `start` does, or a correct answer cannot itself be read.
        """
        return [self._judged(gold, answer, row) for gold, answer, row in asked]

    def readable(self, gold: str) -> bool:
        """Return whether a correct answer can itself be read; raises as `start` does."""
        found = self._one({"gold": gold})
        return found is not None and found.correct

    def close(self) -> None:
        """End the process."""
        with self._lock:
            self._end()

    def _judged(self, gold: str, answer: str, row: int) -> Judged:
        found = self._one({"gold": gold, "answer": answer, "row": row})
        if found is None:
            rule = f"row {row}: the verifier cannot read its correct answer {gold!r}"
            raise DataError([f"task: {rule}. Mend it, or leave it out: `without: [{row}]`."])
        return found

    def _one(self, question: Mapping[str, Any]) -> Judged | None:
        """Return what an answer is worth, or None where the correct one cannot be read."""
        line = json.dumps(question)
        with self._lock:
            if line not in self._known:
                if len(self._known) > 100_000:
                    self._known.clear()
                self._known[line] = self._ask(line)
            return self._known[line]

    def _ask(self, line: str) -> Judged | None:
        process = self._started()
        assert process.stdin is not None
        try:
            process.stdin.write(line.encode() + b"\n")
            process.stdin.flush()
            said = self._answer(process)
        except BrokenPipeError:
            said = LOST
        if said is LOST:
            self._end()
            self.restarts[str(process.returncode)] += 1
            return EXHAUSTED
        return None if said is None else Judged(Judgement(said[0]), float(said[1]))

    def _started(self) -> subprocess.Popen[bytes]:
        if self._process is not None and self._owner == os.getpid():
            return self._process
        self._owner = os.getpid()
        command = [sys.executable, "-m", "harness.source.verifying"]
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0)
        assert process.stdin is not None
        process.stdin.write(json.dumps(self._setup).encode() + b"\n")
        heard = self._answer(process)
        said: dict[str, str] = {"refused": "its process ended at once"} if heard is LOST else heard
        have = said.get("ready")
        self._process = process
        if have is None:
            self._end()
            raise DataError([f"task: the verifier cannot start: {said['refused']}"])
        if self._wanted not in (None, have):
            self._end()
            rule = f"{have} is installed, and the task is identified by {self._wanted}. Install that."
            raise DataError([f"task.verifier_version: {rule}"])
        return process

    def _answer(self, process: subprocess.Popen[bytes]) -> Any:
        """Return what the process says next, or LOST where it ended or says nothing for too long."""
        assert process.stdout is not None
        line = b""
        while not line.endswith(b"\n"):
            if not wait([process.stdout.fileno()], PATIENCE * self._seconds):
                return LOST
            chunk = os.read(process.stdout.fileno(), 65536)
            if not chunk:
                return LOST
            line += chunk
        return json.loads(line)

    def _end(self) -> None:
        process, self._process = self._process, None
        if process is None or self._owner != os.getpid():
            return
        if process.poll() is None:
            process.kill()
        process.wait()
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                pipe.close()
