"""What every engine does, and all that it does: start jobs, say which are still its business, stop them.

There is no result, no retry and no log here. Fault tolerance lives in the job directory, the same for all engines,
and an engine's opinion of how a job ended never overrides it.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Literal, Protocol

Standing = Literal["queued", "running", "gone"]


class Executor(Protocol):
    """Executes job directories somewhere; a handle is the job's folder as text."""

    @property
    def log(self) -> Path:
        """Where to look if a job's process ends before it has a log of its own."""
        ...

    def submit(self, jobs: Sequence[Path]) -> list[str]:
        """Take jobs on, in this order; return their handles."""
        ...

    def poll(self) -> dict[str, Standing]:
        """Return where each job that was taken on stands; `gone` means nothing but that the engine has let go."""
        ...

    def cancel(self, handles: Sequence[str]) -> None:
        """Stop jobs."""
        ...

    def close(self) -> None:
        """Stop everything that this command started and release what it holds."""
        ...
