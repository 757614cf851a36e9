"""The tables of the index. Grain and units stand with each; everything is derived from committed results.

Tables of shards have the shards' columns, each with its definition as the column's comment.
"""

from collections.abc import Mapping

from harness.record.shards import EVALUATION, SPECTRUM, STEPS, Column

SQL_TYPES = {
    "int32": "INTEGER",
    "double": "DOUBLE",
    "string": "VARCHAR",
    "bool": "BOOLEAN",
    "list<double>": "DOUBLE[]",
    "list<int32>": "INTEGER[]",
}
"""By a shard column's type."""


def literal(text: str) -> str:
    """Return a text as SQL writes it, where no parameter may stand."""
    return "'" + text.replace("'", "''") + "'"


def shard_table(name: str, columns: Mapping[str, Column]) -> str:
    """Return the statements that make the table of a shard: the id of its run or base, then the shard's columns."""
    listed = "".join(f', "{column}" {SQL_TYPES[said.type]}' for column, said in columns.items())
    defined = [f"COMMENT ON COLUMN {name}.run_id IS 'the run, or the base, that the row is about';"]
    defined += [
        f'COMMENT ON COLUMN {name}."{column}" IS {literal(said.definition)};' for column, said in columns.items()
    ]
    return "\n".join([f"CREATE TABLE {name} (run_id VARCHAR{listed});", *defined])


TABLES = f"""
-- one row per base that was made
CREATE TABLE base (
    base_id VARCHAR PRIMARY KEY, architecture VARCHAR, hidden_size INTEGER, layers INTEGER, updates INTEGER,
    accuracy DOUBLE, validation_accuracy DOUBLE, parameters BIGINT, weights_sha256 VARCHAR
);
-- one row per committed run; accuracies 0 to 1, norms are Frobenius norms of the update of all that trains
CREATE TABLE run (
    run_id VARCHAR PRIMARY KEY, base_id VARCHAR, algorithm VARCHAR, method VARCHAR, adapter JSON,
    rank INTEGER, scaling VARCHAR, -- null where the method has none
    multiplier DOUBLE, learning_rate DOUBLE, learning_rate_scale DOUBLE, seed BIGINT, updates INTEGER,
    batch INTEGER, -- completions an update (examples under SFT)
    warmup_steps DOUBLE,
    first_update_norm DOUBLE, final_update_norm DOUBLE, trainable_parameters BIGINT,
    trainable_share DOUBLE, -- trained parameters over those of the base
    base_weights_unchanged BOOLEAN, -- null where nothing is frozen
    first_rollouts_sha256 VARCHAR, identity JSON, software JSON,
    trainer JSON, -- the arguments of TRL's trainer: declared, set_by_harness and library_defaults
    adapter_sha256 VARCHAR -- of the safetensors file of what was trained; null where none was kept
);
-- one row per (run or base, step, split, problem): counts over sampled answers
{shard_table("evaluation", EVALUATION)}
-- one row per (run or base, optimiser update)
{shard_table("step", STEPS)}
-- one row per (run or base, step, target, module): the singular values of a matrix and what follows from them
{shard_table("spectrum", SPECTRUM)}
-- one row per file that the tables above rest on: `result` is result.json, `adapter_model` and `model` are weights
CREATE TABLE ingested (run_id VARCHAR, kind VARCHAR, sha256 VARCHAR, n_rows BIGINT, PRIMARY KEY (run_id, kind));
"""
