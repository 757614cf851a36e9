/*
title: Predictions
caption: >-
  Predictions of $hypothesis on $base (protocol $protocol): estimates with the one-sided limits that decide
  them, at the level of each prediction, shared over its looks and, of a cliff, over its steps. The unit of analysis is
  the run, of an association the base or the family.
each: verdict
order: 10
key: [id, position]
group: [id, needs, outcome]
columns:
  id: {head: Prediction, written: code, width: 0.2}
  name: {head: Estimand, width: 0.26}
  estimate: {head: "Estimate [limits]", written: estimate, of: [value, low, high, unit]}
  unit: {head: Unit, written: unit}
  n_runs: {head: n, written: count}
  needs: {head: Needs, width: 0.16}
  outcome: {head: Outcome}
notes:
  - Accuracy differences are in points. A prediction is supported or refuted where its interval lies in the region that was declared before the data.
*/
SELECT
    p.id, coalesce(e.position, 0) AS position, e.name, e.value, e.low, e.high, e.unit, e.n_runs, p.needs, p.outcome
FROM prediction AS p
LEFT JOIN estimate AS e ON e.verdict_id = p.verdict_id AND e.prediction = p.id
WHERE p.verdict_id = $verdict
ORDER BY p.position, e.position
