-- one row per GRPO run; mean reward of the completions of its last ten updates, 0 to 1
SELECT run_id, avg(reward) AS value
FROM step JOIN run USING (run_id)
WHERE reward IS NOT NULL AND step > updates - 10
GROUP BY run_id
