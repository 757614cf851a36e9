/*
title: Runs that do not count
caption: >-
  Planned runs without a result that counts, by reason: executed without a result, invalid whatever they scored, or
  excluded by hand. Runs that were not executed, such as those that a settled look spared, are not listed.
order: 41
key: [hypothesis, base, protocol, explored, cell, reason]
group: [hypothesis, base]
columns:
  hypothesis: {head: Hypothesis, written: code}
  base: {head: Base}
  cell: {head: Cell, written: code, width: 0.26}
  reason: {head: Reason, width: 0.3}
  runs: {head: Runs, written: count}
*/
SELECT v.hypothesis, v.base, v.protocol, v.explored, m.cell, m.reason, count(*) AS runs
FROM missing AS m JOIN verdict AS v USING (verdict_id)
WHERE list_contains($verdicts, verdict_id) AND m.reason NOT IN ('not executed', 'not in the table')
GROUP BY ALL
ORDER BY v.protocol, v.hypothesis, v.base, v.explored, m.cell, m.reason
