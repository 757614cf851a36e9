"""An SVG that may stand in a page beside others: names of its own, the page's ink, no outside definition.

It is also made small: two decimals of a point, a class for every look that comes more than once, and no names for
groups.
"""

import hashlib
import re
from collections import Counter
from xml.sax.saxutils import quoteattr

HEAD = re.compile(r"^.*?(?=<svg )", re.DOTALL)
SHEET = re.compile(r"<defs>\s*<style.*?</style>\s*</defs>", re.DOTALL)
"""What would be the style of all else on a page too."""
JOINS = "stroke-linejoin: round; stroke-linecap: butt"
TAG = re.compile(r"<[^>]+>")
LONG = re.compile(r"(?<=\d)(\.\d\d)\d+")
LINES = re.compile(r"L ((?:-?[\d.]+ -?[\d.]+ L )+)")
LEVEL_TEXT = re.compile(r' transform="rotate\(-?0 [^"]*\)"')
LOOK = re.compile(r'style="([^"]*)"')
GROUP = re.compile(r'^<g id="[^"]*"')
NAMED = re.compile(r'( id="|url\(#|href="#)')


def freestanding(svg: str, name: str, alt: str, ink: str) -> str:
    """Return an SVG as matplotlib writes it, fit to stand in a page.

    Args:
        svg: The document.
        name: What tells the figure from all others of the page.
        alt: What is seen, in words, on one line.
        ink: The colour that becomes the colour of the text around the figure.
    """
    own = f"f{hashlib.sha256(name.encode()).hexdigest()[:5]}"
    whole = SHEET.sub("", HEAD.sub("", svg, count=1), count=1)
    looks = Counter(found for text in TAG.findall(whole) for found in LOOK.findall(text))
    classes = {look: f"{own}-{i}" for i, look in enumerate(look for look, times in looks.items() if times > 1)}

    def tag(found: re.Match[str]) -> str:
        said = LEVEL_TEXT.sub("", LONG.sub(r"\1", " ".join(found[0].split())))
        said = LINES.sub(lambda run: f"L {run[1].replace('L ', '')}", said)
        return NAMED.sub(rf"\1{own}-", GROUP.sub("<g", said))

    def look(found: re.Match[str]) -> str:
        return f'class="{classes[found[1]]}"' if found[1] in classes else found[0]

    whole = TAG.sub(tag, TAG.sub(lambda found: LOOK.sub(look, found[0]), whole))
    whole = re.sub(r"\n\s*", "\n", _without_groups(whole))
    sheet = NAMED.sub(rf"\1{own}-", "".join(f".{named}{{{look}}}" for look, named in classes.items()))
    opened, rest = whole.split(">", 1)
    opened = opened.replace("<svg ", f'<svg role="img" aria-label={quoteattr(alt)} style="{JOINS}" ', 1)
    drawn = TAG.sub(lambda found: _of_page(found[0], ink), rest)
    return f"{opened}>\n<style>{_of_page(sheet, ink)}</style>{drawn}"


def _of_page(text: str, ink: str) -> str:
    """Return tags or styles with the page's ink, and with fonts to take where the first is not there."""
    return text.replace(ink, "currentColor").replace("'DejaVu Sans'", "'DejaVu Sans', Verdana, sans-serif")


def _without_groups(svg: str) -> str:
    """Return an SVG without the groups that say nothing of what they hold."""
    kept: list[bool] = []

    def tag(found: re.Match[str]) -> str:
        if found[0].startswith("<g"):
            if found[0].endswith("/>"):
                return ""
            kept.append(found[0] != "<g>")
            return found[0] if kept[-1] else ""
        return "" if found[0] == "</g>" and not kept.pop() else found[0]

    return TAG.sub(tag, svg)
