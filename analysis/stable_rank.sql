-- one row per (run, step with spectra); mean over updated matrices of ||dW||_F^2 / ||dW||_2^2 (>= 1)
SELECT run_id, step, avg(stable_rank) AS value, count(*) AS n_matrices
FROM spectrum
WHERE target = 'update' AND (frobenius IS DISTINCT FROM 0 OR source = 'low_precision_difference')
GROUP BY run_id, step
HAVING count(stable_rank) FILTER (source <> 'low_precision_difference') = count(*)
