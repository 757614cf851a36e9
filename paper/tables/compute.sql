/*
title: Compute
caption: >-
  What bases and runs took, over every attempt that said its own; of an attempt that was killed nothing is known. Wall
  minutes are summed over runs, several of which may have been at work at once.
order: 60
key: [kind, what]
group: [kind]
columns:
  kind: {head: Kind}
  what: {head: "Base, algorithm and method"}
  jobs: {head: Jobs, written: count}
  attempts: {head: Attempts, written: count}
  lost: {head: Without result, written: count}
  cpu: {head: CPU minutes, written: minutes}
  wall: {head: Wall minutes, written: minutes}
  memory: {head: Peak GiB, written: number}
  device: {head: Device}
*/
SELECT
    if(GROUPING(what) = 1, 'all', any_value(kind)) AS kind, coalesce(what, '') AS what,
    count(DISTINCT run_id) AS jobs, count(*) AS attempts, count(*) FILTER (ended <> 'ok') AS lost,
    sum(cpu_seconds) AS cpu, sum(wall_seconds) AS wall, max(peak_bytes) / 2**30 AS memory,
    string_agg(DISTINCT device, ', ' ORDER BY device) AS device
FROM (
    SELECT
        a.*, if(a.kind = 'base', coalesce(b.architecture, 'not made'),
            coalesce(nullif(concat_ws(' ', o.architecture, upper(r.algorithm), r.method), ''), 'no result')) AS what
    FROM attempt AS a
    LEFT JOIN base AS b ON b.base_id = a.run_id
    LEFT JOIN run AS r ON r.run_id = a.run_id
    LEFT JOIN base AS o ON o.base_id = r.base_id
)
GROUP BY GROUPING SETS ((kind, what), ())
HAVING count(*) > 0
ORDER BY GROUPING(what), kind, what
