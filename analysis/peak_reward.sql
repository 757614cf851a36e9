-- one row per GRPO run; highest mean reward over any ten consecutive updates, over all of them if fewer, 0 to 1
SELECT run_id, max(mean_reward) AS value
FROM (
    SELECT run_id, updates, avg(reward) OVER ten AS mean_reward, count(reward) OVER ten AS logged
    FROM step JOIN run USING (run_id)
    WINDOW ten AS (PARTITION BY run_id ORDER BY step RANGE BETWEEN 9 PRECEDING AND CURRENT ROW)
)
WHERE logged = least(10, updates)
GROUP BY run_id
