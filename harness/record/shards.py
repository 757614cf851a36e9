"""The columnar files of a result, one Parquet file a kind, with the grain of its rows.

Integers are small because there are many; floats are stored as computed.
"""

from collections.abc import Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

EVALUATION = {
    # one row per (step, split, problem)
    "step": "int32",  # optimiser updates made before the evaluation
    "split": "string",  # evaluation or validation
    "problem": "int32",  # position in the split, from 0
    "samples": "int32",  # sampled answers
    "correct": "int32",  # sampled answers that were correct
    "greedy_correct": "bool",  # whether the most likely answer was correct
}

STEPS = {
    # one row per optimiser update, counted from 1
    "step": "int32",
    "loss": "double",
    "learning_rate": "double",
    "grad_norm": "double",
    "reward": "double",  # mean over the update's completions, 0 to 1; null under SFT
    "reward_std": "double",  # mean over groups of the spread within a group
    "frac_reward_zero_std": "double",  # share of groups without spread, hence without gradient
    "entropy": "double",  # nats per token
    "completion_length": "double",  # mean, tokens
    "clipped_ratio": "double",  # share of completions cut at the length limit
}

SPECTRUM = {
    # one row per (step, adapted matrix)
    "step": "int32",
    "module": "string",
    "layer": "int32",
    "rows": "int32",
    "columns": "int32",
    "frobenius": "double",
    "effective_rank": "double",  # exp(entropy of sigma / sum sigma), Roy and Vetterli 2007
    "stable_rank": "double",  # ||W||_F^2 / ||W||_2^2
    "top1_energy": "double",  # sigma_1^2 / sum sigma^2
    "singular_values": "list<double>",  # descending, of the scaled update
}

KINDS: dict[str, dict[str, str]] = {"evaluation": EVALUATION, "steps": STEPS, "spectrum": SPECTRUM}


def write_shard(folder: Path, kind: str, rows: Sequence[Mapping[str, Any]]) -> None:
    """Write `rows` as `folder/<kind>.parquet`; a column that a row leaves out is null, an unknown one raises."""
    if unknown := {name for row in rows for name in row} - KINDS[kind].keys():
        raise ValueError(f"{kind} shard: unknown columns {sorted(unknown)}")
    # Imported by name: 0.2 s that only workers need, of a library without type information.
    pa: Any = import_module("pyarrow")
    types = {"list<double>": pa.list_(pa.float64()), "double": pa.float64(), "string": pa.string(), "bool": pa.bool_()}
    schema = pa.schema([(name, types.get(kind_) or pa.int32()) for name, kind_ in KINDS[kind].items()])
    table = pa.Table.from_pylist([dict(row) for row in rows], schema)
    import_module("pyarrow.parquet").write_table(table, folder / f"{kind}.parquet")
