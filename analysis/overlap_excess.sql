-- one row per (run, last step); mean over adapted matrices of dW's overlap with W0's leading directions - chance
SELECT run_id, step, avg(overlap - overlap_chance) AS value
FROM spectrum
WHERE target = 'update'
GROUP BY run_id, step
HAVING count(overlap - overlap_chance) FILTER (source <> 'low_precision_difference') = count(*)
