/*
title: Cells
caption: >-
  Cells of $hypothesis on $base (protocol $protocol): mean accuracy over n runs with its 95 % t interval, whose variance
  between runs is at least what sampling of problems gives, and what became of the runs, with exact (Clopper-Pearson)
  95 % limits of the share that collapsed. The unit of analysis is the run.
each: verdict
order: 20
key: [name]
columns:
  name: {head: Cell, written: code, width: 0.26}
  n_runs: {head: n, written: count}
  planned: {head: planned, written: count}
  accuracy: {head: "Accuracy [95 %]", written: mean, of: [mean, sd, n_runs, n_items, mixed]}
  sd: {head: SD, written: accuracy}
  events: {head: "Collapsed [95 %]", written: events, of: [collapsed, n_runs]}
  degraded: {head: degraded, written: count}
  no_gain: {head: no gain, written: count}
  trained: {head: trained, written: count}
notes:
  - No interval is given for the mean of a cell that has both collapsed and other runs.
*/
SELECT
    c.name, c.n_runs, c.planned, c.mean, c.sd, v.n_items,
    c.labels.collapsed > 0 AND c.labels.collapsed < c.n_runs AS mixed,
    coalesce(c.labels.collapsed, 0) AS collapsed, coalesce(c.labels.degraded, 0) AS degraded,
    coalesce(c.labels."no gain", 0) AS no_gain, coalesce(c.labels.trained, 0) AS trained
FROM cell AS c JOIN verdict AS v USING (verdict_id)
WHERE verdict_id = $verdict
ORDER BY c.position
