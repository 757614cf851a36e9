"""The appendix table of a verdict, as LaTeX for booktabs.

Templates are files of the project (`paper/*.j2`) with delimiters that LaTeX does not use; they run in a sandbox, and
every value that goes in is escaped.
"""

import re
from pathlib import Path

from jinja2 import StrictUndefined
from jinja2.sandbox import SandboxedEnvironment

from harness.publish.card import integrity
from harness.publish.numbers import estimate, short
from harness.record.verdict import Verdict

SPECIAL = {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
} | {sign: f"\\{sign}" for sign in "&%$#_{}"}
_SPECIAL = re.compile("[" + re.escape("".join(SPECIAL)) + "]")


class Key(str):
    """A cross-reference key: letters, digits and `-_.:` stand in LaTeX as they are."""

    def __new__(cls, value: str) -> "Key":
        """Return the key with every other character left out."""
        return super().__new__(cls, re.sub(r"[^A-Za-z0-9_.:-]", "", value))


def escape(value: object) -> str:
    """Return a value as LaTeX text that prints exactly it."""
    if isinstance(value, Key):
        return value
    return _SPECIAL.sub(lambda match: SPECIAL[match.group()], " ".join(str(value).split()))


def verdict_table(verdict: Verdict, template: Path) -> str:
    """Return the table of one verdict."""
    environment = SandboxedEnvironment(
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
        finalize=escape,
        autoescape=False,
    )
    words = {"estimate": estimate, "short": short, "integrity": integrity(verdict), "key": Key}
    return environment.from_string(template.read_text(encoding="utf-8")).render(verdict=verdict, **words)
