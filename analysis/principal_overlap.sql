-- one row per (run, last step); mean over updated matrices of the share of dW's leading directions in W0's, 0 to 1
SELECT run_id, step, avg(overlap) AS value, count(*) AS n_matrices
FROM spectrum
WHERE target = 'update' AND (frobenius IS DISTINCT FROM 0 OR source = 'low_precision_difference')
GROUP BY run_id, step
HAVING count(overlap) FILTER (source <> 'low_precision_difference') = count(*)
