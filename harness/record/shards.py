"""The columnar files of a result, one Parquet file a kind, with the grain of its rows and a definition of each column.

Integers are small because there are many; floats are stored as computed. A definition travels in the file, as metadata
of its column, so that whoever reads the file alone knows what a number means. A column that was added later is missing
from files written before, whose rows read as null there.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a shard."""

    type: str
    """`int32`, `double`, `string`, `bool`, `list<double>` or `list<int32>`."""
    definition: str
    """What a value is, in one clause, with its unit and source."""
    added: bool = False
    """Whether shards from before it was recorded lack it."""


EVALUATION = {
    # one row per (step, split, problem)
    "step": Column("int32", "optimiser updates made before the evaluation"),
    "split": Column("string", "evaluation or validation"),
    "problem": Column("int32", "position in the split, from 0"),
    "samples": Column("int32", "sampled answers"),
    "correct": Column("int32", "sampled answers that were correct"),
    "greedy_correct": Column("bool", "whether the most likely answer was correct"),
}

STEPS = {
    # one row per optimiser update
    "step": Column("int32", "number of the update, from 1"),
    "loss": Column("double", "loss of the update, as the trainer logs it"),
    "learning_rate": Column("double", "learning rate of the update"),
    "grad_norm": Column("double", "norm of the gradient before clipping; null where the trainer does not log it"),
    "reward": Column("double", "mean reward over the update's completions, 0 to 1; null under SFT"),
    "reward_std": Column("double", "mean over groups of the standard deviation of rewards within a group"),
    "frac_reward_zero_std": Column("double", "share of groups without spread of reward, hence without gradient"),
    "entropy": Column("double", "mean entropy of the policy's next token, nats"),
    "completion_length": Column("double", "mean length of the completions, tokens"),
    "clipped_ratio": Column("double", "share of completions cut at the length limit"),
}

SPECTRUM = {
    # one row per (step, target, module); sigma_1 >= sigma_2 >= ... are the singular values, all of them or the leading
    "step": Column("int32", "optimiser updates made before; 0 for the weights of a base"),
    "target": Column(
        "string",
        "what the matrix is: update (dW of the weights so far), null (a random update of the same form and "
        "Frobenius norm; its source says which, and there is none of a rounded difference) or weights (a frozen "
        "weight W0)",
    ),
    "module": Column("string", "path of the layer in the model"),
    "layer": Column("int32", "number of the decoder layer, from 0; -1 outside any"),
    "kind": Column("string", "last name of the module: q_proj, up_proj, embed_tokens, ..."),
    "rows": Column("int32", "outputs of the layer"),
    "columns": Column("int32", "inputs of the layer"),
    "source": Column(
        "string",
        "what it was read from: factors, operator, fp32_difference, low_precision_difference (tuned minus base, one "
        "of them rounded, or an update from a rounded start: rounding reads as rank) or weights; of a null, what it "
        "was drawn as: gaussian_factors (of the rank in use), gaussian_change (all that trains, moved from its start "
        "by noise), rescaled_factors (DoRA), "
        "gaussian_matrix or rounded_factors. Of a null drawn before this was recorded, that of its update",
    ),
    "dtype": Column("string", "precision in which what it was read from is held, whatever type it is stored in"),
    "kernel": Column("string", "how the singular values were computed"),
    "bound": Column(
        "double",
        "bound on the relative error of every singular value above the floor, and on that relative to the floor below "
        "it, what it was read from being off by its rounding",
    ),
    "floor": Column(
        "double",
        "share of sigma_1 below which singular values are not resolved; 0 where all are, 1 where rounding may be as "
        "large as the values, and bound is the share of sigma_1 that they may be off by",
    ),
    "complete": Column("bool", "whether every singular value is here that is not zero by construction"),
    "frobenius": Column("double", "||W||_F, the square root of sum sigma^2"),
    "effective_rank": Column("double", "exp(entropy of p), p = sigma / sum sigma (Roy and Vetterli 2007, EUSIPCO)"),
    "effective_rank_energy": Column("double", "exp(entropy of p), p = sigma^2 / sum sigma^2"),
    "stable_rank": Column("double", "||W||_F^2 / ||W||_2^2"),
    "participation_ratio": Column("double", "(sum sigma^2)^2 / sum sigma^4"),
    "top_energy": Column("list<double>", "share of sum sigma^2 in the first 1, 2, 4, 8 and 16 directions"),
    "alpha": Column(
        "double",
        "exponent of the power law fitted to the tail of sigma^2 by maximum likelihood (Clauset, Shalizi and Newman "
        "2009, SIAM Review 51:661); full-rank matrices only",
    ),
    "alpha_ks": Column("double", "Kolmogorov-Smirnov distance of that fit"),
    "alpha_xmin": Column("double", "where the fitted tail of sigma^2 begins: the start with the least distance"),
    "overlap": Column(
        "double",
        "share of the leading left singular directions of the update inside the span of the base's leading 16: "
        "||U0^T U||_F^2 / directions, 0 to 1",
    ),
    "overlap_chance": Column(
        "double", "the overlap expected of random directions: leading directions of the base / rows, 0 to 1"
    ),
    "intruders": Column(
        "int32",
        "of the first 10 left singular directions of W0 + dW, those whose absolute cosine with every one of W0 is "
        "below 0.5 (Shuttleworth et al. 2024, arXiv 2410.21228)",
    ),
    "intruders_unsettled": Column(
        "int32", "of those 10 directions, the ones that a truncated basis of W0 leaves open; 0 with a whole one"
    ),
    "intruder_sweep": Column(
        "list<int32>", "the number of intruders at thresholds 0.3, 0.5 and 0.7 in place of 0.5", added=True
    ),
    "intruders_borderline": Column(
        "list<int32>",
        "of those 10 directions, those whose largest absolute cosine is within 1e-4 of 0.3, 0.5 and 0.7, so that "
        "rounding may count them or not",
        added=True,
    ),
    "relative_norm": Column("double", "||dW||_F / ||W0||_F"),
    "singular_values": Column("list<double>", "descending; of an update as it is added to the weight"),
}

