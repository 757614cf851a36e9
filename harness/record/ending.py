"""How an attempt at a job ended: why, in one of a few words that policy can go by, and in a sentence for people."""

import errno
import re
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, cast


class Reason(StrEnum):
    """Why an attempt ended."""

    OK = "ok"
    """It committed its result."""
    USER_ERROR = "user_error"
    """An error of the job's own: what it declares, its code, its files."""
    NAN = "nan"
    """A number that training needs was no longer one."""
    OOM_HOST = "oom_host"
    """The memory of its machine, or its declared share of it, ran out."""
    OOM_DEVICE = "oom_device"
    """The memory of its GPU ran out."""
    NO_SPACE = "no_space"
    """The disk that its store lies on was full, or takes no more files."""
    TIMEOUT = "timeout"
    """Its time limit, declared or the engine's, came first."""
    PREEMPTED = "preempted"
    """Whoever runs the machine wanted it back (SIGTERM), and it could say so."""
    CANCELLED = "cancelled"
    """A user called it off."""
    LOST_CLAIM = "lost_claim"
    """A newer attempt holds the claim, so this one left."""
    KILLED = "killed"
    """Its process ended without a word: a signal, a crash, or a host that is gone."""


class State(StrEnum):
    """Where a job stands."""

    NEW = "new"
    """No attempt yet."""
    RUNNING = "running"
    """A live attempt holds the claim."""
    INTERRUPTED = "interrupted"
    """The last attempt was killed or preempted, or lost its host or its claim; it can be repeated."""
    CANCELLED = "cancelled"
    """A user called it off; the next command that needs it executes it."""
    FAILED = "failed"
    """The last attempt ended for a reason that the next would meet again."""
    COMMITTED = "committed"
    """The result is there, whole."""


STATE_AFTER = {
    Reason.USER_ERROR: State.FAILED,
    Reason.NAN: State.FAILED,
    Reason.OOM_HOST: State.FAILED,
    Reason.OOM_DEVICE: State.FAILED,
    Reason.NO_SPACE: State.FAILED,
    Reason.TIMEOUT: State.FAILED,
    Reason.CANCELLED: State.CANCELLED,
}
"""State of a job whose last attempt ended so; every other reason leaves it interrupted."""


FULL = (errno.ENOSPC, errno.EDQUOT, errno.EROFS)
"""What a disk says that takes no more."""


def of_system(error: Exception) -> Reason:
    """Return the reason that an error of the system stands for; libraries tell the same in texts of their own."""
    full = isinstance(error, OSError) and error.errno in FULL
    told = re.search(r"os error (28|122|30)\b|No space left on device|Disk quota exceeded", str(error))
    return Reason.NO_SPACE if full or told else Reason.USER_ERROR


@dataclass(frozen=True, slots=True)
class Exit:
    """How an attempt ended, as it said itself."""

    reason: Reason
    message: str
    checkpoint: int | None = None
    """Updates of the newest checkpoint that the next attempt can go on from."""

    def as_json(self) -> dict[str, Any]:
        """Return it as exit.json holds it."""
        said: dict[str, Any] = {"reason": str(self.reason), "message": self.message}
        return said if self.checkpoint is None else {**said, "checkpoint": self.checkpoint}

    @staticmethod
    def read(said: Any) -> "Exit":
        """Return what exit.json holds; a reason that is none of ours counts as killed, and is told."""
        told = cast("dict[str, Any]", said) if isinstance(said, dict) else {}
        reason, message = str(told.get("reason", "")), str(told.get("message", ""))
        known = reason in set(Reason)
        checkpoint = told.get("checkpoint")
        return Exit(
            Reason(reason) if known else Reason.KILLED,
            message if known else f"{reason}: {message}",
            checkpoint if isinstance(checkpoint, int) else None,
        )
