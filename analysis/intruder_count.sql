-- one row per (run, last step); mean over adapted matrices of intruders in W0 + dW's first 10 directions (0 to ten)
SELECT run_id, step, avg(intruders) AS value
FROM spectrum
WHERE target = 'update'
GROUP BY run_id, step
HAVING count(CASE WHEN intruders_unsettled = 0 THEN intruders END) FILTER (source <> 'low_precision_difference') = count(*)
