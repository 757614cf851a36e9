-- one row per (run, step with spectra); mean over updated matrices of exp(entropy of sigma^2 / their sum) of dW (>= 1)
SELECT run_id, step, avg(effective_rank_energy) AS value, count(*) AS n_matrices
FROM spectrum
WHERE target = 'update' AND (frobenius IS DISTINCT FROM 0 OR source = 'low_precision_difference')
GROUP BY run_id, step
HAVING count(effective_rank_energy) FILTER (source <> 'low_precision_difference') = count(*)
