-- one row per (run, step with spectra); Frobenius norm of the whole update of the adapted matrices
SELECT run_id, step, sqrt(sum(frobenius ** 2)) AS value
FROM spectrum
WHERE target = 'update'
GROUP BY run_id, step
HAVING count(frobenius) FILTER (source <> 'low_precision_difference') = count(*)
