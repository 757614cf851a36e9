"""All files of a report, made in memory: LaTeX, Markdown, HTML, CSV, and where every printed number comes from."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal, get_args

from pydantic import BaseModel, ConfigDict, ValidationError

from harness.campaign.findings import Chapter, Findings
from harness.publish.card import card
from harness.publish.report.appendix import appendix
from harness.publish.report.contents import report_tables
from harness.publish.report.drawn import Drawn
from harness.publish.report.emitted import Emitted, Lines
from harness.publish.report.figures import figures as figures_of
from harness.publish.report.html import page
from harness.publish.report.latex import latex_table
from harness.publish.report.markdown import escaped, markdown_table
from harness.publish.report.table import Table
from harness.publish.report.values import csv_file, csv_table
from harness.record.atomic import IntegrityError, read_json
from harness.spec.shelf import Shelf

Format = Literal["tex", "md", "html", "csv"]
FORMATS: tuple[Format, ...] = get_args(Format)
PROVENANCE = "cells.json"
"""The file that says of every printed cell what it was written from."""


@dataclass(frozen=True, slots=True)
class Report:
    """A report before it is written."""

    tables: tuple[Table, ...]
    files: tuple[Emitted, ...]


@dataclass(frozen=True, slots=True)
class Asked:
    """What a report was asked to hold; it stands in the report, so that a check makes the same again."""

    names: tuple[str, ...] = ()
    protocol: str | None = None
    formats: tuple[Format, ...] = FORMATS


def report(findings: Findings, shelf: Shelf, asked: Asked) -> Report:
    """Return the report; raise DeclarationError for a table that cannot be made."""
    formats = asked.formats
    tables = report_tables(findings, shelf)
    figures, names = figures_of(findings), _Names()
    files: list[Emitted] = []
    if "tex" in formats:
        files += [latex_table(table, names.of(table, "tex")) for table in tables]
        files += [Emitted(names.figure(figure, "pdf"), figure.pdf) for figure in figures]
        paper = shelf.path("paper", "appendix")
        text = appendix(findings, tables, figures, names.included, paper)
        files.append(Emitted("appendix.tex", text))
    if "md" in formats:
        files.append(_markdown(findings, tables, figures, names))
    if "csv" in formats:
        files += [csv_table(table, names.of(table, "csv")) for table in tables]
        files += [csv_file(figure.columns, figure.rows, names.figure(figure, "csv")) for figure in figures]
    if "md" in formats:
        files += [Emitted(names.figure(figure, "svg"), figure.svg) for figure in figures]
    if "html" in formats:
        files.append(Emitted("report.html", page(findings, tables, figures)))
    files.append(Emitted(PROVENANCE, _provenance(tables, figures, asked, [file.path for file in files])))
    return Report(tuple(tables), tuple(files))


def asked_of(folder: Path) -> Asked | None:
    """Return what the report in a folder was asked to hold, or None where there is no report."""
    said = _kept(folder)
    if said is None:
        return None
    of = said["asked"]
    return Asked(tuple(of["names"]), of["protocol"], tuple(of["formats"]))


def files_of(folder: Path) -> list[str]:
    """Return the files of the report in a folder; none where there is no report."""
    return [*said["files"], PROVENANCE] if (said := _kept(folder)) else []


def drawn_elsewhere(folder: Path) -> str:
    """Return what drew the pictures of the report in a folder, where that is not what draws here; empty where it is."""
    said = _kept(folder) or {}
    drew = str(said.get("drawn_with", ""))
    return "" if drew == f"matplotlib {version('matplotlib')}" else drew


def _kept(folder: Path) -> dict[str, Any] | None:
    """Return what the report in a folder says of itself; raise IntegrityError where that is not what was written."""
    said = read_json(folder / PROVENANCE)
    if said is None:
        return None
    try:
        return _Kept.model_validate_json(json.dumps(said)).model_dump()
    except ValidationError:
        rule = "is not what `harness report` writes. Write the report anew, into an empty folder."
        raise IntegrityError(f"{folder / PROVENANCE}: {rule}") from None


class _Kept(BaseModel):
    """What a report says of itself."""

    model_config = ConfigDict(strict=True)
    asked: Asked
    files: list[str]
    drawn_with: str


class _Names:
    """Where tables and figures lie in the report's folder."""

    def of(self, table: Table, ending: str) -> str:
        """Return the path of a table."""
        return f"tables/{table.name}.{ending}"

    def figure(self, figure: Drawn, ending: str) -> str:
        """Return the path of a figure."""
        return f"figures/{figure.name}.{ending}"

    def included(self, part: Table | Drawn) -> str:
        """Return the path of a table or figure as a document includes it."""
        return self.of(part, "tex") if isinstance(part, Table) else self.figure(part, "pdf")


def _markdown(findings: Findings, tables: Sequence[Table], figures: Sequence[Drawn], names: _Names) -> Emitted:
    lines = Lines()
    lines.say("# Verdicts", "")
    if not findings.chapters:
        lines.say("No verdict is stored.", "")
    if findings.undecided:
        lines.say(f"Without a verdict: {', '.join(map(escaped, findings.undecided))}.", "")
    of_all = [table for table in tables if not table.verdict]
    for table in of_all[:1]:
        markdown_table(lines, table, "##")
    for chapter in findings.chapters:
        _chapter(lines, chapter, tables, figures, names)
    for table in of_all[1:]:
        markdown_table(lines, table, "##")
    return lines.emitted("report.md", " | ")


def _chapter(lines: Lines, chapter: Chapter, tables: Sequence[Table], figures: Sequence[Drawn], names: _Names) -> None:
    lines.say(f"## {escaped(chapter.verdict.title)}", "")
    lines.say(*(f"    {line}".rstrip() for line in card(chapter.verdict, chapter.beside).splitlines()), "")
    for table in tables:
        if table.verdict == chapter.verdict_id:
            markdown_table(lines, table, "###")
    for figure in figures:
        if figure.verdict_id == chapter.verdict_id:
            lines.say(f"![{escaped(figure.alt)}]({names.figure(figure, 'svg')})", "", escaped(figure.caption), "")


def _provenance(tables: Sequence[Table], figures: Sequence[Drawn], asked: Asked, files: Sequence[str]) -> str:
    """Return, by table, the SELECT, the columns that each printed one is written from, and every row by its key."""
    said = {
        "asked": asdict(asked),
        "drawn_with": f"matplotlib {version('matplotlib')}",
        "files": list(files),
        "tables": {
            table.name: {
                "select": table.sql,
                "columns": {name: list(column.of or (name,)) for name, column in table.declared.head.columns.items()},
                "rows": [
                    {"key": table.key(i), "cells": dict(zip(table.declared.head.columns, row, strict=True))}
                    for i, row in enumerate(table.texts)
                ],
            }
            for table in tables
        },
        "figures": {figure.name: {"select": figure.sql, "columns": figure.columns} for figure in figures},
    }
    return json.dumps(said, indent=1, ensure_ascii=False, default=str) + "\n"
