-- one row per (run, step with spectra); mean over adapted matrices of ||dW||_F^2 / ||dW||_2^2 (>= 1)
SELECT run_id, step, avg(stable_rank) AS value
FROM spectrum
WHERE target = 'update'
GROUP BY run_id, step
HAVING count(stable_rank) FILTER (source <> 'low_precision_difference') = count(*)