KINDS: dict[str, dict[str, Column]] = {"evaluation": EVALUATION, "steps": STEPS, "spectrum": SPECTRUM}


LOGGED = {
    # one row per number of a trainer's log, by the trainer's own name for it
    "step": Column("int32", "optimiser updates made before the number was logged"),
    "name": Column("string", "the trainer's name: rewards/mean, completions/mean_length, eval_loss, ..."),
    "value": Column("double", "as logged; null where it was NaN or infinite"),
}
"""Of adopted runs only: our own keep what `STEPS` has, and a tracker shows the rest."""


def write_shard(folder: Path, kind: str, rows: Sequence[Mapping[str, Any]]) -> None:
    """Write `rows` as `folder/<kind>.parquet`; a column that a row leaves out is null, an unknown one raises."""
    write_rows(folder / f"{kind}.parquet", KINDS[kind], rows)


def write_rows(file: Path, columns: Mapping[str, Column], rows: Sequence[Mapping[str, Any]]) -> None:
    """Write `rows` as a Parquet file of these columns, as `write_shard` does."""
    if unknown := {name for row in rows for name in row} - columns.keys():
        raise ValueError(f"{file.stem} shard: unknown columns {sorted(unknown)}")
    # Imported by name: 0.2 s that only workers need, of a library without type information.
    pa: Any = import_module("pyarrow")
    types = {"list<double>": pa.list_(pa.float64()), "double": pa.float64(), "string": pa.string(), "bool": pa.bool_()}
    types |= {"int32": pa.int32(), "list<int32>": pa.list_(pa.int32())}
    fields = [
        pa.field(name, types[column.type], metadata={"definition": column.definition})
        for name, column in columns.items()
    ]
    table = pa.Table.from_pylist([dict(row) for row in rows], pa.schema(fields))
    import_module("pyarrow.parquet").write_table(table, file)
