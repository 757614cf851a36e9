"""Measures by name: what their first comment line states, and at which update a prediction wants their value.

`-- one row per run; share of sampled answers that are correct after the last update, 0 to 1`. The head is a promise of
the file's author; that the view keeps it is seen when values are read. A measure of steps is a time series of each run:
`stable_rank` means its value at the run's last update, `stable_rank@4` the one at update 4. Its head says at which
updates there is one: `(run, step)` at every update, `(run, step with spectra)` at those after which a spectrum is kept,
`(run, last step)` at the last.

What only runs of one algorithm have, its head says where it names the run: `GRPO run`, `(GRPO run, step)`. A reward is
such a thing, which runs of SFT have none of; a prediction on their rewards is then refused before anything is run.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from harness.spec.cell import Algorithm
from harness.spec.code import is_code

RUN = r"(?:[\w-]+ )?run"
STEP = rf"(?P<step>\({RUN}, (?:step|(?P<spectra>step with spectra)|(?P<last>last step))\))"
HEAD = re.compile(
    rf"--\s*one row per (?:(?P<run>{RUN})|(?P<item>\({RUN}, problem\))|{STEP}|(?P<base>base))"
    r"\s*;\s*(?P<unit>\S.*)"
)
NAME = re.compile(r"[a-z][a-z0-9_]{0,62}")
OF = re.compile(r"\(?(?P<algorithm>grpo|sft) run", re.IGNORECASE)
AT_STEP = re.compile(r"(?P<name>[^@]+)@(?P<step>0|[1-9][0-9]{0,8})")


class Grain(StrEnum):
    """What one row of a measure stands for."""

    RUN = "run"
    """A run; columns `run_id`, `value`."""
    ITEM = "item"
    """A problem under a run; columns `run_id`, `problem`, `value`."""
    STEP = "step"
    """A run after so many optimiser updates; columns `run_id`, `step`, `value`."""
    BASE = "base"
    """A base before fine-tuning; columns `base_id`, `value`."""

    def rows(self) -> str:
        """Return what a row is, in the words of a head: `one row per (run, step)`."""
        return f"one row per {_ROW[self]}"


_ROW = {Grain.RUN: "run", Grain.ITEM: "(run, problem)", Grain.STEP: "(run, step)", Grain.BASE: "base"}


class Steps(StrEnum):
    """After which updates of a run a measure of steps has a value."""

    EVERY = "every"
    """After every update, from the first."""
    SPECTRA = "spectra"
    """After the first update, those of the protocol's `spectra_at`, and the last: whenever a spectrum is kept."""
    LAST = "last"
    """After the last update only: what places an update in the base is computed then."""

    def kept(self, updates: int, spectra_at: Iterable[int]) -> Sequence[int]:
        """Return the updates of a run of so many that have a value, ascending."""
        if self is Steps.EVERY:
            return range(1, updates + 1)
        if self is Steps.LAST:
            return (updates,)
        return sorted({1, *(step for step in spectra_at if step < updates), updates})


@dataclass(frozen=True, slots=True)
class MeasureHead:
    """What a measure says of itself."""

    grain: Grain
    unit: str
    """What a value is, in words, with its unit or range."""
    bounded: bool
    """Whether values lie from 0 to 1, the scale of accuracy."""
    at: Steps = Steps.EVERY
    """Of a measure of steps: after which updates it has a value."""
    algorithm: Algorithm | None = None
    """The algorithm whose runs alone have a value; None where nothing is said of it."""


def measure_head(line: str) -> MeasureHead | None:
    """Return what the first line of a measure's file states, or None where it does not state grain and unit."""
    found = HEAD.match(line.strip())
    if found is None:
        return None
    grain = next(grain for grain in Grain if found[grain.value])
    unit = found["unit"].strip()
    at = Steps.LAST if found["last"] else Steps.SPECTRA if found["spectra"] else Steps.EVERY
    of = OF.match(found[grain])
    algorithm: Algorithm | None = None if of is None else "grpo" if of["algorithm"].lower() == "grpo" else "sft"
    return MeasureHead(grain, unit, "0 to 1" in unit, at, algorithm)


def split(measure: str) -> tuple[str, int | None]:
    """Return the name of a measure and the update that its value is wanted at, None where none is named."""
    found = AT_STEP.fullmatch(measure)
    return (measure, None) if found is None else (found["name"], int(found["step"]))


def is_measure(measure: str) -> bool:
    """Return whether a text has the form of a measure: NAME, NAME@STEP or module:function."""
    return NAME.fullmatch(split(measure)[0]) is not None or is_code(measure)


def head_of(heads: Mapping[str, MeasureHead], measure: str) -> MeasureHead | None:
    """Return the head of the measure that is meant, None where `heads` has none; only a measure of steps has `@`."""
    name, step = split(measure)
    head = heads.get(name)
    return head if head is not None and (step is None or head.grain is Grain.STEP) else None


def bounded_among(heads: Mapping[str, MeasureHead], measures: Iterable[str]) -> frozenset[str]:
    """Return those of `measures` whose values say that they lie from 0 to 1."""
    return frozenset(name for name in measures if (head := head_of(heads, name)) is not None and head.bounded)
