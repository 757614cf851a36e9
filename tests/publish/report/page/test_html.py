import base64
import hashlib
import json
import re
from collections.abc import Sequence
from html.parser import HTMLParser
from itertools import pairwise
from typing import TYPE_CHECKING

import pytest

from harness.campaign.beside import Beside
from harness.campaign.findings import Chapter, Findings
from harness.publish.report.drawn import Drawn
from harness.publish.report.html import page
from harness.publish.report.table import Table
from harness.record.verdict import JudgedRun, Outcome, RunLabel, Verdict
from harness.store import query, refresh

if TYPE_CHECKING:
    from tests.conftest import Made

EVIL = (
    "_ % & # $ { } ~ ^ \\ < > \" ' </script><script>alert(1)</script> <!-- {{ 7 * 7 }} {% raw %} "
    "\u2028 \u03c3\u2081 \u00e9"
)


class Parsed(HTMLParser):
    """The elements of a page, in order, with their attributes and texts."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str]]] = []
        self.texts: list[str] = []
        self.scripts: list[str] = []
        self.within: str = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, {name: value or "" for name, value in attrs}))
        self.within = tag
        if tag == "script":
            self.scripts.append("")

    def handle_data(self, data: str) -> None:
        if self.within == "script" and data.strip():
            self.scripts[-1] += data
        elif self.within != "style":
            self.texts.append(data)

    def handle_endtag(self, tag: str) -> None:
        self.within = ""

    def all(self, attribute: str) -> list[str]:
        """Return every value of an attribute."""
        return [attributes[attribute] for _, attributes in self.elements if attribute in attributes]

    @property
    def text(self) -> str:
        """All texts, with single spaces."""
        return " ".join(" ".join(self.texts).split())

    @property
    def runs(self) -> dict[str, list[object]]:
        """What is embedded of runs."""
        return json.loads(self.scripts[1])


def alone(made: "Made", *verdicts: Verdict) -> Findings:
    """Return findings of verdicts without a declaration, over an index without any of their runs."""
    refresh(made.store, [])
    chapters = [
        Chapter(f"v{i}", said, None, None, Beside(), f"{said.hypothesis}-{i}") for i, said in enumerate(verdicts)
    ]
    return Findings(made.store, tuple(chapters), ())


def test_the_page_says_what_came_out_and_what_it_rests_on(text: str) -> None:
    parsed = Parsed(text)
    said = parsed.text
    assert "12 runs on 1 base" in said and "1, resting on 12 runs" in said
    assert "OPEN inconclusive" in said and "Low ranks live" in said
    assert "Runs live at both ranks." in said and "P(collapsed) r=16" in said
    assert "base .40 on 500 held-out problems" in said
    assert "grpo-lora-r16 .00 (6 collapsed" in said
    assert "0 of 12 runs without a result" in said
    assert "What was drawn." in said and "nothing declared" in said


def test_ids_are_unique_and_what_refers_to_them_finds_them(text: str) -> None:
    parsed = Parsed(text)
    ids = parsed.all("id")
    assert len(ids) == len(set(ids))
    labels = {name for value in parsed.all("aria-labelledby") for name in value.split()}
    inside = {link.removeprefix("#") for link in parsed.all("href") if link.startswith("#") and "/" not in link}
    assert labels | inside <= set(ids)
    opened = {link.removeprefix("#run/") for link in parsed.all("href") if link.startswith("#run/")}
    assert len(opened) == 12 and opened == set(parsed.runs["id"])


def test_headings_go_down_by_one_at_most(text: str) -> None:
    levels = [int(tag[1]) for tag, _ in Parsed(text).elements if re.fullmatch("h[1-6]", tag)]
    assert levels[0] == 1 and levels.count(1) == 1
    assert all(below - above <= 1 for above, below in pairwise(levels))


def test_equal_findings_give_equal_bytes(
    found: Findings, shown_tables: Sequence[Table], figures: Sequence[Drawn], text: str
) -> None:
    assert page(found, shown_tables, figures) == text


def test_nothing_is_fetched_and_the_policy_says_so(text: str) -> None:
    parsed = Parsed(text)
    assert {link for link in parsed.all("href") if not link.startswith("#")} == {"data:,"}
    assert not parsed.all("src") and not parsed.all("srcset") and not parsed.all("xlink:href")
    style = text.split("<style>")[1].split("</style>")[0]
    assert "url(" not in style and "@import" not in style
    assert not re.search(r"fetch\(|XMLHttpRequest|WebSocket|import\(|sendBeacon|eval\(", parsed.scripts[0])
    (policy,) = (a["content"] for _, a in parsed.elements if a.get("http-equiv") == "Content-Security-Policy")
    script = text.split("<script>")[1].split("</script>")[0]
    held = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert policy.startswith(f"default-src 'none'; script-src 'sha256-{held}';")
    assert not [name for _, attributes in parsed.elements for name in attributes if name.startswith("on")]


def test_what_strangers_write_stays_text(made: "Made", verdict: Verdict, figures: Sequence[Drawn]) -> None:
    (prediction,) = verdict.predictions
    estimate = prediction.estimates[0].model_copy(update={"name": EVIL})
    written = {"statement": EVIL, "detail": EVIL, "id": EVIL, "needs": EVIL, "estimates": (estimate,)}
    run = JudgedRun(run_id=EVIL, base=EVIL, cell=EVIL, seed=0, accuracy=0.5, label=RunLabel.TRAINED)
    named = dict.fromkeys(("hypothesis", "title", "claim", "base", "protocol", "reading"), EVIL)
    evil = verdict.model_copy(
        update={
            **named,
            "predictions": (prediction.model_copy(update=written),),
            "runs": (run,),
            "not_shown": (EVIL,),
            "software": {EVIL: EVIL},
        }
    )
    drawn = [Drawn(EVIL, "v0", EVIL, EVIL, EVIL, EVIL, (), (), figures[0].svg, b"")]
    text = page(alone(made, evil), (), drawn)
    parsed = Parsed(text)
    assert [tag for tag, _ in parsed.elements].count("script") == 2
    assert "alert(1)" not in parsed.scripts[0]
    plain = " ".join(EVIL.split())
    assert parsed.text.count(plain) >= 15
    (judged,) = parsed.runs["verdicts"]
    assert isinstance(judged, dict)
    assert judged["title"] == EVIL and judged["runs"] == [[EVIL, EVIL, 0, "trained", 0.5, EVIL]]
    assert text.count("<script") == text.count("</script>") == 2
    assert "\u2028" not in text.split('id="runs">')[1]


def test_without_verdicts_nothing_is_invented(made: "Made") -> None:
    text = page(Findings(alone(made).store, (), ("one-claim", "another")), (), ())
    parsed = Parsed(text)
    assert "none yet" in parsed.text and "0 runs on 0 bases" in parsed.text
    assert "one-claim, another" in parsed.text
    assert not {"article", "table", "nav", "figure"} & {tag for tag, _ in parsed.elements}
    assert not re.search("PASS|FAIL|OPEN|supported|nan|None", parsed.text)
    assert parsed.runs["id"] == [] and parsed.runs["verdicts"] == []


def test_a_verdict_without_runs_is_open_and_says_so(made: "Made", verdict: Verdict) -> None:
    (prediction,) = verdict.predictions
    bare = prediction.model_copy(update={"outcome": Outcome.UNTESTED, "estimates": (), "cells": ()})
    untested = verdict.model_copy(
        update={
            "outcome": Outcome.UNTESTED,
            "predictions": (bare,),
            "cells": (),
            "used_runs": 0,
            "base_accuracy": None,
            "collapsed_below": None,
            "trained_above": None,
            "n_items": None,
        }
    )
    parsed = Parsed(page(alone(made, untested), (), ()))
    assert "OPEN untested" in parsed.text and "PASS supported" not in parsed.text
    assert "table" not in {tag for tag, _ in parsed.elements}
    assert "None" not in parsed.text and "n/a" not in parsed.text


def test_runs_that_are_not_in_the_index_do_not_open(made: "Made", verdict: Verdict) -> None:
    run = JudgedRun(run_id="row 1", base="table", cell="c", seed=3, accuracy=0.25, label=RunLabel.DEGRADED)
    parsed = Parsed(page(alone(made, verdict.model_copy(update={"runs": (run,)})), (), ()))
    assert "row 1" in parsed.text and parsed.runs["id"] == []
    assert not [link for link in parsed.all("href") if link.startswith("#run/")]


def test_two_verdicts_of_one_name_have_places_of_their_own(made: "Made", verdict: Verdict) -> None:
    parsed = Parsed(page(alone(made, verdict, verdict), (), ()))
    cards = [attributes["id"] for tag, attributes in parsed.elements if tag == "article"]
    assert cards == ["claim-0", "claim-1"]  # what files call them, each once


def test_every_cell_knows_its_query(found: Findings, shown_tables: Sequence[Table], text: str) -> None:
    parsed = Parsed(text)
    table = next(each for each in shown_tables if each.declared.name == "cells")
    reads, wheres = parsed.all("data-read"), parsed.all("data-where")
    for row in range(len(table.values)):
        for column in table.declared.head.columns:
            asked = table.query_of(row, column)
            assert any(asked.startswith(f"SELECT {read} FROM (") for read in reads)
            assert any(asked.endswith(f") WHERE {where}") for where in wheres)
    judged = 'SELECT "accuracy" FROM (SELECT run_id, cell, seed, label, accuracy FROM judged WHERE verdict_id = '
    run = found.chapters[0].verdict.runs[0]
    where = f"""\"run_id" IS NOT DISTINCT FROM '{run.run_id}'"""
    assert where in wheres
    asked = f"{judged}'{found.chapters[0].verdict_id}' ORDER BY position) WHERE {where}"
    assert query(found.store, asked)[1] == [(run.accuracy,)]


def test_cells_are_sorted_by_what_was_not_rounded(made: "Made", verdict: Verdict) -> None:
    run = JudgedRun(run_id="r", base="b", cell="c", seed=3, accuracy=1 / 3, label=RunLabel.DEGRADED)
    parsed = Parsed(page(alone(made, verdict.model_copy(update={"runs": (run,)})), (), ()))
    assert ".333" in parsed.text and repr(1 / 3) in parsed.all("data-value")


def test_rows_about_a_verdict_lead_to_it_and_name_its_heading(text: str) -> None:
    parsed = Parsed(text)
    of_all = text.split('id="table-verdicts"')[1].split("</table>")[0]
    assert '<a href="#live-bench-llama">live</a>' in of_all and "<b>OPEN</b> inconclusive" in of_all
    assert "live-bench-llama" in parsed.all("id")


def test_figures_keep_their_parts_apart_and_bring_nothing_along(text: str) -> None:
    parsed = Parsed(text)
    ids = parsed.all("id")
    assert "g1-p1" in ids and "g2-p1" in ids
    assert 'clip-path="url(#g1-p1)"' in text and 'href="#g1-p1"' in text
    assert "example.org" not in text and "<!-- r=8" not in text and "<?xml" not in text
    assert "A line." in parsed.text
    assert parsed.all("style").count("--size: 300.0pt") == 2 and 'width="300pt"' not in text
    assert '#p1 and id="x"' in parsed.text


def test_a_figure_without_a_drawing_is_refused_by_name(made: "Made") -> None:
    with pytest.raises(ValueError, match="figure dose: its drawing is no SVG document"):
        page(alone(made), (), [Drawn("dose", "", "t", "c", "a", "SELECT 1", (), (), "<p>no</p>", b"")])
