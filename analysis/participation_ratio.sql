-- one row per (run, step with spectra); mean over updated matrices of (sum sigma^2)^2 / sum sigma^4 of dW (>= 1)
SELECT run_id, step, avg(participation_ratio) AS value, count(*) AS n_matrices
FROM spectrum
WHERE target = 'update' AND (frobenius IS DISTINCT FROM 0 OR source = 'low_precision_difference')
GROUP BY run_id, step
HAVING count(participation_ratio) FILTER (source <> 'low_precision_difference') = count(*)
