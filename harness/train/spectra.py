"""The spectrum shard of a run and of a base: one row per matrix, with its null beside and its place in the base.

Every row says what it was read from and by which kernel. Beside each update stands a random one of the same form, shape
and norm, whose source says as what it was drawn, by a generator of its own from the run's seed, so that looking changes
nothing in training; none stands beside a difference of rounded weights, which no random matrix is like. Where an
update lies relative to the base (overlap, intruder dimensions) is computed at the last update only.
"""

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import torch

from harness.spectra import Spectrum, Update
from harness.spectra.basis import BASIS, Basis, read_basis, singular_basis, write_bases
from harness.spectra.checkpoint import Checkpoint
from harness.spectra.dense import gram_spectrum
from harness.spectra.place import place
from harness.spectra.power_law import power_law
from harness.spectra.spectrum import Source, quantities

LARGE, KEPT = 1024, 64
"""Above this smaller side, the basis of a base that exists keeps so many directions: complete ones of an 8B model would
take some 50 GB. They are enough for the overlap and settle most intruders."""

Row = dict[str, Any]


def update_rows(updates: Iterator[tuple[str, Update]], step: int, seed: int, base: Path, *, placed: bool) -> list[Row]:
    """Return the rows of updates after `step` optimiser steps, and of their nulls; `placed` compares with the base."""
    rows: list[Row] = []
    norms: dict[str, float] = {}
    for module, update in updates:
        basis = read_basis(base / BASIS, module)
        if basis.complete:
            norm = float(basis.sigma_k.double().square().sum().sqrt())
        else:
            norms = norms or _frozen_norms(base)
            norm = norms[module]
        for target, of in (("update", update), ("null", update.random(_generator(seed, step, module)))):
            if of is None:
                continue
            row: Row = _row(step, target, module, of.spectrum()) | {"source": str(of.source), "dtype": of.dtype}
            row["relative_norm"] = row["frobenius"] / norm if norm else None
            row |= place(of, basis) if placed else {}
            rows.append(row)
    return rows


def base_rows(folder: Path, *, keep: bool = False, device: torch.device | str = "cpu") -> list[Row]:
    """Return the rows of the frozen matrices of the model in `folder`, and write their singular bases beside it.

    With `keep`, only the leading directions of matrices with a smaller side above LARGE are written.
    """
    checkpoint = Checkpoint(folder)
    rows: list[Row] = []
    bases: dict[str, Basis] = {}
    for name in checkpoint.matrices():
        weight = checkpoint.tensor(name).to(device)
        spectrum, module = gram_spectrum(weight), name.removesuffix(".weight")
        row = _row(0, "weights", module, spectrum)
        row |= {"source": str(Source.WEIGHTS), "dtype": checkpoint.dtype(name)}
        fit = power_law(torch.tensor(spectrum.singular_values, dtype=torch.float64))
        row |= {"alpha": fit.alpha, "alpha_ks": fit.ks, "alpha_xmin": fit.xmin} if fit else {}
        rows.append(row)
        if row["kind"] not in ("embed_tokens", "lm_head"):
            bases[module] = _on_cpu(singular_basis(weight, KEPT if keep and min(weight.shape) > LARGE else None))
    write_bases(folder / BASIS, bases)
    return rows


def update_norm(rows: list[Row], beside: float) -> float:
    """Return the Frobenius norm of the whole update: of what rows of one step describe, and of what trains `beside`."""
    return (sum(row["frobenius"] ** 2 for row in rows if row["target"] == "update") + beside**2) ** 0.5


def _frozen_norms(base: Path) -> dict[str, float]:
    """Return the Frobenius norm of every frozen matrix, by module, as the base's own shard has it."""
    rows = pq.read_table(base / "spectrum.parquet", columns=["module", "frobenius"]).to_pylist()
    return {row["module"]: row["frobenius"] for row in rows}


def _on_cpu(basis: Basis) -> Basis:
    return Basis(basis.u_mk.cpu(), basis.sigma_k.cpu(), basis.v_nk.cpu())


def _row(step: int, target: str, module: str, spectrum: Spectrum) -> Row:
    return {
        "step": step,
        "target": target,
        "module": module,
        "layer": next((int(part) for part in module.split(".") if part.isdigit()), -1),
        "kind": module.rpartition(".")[2],
        **quantities(spectrum),
    }


def _generator(seed: int, step: int, module: str) -> torch.Generator:
    digest = hashlib.sha256(f"{seed} {step} {module}".encode()).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest[:7], "big"))
