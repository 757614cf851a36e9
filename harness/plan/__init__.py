"""Which runs are needed: cells, identities, and the union over the hypotheses that were asked for. Pure."""

from harness.plan.recipe import misfit
from harness.plan.runset import PlannedBase, PlannedRun, RunSet, plan, planned_base, registration_hash, run_slug
from harness.plan.why import Difference, nearest

__all__ = [
    "Difference",
    "PlannedBase",
    "PlannedRun",
    "RunSet",
    "misfit",
    "nearest",
    "plan",
    "planned_base",
    "registration_hash",
    "run_slug",
]
