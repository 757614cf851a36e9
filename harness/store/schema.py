"""The tables of the index. Grain and units stand with each; everything is derived from committed results."""

TABLES = """
-- one row per base that was made
CREATE TABLE base (
    base_id VARCHAR PRIMARY KEY, architecture VARCHAR, hidden_size INTEGER, layers INTEGER, updates INTEGER,
    accuracy DOUBLE, validation_accuracy DOUBLE, parameters BIGINT, weights_sha256 VARCHAR
);
-- one row per committed run; accuracies 0 to 1, norms are Frobenius norms of the whole update
CREATE TABLE run (
    run_id VARCHAR PRIMARY KEY, base_id VARCHAR, algorithm VARCHAR, method VARCHAR, rank INTEGER, scaling VARCHAR,
    multiplier DOUBLE, learning_rate DOUBLE, learning_rate_scale DOUBLE, seed BIGINT, updates INTEGER,
    first_update_norm DOUBLE, final_update_norm DOUBLE, trainable_parameters BIGINT,
    base_weights_unchanged BOOLEAN, first_rollouts_sha256 VARCHAR, identity JSON, software JSON,
    adapter_sha256 VARCHAR -- of the final adapter's safetensors file; null where none was kept
);
-- one row per (run or base, step, split, problem): counts over sampled answers
CREATE TABLE evaluation (
    run_id VARCHAR, step INTEGER, split VARCHAR, problem INTEGER, samples INTEGER, correct INTEGER,
    greedy_correct BOOLEAN
);
-- one row per (run or base, optimiser update), counted from 1; entropy in nats per token, lengths in tokens
CREATE TABLE step (
    run_id VARCHAR, step INTEGER, loss DOUBLE, learning_rate DOUBLE, grad_norm DOUBLE, reward DOUBLE,
    reward_std DOUBLE, frac_reward_zero_std DOUBLE, entropy DOUBLE, completion_length DOUBLE, clipped_ratio DOUBLE
);
-- one row per (run, step, adapted matrix): the singular values of the update and what follows from them
CREATE TABLE spectrum (
    run_id VARCHAR, step INTEGER, module VARCHAR, layer INTEGER, rows INTEGER, columns INTEGER, frobenius DOUBLE,
    effective_rank DOUBLE, stable_rank DOUBLE, top1_energy DOUBLE, singular_values DOUBLE[]
);
-- one row per file that the tables above rest on: `result` is result.json, `adapter_model` the adapter, by its checksum
CREATE TABLE ingested (run_id VARCHAR, kind VARCHAR, sha256 VARCHAR, n_rows BIGINT, PRIMARY KEY (run_id, kind));
-- one row per verdict file
CREATE TABLE verdict (
    hypothesis VARCHAR, base VARCHAR, protocol VARCHAR, inputs VARCHAR, outcome VARCHAR, verdict JSON
);
"""
