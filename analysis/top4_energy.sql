-- one row per (run, step with spectra); mean over adapted matrices of the share of ||dW||_F^2 in directions 1-4, 0 to 1
SELECT run_id, step, avg(top_energy[3]) AS value
FROM spectrum
WHERE target = 'update'
GROUP BY run_id, step
HAVING count(top_energy[3]) FILTER (source <> 'low_precision_difference') = count(*)
