-- one row per (run, problem); share of the problem's sampled answers that are correct after the last update, 0 to 1
SELECT run_id, problem, correct / samples AS value
FROM evaluation JOIN run USING (run_id)
WHERE split = 'evaluation' AND step = updates
