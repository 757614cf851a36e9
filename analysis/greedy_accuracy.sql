-- one row per run; share of evaluation problems whose most likely answer is correct after the last update, 0 to 1
SELECT run_id, avg(greedy_correct::INTEGER) AS value, count(*) AS n_items
FROM evaluation JOIN run USING (run_id)
WHERE split = 'evaluation' AND step = updates
GROUP BY run_id
