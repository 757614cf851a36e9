"""One row per matrix: what `harness spectra` prints, draws and writes, with the definition of every column beside it.

The words are those of the spectra that runs record, with three more. Numbers are as they were computed; whoever prints
them rounds them.
"""

import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import Any, Literal

from harness.record.shards import SPECTRUM, Column
from harness.spectra.power_law import PowerLaw
from harness.spectra.spectrum import Source, Spectrum, quantities

Target = Literal["update", "null", "weights"]
TARGET = (
    "what the matrix is: update (dW of a weight), null (a random update of rank 8 and the same norm, rounded as the "
    "update was) or weights (the matrix itself)"
)
OWN = {
    "target": replace(SPECTRUM["target"], definition=TARGET),
    "part": Column("string", "the module's name within its layer, further numbers in it replaced by *"),
    "role": Column("string", "hidden, embedding (its rows are tokens or positions) or head (the output layer)"),
    "changed_share": Column("double", "share of entries that differ from the base's; null without a base"),
}
COLUMNS: dict[str, Column] = {
    name: OWN[name] if name in OWN else SPECTRUM[name]
    for name in (
        "module", "layer", "part", "kind", "role", "target", "rows", "columns", "source", "dtype", "kernel", "bound",
        "floor", "complete", "frobenius", "effective_rank", "effective_rank_energy", "stable_rank",
        "participation_ratio", "top_energy", "alpha", "alpha_ks", "alpha_xmin", "overlap", "overlap_chance",
        "intruders", "intruders_unsettled", "intruder_sweep", "intruders_borderline", "changed_share",
        "singular_values",
    )
}  # fmt: skip
"""Quantities of a zero matrix, those that a kernel does not tell, and places in a base that is not known, are null."""
EMBEDDINGS = {"embed_tokens", "embed_in", "wte", "wpe", "word_embeddings", "tok_embeddings", "position_embeddings"}
HEADS = {"lm_head", "embed_out", "score"}
OUTSIDE = -1
"""Layer of a module that belongs to none."""

Row = dict[str, Any]


def row(
    name: str,
    spectrum: Spectrum,
    target: Target,
    source: Source,
    dtype: str,
    tail: PowerLaw | None = None,
    changed_share: float | None = None,
) -> Row:
    """Return the row of one matrix, its place in a base left open; `name` is its module's, or its weight's."""
    module = name.removesuffix(".weight")
    layer, part = place(module)
    kind = part.rsplit(".", 1)[-1]
    said: Row = {
        "module": module,
        "layer": layer,
        "part": part,
        "kind": kind,
        "role": "embedding" if kind in EMBEDDINGS else "head" if kind in HEADS else "hidden",
        "target": target,
        "source": str(source),
        "dtype": dtype,
        "alpha": tail.alpha if tail else None,
        "alpha_ks": tail.ks if tail else None,
        "alpha_xmin": tail.xmin if tail else None,
        "changed_share": changed_share,
        **quantities(spectrum),
    }
    return {column: said.get(column) for column in COLUMNS}


def place(module: str) -> tuple[int, str]:
    """Return a module's layer, the first number in its name, and its name within the layer."""
    found = re.search(r"(?:^|\.)(\d{1,9})\.(.+)", module)
    if found is None:
        return OUTSIDE, module
    return int(found[1]), re.sub(r"(^|\.)\d+(?=\.|$)", r"\1*", found[2])


def write_parquet(path: Path, rows: Iterable[Row], about: Mapping[str, str]) -> None:
    """Write rows as Parquet, whole or not at all; every column's metadata holds its definition, the file's `about`."""
    pa: Any = import_module("pyarrow")  # 0.2 s, of a library without type information
    types = {
        "string": pa.string(),
        "int32": pa.int32(),
        "bool": pa.bool_(),
        "double": pa.float64(),
        "list<double>": pa.list_(pa.float64()),
        "list<int32>": pa.list_(pa.int32()),
    }
    fields = [
        pa.field(name, types[column.type], metadata={"definition": column.definition})
        for name, column in COLUMNS.items()
    ]
    table = pa.Table.from_pylist(list(rows), pa.schema(fields, metadata=dict(about)))
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        import_module("pyarrow.parquet").write_table(table, partial)
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)
