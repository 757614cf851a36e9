-- one row per (run, step with spectra); mean over updated matrices of dW's effective rank / its singular values, 0 to 1
SELECT run_id, step, avg(effective_rank / len(singular_values)) AS value, count(*) AS n_matrices
FROM spectrum
WHERE target = 'update' AND (frobenius IS DISTINCT FROM 0 OR source = 'low_precision_difference')
GROUP BY run_id, step
HAVING count(effective_rank / len(singular_values)) FILTER (source <> 'low_precision_difference') = count(*)
