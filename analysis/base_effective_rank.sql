-- one row per base; mean over its matrices but embeddings and head of exp(entropy of sigma / sum sigma) (>= 1)
SELECT base_id, avg(effective_rank) AS value
FROM spectrum JOIN base ON run_id = base_id
WHERE target = 'weights' AND kind NOT LIKE '%embed%' AND kind NOT IN ('wte', 'wpe', 'lm_head', 'score')
GROUP BY base_id
