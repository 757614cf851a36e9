"""The units of an association: independent bases with their own measure and their runs in two arms.

A base's family is its architecture, its budget what its recipe lets it train on; one that exists declares both. Tokens
of a base made on the spot are counted as problems seen, updates x batch size: the slope is for a doubling, so the
tokens of a problem cancel. Those of others are as reported.
"""

import math
from collections.abc import Mapping, Sequence

from harness.campaign.bench import Bench
from harness.campaign.observed import Observed
from harness.decide import Unit
from harness.plan import PlannedBase
from harness.spec import HubBase, Hypothesis
from harness.spec.prediction import Association
from harness.store import base_responses, query


def units(
    bench: Bench,
    prediction: Association,
    hypothesis: Hypothesis,
    bases: Sequence[PlannedBase],
    seen: Mapping[str, Observed],
) -> tuple[Unit, ...]:
    """Return one unit for each base that has a result; the index must be up to date."""
    ids = [base.id for base in bases]
    x = {} if prediction.x == "log2_tokens" else base_responses(bench.store, prediction.x, ids)
    tokens = {base.id: _log2_tokens(bench, base) for base in bases}
    given, seeds = bench.protocol.given, hypothesis.design.seeds
    recipes = {base.name: bench.protocol.base(base.name) for base in bases}
    arms = {name: arm.cell(given) for name, arm in prediction.arms().items()}
    return tuple(
        Unit(
            base=base.name,
            family=recipes[base.name].family,
            budget=recipes[base.name].budget(),
            log2_tokens=tokens[base.id],
            x=tokens[base.id] if prediction.x == "log2_tokens" else x.get(base.id),
            a=seen[base.name].sample(arms["a"], prediction.measure, seeds, prediction.a.where),
            b=seen[base.name].sample(arms["b"], prediction.measure, seeds, prediction.b.where),
        )
        for base in bases
        if base.name in seen
    )


def _log2_tokens(bench: Bench, base: PlannedBase) -> float:
    declared = bench.protocol.base(base.name)
    if isinstance(declared, HubBase):
        assert declared.tokens is not None  # checked before anything was planned
        return math.log2(declared.tokens.count)
    _, rows = query(bench.store, "SELECT updates FROM base WHERE base_id = ?", [base.id])
    return math.log2(int(rows[0][0]) * declared.pretraining.batch_size)
