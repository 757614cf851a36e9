"""Text as LaTeX that prints exactly it, with any engine and no package beyond T1 fonts.

Letters and signs that stock fonts lack (other scripts, pictures) are printed as their code point, `[U+4E2D]`, so that
every text compiles and nothing disappears.
"""

import re
from functools import lru_cache
from typing import Any

from pylatexenc.latexencode import (  # pyright: ignore[reportMissingTypeStubs] - it ships none
    RULE_DICT,
    UnicodeToLatexConversionRule,
    UnicodeToLatexEncoder,
)

OWN = {
    ord('"'): r"{\textquotedbl}",
    ord("|"): r"{\textbar}",
    ord("`"): r"{\textasciigrave}",
    ord("'"): r"{\textquotesingle}",
    0x2016: r"\ensuremath{\Vert}",
}
"""Signs that the library leaves to the font's encoding or to ligatures."""
FOREIGN = re.compile(r"\{\\cyr[A-Za-z]*\}")
"""Commands of encodings that a stock preamble does not load."""


class Key(str):
    """A cross-reference key: letters, digits and `-_.:` stand in LaTeX as they are."""

    def __new__(cls, value: str) -> "Key":
        """Return the key with every other character left out."""
        return super().__new__(cls, re.sub(r"[^A-Za-z0-9_.:-]", "", value))


def escape(value: object) -> str:
    """Return a value as LaTeX text that prints exactly it, on one line."""
    if isinstance(value, Key):
        return value
    return "".join(map(_sign, " ".join(str(value).split()))).replace("--", "-{}-").replace(",,", ",{},")


def code(value: str) -> str:
    """Return an id in fixed width, which may break after its hyphens, dots, slashes and underscores."""
    broken = re.sub(r"(\\_|[-/.@,])", r"\1\\allowbreak{}", escape(value).replace("-{}-", "--"))
    return rf"\texttt{{{broken}}}" if value else ""


@lru_cache(maxsize=1)
def _encoder() -> Any:
    return UnicodeToLatexEncoder(
        conversion_rules=[UnicodeToLatexConversionRule(RULE_DICT, OWN), "defaults"],
        unknown_char_policy=_code_point,
        unknown_char_warning=False,
    )


@lru_cache(maxsize=4096)
def _sign(sign: str) -> str:
    encoded = str(_encoder().unicode_to_latex(sign))
    return _code_point(sign) if FOREIGN.fullmatch(encoded) or not sign.isprintable() else encoded


def _code_point(sign: str) -> str:
    return rf"[U+{ord(sign):04X}]\allowbreak{{}}"
