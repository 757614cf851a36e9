"""A store whose claim was decided, with curves and spectra made by hand, and the page of it."""

from typing import TYPE_CHECKING, Any

import pytest

from harness.campaign.findings import Findings, findings
from harness.campaign.verdicts import made_subjects, verdict_on
from harness.plan import PlannedRun
from harness.publish.report.contents import report_tables
from harness.publish.report.drawn import Drawn
from harness.publish.report.html import page
from harness.publish.report.table import Table
from harness.spec.shelf import find_shelf
from harness.store import refresh

if TYPE_CHECKING:
    from tests.conftest import Made

UPDATES = 90
KEPT = (2, 8, 90)
MODULES = ("q_proj", "up_proj")
SVG = """<?xml version="1.0"?><!DOCTYPE svg><svg xmlns="http://www.w3.org/2000/svg" width="300pt" viewBox="0 0 300 100">
<metadata>https://example.org</metadata><!-- r=8 -->
<defs><clipPath id="p1"><rect width="9" height="9"/></clipPath></defs>
<g id="axes" clip-path="url(#p1)"><use href="#p1"/><path d="M0 0L300 100" style="stroke:#000"/>
<text>url(#p1 and id="x"</text></g></svg>"""


def steps(accuracy: float) -> list[dict[str, Any]]:
    """Return a reward that goes to `accuracy`; entropy that is logged at every other update; no length of answers."""
    return [
        {
            "step": i,
            "loss": 1 / i,
            "reward": accuracy * i / UPDATES,
            "grad_norm": 1e-4 * i,
            "entropy": 0.5 if i % 2 else None,
        }
        for i in range(1, UPDATES + 1)
    ]


def spectra() -> list[dict[str, Any]]:
    """Return, of two modules in each of two layers, spectra whose values fall by 2 and by 4; their nulls by 1."""
    return [
        {
            "step": step,
            "target": target,
            "module": f"layers.{layer}.{module}",
            "layer": layer,
            "kind": module,
            "effective_rank": 3.0 + layer + i,
            "singular_values": [8.0 * fall**-k for k in range(3)],
        }
        for step in KEPT
        for target in ("update", "null")
        for layer in (0, 1)
        for i, module in enumerate(MODULES)
        for fall in [1.0 if target == "null" else 2.0 + 2 * i]
    ]


def accuracy_of(run: PlannedRun) -> float:
    """Return .5 and some more by seed at rank 8, and all wrong at rank 16."""
    return 0.5 + run.index / 100 if run.cell.slug() == "grpo-lora-r8" else 0.0


@pytest.fixture(scope="session")
def kept() -> dict[str, Any]:
    """Return what `found` and `text` gave, which takes seconds and which no test changes."""
    return {}


@pytest.fixture
def found(kept: dict[str, Any], request: pytest.FixtureRequest) -> Findings:
    """Return the findings on the claim `live`, of which six runs live and six collapse, under a registered plan."""
    if "found" not in kept:
        kept["found"] = _found(request.getfixturevalue("made"))
    return kept["found"]


def _found(made: "Made") -> Findings:
    bench = made.bench()
    hypotheses = bench.hypotheses(("live",))
    bench.register(hypotheses)
    planned = bench.plan(hypotheses, bench.bases(()))
    for base in planned.bases:
        made.base(base)
    for run in planned.runs:
        made.run(run, accuracy_of(run), {"steps": steps(accuracy_of(run)), "spectrum": spectra()})
    refresh(made.store, [])
    for subject in made_subjects(bench, hypotheses["live"], None):
        verdict_on(bench, "live", hypotheses["live"], subject)
    return findings(find_shelf(made.root), made.store, ("live",))


@pytest.fixture
def shown_tables(found: Findings) -> list[Table]:
    """Return the shipped tables of the findings."""
    return report_tables(found, find_shelf(found.store.root))


@pytest.fixture
def figures(found: Findings) -> list[Drawn]:
    """Return one figure of the whole report and one of its verdict, alike but for their titles."""
    of = ("", found.chapters[0].verdict_id)
    return [
        Drawn("dose", key, f"Figure {i}", "What was drawn.", "A line.", f"SELECT {i}", ("x",), ((1,),), SVG, b"")
        for i, key in enumerate(of)
    ]


@pytest.fixture
def text(kept: dict[str, Any], request: pytest.FixtureRequest) -> str:
    """Return the page."""
    if "text" not in kept:
        kept["text"] = page(*(request.getfixturevalue(name) for name in ("found", "shown_tables", "figures")))
    return kept["text"]
