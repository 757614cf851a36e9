"""What a run has recorded until now: kept in its checkpoints, and taken up where it goes on from one.

Of several processes of a run the first one holds what was kept, of all of them.
"""

from collections import Counter
from typing import Any

from harness.source.judgement import Judgement
from harness.train.progress import StepLog
from harness.train.ranks import first, gathered
from harness.train.reward import ExactAnswer


class SoFar:
    """What a run has recorded, as a checkpoint keeps it and a resumed run takes it up."""

    def __init__(self, log: StepLog, watch: Any, reward: ExactAnswer, kept: dict[str, Any] | None):
        self._log, self._watch, self._reward = log, watch, reward
        self.resumed_at: list[int] = []
        """Updates after which the run went on from a checkpoint."""
        if kept is not None:
            log.rows[:] = kept["steps"]
            watch.first_update_norm, watch.scores, watch.spectra = kept["first_norm"], kept["scores"], kept["spectra"]
            reward.first = kept["first_rollouts"] if first() else []  # what is kept is that of all processes
            judged = {Judgement(name): often for name, often in kept["judged"].items()}
            reward.counts = Counter(judged if first() else {})
            self.resumed_at = [*kept["resumed_at"], log.rows[-1]["step"]]

    def as_json(self) -> dict[str, Any]:
        """Return it as JSON keeps it; of several processes, each has to call."""
        judged, rollouts = self.rewarded()
        return {
            "steps": self._log.rows,
            "first_norm": self._watch.first_update_norm,
            "scores": self._watch.scores,
            "spectra": self._watch.spectra,
            "first_rollouts": rollouts,
            "judged": {judgement.value: often for judgement, often in judged.items()},
            "resumed_at": self.resumed_at,
        }

    def rewarded(self) -> tuple[Counter[Judgement], list[list[int]]]:
        """Return what the rewards were asked for in all processes: completions by judgement, and the first ones."""
        rollouts = [ids for share in gathered(self._reward.first or []) for ids in share]
        return sum(gathered(self._reward.counts), Counter()), rollouts
