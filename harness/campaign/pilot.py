"""The pilot of a protocol: what the healthy arm does at each learning rate, and what the written rule makes of it.

A pilot uses a base from another seed, another split of the problems and a seed space of its own, and its store is
separate, so that no verdict can ever rest on a run that was looked at before it was registered. It never looks at a
rank other than the healthy one.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import lru_cache
from typing import Any

import numpy as np

from harness.campaign.bench import Bench, MakeExecutor
from harness.campaign.execution import Watch
from harness.plan import PlannedBase, PlannedRun, RunSet
from harness.plan.runset import planned_base, planned_run
from harness.record.atomic import create_json, read_json
from harness.record.layout import Store
from harness.spec import Arm, BaseRecipe, HubBase, Protocol
from harness.spec.canonical import digest
from harness.spec.protocol import prompts_per_update
from harness.store import query, refresh


@dataclass(frozen=True, slots=True)
class Gain:
    """What the healthy arm gained over its base on the validation split, at one rate after some updates."""

    learning_rate: float
    steps: int
    n_runs: int
    mean: float
    standard_error: float


@dataclass(frozen=True, slots=True)
class Choice:
    """What the rule chooses, and what it chose from."""

    protocol: str
    base_accuracy: float
    gains: tuple[Gain, ...]
    steps: int
    learning_rate: float
    healthy_gain: float
    declared_steps: int
    declared_learning_rate: float
    declared_healthy_gain: float | None
    """None where no pilot has measured it before."""

    @property
    def agrees(self) -> bool:
        """Whether the protocol declares what the rule chooses (the gain to the third decimal)."""
        declared = (self.declared_steps, self.declared_learning_rate)
        known = self.declared_healthy_gain
        same_gain = known is not None and round(known, 3) == round(self.healthy_gain, 3)
        return declared == (self.steps, self.learning_rate) and same_gain


class RuleFailed(Exception):
    """The rule chooses nothing: the healthy arm's gain is not beyond two standard errors."""


def pilot_protocol(protocol: Protocol) -> Protocol:
    """Return the protocol with the pilot's base seed, split and longest training."""
    plan = protocol.pilot
    longest = max(plan.steps) * _prompts_per_update(protocol)
    task = protocol.task.model_copy(update={"split_seed": plan.split_seed, "training_prompts": longest})
    bases = {name: _of_another_seed(base, plan.base_seed) for name, base in protocol.bases.items()}
    return protocol.model_copy(update={"task": task, "bases": bases})


def _of_another_seed(base: BaseRecipe | HubBase, seed: int | None) -> BaseRecipe | HubBase:
    if isinstance(base, HubBase) or seed is None:
        return base
    return base.model_copy(update={"pretraining": base.pretraining.model_copy(update={"seed": seed})})


def run_pilot(bench: Bench, make_executor: MakeExecutor, watch: Watch) -> Choice:
    """Execute what the pilot lacks and apply its rule; the record is kept in the pilot's own store.

    Raises:
        RuleFailed: the healthy arm does not gain for sure.
        RuntimeError: a run of the pilot failed.
    """
    protocol = pilot_protocol(bench.protocol)
    pilot = Bench(bench.shelf, bench.store.pilot(bench.protocol_name), bench.protocol_name)
    pilot.protocol = protocol  # pinned where the bench's is
    base, runs = _runs(protocol)
    pilot.execute(RunSet((base,), tuple(runs)), make_executor, watch)
    if pilot.failed:
        name, why = next(iter(pilot.failed.items()))
        raise RuntimeError(f"{len(pilot.failed)} jobs of the pilot failed; {name}: {why}")
    refresh(pilot.store, [])
    base_accuracy, gains = _gains(pilot.store, base, runs)
    choice = choose(bench.protocol_name, bench.protocol, base_accuracy, gains)
    record = {**asdict(choice), "rule": bench.protocol.pilot.rule, "runs": [run.id for run in runs]}
    create_json(pilot.store.root / f"choice-{digest(record)[:12]}.json", record)
    return choice


