-- one row per GRPO run; share of groups without reward spread, hence without gradient, in its last ten updates, 0 to 1
SELECT run_id, avg(frac_reward_zero_std) AS value
FROM step JOIN run USING (run_id)
WHERE frac_reward_zero_std IS NOT NULL AND step > updates - 10
GROUP BY run_id
