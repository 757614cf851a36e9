/*
title: Spectra
caption: >-
  Singular-value spectra of the updates of $hypothesis on $base (protocol $protocol) after the last update, by cell and
  by what became of the runs: mean and standard deviation over n runs of each run's mean over its adapted matrices. The
  unit of analysis is the run.
each: verdict
order: 30
key: [base, cell, label]
group: [cell]
columns:
  cell: {head: Cell, written: code, width: 0.24}
  label: {head: Runs}
  n: {head: n, written: count}
  norm: {head: Norm, written: spread, of: [norm, norm_sd]}
  stable: {head: Stable rank, written: spread, of: [stable, stable_sd]}
  effective: {head: Effective rank, written: spread, of: [effective, effective_sd]}
  participation: {head: Particip. ratio, written: spread, of: [participation, participation_sd]}
  top: {head: Top energy, written: spread, of: [top, top_sd]}
notes:
  - Norm is the Frobenius norm of the whole update; top energy is the share of its square in the leading direction of a matrix.
  - A run without a value of a measure, such as one whose update was read from rounded weights, is left out of that column.
*/
WITH last AS (
    SELECT j.base, j.cell, j.label, min(j.position) OVER (PARTITION BY j.base, j.cell) AS place, r.run_id, r.updates
    FROM judged AS j JOIN run AS r USING (run_id)
    WHERE j.verdict_id = $verdict
)
SELECT
    last.base, if(count(DISTINCT last.base) OVER () > 1, concat_ws(' ', last.base, last.cell), last.cell) AS cell,
    last.label, count(*) AS n, avg(u.value) AS norm, stddev_samp(u.value) AS norm_sd,
    avg(s.value) AS stable, stddev_samp(s.value) AS stable_sd, avg(e.value) AS effective,
    stddev_samp(e.value) AS effective_sd, avg(p.value) AS participation, stddev_samp(p.value) AS participation_sd,
    avg(t.value) AS top, stddev_samp(t.value) AS top_sd
FROM last
LEFT JOIN update_norm AS u ON u.run_id = last.run_id AND u.step = last.updates
LEFT JOIN stable_rank AS s ON s.run_id = last.run_id AND s.step = last.updates
LEFT JOIN effective_rank AS e ON e.run_id = last.run_id AND e.step = last.updates
LEFT JOIN participation_ratio AS p ON p.run_id = last.run_id AND p.step = last.updates
LEFT JOIN top1_energy AS t ON t.run_id = last.run_id AND t.step = last.updates
GROUP BY last.base, last.cell, last.label
HAVING count(coalesce(u.value, s.value, e.value)) > 0
ORDER BY min(place), last.label
