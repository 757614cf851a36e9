/*
title: Reported and measured
caption: >-
  Results that others reported on what $hypothesis is about, and the mean accuracy of the same setting here ($base,
  protocol $protocol). Reported results enter no test; models, tasks and recipes differ.
each: verdict
order: 13
key: [position]
columns:
  setting: {head: Setting, width: 0.32}
  result: {head: Reported, width: 0.2}
  source: {head: Source, width: 0.26}
  here: {head: "Here [95 %]", written: mean, of: [mean, sd, n_runs, n_items, mixed]}
  n_runs: {head: n, written: count}
*/
SELECT
    r.position, r.setting,
    coalesce(r.result, replace(format('{:.3f}', r.value), '0.', '.') || coalesce(replace(format(' (spread {:.3f})', r.spread), '0.', '.'), '')) AS result,
    r.source, c.mean, c.sd, coalesce(c.n_runs, 0) AS n_runs, v.n_items,
    coalesce(c.labels.collapsed > 0 AND c.labels.collapsed < c.n_runs, false) AS mixed
FROM (SELECT unnest($reported, recursive := true)) AS r
CROSS JOIN (SELECT * FROM verdict WHERE verdict_id = $verdict) AS v
LEFT JOIN cell AS c ON c.verdict_id = v.verdict_id AND c.name = r.cell
ORDER BY r.position
