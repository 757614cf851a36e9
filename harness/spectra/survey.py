"""From a folder to the rows of its spectra: an adapter's updates, a checkpoint's weights, or what tuning changed."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from harness.spectra.adapter_folder import NAME, WEIGHTS, AdapterFolder, adapter_folder, holds_adapter
from harness.spectra.basis import basis_modules, read_basis
from harness.spectra.changes import changes, shared, unshared
from harness.spectra.checkpoint import Checkpoint, CheckpointError
from harness.spectra.dense import Dense, difference
from harness.spectra.dora import Dora
from harness.spectra.frozen import Kept, drawn, frozen_spectra, measured
from harness.spectra.lanczos import operator_spectrum
from harness.spectra.quanta import Quanta
from harness.spectra.spectrum import Source, Spectrum, blurred
from harness.spectra.table import Row, row
from harness.spectra.update import Update

NO_MATRIX = "no matrix of floating-point numbers"


@dataclass(frozen=True, slots=True)
class Survey:
    """What is about to be measured; rows are computed as they are asked for, one matrix in memory at a time."""

    what: str
    """In words: `LORA adapter`, `LORA (DoRA) adapter`, `weights`, `weights minus the base's`."""
    matrices: int | None
    """How many there are, where that is known before."""
    skipped: Mapping[str, tuple[str, ...]]
    """Tensors that are left out, by reason; a checkpoint's vectors are not told."""
    rows: Iterator[Row]
    """Raises CheckpointError where the next matrix cannot be read."""


def survey(path: Path, base: Path | None, kept: Kept, top: int | None = None, bases: Path | None = None) -> Survey:
    """Look at what lies at `path`; an adapter's base, or the checkpoint to subtract, is `base`.

    `top`: that many leading values only, where the adapter's own factors do not give all of them at no cost. `bases`:
    the file of the singular bases of that base's matrices, with which updates have a place in it.

    Raises:
        CheckpointError: nothing that can be read.
    """
    against = None if base is None else _weights_of(base, base=True)
    if (folder := adapter_folder(path)) is not None:
        adapter = AdapterFolder(folder)
        rows = _updates(adapter, against, top, bases)
        return Survey(f"{adapter.called} adapter", adapter.count(), _beside(adapter), rows)
    checkpoint = _weights_of(path)
    if against is None:
        count = len(checkpoint.matrices())
        return Survey("weights", count, _told({NO_MATRIX: _others(checkpoint)}), _weights(checkpoint, kept, top))
    count = len(shared(checkpoint, against))
    rows = _changes(checkpoint, against, kept, top, bases)
    return Survey("weights minus the base's", count, _alone(checkpoint, against), rows)


def _weights_of(path: Path, *, base: bool = False) -> Checkpoint:
    """Return the checkpoint at `path`; raise CheckpointError where its tensors are an adapter's."""
    checkpoint = Checkpoint(path)
    if not holds_adapter(checkpoint):
        return checkpoint
    if base:
        raise CheckpointError(f"{path}: an adapter, and no base. Name the model that it was trained on.")
    rule = f"tensors of an adapter without its {NAME}, which says what they mean"
    raise CheckpointError(f"{path}: {rule}. Put the one that it was saved with beside them, as {WEIGHTS}.")


def _beside(adapter: AdapterFolder) -> Mapping[str, tuple[str, ...]]:
    names = adapter.skipped()
    whole = tuple(name for name in names if adapter.is_whole(name))
    other = tuple(name for name in names if name not in set(whole))
    return _told({"saved whole beside the updates": whole, "no factor of a matrix": other})


def _alone(tuned: Checkpoint, base: Checkpoint) -> Mapping[str, tuple[str, ...]]:
    names = unshared(tuned, base)
    ours, theirs = set(tuned.names()), set(base.names())
    return _told(
        {
            "of another shape or type in the base": tuple(name for name in names if name in ours & theirs),
            "not in the base": tuple(name for name in names if name not in theirs),
            "in the base alone": tuple(name for name in names if name not in ours),
            NO_MATRIX: tuple(name for name in _others(tuned) if name not in names),
        }
    )


def _others(checkpoint: Checkpoint) -> tuple[str, ...]:
    """Return the tensors of two or more axes that are no matrix of floating-point numbers."""
    matrices = set(checkpoint.matrices())
    return tuple(name for name in checkpoint.names() if len(checkpoint.shape(name)) > 1 and name not in matrices)


def _told(reasons: Mapping[str, tuple[str, ...]]) -> Mapping[str, tuple[str, ...]]:
    return {reason: names for reason, names in reasons.items() if names}


def _updates(adapter: AdapterFolder, base: Checkpoint | None, top: int | None, bases: Path | None) -> Iterator[Row]:
    for module, update in adapter.updates(base):
        yield _update(module, update, top) | _placed(module, update, bases)


def _placed(module: str, update: Update, bases: Path | None) -> Row:
    if bases is None or module not in basis_modules(bases):
        return {}
    basis = read_basis(bases, module)
    from harness.spectra.place import place  # scipy, 30 MB that other surveys do without

    return place(update, basis) if (basis.rows, basis.columns) == (update.rows, update.columns) else {}


def _update(module: str, update: Update, top: int | None) -> Row:
    if isinstance(update, Dense):
        found = measured(update.w, top)
        return row(module, blurred(found.spectrum, update.error), "update", update.source, update.dtype, found.tail)
    return row(module, _spectrum(update, top), "update", update.source, update.dtype)


def _spectrum(update: Update, top: int | None) -> Spectrum:
    if top is None or not isinstance(update, Dora | Quanta):
        return update.spectrum()
    found = operator_spectrum(update, top, update.frobenius(), drawn())
    return blurred(found, update.error)


def _weights(checkpoint: Checkpoint, kept: Kept, top: int | None) -> Iterator[Row]:
    for name, found in frozen_spectra(checkpoint, kept, top):
        yield row(name, found.spectrum, "weights", Source.WEIGHTS, checkpoint.dtype(name), found.tail)


def _changes(tuned: Checkpoint, base: Checkpoint, kept: Kept, top: int | None, bases: Path | None) -> Iterator[Row]:
    for change in changes(tuned, base, kept, top):
        about = (change.source, change.dtype)
        own = row(change.name, change.found.spectrum, "update", *about, change.found.tail, change.changed_share)
        if bases is not None:
            update = difference(tuned.tensor(change.name), base.tensor(change.name))
            own |= _placed(own["module"], update, bases)
        yield own
        if change.null is not None:
            spectrum, tail = change.null.spectrum, change.null.tail
            yield row(change.name, spectrum, "null", Source.ROUNDED_FACTORS, change.dtype, tail)
