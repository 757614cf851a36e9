-- one row per (run, last step); mean over updated matrices of intruders in W0 + dW's first directions - W0 + null's
-- A null says as what it was drawn. Before that was recorded it bore its update's source, and was of the update's form
-- for these methods only.
SELECT run_id, step, avg(u.intruders - n.intruders) AS value, count(*) AS n_matrices
FROM (SELECT * FROM spectrum WHERE target = 'update') AS u
LEFT JOIN (SELECT * FROM spectrum WHERE target = 'null') AS n USING (run_id, step, module)
LEFT JOIN (SELECT run_id, method FROM run) AS r USING (run_id)
WHERE u.frobenius IS DISTINCT FROM 0 OR u.source = 'low_precision_difference'
GROUP BY run_id, step
HAVING count(u.intruders - n.intruders) FILTER (
    u.intruders_unsettled = 0
    AND n.intruders_unsettled = 0
    AND u.source <> 'low_precision_difference'
    AND (n.source <> u.source OR r.method IN ('lora', 'dora', 'quanta', 'full'))
) = count(*)
