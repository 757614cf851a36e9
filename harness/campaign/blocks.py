"""Which seed block a declaration gets, so that no run that it governs is older than its registration.

The shelf's own block is shared by all that were registered before any of their runs in it began, on any base of the
protocol. A declaration that comes later gets seeds of its own: it may be confirmatory on fresh runs, never on those
whose results its author could have seen. Two late declarations with the same words share their fresh seeds.
"""

import json
from dataclasses import replace
from itertools import count

from pydantic import ValidationError

from harness.plan import plan, planned_base, registration_hash, start_of
from harness.record.job import JobDirectory
from harness.record.layout import Store
from harness.record.registration import Registration
from harness.source.seeds import CONFIRM, late_block
from harness.spec import Hypothesis, Protocol


def first_block(store: Store, hypothesis: Hypothesis, protocol: Protocol) -> str:
    """Return the block of a first registration: the shelf's own, or a late one where a run of it has begun there."""
    return _fresh(store, hypothesis, protocol, 1) if _begun(store, hypothesis, protocol, CONFIRM) else CONFIRM


def amended_block(store: Store, predecessor: Registration, hypothesis: Hypothesis, protocol: Protocol) -> str:
    """Return the block of an amendment: its predecessor's, or a fresh one where a run of either has begun there."""
    kept = predecessor.block
    if _registered_begun(store, predecessor) or _begun(store, hypothesis, protocol, kept):
        return _fresh(store, hypothesis, protocol, predecessor.number + 1)
    return kept


def _fresh(store: Store, hypothesis: Hypothesis, protocol: Protocol, number: int) -> str:
    """Return the first late block, counted from `number`, in which no run has begun."""
    frozen = registration_hash(hypothesis, protocol)
    blocks = (late_block(frozen, i) for i in count(number))
    return next(block for block in blocks if not _begun(store, hypothesis, protocol, block))


def _registered_begun(store: Store, registration: Registration) -> bool:
    content = registration.content
    try:
        hypothesis = Hypothesis.model_validate_json(json.dumps(content["declaration"]))
        protocol = Protocol.model_validate_json(json.dumps(content["protocol_declaration"]))
    except ValidationError:  # declared in fields that are gone since: its runs cannot be named, so assume the worst
        return True
    return _begun(store, hypothesis, protocol, registration.block)


def _begun(store: Store, hypothesis: Hypothesis, protocol: Protocol, block: str) -> bool:
    """Return whether anybody ever claimed a run that the declaration plans in this block, on any base."""
    if not store.runs.is_dir():
        return False
    how, usual, known = hypothesis.design.tuning, protocol.given, protocol.base_names()
    made = (name for name in known if (store.bases / planned_base(name, protocol).id).is_dir())
    cells = [cell for prediction in hypothesis.predictions for cell in prediction.cells(usual).values()]
    bases = tuple(
        base for base in dict.fromkeys((*protocol.bases, *made)) if all(start_of(base, cell) in known for cell in cells)
    )
    for rate in how.learning_rate_scales if how else (1.0,):  # whichever a tuning may have chosen
        given = replace(usual, rates=dict.fromkeys(hypothesis.tuned(usual), rate))
        runs = plan({"": hypothesis}, protocol, bases, blocks={"": block}, given=given).runs
        if any(JobDirectory(store.runs / run.id).attempts() for run in runs):
            return True
    return False
