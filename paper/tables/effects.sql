/*
title: Effect sizes and p values
caption: >-
  Standardised effects and p values of the predictions of $hypothesis on $base (protocol $protocol). A p value is the
  smallest one-sided level at which the runs support (or refute) the prediction, none up to one half where empty.
each: verdict
order: 11
key: [id]
columns:
  id: {head: Prediction, written: code, width: 0.22}
  effects: {head: Standardised effect, width: 0.22}
  p_support: {head: p (support), written: p}
  p_refute: {head: p (refute), written: p}
  attainable_p: {head: Attainable p, written: p}
  q: {head: q, written: p}
  looks: {head: Look}
  reason: {head: Reason, width: 0.24}
notes:
  - Look k/K (n) is the look of K at which it was decided, at n runs a cell. q is p after Benjamini and Hochberg over exploratory predictions.
*/
SELECT
    p.id,
    (SELECT string_agg(format('{} {:.2g}', f.name, f.value), '; ' ORDER BY f.position)
     FROM effect AS f WHERE f.verdict_id = p.verdict_id AND f.prediction = p.id) AS effects,
    p.p_support, p.p_refute, p.attainable_p, p.q,
    format('{}/{} ({})', p.look, len(p.looks), p.looks[p.look]) AS looks,
    concat_ws(': ', p.reason, p.how) AS reason
FROM prediction AS p
WHERE p.verdict_id = $verdict
ORDER BY p.position
