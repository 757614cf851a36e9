-- one row per base; share of sampled answers that are correct on the evaluation split before any fine-tuning, 0 to 1
SELECT base_id, sum(correct) / sum(samples) AS value, count(*) AS n_items
FROM evaluation JOIN base ON run_id = base_id
WHERE split = 'evaluation'
GROUP BY base_id
