"""Drawn figures as parts of the page: an SVG document made fit to stand in HTML beside others.

Names of its parts are made the figure's own, and what is no drawing (prolog, comments, metadata) is left out. The
page's policy forbids what a drawing has no need of: scripts, and anything from elsewhere.
"""

import re

from markupsafe import Markup, escape

from harness.publish.report.drawn import Drawn

_DRAWING = re.compile(r"<svg\b(?P<attributes>[^>]*)>(?P<inside>.*)</svg>", re.DOTALL)
_LEFT_OUT = re.compile(r"<!--.*?-->|<metadata\b.*?</metadata>|<title\b.*?</title>|<desc\b.*?</desc>", re.DOTALL)
_NAMED = re.compile(r'(?P<before>\bid="|\bhref="#|\burl\(#)(?P<name>[^")]+)')
_SIZED = re.compile(r'\s(?:width|height|role|aria-[a-z]+)="[^"]*"')


def inline(figure: Drawn, id: str) -> Markup:
    """Return the figure's drawing, named and described, with `id-` before the names of its parts.

    Raises:
        ValueError: the figure has no SVG document.
    """
    drawing = _DRAWING.search(_LEFT_OUT.sub("", figure.svg))
    if drawing is None:
        raise ValueError(f"figure {figure.name}: its drawing is no SVG document. Draw it as one.")
    attributes, inside = (_NAMED.sub(rf"\g<before>{id}-\g<name>", drawing[part]) for part in ("attributes", "inside"))
    named = Markup(
        '<svg role="img" aria-labelledby="{id}-title {id}-desc"{attributes}>'
        '<title id="{id}-title">{title}</title><desc id="{id}-desc">{alt}</desc>{inside}</svg>'
    )
    return named.format(
        id=id,
        attributes=Markup(_SIZED.sub("", attributes)),
        title=escape(figure.title),
        alt=escape(figure.alt),
        inside=Markup(inside.strip()),
    )
