-- one row per run; Frobenius norm of the whole update of the frozen weights after the first optimiser step
SELECT run_id, first_update_norm AS value
FROM run
WHERE first_update_norm IS NOT NULL
