"""A small store with verdicts of every kind that a figure is about, made by hand."""

import math
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

import pytest

from harness.campaign.findings import Findings, findings
from harness.campaign.verdicts import verdict_on
from harness.plan import PlannedRun
from harness.publish.report.figures import sketches
from harness.publish.report.figures.canvas import style
from harness.publish.report.figures.sketch import Sketch
from harness.spec.shelf import find_shelf

if TYPE_CHECKING:
    from tests.conftest import Made

RANKS = """
title: Ranks of the tests
claim: Low ranks live and high ones die, at every batch and rate, in these tests.
source: a claim of the tests
design: {seeds: 6}
predictions:
  - {id: low-live, kind: collapse_probability, role: primary, statement: Low ranks live at both batches.,
     rationale: Below one half a user keeps the policy., event: collapsed, direction: below, probability: 0.5,
     among: {rank: [8, 16], batch: [64, 128]}}
  - {id: high-dies, kind: collapse_probability, role: auxiliary, statement: The high rank dies at its rate.,
     rationale: Above one half a user loses the policy., event: collapsed, direction: above, probability: 0.5,
     among: {rank: [128], learning_rate_scale: [0.25, 1.0]}}
  - {id: gap, kind: min_effect, role: auxiliary, statement: The low rank ends far above the high one.,
     rationale: Ten points are worth a choice of rank., margin: 0.1, refute_below: 0.02, a: {rank: 8}, b: {rank: 128}}
  - {id: alike, kind: equivalence, role: auxiliary, statement: The two low ranks end alike in accuracy.,
     rationale: Five points are what nobody would notice., low: -0.05, high: 0.05, a: {rank: 8}, b: {rank: 16}}
"""
"""Cells at ranks 8 and 16 with batches 64 and 128, and at rank 128 with two rates."""

Accuracy = Callable[[PlannedRun], float | None]


def accuracy(run: PlannedRun) -> float:
    """Return .5 and a little for low ranks; .5 at a quarter of the rate and .01 at the whole one for rank 128."""
    if run.cell.rank == 128 and run.cell.learning_rate_scale == 1:
        return 0.01
    return round(0.5 + 0.002 * run.index, 3)


def spectrum(run: PlannedRun) -> list[dict[str, Any]]:
    """Return an update of two modules whose singular values fall as powers of two, or of four where it collapsed."""
    falls = 4.0 if accuracy(run) < 0.1 else 2.0
    rows: list[dict[str, Any]] = []
    for layer in (0, 1):
        common = {"step": 20, "module": f"layers.{layer}.q_proj", "layer": layer, "kind": "q_proj"}
        for target, by in (("update", falls), ("null", 1.1)):
            values = [3.0 * by**-i for i in range(4)]
            rank = float(layer + run.cell.rank) if run.cell.rank else None
            row = {"target": target, "source": "factors", "singular_values": values, "effective_rank": rank}
            rows.append({**common, **row, "frobenius": math.hypot(*values), "floor": 0.0})
    return rows


def steps(run: PlannedRun) -> list[dict[str, Any]]:
    """Return rewards of i / 100 at update i, so that a mean over updates is known."""
    return [{"step": i, "loss": 1.0, "reward": i / 100} for i in range(1, 21)]


Decide = Callable[..., Findings]


@pytest.fixture
def decided(made: "Made") -> Decide:
    """Return a function that makes the runs of a claim, decides it and returns the findings."""

    def decide(
        name: str = "ranks",
        text: str = RANKS,
        how: Accuracy = accuracy,
        kept: Callable[[PlannedRun], Mapping[str, Any]] | None = None,
    ) -> Findings:
        made.declare(f"hypotheses/{name}.yaml", text)
        bench = made.bench()
        bench.register_shelf()
        hypothesis, bases = bench.hypotheses([name])[name], bench.planned_bases(())
        runs = bench.plan({name: hypothesis}, bench.bases(()))
        for base in runs.bases:
            made.base(base)
        for run in runs.runs:
            value = how(run)
            if value is not None:
                made.run(run, value, kept(run) if kept else {"spectrum": spectrum(run), "steps": steps(run)})
        verdict_on(bench, name, hypothesis, bases)
        return found(made)

    return decide


def found(made: "Made") -> Findings:
    """Return the findings as they stand."""
    return findings(find_shelf(made.root), made.store)


@pytest.fixture
def styled() -> Iterator[None]:
    """Draw as the report does."""
    with style():
        yield


def named(what: Findings, kind: str) -> Sketch:
    """Return the one figure whose name ends so."""
    (sketch,) = [sketch for sketch in sketches(what) if sketch.name.endswith(kind)]
    return sketch


@pytest.fixture
def sketched(styled: None) -> Callable[[Findings, str], Sketch]:
    """Return a function that returns the one figure of findings whose name ends so."""
    return named
