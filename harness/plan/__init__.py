"""Which runs are needed: cells, identities, and the union over the hypotheses that were asked for. Pure."""

from harness.plan.cost import Cost, base_cost, run_cost
from harness.plan.fits import unfit, unfit_lines
from harness.plan.identity import run_slug
from harness.plan.recipe import misfit, planned_updates, updates_of
from harness.plan.runset import (
    PlannedBase,
    PlannedRun,
    RunSet,
    bases_of,
    own_bases,
    plan,
    planned_base,
    registration_hash,
    start_of,
    tuning,
    union,
)
from harness.plan.why import Difference, nearest

__all__ = [
    "Cost",
    "Difference",
    "PlannedBase",
    "PlannedRun",
    "RunSet",
    "base_cost",
    "bases_of",
    "misfit",
    "nearest",
    "own_bases",
    "plan",
    "planned_base",
    "planned_updates",
    "registration_hash",
    "run_cost",
    "run_slug",
    "start_of",
    "tuning",
    "unfit",
    "unfit_lines",
    "union",
    "updates_of",
]
