-- one row per (run, step with spectra); mean over adapted matrices of ||dW||_F / ||W0||_F (a pure number)
SELECT run_id, step, avg(relative_norm) AS value
FROM spectrum
WHERE target = 'update'
GROUP BY run_id, step
HAVING count(relative_norm) FILTER (source <> 'low_precision_difference') = count(*)
