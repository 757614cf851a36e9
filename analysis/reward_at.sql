-- one row per (GRPO run, step); mean reward of the completions of the last five updates, of all if fewer, 0 to 1
SELECT run_id, step, value
FROM (
    SELECT run_id, step, avg(reward) OVER five AS value, count(reward) OVER five AS logged
    FROM step JOIN run USING (run_id)
    WINDOW five AS (PARTITION BY run_id ORDER BY step RANGE BETWEEN 4 PRECEDING AND CURRENT ROW)
)
WHERE logged = least(5, step)
