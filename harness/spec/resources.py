"""What one run is given to run on, and what becomes of it when it is stopped.

Nothing here is meant to change a result, so it is in no identity and in no registration: engines, devices, threads and
limits may change between two runs of a cell.
"""

from fractions import Fraction
from typing import Annotated, Literal

from pydantic import Field, model_validator

from harness.spec.declared import Declared, FieldError
from harness.spec.scaling import PositiveFloat


class Resources(Declared):
    """What an engine is asked for, a run (or a base) at a time."""

    gpus: Annotated[float, Field(ge=0, le=64)] = 0.0
    """Devices of a run: a whole number, or a fraction 1/m by which m runs share one."""
    cpus: Annotated[int, Field(ge=1, le=1024)] = 1
    """Cores of a run; it has as many threads, or one a process under `accelerate`."""
    memory_gib: PositiveFloat | None = None
    """Host memory of a run. One that grows beyond it is stopped as out of memory."""
    minutes: PositiveFloat | None = None
    """Wall-clock time of an attempt; one that takes longer is stopped."""
    launcher: Literal["python", "accelerate"] = "python"
    """`accelerate` starts one process a device (a core where there is no device), which share each update's batch."""
    resume: Literal["never", "allowed"] = "never"
    """Whether a stopped run goes on from its last checkpoint; others begin again, which for short runs is cheaper. On a
    CPU a run that goes on comes to the bits of one that was never stopped, unless it was asked to stop in the middle of
    a generation, the rest of which the trainer then generates anew: another sample of its cell."""
    checkpoint_every: Annotated[int, Field(ge=1)] | None = None
    """Updates between checkpoints, where runs may resume."""
    grace_seconds: Annotated[float, Field(ge=0, le=3600)] = 20.0
    """Between the request to stop and the kill; in it a run that may resume writes a checkpoint."""

    @model_validator(mode="after")
    def _hangs_together(self) -> "Resources":
        if self.gpus != int(self.gpus) and (self.gpus > 1 or Fraction(self.gpus).limit_denominator(64).numerator != 1):
            raise FieldError("gpus", f"{self.gpus:g} is neither whole nor one part of a device. Write 1, or 0.5.")
        if self.launcher == "accelerate" and 0 < self.gpus < 1:
            raise FieldError("launcher", "processes cannot share a part of a device. Use python, or a whole device.")
        if (self.resume == "allowed") != (self.checkpoint_every is not None):
            raise FieldError("resume", "resume: allowed and checkpoint_every go together. Declare both or neither.")
        return self

    @property
    def sharing(self) -> int:
        """How many runs share one device; 1 where each has its own, or none."""
        return round(1 / self.gpus) if 0 < self.gpus < 1 else 1

    @property
    def processes(self) -> int:
        """Training processes of a run."""
        return 1 if self.launcher == "python" else int(self.gpus) or self.cpus

    @property
    def threads(self) -> int:
        """Threads of a training process."""
        return 1 if self.launcher == "accelerate" else self.cpus
