"""Drawn figures as parts of the page: an SVG document made fit to stand in HTML beside others.

Names of its parts are made the figure's own, and what is no drawing (prolog, comments, metadata) is left out. The
page's policy forbids what a drawing has no need of: scripts, and anything from elsewhere.
"""

import re

from markupsafe import Markup

from harness.publish.report.drawn import Drawn

_DRAWING = re.compile(r"<svg\b(?P<attributes>[^>]*)>(?P<inside>.*)</svg>", re.DOTALL)
_LEFT_OUT = re.compile(r"<!--.*?-->|<metadata\b.*?</metadata>|<title\b.*?</title>|<desc\b.*?</desc>", re.DOTALL)
_MARKUP = re.compile(r"<style\b.*?</style>|<[^<>]*>", re.DOTALL)
_NAMED = re.compile(r'(?P<before>\bid="|\bhref="#|\burl\(#)(?P<name>[^")]+)')
_SIZED = re.compile(r'\s(?:width|height|role|aria-[a-z]+)="[^"]*"')
_WIDTH = re.compile(r'\swidth="(?P<points>[0-9.]+)pt"')
USUAL = 490.0
"""Width in points of a drawing that says none."""


def inline(figure: Drawn, id: str) -> Markup:
    """Return the figure's drawing, named and described, with `id-` before the names of its parts.

    Raises:
        ValueError: the figure has no SVG document.
    """
    svg = _LEFT_OUT.sub("", figure.svg)
    drawing = _DRAWING.search(_MARKUP.sub(lambda part: _NAMED.sub(rf"\g<before>{id}-\g<name>", part[0]), svg))
    if drawing is None:
        raise ValueError(f"figure {figure.name}: its drawing is no SVG document. Draw it as one.")
    width = _WIDTH.search(drawing["attributes"])
    named = Markup(
        '<div class="drawing" style="--size: {size}pt" role="group" aria-label="{title}" tabindex="0">'
        '<svg role="img" aria-labelledby="{id}-title {id}-desc"{attributes}>'
        '<title id="{id}-title">{title}</title><desc id="{id}-desc">{alt}</desc>{inside}</svg></div>'
    )
    return named.format(
        size=float(width["points"]) if width else USUAL,
        id=id,
        attributes=Markup(_SIZED.sub("", drawing["attributes"])),  # our own drawing, made of escaped texts
        title=figure.title,
        alt=figure.alt,
        inside=Markup(drawing["inside"].strip()),  # likewise
    )
