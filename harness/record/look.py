"""What one listing of a job at an exchange tells: names and times of its objects, whose order is `record.exchange`."""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from harness.record.objects import Entry

_MARKER = re.compile(r"checkpoints/\d{4,}/\d+/COMPLETE")


@dataclass(frozen=True, slots=True)
class Look:
    """One listing of a job at an exchange."""

    entries: Mapping[str, Entry]

    @property
    def attempts(self) -> list[int]:
        """Numbers of the attempts that were claimed, in order."""
        names = (key.removeprefix("attempts/").removesuffix(".json") for key in self.entries)
        return sorted(int(name) for name in names if name.isdigit())

    @property
    def newest(self) -> int:
        """The newest attempt, 0 where there is none."""
        return max(self.attempts, default=0)

    @property
    def committed(self) -> bool:
        """Whether there is a result."""
        return "COMMIT" in self.entries

    @property
    def called_off(self) -> bool:
        """Whether a user has called the job off."""
        return "CANCEL" in self.entries

    def ended(self, number: int) -> bool:
        """Whether an attempt has said how it ended."""
        return f"attempts/{number:04d}.exit.json" in self.entries

    def heard(self, number: int) -> float:
        """When an attempt last gave a sign of life, by the server's clock."""
        names = (f"attempts/{number:04d}.beat", f"attempts/{number:04d}.json")
        return max((self.entries[name].stamp for name in names if name in self.entries), default=0.0)

    def checkpoint(self) -> tuple[int, str] | None:
        """Return the newest whole checkpoint: the updates before it, and where its objects are; or None."""
        marked = [key.rpartition("/")[0] for key in self.entries if re.fullmatch(_MARKER, key)]
        found = {(int(key.rpartition("/")[2]), key) for key in marked}
        return max(found, default=None)
