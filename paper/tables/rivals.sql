/*
title: Rivals
caption: >-
  Rivals of $hypothesis on $base (protocol $protocol): other hypotheses that would give the same observation, tested
  over the union of the runs.
each: verdict
order: 12
key: [hypothesis]
columns:
  explains: {head: Would explain it by, width: 0.4}
  hypothesis: {head: Rival, written: code}
  outcome: {head: Verdict}
  label: {head: Label}
  runs: {head: Runs}
*/
SELECT
    r.explains, r.hypothesis, coalesce(v.outcome, 'no verdict') AS outcome,
    if(v.confirmatory, 'confirmatory', if(v.outcome IS NULL, NULL, 'exploratory')) AS label,
    if(v.outcome IS NULL, NULL, format('{} of {}', v.used_runs, v.planned_runs)) AS runs
FROM (SELECT unnest($rivals, recursive := true)) AS r
CROSS JOIN (SELECT * FROM verdict WHERE verdict_id = $verdict) AS own
LEFT JOIN verdict AS v
    ON v.hypothesis = r.hypothesis AND v.base_id = own.base_id AND v.protocol = own.protocol AND v.explored = own.explored
ORDER BY r.position
