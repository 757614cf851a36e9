"""What full fine-tuning changed: tuned minus base, matrix by matrix, of two checkpoints of one model.

A difference of weights that are held in bfloat16 or float16, in whatever type they are stored, is mostly rounding: the
update of an entry is below the spacing of its numbers, so it vanishes or becomes a whole step, and what is left is
noise of full rank (an update of rank 8, a hundredth of the base, reads as effective rank 293 instead of 6). Such
differences are marked, come with the share of entries that changed at all and with a null (a known update of rank 8 and
the same norm through the same rounding), and enter no claim.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import torch

from harness.spectra.checkpoint import Checkpoint, CheckpointError
from harness.spectra.dense import Dense, changed_share, difference, rounding_null
from harness.spectra.frozen import Kept, Measured, content_key, drawn, measured
from harness.spectra.norms import frobenius
from harness.spectra.spectrum import Source, blurred

NULL_RANK = 8


@dataclass(frozen=True, slots=True)
class Change:
    """What became of one matrix."""

    name: str
    dtype: str
    """The coarser of the two types that the matrices' numbers are held in."""
    source: Source
    found: Measured
    changed_share: float
    """Share of entries that differ from those of the base."""
    null: Measured | None
    """What a random update of rank 8 and the same norm reads as, so rounded; None where nothing is, or changed."""


def changes(tuned: Checkpoint, base: Checkpoint, kept: Kept, top: int | None = None) -> Iterator[Change]:
    """Yield the change of every matrix that both checkpoints have in the same shape.

    Raises:
        CheckpointError: no such matrix, or one that cannot be read or holds NaN or infinity.
    """
    for name in shared(tuned, base):
        yield _change(name, tuned.tensor(name), base.tensor(name), kept, top)  # which holds no matrix while it waits


def _change(name: str, after: torch.Tensor, before: torch.Tensor, kept: Kept, top: int | None) -> Change:
    update = difference(after, before)
    seen = kept.get(content_key((after, before), top), lambda: measured(update.w, top))
    found = replace(seen, spectrum=blurred(seen.spectrum, update.error))
    null = None
    if update.source is Source.LOW_PRECISION_DIFFERENCE and found.spectrum.frobenius:
        key = content_key((after, before), top, "null", NULL_RANK)
        null = kept.get(key, lambda: measured(_null(update, after, before).w, top))
    return Change(name, update.dtype, update.source, found, changed_share(after, before), null)


def _null(update: Dense, after: torch.Tensor, before: torch.Tensor) -> Dense:
    """Return the null of an update; its generator is fresh, so that a resumed command draws the same."""
    lower = getattr(torch, update.dtype)
    norm = frobenius(before)
    ratio = frobenius(update.w) / norm if norm else 1.0
    return rounding_null(before, min(NULL_RANK, *before.shape), ratio, lower, drawn())


def shared(tuned: Checkpoint, base: Checkpoint) -> tuple[str, ...]:
    """Return the names of the matrices that both have in the same shape; raise CheckpointError where there are none."""
    known = set(base.matrices())
    found = tuple(name for name in tuned.matrices() if name in known and base.shape(name) == tuned.shape(name))
    if not found:
        rule = f"no matrix of the same name and shape as in {base.path}"
        raise CheckpointError(f"{tuned.path}: {rule}. Name the base that it was tuned from.")
    return found


def unshared(tuned: Checkpoint, base: Checkpoint) -> tuple[str, ...]:
    """Return the names of the matrices of either that have no partner of the same shape in the other."""
    both = set(shared(tuned, base))
    return tuple(name for name in dict.fromkeys([*tuned.matrices(), *base.matrices()]) if name not in both)
