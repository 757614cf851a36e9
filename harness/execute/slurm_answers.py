"""What SLURM's commands answer: states, refusals, silence. Pure functions of what was printed.

Read with 22.05; the words are old ones. Silence must never be read as an end: a controller that is down makes squeue
fail just as a job that is long gone does, and only the text tells the two apart.
"""

from harness.execute.engine import Standing

ENDED = frozenset(
    {"BOOT_FAIL", "CANCELLED", "COMPLETED", "DEADLINE", "FAILED", "NODE_FAIL", "OUT_OF_MEMORY"}
    | {"PREEMPTED", "REVOKED", "TIMEOUT"}
)
"""Ends that stay. A job on its way back to the queue is COMPLETING first and PENDING then, so none of these."""
WAITING = frozenset(
    ("CONFIGURING", "PENDING", "REQUEUED", "REQUEUE_FED", "REQUEUE_HOLD", "RESV_DEL_HOLD", "SPECIAL_EXIT")
)
"""States of a job that will start, or start again; every other state is that of one at work, or not yet let go of."""

NAME = "harness-"
"""How the names of our jobs begin; what follows differs between submissions."""
FIELDS = "%F_%K|%T|%j"
"""What squeue is asked for with `--array`, which gives tasks that wait together (`7_[4-9%2]`) a line each."""

NO_ANSWER = "no answer"
"""Our own word for a command that was given up."""

_UNKNOWN = ("Invalid job id specified",)
_OVER = (*_UNKNOWN, "already completing or completed")
_SILENT = (
    "Unable to contact slurm controller",
    "Socket timed out",
    "Zero Bytes were transmitted or received",
    "Connection refused",
    "Connection timed out",
    "connection failure",
    "Communication connection",
    "standby mode",
    "temporarily un",
    "Transport endpoint",
    "authentication error",
    "configuration source",
)


def standings(printed: str) -> dict[str, Standing]:
    """Return where each task of squeue's listing stands, by its handle; jobs that are not ours are left out.

    Raises:
        ValueError: a line is not what was asked for.
    """
    found: dict[str, Standing] = {}
    for line in printed.splitlines():
        fields = line.split("|", 2)
        if len(fields) != 3 or "_" not in fields[0]:
            raise ValueError(f"{line!r} is no line of --format={FIELDS}")
        task, state, name = fields
        if name.startswith(NAME):
            found[f"{task}-{name.removeprefix(NAME)}"] = _standing(state.strip())
    return found


def _standing(state: str) -> Standing:
    if state in ENDED:
        return "gone"
    return "queued" if state in WAITING else "running"


def configuration(printed: str) -> dict[str, str]:
    """Return the settings that `scontrol show config` lists."""
    pairs = (line.partition("=") for line in printed.splitlines())
    return {name.strip(): value.strip() for name, equals, value in pairs if equals}


def array_id(printed: str) -> str | None:
    """Return the job that `sbatch --parsable` says it made (`17` or `17;cluster`), whatever a site prints before it."""
    last = printed.strip().rpartition("\n")[2].partition(";")[0].strip()
    return last if last.isascii() and last.isdigit() else None


def unknown(complaint: str) -> bool:
    """Return whether a command says that there is no such job."""
    return any(words in complaint for words in _UNKNOWN)


def silent(complaint: str) -> bool:
    """Return whether a command failed because nobody answered it."""
    return any(words.lower() in complaint.lower() for words in _SILENT)


def in_doubt(complaint: str) -> bool:
    """Return whether what was asked for may have been done all the same."""
    return any(words in complaint for words in (NO_ANSWER, "timed out", "Zero Bytes"))


def over(complaint: str) -> bool:
    """Return whether all that scancel complains of is that jobs have ended already."""
    return all(any(words in line for words in _OVER) for line in complaint.splitlines() if line.strip())
