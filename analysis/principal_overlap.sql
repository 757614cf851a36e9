-- one row per (run, last step); mean over adapted matrices of the share of dW's leading directions in W0's, 0 to 1
SELECT run_id, step, avg(overlap) AS value
FROM spectrum
WHERE target = 'update'
GROUP BY run_id, step
HAVING count(overlap) FILTER (source <> 'low_precision_difference') = count(*)
