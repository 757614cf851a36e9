"""Reports as readers get them: LaTeX that compiles, Markdown, values; of awkward, empty and partial stores too."""

import csv
import io
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import pytest
import yaml
from jinja2 import Template

from harness.campaign.findings import findings
from harness.plan import PlannedRun
from harness.publish.report.methods import methods
from harness.publish.report.report import FORMATS, Report
from harness.record.verdict import Outcome, Verdict
from harness.record.verdict_files import save
from harness.record.verdict_files import text as verdict_text
from harness.spec import DeclarationError
from harness.spec.shelf import find_shelf
from tests.publish.report.conftest import AWKWARD, text, write

if TYPE_CHECKING:
    from tests.conftest import Made

Reported = Callable[..., Report]
Decide = Callable[..., None]


def collapsing(run: PlannedRun) -> float:
    return run.index / 1000 + (0.5 if (run.cell.rank or 0) <= 64 or run.cell.algorithm == "sft" else 0.01)


def every_other(run: PlannedRun) -> float:
    return 0.5 if run.index % 2 else 0.01


def awkward(made: "Made") -> None:
    """Make every free text of the claim `live` awkward."""
    claim = yaml.safe_load(made.claim_text)
    for key in ("title", "claim", "source"):
        claim[key] = AWKWARD
    claim["not_shown"] = [AWKWARD]
    claim["predictions"][0] |= {"statement": AWKWARD, "rationale": AWKWARD}
    claim["reported"] = [{"setting": AWKWARD, "result": AWKWARD, "source": AWKWARD, "arm": {"rank": 8}}]
    made.declare("hypotheses/live.yaml", yaml.safe_dump(claim, allow_unicode=True))


def test_a_whole_appendix_compiles_and_prints_figures_of_the_store(
    made: "Made", decide: Decide, reported: Reported, compiled: Callable[[str], str], tmp_path: Path
) -> None:
    decide(collapsing, "rank-collapse", "live")
    write(reported().files, tmp_path / "report")
    pages = compiled("appendix.tex")
    assert "Rank collapse under GRPO, absent under SFT" in pages
    assert "high-ranks-collapse" in re.sub(r"\s", "", pages)
    assert "10/10 [.69, 1.00]" in pages
    assert "an intersection-union test" in " ".join(pages.split())
    assert "Overfull" not in "".join(
        line for line in (tmp_path / "report" / "appendix.log").read_text().splitlines(True) if overfull(line) > 4
    )


def overfull(line: str) -> float:
    """Return by how many points a line of TeX's log says that something sticks out; 0 where it says nothing of it."""
    found = re.match(r"Overfull \\[hv]box \(([0-9.]+)pt too (?:wide|high)\)", line)
    return float(found[1]) if found else 0.0


def test_awkward_text_compiles_and_is_printed(
    made: "Made", decide: Decide, reported: Reported, compiled: Callable[[str], str], tmp_path: Path
) -> None:
    awkward(made)
    decide(collapsing, "live")
    write(reported("live").files, tmp_path / "report")
    pages = " ".join(compiled("appendix.tex").split())
    for piece in ("a_b 50 % & # $x", "{y} ~", r"\input{/etc/passwd} < >", "café Ł β ≤ [U+4E2D] [U+1F600] [U+0436]"):
        assert piece in pages, piece


@pytest.mark.parametrize("table", ["cells", "predictions"])
def test_a_table_stands_alone_in_another_document(
    made: "Made", decide: Decide, reported: Reported, compiled: Callable[[str], str], tmp_path: Path, table: str
) -> None:
    decide(collapsing, "rank-collapse")
    folder = tmp_path / "report"
    write(reported("rank-collapse").files, folder)
    (folder / "paper.tex").write_text(
        r"\documentclass{article}\usepackage[T1]{fontenc}\usepackage{booktabs,array}\begin{document}"
        rf"\input{{tables/rank-collapse-bench-llama-{table}}}\end{{document}}"
    )
    assert "r128" in re.sub(r"[\s-]", "", compiled("paper.tex")).replace("r=128", "r128")


def test_a_long_table_is_split_and_says_so(made: "Made", decide: Decide, reported: Reported) -> None:
    decide(collapsing, "live")
    made.declare(
        "paper/tables/long.sql",
        "/*\ntitle: Long\ncaption: Many.\norder: 99\nkey: [i]\ncolumns: {i: {head: Number, written: count}}\n*/\n"
        "SELECT range AS i FROM range(100)",
    )
    said = text(reported("live"), "tables/long.tex")
    assert said.count(r"\begin{table}") == said.count(r"\toprule") == 3
    assert [f"(part {i} of 3)" in said for i in (1, 2, 3)] == [True] * 3
    assert said.count(r"\label{") == 1
    assert len(re.findall(r"^    \d+ \\\\$", said, re.MULTILINE)) == 100


