"""What every engine does, and all that it does: start jobs, say which are still its business, stop them.

There is no result, no retry and no log here. Fault tolerance lives in the job directory, the same for all engines,
and an engine's opinion of how a job ended never overrides it. A handle is plain text, which a driver keeps beside the
job, so that it can be killed and started again anywhere the store is visible.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Literal, Protocol

Standing = Literal["queued", "running", "gone"]


class Unreachable(RuntimeError):
    """The engine does not answer; what it was given may well go on. Whoever asks waits: this is never `gone`."""


class Refused(RuntimeError):
    """The engine answers, and will not take the jobs; the text says why, and the remedy."""


class Executor(Protocol):
    """Executes job directories somewhere, each by one worker command."""

    @property
    def name(self) -> str:
        """What kept handles say of whose they are: `local`, `slurm`, `ray`, and which cluster."""
        ...

    @property
    def lasting(self) -> bool:
        """Whether jobs go on when this command ends, so that their handles are worth keeping."""
        ...

    @property
    def interval(self) -> float:
        """Seconds between looks that the engine bears."""
        ...

    @property
    def log(self) -> Path:
        """Where to look if a job's process ends before it has a log of its own."""
        ...

    def submit(self, jobs: Sequence[Path]) -> list[str]:
        """Take jobs on, in this order; return their handles. The same job may be submitted again after it is gone.

        Raises:
            Unreachable: nobody answers, and none was taken on, as far as is known.
            Refused: none was taken on.
        """
        ...

    def poll(self, handles: Sequence[str]) -> dict[str, Standing]:
        """Return where each of these stands; `gone` means nothing but that the engine has let go of it.

        Raises:
            Unreachable: nobody answers.
        """
        ...

    def cancel(self, handles: Sequence[str]) -> None:
        """Stop jobs, wherever they stand; those that are gone are passed over.

        Raises:
            Unreachable: nobody answers.
        """
        ...

    def close(self) -> None:
        """Release what this command holds. Jobs of an engine that is not lasting are killed, others left alone."""
        ...
