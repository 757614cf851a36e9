-- one row per (run, problem); share of answers correct after the last update, of problems that the base answers correctly in at most a quarter of its samples, 0 to 1
SELECT later.run_id, later.problem, later.correct / later.samples AS value
FROM evaluation AS later
JOIN run ON run.run_id = later.run_id
JOIN evaluation AS before ON before.run_id = run.base_id AND before.problem = later.problem AND before.split = later.split
WHERE later.split = 'evaluation' AND later.step = run.updates AND before.correct <= 0.25 * before.samples
