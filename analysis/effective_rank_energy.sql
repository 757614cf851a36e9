-- one row per (run, step with spectra); mean over adapted matrices of exp(entropy of sigma^2 / their sum) of dW (>= 1)
SELECT run_id, step, avg(effective_rank_energy) AS value
FROM spectrum
WHERE target = 'update'
GROUP BY run_id, step
HAVING count(effective_rank_energy) FILTER (source <> 'low_precision_difference') = count(*)
