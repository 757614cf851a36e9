-- one row per (run, step with spectra); mean over updated matrices of the share of ||dW||_F^2 in direction 1, 0 to 1
SELECT run_id, step, avg(top_energy[1]) AS value, count(*) AS n_matrices
FROM spectrum
WHERE target = 'update' AND (frobenius IS DISTINCT FROM 0 OR source = 'low_precision_difference')
GROUP BY run_id, step
HAVING count(top_energy[1]) FILTER (source <> 'low_precision_difference') = count(*)
