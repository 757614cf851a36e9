-- one row per run; mean over adapted matrices of ||dW||_F^2 / ||dW||_2^2 of the final update (a pure number, >= 1)
SELECT run_id, avg(stable_rank) AS value
FROM spectrum JOIN run USING (run_id)
WHERE step = updates
GROUP BY run_id
HAVING count(stable_rank) = count(*)
