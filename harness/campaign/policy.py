"""What a driver does about an attempt that ended without a result: repeat the job, or tell why it will not.

What came from outside is repeated, up to a number of times a command that no healthy engine reaches; what the same seed
would meet again is not. An attempt that left a newer checkpoint than the one before has made progress, and is not
counted: a long run on a preemptible machine may take many attempts.
"""

from dataclasses import dataclass, field

from harness.record.ending import Exit, Reason

MAX_LOST = 3
"""How often one command repeats a job whose process ends without a word."""
REPEATS = {
    Reason.KILLED: MAX_LOST,
    Reason.PREEMPTED: 20,  # its engine's doing, which says nothing of the run
    Reason.LOST_CLAIM: 20,  # a newer attempt has it, and is waited for
    Reason.TIMEOUT: 0,  # the next attempt would meet it again, unless there is a newer checkpoint to go on from
    Reason.USER_ERROR: 0,  # runs are deterministic given their seed
    Reason.NAN: 0,  # likewise
    Reason.OOM_HOST: 0,  # not with the same resources
    Reason.OOM_DEVICE: 0,  # likewise
    Reason.NO_SPACE: 0,  # until somebody makes room
    Reason.CANCELLED: 0,  # a user's wish
}
"""How often one command repeats a job for each reason."""
REMEDIES = {
    Reason.OOM_HOST: "Raise resources.memory_gib in the protocol, or run fewer at a time.",
    Reason.OOM_DEVICE: "Give the run more of a device (resources.gpus), or a smaller per_device_train_batch_size with "
    "more gradient_accumulation_steps.",
    Reason.TIMEOUT: "Raise resources.minutes in the protocol, or declare resume: allowed.",
    Reason.NO_SPACE: "Make room where the store lies, then repeat the command.",
    Reason.CANCELLED: "Repeat the command to execute it after all.",
}


@dataclass(slots=True)
class Losses:
    """What one command has seen of one job."""

    counts: dict[Reason, int] = field(default_factory=dict[Reason, int])
    """Attempts that ended so without progress."""
    checkpoint: int = 0
    """Updates of the newest checkpoint seen."""

    def repeat(self, end: Exit) -> bool:
        """Take note of an attempt's end; return whether the job is to be repeated."""
        if end.checkpoint is not None and end.checkpoint > self.checkpoint and end.reason in _OUTSIDE:
            self.checkpoint = end.checkpoint
            return True
        self.counts[end.reason] = self.counts.get(end.reason, 0) + 1
        return self.counts[end.reason] <= REPEATS.get(end.reason, 0)

    def told(self, end: Exit) -> str:
        """Return why the job will give no result in this command."""
        often = self.counts.get(end.reason, 0)
        said = f"{end.reason}: {end.message}" if end.reason not in (Reason.USER_ERROR, Reason.KILLED) else end.message
        if end.reason is Reason.KILLED and often > 1:
            said = f"killed {often} times" + (f"; the last time: {end.message}" if end.message else "")
        remedy = REMEDIES.get(end.reason, "")
        return f"{said}. {remedy}" if remedy else said


_OUTSIDE = (Reason.KILLED, Reason.PREEMPTED, Reason.TIMEOUT)
