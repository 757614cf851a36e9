"""The head of a measure's file: its first comment line, which states what a row is and in which unit values are.

`-- one row per run; share of sampled answers that are correct after the last update, 0 to 1`. The head is a promise of
the file's author; that the view keeps it is seen when values are read.
"""

import re
from dataclasses import dataclass
from enum import StrEnum

HEAD = re.compile(
    r"--\s*one row per (?:(?:[\w-]+ )?(?P<run>run)|(?P<item>\(run, problem\))|(?P<base>base))\s*;\s*(?P<unit>\S.*)"
)


class Grain(StrEnum):
    """What one row of a measure stands for."""

    RUN = "run"
    """A run, or those of one algorithm ("GRPO run"); columns `run_id`, `value`."""
    ITEM = "item"
    """A problem under a run; columns `run_id`, `problem`, `value`."""
    BASE = "base"
    """A base before fine-tuning; columns `base_id`, `value`."""


@dataclass(frozen=True, slots=True)
class MeasureHead:
    """What a measure says of itself."""

    grain: Grain
    unit: str
    """What a value is, in words, with its unit or range."""
    bounded: bool
    """Whether values lie from 0 to 1, the scale of accuracy."""


def measure_head(line: str) -> MeasureHead | None:
    """Return what the first line of a measure's file states, or None where it does not state grain and unit."""
    found = HEAD.match(line.strip())
    if found is None:
        return None
    grain = next(grain for grain in Grain if found[grain.value])
    unit = found["unit"].strip()
    return MeasureHead(grain, unit, "0 to 1" in unit)
