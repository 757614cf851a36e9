"""The singular basis of frozen weights, computed once per base model and kept in one safetensors file.

A complete basis has min(rows, columns) triples; a truncated one the leading `keep`, which is enough for overlaps and
settles part of the questions about intruders. Vectors are kept in float32: orthonormal to about 1e-6, 134 MB per
complete 4096 x 4096 matrix. Computed in float64 up to a smaller side of 2048; beyond, in float32, where vectors of
values closer than some 1e-6 sigma_1 mix.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

import torch
from safetensors import safe_open
from safetensors.torch import save_file

BASIS = "basis.safetensors"
"""The singular bases of a base's matrices, in its result."""
DOUBLE = 2048
"""Smaller side up to which the decomposition is computed in float64."""


@dataclass(frozen=True, slots=True, eq=False)
class Basis:
    """The leading singular triples of one frozen matrix, or all of them."""

    u_mk: torch.Tensor
    """Left singular vectors (rows, k), float32, in columns."""
    sigma_k: torch.Tensor
    """Singular values (k,), float32, descending."""
    v_nk: torch.Tensor
    """Right singular vectors (columns, k), float32, in columns."""

    def __post_init__(self) -> None:
        kept = len(self.sigma_k)
        if (self.u_mk.shape[1], self.v_nk.shape[1]) != (kept, kept):
            shapes = f"{tuple(self.u_mk.shape)} and {tuple(self.v_nk.shape)}"
            raise ValueError(f"vectors {shapes} do not go with {kept} singular values")

    @property
    def rows(self) -> int:
        """Outputs of the layer."""
        return self.u_mk.shape[0]

    @property
    def columns(self) -> int:
        """Inputs of the layer."""
        return self.v_nk.shape[0]

    @property
    def kept(self) -> int:
        """Number of triples."""
        return len(self.sigma_k)

    @property
    def complete(self) -> bool:
        """Whether all min(rows, columns) triples are here."""
        return self.kept == min(self.rows, self.columns)


@torch.no_grad()
def singular_basis(weight: torch.Tensor, keep: int | None = None) -> Basis:
    """Return the singular basis of `weight` (rows, columns), or its `keep` leading triples.

    Raises:
        ValueError: no matrix, NaN or infinity in it, or a `keep` below 1.
    """
    if weight.dim() != 2 or not torch.isfinite(weight).all():
        raise ValueError(f"a weight {tuple(weight.shape)} that is no finite matrix has no singular basis")
    if keep is not None and keep < 1:
        raise ValueError(f"keep: {keep} triples are no basis. Keep 1 or more, or None for all")
    working = weight.double() if min(weight.shape) <= DOUBLE else weight.float()
    u, sigma, vh = torch.linalg.svd(working, full_matrices=False)
    return Basis(u[:, :keep].float().contiguous(), sigma[:keep].float(), vh[:keep].T.float().contiguous())


def write_bases(path: Path, bases: Mapping[str, Basis]) -> None:
    """Write the bases of many matrices, by module, to one file, which appears whole or not at all."""
    tensors = {
        f"{module}.{part}": tensor.contiguous()
        for module, basis in bases.items()
        for part, tensor in (("u", basis.u_mk), ("sigma", basis.sigma_k), ("v", basis.v_nk))
    }
    partial = path.with_name(f".{path.name}.{uuid4().hex}")
    try:
        save_file(tensors, partial)
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)


def basis_modules(path: Path) -> tuple[str, ...]:
    """Return the modules whose bases a file holds, sorted."""
    with safe_open(path, "pt") as file:
        return tuple(sorted(key.removesuffix(".sigma") for key in file.keys() if key.endswith(".sigma")))  # noqa: SIM118 - no mapping


def read_basis(path: Path, module: str) -> Basis:
    """Return one module's basis.

    The file is opened anew at every call: one handle kept open over many reads keeps every page it touched in memory.

    Raises:
        KeyError: the file holds no basis of that module.
    """
    modules = basis_modules(path)
    if module not in modules:
        raise KeyError(f"{path}: no basis of {module}. It holds those of {', '.join(modules)}")
    with safe_open(path, "pt") as file:
        u, sigma, v = (file.get_tensor(f"{module}.{part}") for part in ("u", "sigma", "v"))
    return Basis(u, sigma, v)
