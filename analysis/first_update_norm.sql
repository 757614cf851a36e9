-- one row per run; Frobenius norm of the update of all weights of the base after the first optimiser step
SELECT run_id, first_update_norm AS value
FROM run
WHERE first_update_norm IS NOT NULL
