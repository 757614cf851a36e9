/*
title: Deviations and notes
caption: >-
  What speaks against a verdict, and what a reader should know. A deviation costs the label confirmatory.
order: 40
key: [hypothesis, base, protocol, explored, kind, position]
group: [hypothesis, base, kind]
columns:
  hypothesis: {head: Hypothesis, written: code}
  base: {head: Base}
  kind: {head: Kind}
  said: {head: What, width: 0.56}
*/
SELECT hypothesis, base, protocol, explored, kind, position, said
FROM (
    SELECT *, unnest(entries) AS said, generate_subscripts(entries, 1) AS position
    FROM (
        SELECT *, from_json(verdict -> '$.registered' -> field, '["VARCHAR"]') AS entries
        FROM verdict, (VALUES ('deviation', 'deviations'), ('note', 'notes')) AS k (kind, field)
        WHERE list_contains($verdicts, verdict_id)
    )
)
ORDER BY protocol, hypothesis, base, explored, kind, position
