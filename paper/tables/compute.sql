/*
title: Compute
caption: >-
  Processor time of bases and runs, every attempt that said its own; of an attempt that was killed none is known.
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
*/
SELECT
    if(GROUPING(what) = 1, 'all', any_value(kind)) AS kind, coalesce(what, '') AS what,
    count(DISTINCT run_id) AS jobs, count(*) AS attempts, count(*) FILTER (ended IS DISTINCT FROM 'ok') AS lost,
    sum(cpu_seconds) AS cpu
FROM (
    SELECT
        a.*, if(a.kind = 'base', coalesce(b.architecture, 'not made'),
            coalesce(concat_ws(' ', o.architecture, upper(r.algorithm), r.method), 'no result')) AS what
    FROM attempt AS a
    LEFT JOIN base AS b ON b.base_id = a.run_id
    LEFT JOIN run AS r ON r.run_id = a.run_id
    LEFT JOIN base AS o ON o.base_id = r.base_id
)
GROUP BY GROUPING SETS ((kind, what), ())
HAVING count(*) > 0
ORDER BY GROUPING(what), kind, what