def test_markdown_shows_text_as_it_is(made: "Made", decide: Decide, reported: Reported) -> None:
    awkward(made)
    decide(collapsing, "live")
    said = text(reported("live"), "report.md")
    rows = [line for line in said.splitlines() if line.startswith("| a\\_b")]
    assert len(rows) == 1
    assert len(re.findall(r"(?<!\\)\|", rows[0])) == 6  # five cells, whatever signs they hold
    assert r"\<" in rows[0] and r"\`" in rows[0]


def test_values_are_unrounded_and_read_back(made: "Made", decide: Decide, reported: Reported) -> None:
    decide(collapsing, "live")
    rows = list(csv.DictReader(io.StringIO(text(reported("live"), "tables/live-bench-llama-cells.csv"))))
    assert [row["name"] for row in rows] == ["grpo-lora-r8", "grpo-lora-r16"]
    assert float(rows[0]["mean"]) == pytest.approx(0.5025, abs=1e-12)  # .500 to .505
    assert (rows[0]["collapsed"], rows[0]["n_runs"]) == ("0", "6")


def test_provenance_says_of_every_printed_cell_what_it_was_written_from(
    made: "Made", decide: Decide, reported: Reported
) -> None:
    decide(collapsing, "live")
    made_report = reported("live")
    said = json.loads(text(made_report, "cells.json"))
    assert said["asked"] == {"names": ["live"], "protocol": None, "formats": list(FORMATS)}
    assert set(said["tables"]) == {table.name for table in made_report.tables}
    cells = said["tables"]["live-bench-llama-cells"]
    assert cells["columns"]["accuracy"] == ["mean", "sd", "n_runs", "n_items", "mixed"]
    assert cells["rows"][0]["key"] == {"name": "grpo-lora-r8"}


def test_an_empty_store_has_a_report_that_says_so(
    made: "Made", reported: Reported, compiled: Callable[[str], str], tmp_path: Path
) -> None:
    said = reported()
    assert said.tables == ()
    write(said.files, tmp_path / "report")
    pages = compiled("appendix.tex")
    assert "No verdict is stored." in pages
    assert "rank-collapse" in pages  # it is named as undecided
    assert "No verdict is stored." in text(said, "report.md")


def test_runs_without_a_verdict_are_told_and_nothing_is_decided(
    made: "Made", reported: Reported, compiled: Callable[[str], str], tmp_path: Path
) -> None:
    made.results(collapsing, "live")
    said = reported()
    assert {"compute", "bases", "software"} <= {table.name for table in said.tables}
    assert not any(table.verdict for table in said.tables)
    write(said.files, tmp_path / "report")
    assert "runs alone decide nothing" in compiled("appendix.tex")


def test_a_verdict_without_runs_has_empty_cells(
    made: "Made", reported: Reported, compiled: Callable[[str], str], tmp_path: Path, verdict: Verdict
) -> None:
    (prediction,) = verdict.predictions
    untested = prediction.model_copy(update={"estimates": (), "outcome": Outcome.UNTESTED})
    cell = verdict.cells[0].model_copy(update={"n_runs": 0, "mean": None, "sd": None, "labels": {}})
    bare = {"predictions": (untested,), "cells": (cell,), "outcome": Outcome.UNTESTED, "base_accuracy": None}
    save(made.store, verdict.model_copy(update=bare))
    said = reported("claim")
    (cells,) = (table for table in said.tables if table.declared.name == "cells")
    assert [column.head for column in cells.columns][:4] == ["Cell", "n", "planned", "Collapsed [95 %]"]  # no accuracy
    assert cells.texts == (("grpo-lora-r8", "0", "5", "0/0", "0", "0", "0"),)
    write(said.files, tmp_path / "report")
    pages = " ".join(compiled("appendix.tex").split())
    assert "OPEN: untested" in pages
    assert "declared otherwise by now, no more, or cannot be read here" in pages


def test_inconclusive_verdicts_are_open(made: "Made", decide: Decide, reported: Reported) -> None:
    decide(every_other, "live")
    said = text(reported("live"), "appendix.tex")
    assert r"\textbf{OPEN: inconclusive (confirmatory; bench, llama).}" in said


