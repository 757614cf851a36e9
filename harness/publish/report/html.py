"""The report as one HTML page that stands alone: verdicts, their tables and figures, and every run on demand.

The page fetches nothing, which its own content security policy enforces: one style sheet, one script that is allowed
by its hash, and the runs as JSON. Without scripts all reads but what a run opens to. Equal findings give equal bytes:
no moment, no machine and no random name goes in. Every value is escaped; none of it is taken for markup.
"""

import base64
import hashlib
import json
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from importlib import resources
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from harness.campaign.findings import Chapter, Findings
from harness.publish.card import HEADING, cells, integrity, landmarks, reported, terms, tuned
from harness.publish.numbers import estimate
from harness.publish.report.drawn import Drawn
from harness.publish.report.html_figures import inline
from harness.publish.report.html_runs import run_details
from harness.publish.report.html_tables import Leads, ShownTable, runs_table, shown_table, taken
from harness.publish.report.intervals import WIDTH, intervals
from harness.publish.report.table import Table
from harness.publish.report.written import MINUS
from harness.record.verdict import Estimate, Outcome, Verdict
from harness.store import query

SCRIPTS = ("theme.js", "tables.js", "charts.js", "runs.js", "reading.js")
"""Parts of the script, in the order in which they run."""
POLICY = (
    "default-src 'none'; script-src 'sha256-{}'; style-src 'unsafe-inline'; img-src data:; "
    "base-uri 'none'; form-action 'none'"
)
"""Styles stand in attributes of drawings, where no hash reaches them."""
MARKS = {"supported": "✓", "refuted": "✕", "suggestive for": "✓", "suggestive against": "✕"}
"""Signs of outcomes beside their words; all others have the open one."""
OPEN = "○"


@dataclass(frozen=True, slots=True)
class Section:
    """A verdict's part of the page."""

    anchor: str
    whose: str
    """The verdict, in words that no other has."""
    chapter: Chapter
    tables: tuple[ShownTable, ...] = ()
    figures: tuple[tuple[Drawn, Markup], ...] = ()
    runs: ShownTable | None = None

    @property
    def verdict(self) -> Verdict:
        """The verdict."""
        return self.chapter.verdict


def page(findings: Findings, tables: Sequence[Table], figures: Sequence[Drawn]) -> str:
    """Return the page.

    Raises:
        FileNotFoundError: the store has no index.
        ValueError: a figure has no SVG document.
    """
    ids = sorted({run.run_id for chapter in findings.chapters for run in chapter.verdict.runs})
    details = run_details(findings.store, ids)
    sections = _sections(findings.chapters, tables, figures, frozenset(details["id"]))
    script = "\n".join(_file(name) for name in SCRIPTS)
    return (
        _environment()
        .get_template("page.html.j2")
        .render(
            policy=POLICY.format(base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()),
            style=Markup(_file("page.css")),
            script=Markup(script),
            findings=findings,
            about=_about(findings, len(ids)),
            sections=sections,
            tables=_shown([table for table in tables if not table.verdict], "table", "", _leads(sections)),
            figures=_inlined(figures, ""),
            runs=_embedded({**details, "verdicts": _judged(sections)}),
        )
    )


