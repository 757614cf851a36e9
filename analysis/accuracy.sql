-- one row per run; share of sampled answers that are correct on the evaluation split after the last update, 0 to 1
SELECT run_id, sum(correct) / sum(samples) AS value, count(*) AS n_items
FROM evaluation JOIN run USING (run_id)
WHERE split = 'evaluation' AND step = updates
GROUP BY run_id
