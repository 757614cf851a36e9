/*
title: Verdicts
caption: >-
  Verdicts. Confirmatory: declared and registered before the first run that it governs. Runs: those that a verdict
  rests on, of those planned for all looks.
order: 1
key: [hypothesis, base, protocol, explored]
columns:
  hypothesis: {head: Hypothesis, written: code}
  outcome: {head: Verdict}
  base: {head: Base}
  protocol: {head: Protocol}
  label: {head: Label}
  primary: {head: Primary predictions, width: 0.26}
  runs: {head: Runs}
*/
SELECT
    v.hypothesis, v.base, v.protocol, v.outcome, if(v.confirmatory, 'confirmatory', 'exploratory') AS label,
    v.explored,
    (SELECT string_agg(format('{} {}', n, outcome), ', ' ORDER BY outcome) FROM (
        SELECT p.outcome, count(*) AS n FROM prediction AS p
        WHERE p.verdict_id = v.verdict_id AND p.role = 'primary' GROUP BY p.outcome
    )) AS "primary",
    format('{} of {}', v.used_runs, v.planned_runs) AS runs
FROM verdict AS v
WHERE list_contains($verdicts, v.verdict_id)
ORDER BY v.protocol, v.hypothesis, v.base, v.explored
