-- one row per (run, step with spectra); geometric mean over updated matrices of stable rank / that of a random dW
SELECT run_id, step, exp(avg(ln(u.stable_rank / n.stable_rank))) AS value, count(*) AS n_matrices
FROM (SELECT * FROM spectrum WHERE target = 'update') AS u
LEFT JOIN (SELECT * FROM spectrum WHERE target = 'null') AS n USING (run_id, step, module)
WHERE u.frobenius IS DISTINCT FROM 0 OR u.source = 'low_precision_difference'
GROUP BY run_id, step
HAVING count(u.stable_rank / n.stable_rank) FILTER (u.source <> 'low_precision_difference') = count(*)