def test_the_methods_are_those_of_the_declaration(made: "Made", decide: Decide) -> None:
    decide(collapsing, "rank-collapse", "live")
    shelf = find_shelf(made.root)
    told = {chapter.verdict.hypothesis: methods(chapter) for chapter in findings(shelf, made.store).chapters}
    predictions = {said.id: said.sentences for said in told["rank-collapse"].predictions}
    assert (
        "Supported if it is below 0.5 in each cell; refuted if it is above 0.5 in the mean"
        in predictions["low-ranks-live"]
    )
    assert "One-sided level 0.05, refuted at 0.025; runs a cell at each look: 5, 10" in predictions["low-ranks-live"]
    assert "more than 80 % and the drop exceeds 10 points" in predictions["one-doubling"]
    assert "Supported if it is above -5 points; refuted if it is below -5 points" in predictions["sft-keeps-high-rank"]
    assert "all 2 primary predictions" in " ".join(told["rank-collapse"].paragraphs)
    assert "its one primary prediction" in " ".join(told["live"].paragraphs)


@pytest.mark.parametrize(
    ("bad", "rule"),
    [
        ("<< chapters.titel.x >>", "paper/appendix.j2:1 template: .* has no attribute 'titel'. Mend it."),
        ("\n\n<% for x in %>", "paper/appendix.j2:3 template: "),
        ("<< ''.__class__.__mro__ >>", "unsafe"),
        ("<< 1 / 0 >>", "division by zero"),
        ("<< undecided.append('x') >>", "unsafe|not safely callable"),
        ("<< chapters[0].methods.append('x') >>", "unsafe|not safely callable"),
    ],
)
def test_a_template_of_the_project_runs_in_a_sandbox(
    made: "Made", decide: Decide, reported: Reported, bad: str, rule: str
) -> None:
    made.declare("paper/appendix.j2", bad)
    decide(collapsing, "live")
    with pytest.raises(DeclarationError, match=rule):
        reported(formats=("tex",))


def test_a_template_is_given_texts_and_nothing_of_ours(
    made: "Made", decide: Decide, reported: Reported, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Methods of pydantic models read pickles, so a live model in a template would run a stranger's code."""
    given: list[object] = []

    def render(_: Template, said: object) -> str:
        given.append(said)
        return ""

    decide(collapsing, "live")
    monkeypatch.setattr("jinja2.Template.render", render)
    reported("live", formats=("tex",))
    assert given and plain(given[0])


def plain(value: Any) -> bool:
    """Return whether a value is text, a truth, or lists and mappings of such alone."""
    if isinstance(value, dict):
        return all(isinstance(key, str) and plain(of) for key, of in cast("dict[Any, Any]", value).items())
    return all(map(plain, cast("list[Any]", value))) if isinstance(value, list) else isinstance(value, str | bool)


def test_methods_do_not_tell_a_declaration_that_was_not_tested(made: "Made", decide: Decide) -> None:
    decide(collapsing, "live")
    made.declare("hypotheses/live.yaml", made.claim_text.replace("probability: 0.5", "probability: 0.77"))
    (chapter,) = findings(find_shelf(made.root), made.store).chapters
    told = methods(chapter)
    assert chapter.hypothesis is None
    assert "0.77" not in told.predictions[0].sentences
    assert any("declared otherwise by now" in paragraph for paragraph in told.paragraphs)


def test_names_of_files_are_plain_and_each_once(made: "Made", verdict: Verdict, reported: Reported) -> None:
    evil = verdict.model_copy(update={"hypothesis": "x/../../y", "inputs": "b" * 64})
    (made.store.verdicts / "bench").mkdir(parents=True)
    for i, said in enumerate((evil, verdict.model_copy(update={"hypothesis": "x-y"}), verdict)):
        (made.store.verdicts / "bench" / f"{i}.json").write_text(verdict_text(said))
    slugs = [chapter.slug for chapter in findings(find_shelf(made.root), made.store).chapters]
    assert slugs == ["claim-bench-llama", "x-y-bench-llama", "x-y-bench-llama--2"]
    assert all(".." not in file.path for file in reported(formats=("csv",)).files)


@pytest.mark.parametrize("kind", ["tex", "md", "csv"])
def test_formats_are_made_apart(made: "Made", decide: Decide, reported: Reported, kind: str) -> None:
    decide(collapsing, "live")
    files = {Path(file.path).suffix for file in reported("live", formats=(kind,)).files}
    assert f".{kind}" in files
    assert not files & ({".tex", ".md", ".html"} - {f".{kind}"})
