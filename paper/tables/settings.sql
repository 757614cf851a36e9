/*
title: Run settings
caption: >-
  Every argument of the trainers, as the runs had it: declared by the protocol or the cell, set by the harness, or left
  at the library's default.
order: 51
key: [argument, trainer, origin]
group: [trainer, origin]
columns:
  trainer: {head: Trainer}
  origin: {head: Origin}
  argument: {head: Argument, written: code, width: 0.32}
  value: {head: Value, written: code, width: 0.36}
  runs: {head: Runs, written: count}
notes:
  - Where runs differ, all values are listed, or how many there are beyond six.
*/
WITH given AS (
    SELECT
        replace(trainer ->> 'config', 'Config', '') AS trainer, o.origin, o.place, j.key AS argument,
        CASE j.value::VARCHAR WHEN 'null' THEN 'none' ELSE trim(j.value::VARCHAR, '"') END AS value
    FROM run, (
        VALUES ('declared', 'declared', 1), ('harness', 'set_by_harness', 2), ('default', 'library_defaults', 3)
    ) AS o (origin, field, place), json_each(run.trainer -> o.field) AS j
),
of_trainer AS (
    SELECT
        trainer, argument, string_agg(DISTINCT origin, ', ' ORDER BY origin) AS origin, min(place) AS place,
        count(*) AS runs, list(DISTINCT value ORDER BY try_cast(value AS DOUBLE), value) AS found
    FROM given
    GROUP BY trainer, argument
)
SELECT
    string_agg(trainer, ', ' ORDER BY trainer) AS trainer, origin, argument,
    if(len(found) <= 6, array_to_string(found, ', '), format('{} values', len(found))) AS value,
    sum(runs)::BIGINT AS runs
FROM of_trainer
GROUP BY origin, place, argument, found
ORDER BY place, trainer, origin, argument
