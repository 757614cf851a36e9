"""Checkpoints of a run that may resume: whole or not there, with what our own record needs beside the trainer's state.

The trainer takes the folder with the highest number for the newest checkpoint even if it was half written when its
process died, so each gets a COMPLETE marker last, and only marked ones are gone on from. A run that resumed is another
sample of its cell, not the same run: TRL drops the completions that it had generated ahead, and generates them anew.
What was resumed is kept in the result (`resumed_at`).
"""

import json
import signal
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import ceil
from pathlib import Path
from typing import Any

from transformers import TrainerCallback

from harness.record.atomic import sync, write_json
from harness.record.attempt import COMPLETE
from harness.record.job import Attempt, JobDirectory
from harness.train.ranks import first, meet

KEPT = "harness.json"
"""Our own state in a checkpoint."""
State = dict[str, Any]


class Stopped(Exception):  # the end of an attempt, and no error of the run's
    """The run was asked to stop, and did after an update."""


@dataclass(frozen=True)
class Checkpoints:
    """Where a run's checkpoints go and how often, and the one that it goes on from."""

    folder: Path
    """The trainer's output folder."""
    every: int | None = None
    """Updates between two; None keeps none."""
    newest: Path | None = None
    """To go on from."""

    @staticmethod
    def of(job: JobDirectory, attempt: Attempt) -> "Checkpoints":
        """Return those of an attempt: none where its job may not resume."""
        resources = job.resources()
        if resources.resume == "never":
            return Checkpoints(attempt.scratch)
        found = job.checkpoint()
        return Checkpoints(attempt.scratch, resources.checkpoint_every, found[1] if found else None)

    def fields(self, cycle: int) -> State:
        """Return the trainer fields that write them, at whole multiples of the updates that share their completions."""
        if self.every is None:
            return {"save_strategy": "no"}
        return {"save_strategy": "steps", "save_steps": cycle * ceil(self.every / cycle), "save_total_limit": 2}

    def kept(self) -> State | None:
        """Return our own state of the checkpoint to go on from, or None."""
        return None if self.newest is None else json.loads((self.newest / KEPT).read_text(encoding="utf-8"))


class Keeper(TrainerCallback):
    """Completes each checkpoint with our own state and its marker, and stops after an update when asked to."""

    def __init__(self, state: Callable[[], Mapping[str, Any]]):
        self._state = state
        self.asked = False
        """Whether the run was asked to stop."""

    def listen(self) -> None:
        """Take SIGTERM for the wish to stop after the update under way."""
        signal.signal(signal.SIGTERM, self._ask)

    def _ask(self, *_: object) -> None:
        self.asked = True

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> Any:
        """Save and stop where that is wanted, unless this was the last update."""
        if self.asked and state.global_step < state.max_steps:
            control.should_save = control.should_training_stop = True
        return control

    def on_save(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Mark the checkpoint as whole, once every process has written its part."""
        meet()
        if not first():
            return
        folder = Path(args.output_dir) / f"checkpoint-{state.global_step}"
        write_json(folder / KEPT, dict(self._state()))
        for file in folder.iterdir():
            sync(file)
        (folder / COMPLETE).touch()
        sync(folder)

    def check(self, updates: int, planned: int) -> None:
        """Raise Stopped where training ended early because it was asked to."""
        if self.asked and updates < planned:
            raise Stopped(f"stopped as asked after update {updates} of {planned}, with a checkpoint")
