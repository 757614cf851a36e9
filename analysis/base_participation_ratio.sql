-- one row per base; mean over its matrices but embeddings and head of (sum sigma^2)^2 / sum sigma^4 (>= 1)
SELECT base_id, avg(participation_ratio) AS value
FROM spectrum JOIN base ON run_id = base_id
WHERE target = 'weights' AND kind NOT LIKE '%embed%' AND kind NOT IN ('wte', 'wpe', 'lm_head', 'score')
GROUP BY base_id
