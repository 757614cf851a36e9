-- one row per (run, step with spectra); mean over adapted matrices of exp(entropy of sigma / sum sigma) of dW (>= 1)
SELECT run_id, step, avg(effective_rank) AS value
FROM spectrum
WHERE target = 'update'
GROUP BY run_id, step
HAVING count(effective_rank) FILTER (source <> 'low_precision_difference') = count(*)
