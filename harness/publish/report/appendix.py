"""The appendix: a LaTeX document of methods, tables, figures and cards, from the project's template.

Templates are files of the project (`paper/*.j2`) with delimiters that LaTeX does not use; they run in a sandbox, and
every value that goes in is escaped.
"""

from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from jinja2 import StrictUndefined, TemplateError
from jinja2.sandbox import ImmutableSandboxedEnvironment

from harness.campaign.findings import Chapter, Findings
from harness.publish.card import HEADING, card
from harness.publish.report.drawn import Drawn
from harness.publish.report.latex_text import Key, code, escape
from harness.publish.report.methods import methods
from harness.publish.report.table import Table
from harness.spec import DeclarationError

BEFORE = 10
"""Tables of the whole report of a lower order come before the verdicts, all others after them."""
CARD = 96
"""Columns of a card that stand on one line in small type."""


class _Latex(str):
    """Text that is LaTeX already."""


def appendix(
    findings: Findings,
    tables: Sequence[Table],
    figures: Sequence[Drawn],
    paths: Callable[[Table | Drawn], str],
    template: Path,
) -> str:
    """Return the document; `paths` says where a table or figure lies beside it.

    The template is given texts and lists of texts, nothing that has methods of ours.

    Raises:
        DeclarationError: the template has a mistake, or wants what it may not have.
    """
    environment = ImmutableSandboxedEnvironment(
        block_start_string="<%",
        block_end_string="%>",
        variable_start_string="<<",
        variable_end_string=">>",
        comment_start_string="<#",
        comment_end_string="#>",
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        undefined=StrictUndefined,
        finalize=_finalize,
        autoescape=False,
    )
    of_all = [table for table in tables if not table.verdict]
    given: dict[str, Any] = {
        "runs": bool(tables),
        "undecided": list(findings.undecided),
        "chapters": [_chapter(chapter, tables, figures, paths) for chapter in findings.chapters],
        "first": [_Latex(paths(table)) for table in of_all if table.declared.head.order < BEFORE],
        "rest": [_Latex(paths(table)) for table in of_all if table.declared.head.order >= BEFORE],
        "overview": [_picture(figure, paths) for figure in figures if not figure.verdict_id],
    }
    try:
        return environment.from_string(template.read_text(encoding="utf-8")).render(given)
    except (TemplateError, TypeError, ValueError, ArithmeticError, LookupError) as error:
        line = getattr(error, "lineno", None) or 1
        said = " ".join(str(error).split()).rstrip(".")
        raise DeclarationError([f"paper/{template.name}:{line} template: {said}. Mend it."]) from None


def _chapter(
    chapter: Chapter, tables: Sequence[Table], figures: Sequence[Drawn], paths: Callable[[Table | Drawn], str]
) -> dict[str, Any]:
    said, told = chapter.verdict, methods(chapter)
    label = "confirmatory" if said.registered.confirmatory else "exploratory"
    return {
        "title": said.title,
        "key": Key(f"sec:{chapter.slug}"),
        "heading": f"{HEADING.get(said.outcome, 'OPEN')}: {said.outcome} ({label}; {said.protocol}, {said.base})",
        "claim": told.claim,
        "methods": list(told.paragraphs),
        "predictions": [{**asdict(each), "id": _Latex(code(each.id))} for each in told.predictions],
        "reading": said.reading,
        "stands": chapter.beside.stands if chapter.beside.stands not in said.reading else "",
        "tables": [_Latex(paths(table)) for table in tables if table.verdict == chapter.verdict_id],
        "figures": [_picture(figure, paths) for figure in figures if figure.verdict_id == chapter.verdict_id],
        "card": [_verbatim(line) for line in card(said, chapter.beside, CARD).splitlines()],
    }


def _picture(figure: Drawn, paths: Callable[[Table | Drawn], str]) -> _Latex:
    return _Latex(
        f"\\begin{{figure}}\n  \\centering\n  \\drawing{{{paths(figure)}}}\n"
        f"  \\caption{{{escape(figure.caption)}}}\n  \\label{{{Key('fig:' + figure.name)}}}\n\\end{{figure}}"
    )


def _finalize(value: object) -> str:
    return value if isinstance(value, _Latex) else escape(value)


def _verbatim(line: str) -> _Latex:
    """Return a line in fixed width with its spaces; an empty one keeps its height."""
    indent = len(line) - len(line.lstrip())
    words = line.strip().split(" ")
    return _Latex("~" * indent + "~".join(escape(word) for word in words) if line.strip() else r"\mbox{}")
