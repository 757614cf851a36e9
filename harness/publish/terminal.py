"""Whether what was printed may be drawn over: on a terminal that understands how, and nowhere else.

`FORCE_COLOR` makes no terminal of a file. Colours are another question, which `NO_COLOR` answers.
"""

import os
from typing import TextIO

UNABLE = ("dumb", "unknown")
"""Values of TERM that promise nothing but letters."""


def drawn_over(stream: TextIO) -> bool:
    """Return whether escape codes may be written to `stream`."""
    return stream.isatty() and os.environ.get("TERM", "").lower() not in UNABLE


def coloured(stream: TextIO) -> bool:
    """Return whether colours may be written to `stream`; `NO_COLOR` with any text forbids them."""
    return drawn_over(stream) and not os.environ.get("NO_COLOR")


def printable(text: str) -> str:
    """Return text with every sign that a terminal would obey, or that hides what stands there, as its code.

    Names and messages of records may come from elsewhere. Line ends and tabs stay.
    """
    if text.isascii() and text.replace("\n", "").replace("\t", "").isprintable():
        return text
    return "".join(c if c.isprintable() or c in "\n\t" else ascii(c)[1:-1] for c in text)
