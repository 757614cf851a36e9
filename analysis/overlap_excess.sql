-- one row per (run, last step); mean over updated matrices of dW's overlap with W0's leading directions - chance
SELECT run_id, step, avg(overlap - overlap_chance) AS value, count(*) AS n_matrices
FROM spectrum
WHERE target = 'update' AND (frobenius IS DISTINCT FROM 0 OR source = 'low_precision_difference')
GROUP BY run_id, step
HAVING count(overlap - overlap_chance) FILTER (source <> 'low_precision_difference') = count(*)
