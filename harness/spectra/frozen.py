"""Spectra of the weights of a checkpoint, one matrix in memory at a time, kept by content.

A matrix that was measured before is not measured again, in whatever file, model or shard it turns up: what is kept lies
under the SHA-256 of its bytes, its shape and type, and of how it was measured. Each matrix is written as soon as it is
done, so a command that was killed goes on where it stopped. What is kept can be removed at any time.

A full spectrum costs about n^3 (4096 x 4096: five seconds of one core), the leading values alone about a hundredth of
it, to which the participation ratio adds a tenth.
"""

import hashlib
import json
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from harness.record.atomic import write_json
from harness.spectra.checkpoint import Checkpoint
from harness.spectra.dense import gram_spectrum
from harness.spectra.lanczos import leading_spectrum
from harness.spectra.power_law import PowerLaw, power_law
from harness.spectra.spectrum import Kernel, Spectrum

VERSION = 1
"""Of the kernels and of what is kept; raised when either changes what a matrix comes to."""
SEED = 0
"""Of everything drawn here: the same matrix gives the same bits."""


@dataclass(frozen=True, slots=True)
class Measured:
    """The spectrum of one matrix, and the power law of its tail where there are values enough for one."""

    spectrum: Spectrum
    tail: PowerLaw | None


def _silent(_: str) -> None:
    """Say nothing."""


class Kept:
    """A folder of measured matrices, one small file each; None keeps nothing.

    It saves time and is nothing more: where it cannot be written, that is told once, and measuring goes on without it.
    """

    def __init__(self, folder: Path | None, tell: Callable[[str], None] = _silent) -> None:
        self._folder, self._tell = folder, tell

    def get(self, key: str, measure: Callable[[], Measured]) -> Measured:
        """Return what is kept under `key`, else what `measure` returns, which is kept from now on."""
        if self._folder is None:
            return measure()
        file = self._folder / key[:2] / f"{key}.json"
        found = _read(file)
        if found is None:
            found = measure()
            self._write(file, found)
        return found

    def _write(self, file: Path, found: Measured) -> None:
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
            write_json(file, asdict(found))
        except OSError as error:
            self._tell(f"{file.parent.parent}: {error.strerror or error}; what is measured is not kept")
            self._folder = None


def frozen_spectra(checkpoint: Checkpoint, kept: Kept, top: int | None = None) -> Iterator[tuple[str, Measured]]:
    """Yield (tensor's name, what it comes to) for every matrix of a checkpoint; `top`: that many leading values only.

    Raises:
        CheckpointError: no matrix, or one that cannot be read or holds NaN or infinity.
    """
    for name in checkpoint.matrices():
        yield name, _frozen(checkpoint.tensor(name), kept, top)  # which holds no matrix while it waits


def _frozen(weight: torch.Tensor, kept: Kept, top: int | None) -> Measured:
    return kept.get(content_key((weight,), top), lambda: measured(weight, top))


def measured(matrix: torch.Tensor, top: int | None = None) -> Measured:
    """Return all singular values of a matrix and the power law of their tail, or the `top` leading values alone."""
    if top is not None:
        return Measured(leading_spectrum(matrix, top, drawn(), participation=True), None)
    spectrum = gram_spectrum(matrix)
    return Measured(spectrum, power_law(torch.tensor(spectrum.singular_values, dtype=torch.float64)))


def drawn() -> torch.Generator:
    """Return a fresh generator of the fixed seed."""
    return torch.Generator().manual_seed(SEED)


def content_key(matrices: tuple[torch.Tensor, ...], *how: int | str | None) -> str:
    """Return the SHA-256 of matrices' types, shapes and bytes, of the version here and of how they are measured."""
    shapes = [[str(matrix.dtype), *matrix.shape] for matrix in matrices]
    total = hashlib.sha256(json.dumps([VERSION, how, shapes]).encode())
    for matrix in matrices:
        total.update(matrix.contiguous().view(torch.uint8).numpy().data)
    return total.hexdigest()


def _read(file: Path) -> Measured | None:
    """Return what a file keeps, or None where there is nothing to be read: it is derived, and made again."""
    try:
        value = json.loads(file.read_text(encoding="utf-8"))
        tail = value["tail"]
        return Measured(_spectrum(value["spectrum"]), None if tail is None else PowerLaw(**tail))
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _spectrum(value: dict[str, Any]) -> Spectrum:
    lists = {name: tuple(item) for name, item in value.items() if isinstance(item, list)}
    return Spectrum(**{**value, **lists, "kernel": Kernel(**value["kernel"])})
