"""Tables as Markdown, in the pipe form that GitHub, Pandoc and MkDocs read."""

import re

from harness.publish.report.emitted import Lines
from harness.publish.report.latex import RIGHT
from harness.publish.report.table import Table

SPECIAL = re.compile(r"([\\`*_{}\[\]<>#|~$&])")


def escaped(text: str) -> str:
    """Return text as Markdown that shows exactly it, on one line."""
    return SPECIAL.sub(r"\\\1", " ".join(text.split()))


def markdown_table(lines: Lines, table: Table, heading: str) -> None:
    """Add a table below its heading, with its caption above and its notes below."""
    lines.say(f"{heading} {escaped(table.declared.head.title)}", "", escaped(table.caption), "")
    lines.say(f"| {' | '.join(escaped(column.head) for column in table.columns)} |")
    lines.say(f"|{'|'.join('--:' if column.written in RIGHT else '---' for column in table.columns)}|")
    for i, row in enumerate(table.texts):
        lines.print_row(f"| {' | '.join(map(escaped, row))} |", table, i)
    for note in table.declared.head.notes:
        lines.say("", escaped(note))
    lines.say("")
