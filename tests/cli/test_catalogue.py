"""The table of all claims: what each came to, which runs are shared, and where in a file it is put."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from harness.spec.shelf import shipped

if TYPE_CHECKING:
    from tests.conftest import Act, Made, Scripted

Call = Callable[..., Any]
Acting = Callable[["Act"], "Scripted"]

OTHER = """
title: Rank 8 lives
claim: GRPO at rank 8 collapses less often than not.
source: a claim of the tests
design: {seeds: 6}
predictions:
  - {id: lives, kind: collapse_probability, role: primary, statement: Runs live at rank 8., event: collapsed,
     rationale: Below one half a user keeps the policy., direction: below, probability: 0.5, among: {rank: [8]}}
"""
FAMILIES = """
title: Better bases, smaller gaps
claim: Within a family, the gap between rank 8 and rank 128 goes with the base's own accuracy.
source: a claim of the tests
design: {seeds: 2, bases: {families: 2, budgets: 1, seeds: 4}}
predictions:
  - {id: goes-with, kind: association, role: primary, statement: The gap rises with the base's accuracy.,
     rationale: Two points for one standard deviation are worth a choice of base., x: base_accuracy,
     direction: positive, strata: [family], margin: 0.02, a: {rank: 8}, b: {rank: 128}}
"""
NAMES = ("live", "other")


@pytest.fixture
def two(made: "Made") -> "Made":
    """A second claim, all of whose runs the first needs too."""
    made.declare("hypotheses/other.yaml", OTHER)
    return made


def test_before_any_test_the_table_has_no_verdict(two: "Made", harness: Call) -> None:
    said = harness("catalogue", *NAMES, "--json").json
    assert [one["outcomes"] for one in said["hypotheses"]] == [{}, {}]
    assert (said["apart"], said["union"], said["executed"], said["bases"]) == (18, 12, 0, 0)
    assert "| other | not tested |  | 0 of 6 | 0 | 0.0 |" in harness("catalogue", *NAMES).out


def test_runs_that_two_claims_need_are_shared_and_counted_once(two: "Made", harness: Call) -> None:
    two.bench().register_shelf()
    two.results(lambda _: 0.5)
    assert harness("test", *NAMES, "--no-run").code == 0
    said = harness("catalogue", *NAMES, "--json").json
    first, second = said["hypotheses"]
    assert (first["runs"], first["executed"], first["shared"]) == (12, 12, 6)
    assert (second["runs"], second["executed"], second["shared"]) == (6, 6, 6)
    assert (said["apart"], said["union"], said["executed"], said["bases"]) == (18, 12, 12, 1)
    assert first["outcomes"] == {"llama": "supported"}
    assert "| live | PASS (supported) |" in harness("catalogue", *NAMES).out


def test_a_file_takes_the_table_between_its_marks(two: "Made", harness: Call) -> None:
    page = two.root / "page.md"
    page.write_text("before\n<!-- catalogue -->\nold\n<!-- end of catalogue -->\nafter\n")
    assert harness("catalogue", "other", "--into", str(page)).code == 0
    once = page.read_text()
    assert once.startswith("before\n<!-- catalogue -->\n| hypothesis |")
    assert once.endswith("<!-- end of catalogue -->\nafter\n")
    assert "old" not in once
    assert harness("catalogue", "other", "--into", str(page)).code == 0
    assert page.read_text() == once
    page.write_text("no marks\n")
    said = harness("catalogue", "other", "--into", str(page))
    assert said.code == 2
    assert "there are no lines <!-- catalogue --> and <!-- end of catalogue -->" in said.err
    assert page.read_text() == "no marks\n"


def test_what_the_protocol_cannot_ask_is_left_out_with_the_reason(two: "Made", harness: Call) -> None:
    two.declare("hypotheses/goes.yaml", FAMILIES)
    said = harness("catalogue", *NAMES, "goes", "--json").json
    assert [one["hypothesis"] for one in said["hypotheses"]] == list(NAMES)
    assert "design.bases asks for 2 families x 1 budgets x 4 seeds" in said["left_out"]["goes"]


def test_all_tests_what_can_be_asked_and_says_what_cannot(
    two: "Made", harness: Call, acting: Acting, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    two.declare("hypotheses/goes.yaml", FAMILIES)
    alone = tmp_path / "shipped"  # measures as they are shipped, and no claim
    alone.mkdir()
    shutil.copytree(shipped() / "analysis", alone / "analysis")
    monkeypatch.setattr("harness.spec.shelf.shipped", lambda: alone)
    acting(lambda path, _: two.finish(path, 0.4 if path.parent.name == "bases" else 0.5))
    said = harness("test", "--all", "--json")
    assert said.code == 0
    assert {one["hypothesis"] for one in said.json["verdicts"]} == set(NAMES)
    assert "left out: goes (hypotheses/goes.yaml: design.bases asks for" in said.err
    assert harness("test").code == harness("test", "live", "--all").code == 2
