"""Why a run that has a result has no value of a measure, as far as the records tell."""

from collections.abc import Sequence

from harness.record.layout import Store
from harness.spec.measure import split
from harness.store.index import query

NO_VALUE = "no value"
"""The reason where nothing more is known."""
ROUNDED = "update read from low-precision weights"
UNMOVED = "no matrix was updated: every dW is exactly zero"
UNLIKE = "no null of the update's form"

SPECTRA = """
SELECT run.run_id, coalesce($2, updates) AS at, count(read.step) AS matrices,
       bool_or(source = 'low_precision_difference') AS rounded, bool_and(coalesce(frobenius = 0, false)) AS unmoved
FROM run LEFT JOIN (SELECT * FROM spectrum WHERE target = 'update') AS read
     ON read.run_id = run.run_id AND read.step = coalesce($2, updates)
WHERE list_contains($1, run.run_id)
GROUP BY ALL
ORDER BY run.run_id
"""
"""One row per run: how many matrices its spectrum has at the step, whether any was read from rounded weights, and
whether none was updated."""

NULLS = """
SELECT DISTINCT own.run_id
FROM spectrum AS own JOIN run USING (run_id)
     LEFT JOIN (SELECT * FROM spectrum WHERE target = 'null') AS other USING (run_id, step, module)
WHERE list_contains($1, own.run_id) AND own.target = 'update' AND own.step = coalesce($2, updates)
      AND own.frobenius IS DISTINCT FROM 0
      AND (other.source IS NULL OR other.source = own.source AND method NOT IN ('lora', 'dora', 'quanta', 'full'))
"""
"""One row per run with an update that has no null, or one from before nulls said, and then were, what they are."""


def silences(store: Store, measure: str, run_ids: Sequence[str]) -> dict[str, str]:
    """Return why each of `run_ids`, runs without a value of `measure` (NAME or NAME@STEP), has none.

    What is known is known of measures whose statement reads the table of spectra; of others no reason is told.
    """
    name, step = split(measure)
    found = dict.fromkeys(run_ids, NO_VALUE)
    reads = r"SELECT sql FROM duckdb_views() WHERE view_name = ? AND regexp_matches(sql, '\bspectrum\b')"
    if read := query(store, reads, [name])[1]:
        if "'null'" in read[0][0]:
            found |= {run_id: UNLIKE for (run_id,) in query(store, NULLS, [list(run_ids), step])[1]}
        for run_id, at, matrices, rounded, unmoved in query(store, SPECTRA, [list(run_ids), step])[1]:
            if not matrices:
                found[run_id] = f"no spectrum at step {at}"
            elif rounded:
                found[run_id] = ROUNDED
            elif unmoved:
                found[run_id] = UNMOVED
    return found
