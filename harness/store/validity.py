"""Validity before accuracy: runs that cannot count whatever they scored, and factors that change nothing.

No check reads how a run scored on held-out problems, so leaving out what they find selects nothing by its result.
They read the step log, the spectrum, counts and hashes; of the reward, only whether it was logged. What a check needs
and a run does not have (a gradient norm that the trainer does not log, a spectrum, a formula for the parameters of
its method) leaves that check out.
"""

import json
from collections import Counter, defaultdict
from collections.abc import Sequence
from itertools import combinations

from harness.record.layout import Store
from harness.spec import Cell
from harness.store.index import query

ASKED = """
WITH asked AS (
    SELECT *, identity->>'$.cell' AS cell, list_position($1, run_id) AS position FROM run
    WHERE list_contains($1, run_id)
), logged AS (
    SELECT asked.run_id, algorithm, updates, step.step, loss, grad_norm, reward
    FROM asked LEFT JOIN step ON step.run_id = asked.run_id AND step.step BETWEEN 1 AND updates
)
"""
"""`asked`: one row per run asked for, with its place among them; `logged`: one row per update of these."""

CHECKS = (
    # the log has every update that the trainer counted
    """
    SELECT run_id, format('{} of its {} updates are in its log.', count(DISTINCT step), updates) AS reason
    FROM logged
    GROUP BY run_id, updates
    HAVING count(DISTINCT step) < updates
    """,
    # whoever learns from NaN has learnt nothing since
    """
    SELECT run_id, format('Loss or gradient norm is not a finite number at update {}.', min(step)) AS reason
    FROM logged
    WHERE NOT isfinite(loss) OR NOT isfinite(grad_norm)
    GROUP BY run_id
    """,
    # without a reward there is nothing that GRPO could have trained towards
    """
    SELECT run_id, format('{} of its {} updates have a reward in its log.', n_rewarded, updates) AS reason
    FROM (
        SELECT run_id, updates, count(DISTINCT step) FILTER (isfinite(reward)) AS n_rewarded
        FROM logged
        WHERE algorithm = 'grpo'
        GROUP BY run_id, updates
    )
    WHERE n_rewarded < updates
    """,
    # an adapter is compared on a base that stays as it is
    """
    SELECT run_id, 'Training changed the frozen weights of its base.' AS reason
    FROM asked
    WHERE NOT base_weights_unchanged
    """,
    # LoRA has a factor B (rows, r) and a factor A (r, columns) for every adapted matrix, and so has PiSSA; DoRA has a
    # magnitude for each output besides
    """
    SELECT run_id, format('It trained {} parameters, where rank {} on its {} adapted matrices has {}.',
                          trainable_parameters, rank, count(*), sum(expected)) AS reason
    FROM (
        SELECT *, rank::BIGINT * ("rows" + "columns") + CASE method WHEN 'dora' THEN "rows" ELSE 0 END AS expected
        FROM asked JOIN spectrum USING (run_id)
        WHERE step = updates AND target = 'update' AND method IN ('lora', 'pissa', 'dora')
    )
    GROUP BY run_id, rank, trainable_parameters
    HAVING sum(expected) <> trainable_parameters
    """,
    # only within a cell: others start from the same policy, and dead policies come to agree later
    """
    SELECT run_id, format('It drew the same first completions as {}: its seed did not reach the sampler.', first_run)
           AS reason
    FROM (
        SELECT *, first(run_id) OVER same AS first_run, first(seed) OVER same AS first_seed
        FROM asked
        WHERE algorithm = 'grpo' AND first_rollouts_sha256 IS NOT NULL
        WINDOW same AS (PARTITION BY base_id, cell, first_rollouts_sha256 ORDER BY position)
    )
    WHERE seed <> first_seed
    """,
)
"""Each one SELECT of `run_id` and `reason`, one row per invalid run; where several apply, the first is told."""


def invalid_runs(store: Store, run_ids: Sequence[str]) -> dict[str, str]:
    """Return those of `run_ids` that are committed and invalid, in that order, each with the reason in one sentence.

    Of runs whose seeds did not reach the sampler the first in the order of `run_ids` stays valid.
    """
    parts = (f"SELECT {i}, run_id, reason FROM ({check})" for i, check in enumerate(CHECKS))
    _, rows = query(store, f"{ASKED} {' UNION ALL '.join(parts)} ORDER BY ALL DESC", [list(run_ids)])
    reasons: dict[str, str] = {run_id: reason for _, run_id, reason in rows}  # the first check comes last and stays
    return {run_id: reasons[run_id] for run_id in dict.fromkeys(run_ids) if run_id in reasons}


def held(store: Store, run_ids: Sequence[str]) -> str:
    """Return what these checks found to hold of runs that none of them rejected, one clause a check.

    Full fine-tuning freezes no weight of the base, so nothing is compared there, and that is what is said.
    """
    sql = "SELECT count(*), count(base_weights_unchanged) FROM run WHERE list_contains(?, run_id)"
    ((runs, compared),) = query(store, sql, [list(run_ids)])[1]
    weights = "frozen base weights unchanged"
    if runs and not compared:
        weights = "no base weights were frozen, so none are compared"
    elif compared < runs:
        weights += f" in {compared} of {runs} runs, the others froze none"
    return f"derived seeds, which reached the sampler; {weights}; losses finite"


def inert_factors(store: Store, run_ids: Sequence[str]) -> list[str]:
    """Return one sentence for each pair of cells of which runs of one base and seed ended in byte-identical adapters.

    Whatever differs between such cells changed nothing there, so a contrast of them compares a run with itself.
    """
    sql = f"{ASKED} SELECT base_id, seed, cell, adapter_sha256 FROM asked ORDER BY position"
    adapters: defaultdict[tuple[str, int], dict[str, str]] = defaultdict(dict)
    for base_id, seed, cell, adapter in query(store, sql, [list(run_ids)])[1]:
        if adapter is not None:
            adapters[base_id, seed][_slug(cell)] = adapter
    shared, same = Counter[tuple[str, str]](), Counter[tuple[str, str]]()
    for by_cell in adapters.values():
        for pair in combinations(sorted(by_cell), 2):
            shared[pair] += 1
            same[pair] += by_cell[pair[0]] == by_cell[pair[1]]
    return [
        f"{first} and {second} ended in byte-identical adapters under {count} of {shared[first, second]} seeds: "
        "what differs between them changed nothing."
        for (first, second), count in sorted(same.items())
        if count
    ]


def _slug(cell: str) -> str:
    return Cell.model_validate(json.loads(cell), strict=False).slug()
