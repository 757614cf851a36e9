"""Checkpoints of a run that may resume: whole or not there, with what our own record needs beside the trainer's state.

The trainer takes the folder with the highest number for the newest checkpoint even if it was half written when its
process died, so each gets a COMPLETE marker last, and only marked ones are gone on from. Where a run resumed is kept in
its result (`resumed_at`).

Measured on the CPU: a run that goes on from a checkpoint that was due comes to the bits of one that was never stopped
(weights, steps, spectra and scores), for GRPO and SFT, with several updates a generation or one, and for the adapters
of tests/train/test_resume.py. PEFT cannot load AdaLoRA's pruned ranks: its runs begin again. A run that stopped as
asked in the middle of a generation is another sample of its cell: TRL drops the completions that it has left, and
generates others.
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
from harness.train.ranks import first, gathered, meet

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
        """Return those of an attempt: none where its job may not resume, or cannot."""
        resources = job.resources()
        if resources.resume == "never":
            return Checkpoints(attempt.scratch)
        adapter = job.spec()["identity"]["cell"]["adapter"]
        if "adalora" in (adapter["method"], str(adapter.get("type")).lower()):
            print("no checkpoints: PEFT cannot load AdaLoRA's pruned ranks, so a stopped run begins again", flush=True)
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
        self._listens = False
        self.asked = False
        """Whether the run was asked to stop."""

    def listen(self) -> None:
        """Take SIGTERM for the wish to stop after the update under way."""
        signal.signal(signal.SIGTERM, self._ask)
        self._listens = True

    def _ask(self, *_: object) -> None:
        self.asked = True

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> Any:
        """Save and stop where that is wanted, unless this was the last update.

        Several processes stop after the same update, though the wish may reach them in different ones.
        """
        if self._listens:
            self.asked = any(gathered(self.asked))
        if self.asked and state.global_step < state.max_steps:
            control.should_save = control.should_training_stop = True
        return control

    def on_save(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Mark the checkpoint as whole, once every process has written its part."""
        kept = dict(self._state())  # which every process has a part of
        meet()
        if not first():
            return
        folder = Path(args.output_dir) / f"checkpoint-{state.global_step}"
        write_json(folder / KEPT, kept)
        for file in folder.iterdir():
            sync(file)
        (folder / COMPLETE).touch()
        sync(folder)

    def check(self, updates: int, planned: int) -> None:
        """Raise Stopped where training ended early because it was asked to."""
        if self.asked and updates < planned:
            raise Stopped(f"stopped as asked after update {updates} of {planned}, with a checkpoint")
