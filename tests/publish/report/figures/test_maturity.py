"""The gap between two arms over a property of the base."""

import math
from typing import TYPE_CHECKING

import pytest

from harness.campaign.findings import findings
from harness.campaign.looks import due
from harness.campaign.verdicts import verdict_on
from harness.publish.report.figures import sketches
from harness.publish.report.figures.canvas import COLOURS
from harness.spec.shelf import find_shelf

if TYPE_CHECKING:
    from tests.conftest import Made

CLAIM = """
title: Better bases, smaller gaps
claim: Within a family, the gap between rank 8 and rank 128 goes with the base's own accuracy.
source: a claim of the tests
design: {seeds: 2, bases: {families: 2, budgets: 1, seeds: 4}}
predictions:
  - {id: goes-with, kind: association, role: primary, statement: The gap rises with the base's accuracy.,
     rationale: Two points for one standard deviation are worth a choice of base., x: base_accuracy,
     direction: positive, strata: [family], margin: 0.02, a: {rank: 8}, b: {rank: 128}}
"""
RECIPE = """  NAME: {architecture: KIND, hidden_size: 64, layers: 2, heads: 4, intermediate_size: 128,
         pretraining: {steps: 100, batch_size: 32, learning_rate: 1.0e-3, seed: SEED}}
"""


def declare(made: "Made") -> None:
    """Declare four bases of each of two families."""
    bases = [(f"{kind[:5]}{i}", kind, i) for kind in ("llama", "qwen3") for i in range(1, 5)]
    listed = "".join(
        RECIPE.replace("NAME", name).replace("KIND", kind).replace("SEED", str(i)) for name, kind, i in bases
    )
    head, rest = made.protocol_text.split("bases:\n", 1)
    rest = rest[rest.index("default_bases") :].replace("[llama]", f"[{', '.join(name for name, _, _ in bases)}]")
    made.declare("runs/bench.yaml", f"{head}bases:\n{listed}{rest}")
    made.declare("hypotheses/goes.yaml", CLAIM)


def test_every_base_is_a_point_and_families_have_lines_of_their_own(made: "Made", styled: None) -> None:
    declare(made)
    bench = made.bench()
    bench.register_shelf()
    hypotheses, bases = bench.hypotheses(["goes"]), bench.planned_bases(())
    while (now := due(bench, hypotheses, bases)) is not None:
        for base in now.runs.bases:
            made.base(base, 0.26 + 0.04 * int(base.name[-1]))
        for run in now.runs.runs:
            made.run(run, round(0.3 + 0.1 * int(run.base.name[-1]) * (run.cell.rank == 8), 3))
    verdict_on(bench, "goes", hypotheses["goes"], bases)
    what = findings(find_shelf(made.root), made.store)
    (sketch,) = [each for each in sketches(what) if each.name.endswith("gap-over-maturity")]
    found = {row["base"]: (row["family"], row["x"], row["gap"], row["runs"]) for row in sketch.plotted}
    assert found == {
        f"{kind}{i}": (kind, pytest.approx(0.26 + 0.04 * i), pytest.approx(0.1 * i), 4)
        for kind in ("llama", "qwen3")
        for i in range(1, 5)
    }
    # 100 updates of 32 problems, as the unit of an association counts
    assert [row["log2_tokens"] for row in sketch.plotted] == pytest.approx([math.log2(3200)] * 8)
    lines = [line for line in sketch.figure.axes[0].get_lines() if len(line.get_xdata()) == 2]
    fitted = [line for line in lines if line.get_color() in COLOURS]
    assert len(fitted) == 2
    for line in fitted:  # ten points for each .04
        assert list(line.get_xdata()) == pytest.approx([0.3, 0.42])
        assert list(line.get_ydata()) == pytest.approx([10, 40])
    marks = {line.get_marker() for line in sketch.figure.axes[0].get_lines() if len(line.get_xdata()) == 1}
    assert len(marks) == 2