def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("harness.publish.report", "page"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    words: dict[str, Any] = {
        "cells": cells,
        "estimate": _estimate,
        "heading": _heading,
        "integrity": integrity,
        "intervals": intervals,
        "landmarks": landmarks,
        "mark": _mark,
        "terms": terms,
        "width": WIDTH,
    }
    environment.globals.update(words)
    environment.filters |= {"tuned": tuned, "reported": reported, "sentence": _sentence}
    return environment


def _file(name: str) -> str:
    return resources.files("harness.publish.report").joinpath("page", name).read_text(encoding="utf-8")


def _estimate(said: Estimate) -> str:
    """Return an estimate with typographic signs."""
    text = re.sub(r"-(?=[\d.]|inf\b)", MINUS, estimate(said))
    return re.sub(r"\binf\b", "∞", text)


def _heading(outcome: str) -> str:
    return next((word for said, word in HEADING.items() if said == outcome), "OPEN")


def _mark(outcome: str) -> str:
    return MARKS.get(outcome, OPEN)


def _sentence(text: str) -> str:
    """Return a clause as a sentence."""
    return f"{text[:1].upper()}{text[1:]}" + ("" if text.endswith((".", "!", "?")) else ".")


def _sections(
    chapters: Sequence[Chapter], tables: Sequence[Table], figures: Sequence[Drawn], opening: frozenset[str]
) -> list[Section]:
    anchors = taken([chapter.slug for chapter in chapters])
    bare = [Section(anchor, _whose(chapter), chapter) for anchor, chapter in zip(anchors, chapters, strict=True)]
    leads = _leads(bare)
    return [_section(each, tables, figures, opening, leads) for each in bare]


def _section(
    bare: Section, tables: Sequence[Table], figures: Sequence[Drawn], opening: frozenset[str], leads: Leads
) -> Section:
    key, anchor, whose = bare.chapter.verdict_id, bare.anchor, bare.whose
    runs = runs_table(bare.verdict, key, f"runs-{anchor}", whose, opening.__contains__) if bare.verdict.runs else None
    return replace(
        bare,
        tables=_shown([table for table in tables if table.verdict == key], f"table-{anchor}", whose, leads),
        figures=_inlined(figures, key),
        runs=runs,
    )


def _shown(tables: Sequence[Table], prefix: str, whose: str, leads: Leads) -> tuple[ShownTable, ...]:
    names = taken([table.declared.name for table in tables])
    return tuple(
        shown_table(table, f"{prefix}-{name}", whose, leads) for table, name in zip(tables, names, strict=True)
    )


def _inlined(figures: Sequence[Drawn], verdict_id: str) -> tuple[tuple[Drawn, Markup], ...]:
    """Return the figures of a verdict; the names of their parts begin with their number, as there are very many."""
    return tuple((each, inline(each, f"g{i}")) for i, each in enumerate(figures, 1) if each.verdict_id == verdict_id)


def _whose(chapter: Chapter) -> str:
    said = chapter.verdict
    explored = ", explored" if said.registered.explored else ""
    return f"{said.hypothesis} on {said.base}, protocol {said.protocol}{explored}"


def _leads(sections: Sequence[Section]) -> Leads:
    """Return what leads a row about a verdict to its section: by its label too, where the row has one."""

    def leads(row: Mapping[str, Any]) -> str:
        about = (row["hypothesis"], row["base"], row["protocol"])
        there = [s for s in sections if (s.verdict.hypothesis, s.verdict.base, s.verdict.protocol) == about]
        if len(there) > 1 and "label" in row:
            there = [s for s in there if s.verdict.registered.confirmatory == (row["label"] == "confirmatory")]
        return f"#{there[0].anchor}" if len(there) == 1 else ""

    return leads


def _about(findings: Findings, n_judged: int) -> dict[str, Any]:
    """Return what the report is of."""
    verdicts = [chapter.verdict for chapter in findings.chapters]
    counted = Counter(_heading(said.outcome) for said in verdicts)
    versions: dict[str, set[str]] = {}
    for said in verdicts:
        for name, version in said.software.items():
            versions.setdefault(name, set()).add(version)
    (kept,) = query(findings.store, "SELECT (SELECT count(*) FROM run), (SELECT count(*) FROM base)")[1]
    first = {"PASS": Outcome.SUPPORTED, "FAIL": Outcome.REFUTED, "OPEN": Outcome.INCONCLUSIVE}
    return {
        "store": findings.store.root.name,
        "protocols": sorted({said.protocol for said in verdicts}),
        "verdicts": [(word, outcome, counted[word]) for word, outcome in first.items() if counted[word]],
        "judged": n_judged,
        "runs": kept[0],
        "bases": kept[1],
        "software": [(name, sorted(versions[name])) for name in sorted(versions)],
    }


def _judged(sections: Sequence[Section]) -> list[dict[str, Any]]:
    """Return the verdicts with the runs that count for each, for the page's script."""
    return [
        {
            "anchor": section.anchor,
            "whose": section.whose,
            "title": section.verdict.title,
            "outcome": f"{_heading(section.verdict.outcome)} {section.verdict.outcome}",
            "collapsed_below": section.verdict.collapsed_below,
            "trained_above": section.verdict.trained_above,
            "runs": [
                [run.run_id, run.cell, run.seed, str(run.label), run.accuracy, run.base] for run in section.verdict.runs
            ],
        }
        for section in sections
    ]


def _embedded(value: Any) -> Markup:
    """Return JSON that may stand inside a script element."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    for sign in "<>&\u2028\u2029":
        text = text.replace(sign, f"\\u{ord(sign):04x}")
    return Markup(text)
