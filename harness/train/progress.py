"""What a run says while it is at work: where it is, for whoever watches, and the row that each update leaves.

A run whose loss or gradient is no longer a finite number is stopped with an error: its weights are lost, and a NaN in
a record would be read as a measurement.
"""

import math
import os
import threading
import time
from contextlib import suppress
from typing import Any

from transformers import TrainerCallback

from harness.record.job import Attempt
from harness.train.ranks import first

BEAT = 1.0
"""Seconds between words in the first minutes, when somebody may be watching a short run."""
SLOW_BEAT = 15.0
"""Seconds between words of a run that has lasted longer than `SHORT`."""
SHORT = 300.0


class Heartbeat:
    """Writes what it was last told, at intervals, from a thread of its own, for as long as the context lasts.

    It proves nothing about the claim, which the supervisor upholds. Of several processes of a run the first one writes.
    Where the system does not end a process with its parent (`record.process`), an orphan ends itself at the next beat.
    """

    def __init__(self, attempt: Attempt):
        self._attempt = attempt
        self._said: dict[str, Any] = {"phase": "starting", "step": 0, "steps": None, "reward": None}
        self._parent = os.getppid()
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._beat, daemon=True)

    def tell(self, **said: Any) -> None:
        """Change what the next heartbeat says."""
        self._said = {**self._said, **said}

    def __enter__(self) -> "Heartbeat":
        self._say()
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._thread.join()

    def _beat(self) -> None:
        started = time.monotonic()
        while not self._done.wait(BEAT if time.monotonic() - started < SHORT else SLOW_BEAT):
            if os.getppid() != self._parent:
                os._exit(1)
            with suppress(OSError):  # a full disk: the run may still fit, and if not, says so itself
                self._say()

    def _say(self) -> None:
        if first():
            self._attempt.tell(self._said)


class StepLog(TrainerCallback):
    """Keeps one row an update, as `record.shards.STEPS` describes it, and tells the heartbeat.

    Raises:
        FloatingPointError: a logged number is NaN or infinite.
    """

    NAMES = (
        ("loss", "loss"),
        ("learning_rate", "learning_rate"),
        ("grad_norm", "grad_norm"),
        ("reward", "reward"),
        ("reward_std", "reward_std"),
        ("frac_reward_zero_std", "frac_reward_zero_std"),
        ("entropy", "entropy"),
        ("completions/mean_length", "completion_length"),
        ("completions/clipped_ratio", "clipped_ratio"),
    )

    def __init__(self, heartbeat: Heartbeat):
        self.rows: list[dict[str, Any]] = []
        self._heartbeat = heartbeat

    def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, Any] | None = None, **_: Any) -> None:
        """Keep the trainer's own log of one update; the summary at the end of training has no loss and is left."""
        if not logs or "loss" not in logs:
            return
        said = {ours: logs[theirs] for theirs, ours in self.NAMES if theirs in logs}
        row = {name: math.nan if value is None else float(value) for name, value in said.items()}  # TRL hides NaN so
        if broken := {name: value for name, value in row.items() if not math.isfinite(value)}:
            listed = ", ".join(f"{name} is {value:g}" for name, value in broken.items())
            rule = "nothing can be learnt from there on. Lower learning_rate."
            raise FloatingPointError(f"{listed} at update {state.global_step}: {rule}")
        self.rows.append({"step": state.global_step, **row})
        self._heartbeat.tell(step=state.global_step, steps=state.max_steps, reward=row.get("reward"))
        if first():
            print(f"update {state.global_step} of {state.max_steps}", *_spelt(row), sep="  ", flush=True)


def _spelt(row: dict[str, Any]) -> list[str]:
    """Return what the log shows of an update."""
    return [f"{name} {row[name]:.4g}" for name in ("loss", "reward", "grad_norm") if name in row]
