/*
title: Tuning
caption: >-
  Learning rates tried for the tuned arms of $hypothesis on $base (protocol $protocol), as multiples of the protocol's,
  with the mean accuracy on the validation split over n runs. No verdict uses these runs.
each: verdict
order: 21
key: [arm, learning_rate_scale]
group: [arm]
columns:
  arm: {head: Arm, written: code, width: 0.3}
  learning_rate_scale: {head: Multiple of the rate, written: number}
  runs: {head: n, written: count}
  mean: {head: Validation accuracy, written: accuracy}
  chosen: {head: Chosen}
*/
SELECT arm, tried.learning_rate_scale, tried.runs, tried.mean, if(chosen = tried.learning_rate_scale, 'chosen', '') AS chosen
FROM (
    SELECT position, arm, learning_rate_scale AS chosen, unnest(tried) AS tried FROM tuned WHERE verdict_id = $verdict
)
ORDER BY position, tried.learning_rate_scale
