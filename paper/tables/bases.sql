/*
title: Bases
caption: >-
  Bases that the runs start from, with their accuracy on the evaluation split before any fine-tuning.
order: 50
key: [base_id]
columns:
  base_id: {head: Base, written: code}
  architecture: {head: Architecture}
  hidden_size: {head: Width, written: count}
  layers: {head: Layers, written: count}
  parameters: {head: Parameters, written: count}
  updates: {head: Updates, written: count}
  accuracy: {head: Accuracy, written: accuracy}
  runs: {head: Runs, written: count}
*/
SELECT
    base_id, architecture, hidden_size, layers, parameters, updates, accuracy,
    (SELECT count(*) FROM run WHERE run.base_id = base.base_id) AS runs
FROM base
ORDER BY base_id
