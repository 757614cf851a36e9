/*
title: Effect sizes and p values
caption: >-
  Standardised effects and p values of the predictions of $hypothesis on $base (protocol $protocol). A p value is the
  smallest one-sided level at which the runs support (p sup.) or refute (p ref.) the prediction, to be held against its level and refuting level (ref. level), none up to one half
  where empty; p att. is the smallest that the planned units could give.
each: verdict
order: 11
key: [id]
columns:
  id: {head: Prediction, written: code, width: 0.22}
  role: {head: Role}
  effects: {head: Standardised effect, width: 0.22}
  alpha: {head: Level, written: number}
  refute_alpha: {head: ref. level, written: number}
  p_support: {head: p sup., written: p}
  p_refute: {head: p ref., written: p}
  attainable_p: {head: p att., written: p}
  q: {head: q, written: p}
  looks: {head: Look}
  reason: {head: Reason, width: 0.24}
notes:
  - Look k/K (n) is the look of K at which it was decided, at n runs a cell. q is p after Benjamini and Hochberg over exploratory predictions.
*/
SELECT
    p.id, p.role, p.alpha, p.refute_alpha,
    (SELECT string_agg(format('{} {:.2g}', f.name, f.value), '; ' ORDER BY f.position)
     FROM effect AS f WHERE f.verdict_id = p.verdict_id AND f.prediction = p.id) AS effects,
    p.p_support, p.p_refute, p.attainable_p, p.q,
    format('{}/{} ({})', p.look, len(p.looks), p.looks[p.look]) AS looks,
    concat_ws(': ', p.reason, p.how) AS reason
FROM prediction AS p
WHERE p.verdict_id = $verdict
ORDER BY p.position