def pilot_seeds(protocol: Protocol) -> frozenset[str]:
    """Return the seeds of every run of a protocol's pilot, as text: a run with one of them is a known answer."""
    return _pilot_seeds(protocol.model_dump_json())


@lru_cache(maxsize=4)
def _pilot_seeds(declared: str) -> frozenset[str]:
    _, runs = _runs(pilot_protocol(Protocol.model_validate_json(declared)))
    return frozenset(str(run.identity["seed"]) for run in runs)


def stored_choices(store: Store, protocol: str) -> list[Mapping[str, Any]]:
    """Return the records of earlier pilots."""
    return [read_json(path) for path in sorted(store.pilot(protocol).root.glob("choice-*.json"))]


def choose(name: str, protocol: Protocol, base_accuracy: float, gains: Sequence[Gain]) -> Choice:
    """Return what the rule chooses; raise RuleFailed where the healthy arm does not gain for sure."""
    plan = protocol.pilot
    best = {steps: max((g for g in gains if g.steps == steps), key=lambda g: g.mean) for steps in plan.steps}
    steps = next((n for n in sorted(plan.steps) if best[n].mean >= plan.enough_gain), max(plan.steps))
    least = best[steps].mean - best[steps].standard_error
    chosen = max((g for g in gains if g.steps == steps and g.mean >= least), key=lambda g: g.learning_rate)
    if chosen.mean <= 2 * chosen.standard_error:
        raise RuleFailed(
            f"the gain at {steps} steps and learning rate {chosen.learning_rate:g} is {chosen.mean:.3f}, its standard "
            f"error {chosen.standard_error:.3f}: no healthy arm. Allow more steps, other rates, or another base."
        )
    rate = protocol.grpo["learning_rate"]
    assert isinstance(rate, int | float)
    return Choice(
        protocol=name,
        base_accuracy=base_accuracy,
        gains=tuple(gains),
        steps=steps,
        learning_rate=chosen.learning_rate,
        healthy_gain=chosen.mean,
        declared_steps=protocol.task.training_prompts // _prompts_per_update(protocol),
        declared_learning_rate=float(rate),
        declared_healthy_gain=protocol.thresholds.healthy_gain,
    )


def _prompts_per_update(protocol: Protocol) -> int:
    prompts = prompts_per_update(protocol.grpo)
    assert prompts is not None  # validated
    return prompts


def _runs(protocol: Protocol) -> tuple[PlannedBase, list[PlannedRun]]:
    plan = protocol.pilot
    base = planned_base(protocol.default_bases[0], protocol)
    runs: list[PlannedRun] = []
    for rate in plan.learning_rates:
        at_rate = protocol.model_copy(update={"grpo": {**protocol.grpo, "learning_rate": rate}})
        cell = Arm(rank=plan.healthy_rank).cell(protocol.given)
        for index in range(plan.seeds):
            runs.append(planned_run(base, cell, index, at_rate, space="pilot", validate_at=tuple(sorted(plan.steps))))
    return base, runs


def _gains(store: Store, base: PlannedBase, runs: Sequence[PlannedRun]) -> tuple[float, list[Gain]]:
    accuracy = "SELECT sum(correct) / sum(samples) FROM evaluation WHERE run_id = ? AND split = 'validation'"
    base_accuracy = float(query(store, accuracy, [base.id])[1][0][0])
    sql = (
        "SELECT learning_rate, step, sum(correct) / sum(samples) FROM evaluation JOIN run USING (run_id) "
        "WHERE split = 'validation' AND list_contains(?, run_id) GROUP BY run_id, learning_rate, step ORDER BY ALL"
    )
    scores: dict[tuple[float, int], list[float]] = {}
    for rate, step, score in query(store, sql, [[run.id for run in runs]])[1]:
        scores.setdefault((float(rate), int(step)), []).append(float(score) - base_accuracy)
    gains = [
        Gain(rate, step, len(found), float(np.mean(found)), float(np.std(found, ddof=1) / len(found) ** 0.5))
        for (rate, step), found in sorted(scores.items())
    ]
    return base_accuracy, gains
