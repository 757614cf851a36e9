"""The site builds strictly without a network, loads nothing from elsewhere, and each of its links leads somewhere."""

import importlib.util
import re
import shutil
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

if importlib.util.find_spec("mkdocs") is None or importlib.util.find_spec("material") is None:
    pytest.skip("mkdocs and mkdocs-material are not installed (`pip install -e '.[docs]'`)", allow_module_level=True)

ROOT = Path(__file__).parents[2]
# A build that asks anything of a network ends as an error.
BUILD = """
import socket, sys
def refuse(*_, **__): raise OSError("the build asked for a network")
socket.socket.connect = socket.getaddrinfo = refuse
from mkdocs.__main__ import cli
cli(["build", "--strict", "--config-file", sys.argv[1], "--site-dir", sys.argv[2]])
"""
LOADED = {
    "script": "src",
    "link": "href",
    "img": "src",
    "iframe": "src",
    "source": "src",
    "video": "src",
    "audio": "src",
    "object": "data",
    "embed": "src",
    "image": "href",
    "use": "href",
}
"""What makes a browser fetch something: tag and attribute."""
OUTSIDE = re.compile(r"""(?:url\(\s*['"]?|@import\s+['"])\s*(?:https?:)?//""")


class Read(HTMLParser):
    """What a page loads, where it links to, which anchors it has, and the styles written into it."""

    def __init__(self, text: str):
        super().__init__()
        self.loads: list[str] = []
        self.links: list[str] = []
        self.anchors: set[str] = set()
        self.styles: list[str] = []
        self.classes: set[str] = set()
        self.text: list[str] = []
        """Of the article itself, code left out."""
        self._in_style = False
        self._within: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        said = {name: value or "" for name, value in attrs}
        self.anchors |= {said[name] for name in ("id", "name") if name in said}
        self.classes |= set(said.get("class", "").split())
        self.styles += [said["style"]] if "style" in said else []
        if tag in LOADED and LOADED[tag] in said and said.get("rel") not in ("next", "prev", "canonical"):
            self.loads.append(said[LOADED[tag]])
        if tag == "a" and "href" in said:
            self.links.append(said["href"])
        self._in_style = tag == "style"
        if tag in ("article", "pre", "code", "script"):
            self._within.append(tag)

    def handle_endtag(self, tag: str) -> None:
        self._in_style = False
        if self._within and self._within[-1] == tag:
            self._within.pop()

    def handle_data(self, data: str) -> None:
        if self._in_style:
            self.styles.append(data)
        elif self._within == ["article"]:
            self.text.append(data)


def built(settings: Path, folder: Path) -> subprocess.CompletedProcess[str]:
    """Build the site, from the root of the repository."""
    command = [sys.executable, "-c", BUILD, str(settings), str(folder)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    done = built(ROOT / "mkdocs.yml", folder)
    assert done.returncode == 0, done.stderr
    return folder


@pytest.fixture(scope="module")
def pages(site: Path) -> dict[Path, Read]:
    found = {path: Read(path.read_text(encoding="utf-8")) for path in sorted(site.rglob("*.html"))}
    assert len(found) > 30
    return found


def led_to(page: Path, site: Path, link: str) -> Path:
    """Return the file that a relative link of a page means."""
    path = unquote(urlsplit(link).path)
    target = (page if not path else site / path.lstrip("/") if path.startswith("/") else page.parent / path).resolve()
    return target / "index.html" if target.is_dir() else target


def test_nothing_is_loaded_from_elsewhere(site: Path, pages: dict[Path, Read]) -> None:
    for page, read in pages.items():
        for loaded in read.loads:
            parts = urlsplit(loaded)
            assert parts.scheme in ("", "data") and not parts.netloc, f"{page.name} loads {loaded}"
            assert parts.scheme == "data" or led_to(page, site, loaded).is_file(), f"{page.name}: no {loaded}"
        assert not OUTSIDE.search(" ".join(read.styles)), f"{page.name} has a style that is fetched"
        assert "mermaid" not in read.classes, f"{page.name} has a diagram, for which the theme fetches a script"
    sheets = [path.read_text(encoding="utf-8") for path in site.rglob("*.css")]
    assert sheets
    assert not any(OUTSIDE.search(sheet) for sheet in sheets)


def test_no_sign_of_markdown_is_left_in_the_text(pages: dict[Path, Read]) -> None:
    for page, read in pages.items():
        text = "".join(read.text)
        assert not re.search(r"\\[^\w\s]|`|\*\*|\| *---", text), page.name
    fields = next(read for page, read in pages.items() if page.stem == "hypothesis-fields")
    assert "mean(a) - mean(b) < margin" in "".join(fields.text)


def test_every_link_and_anchor_leads_somewhere(site: Path, pages: dict[Path, Read]) -> None:
    followed = 0
    for page, read in pages.items():
        for link in read.links:
            parts = urlsplit(link)
            if parts.scheme or parts.netloc or page.name == "404.html":
                continue
            target = led_to(page, site.resolve(), link)
            assert target.is_file(), f"{page.relative_to(site)} links to {link}, which is not there"
            anchor = unquote(parts.fragment)
            assert not anchor or anchor in pages[target].anchors, f"{page.relative_to(site)}: no {link}"
            followed += 1
    assert followed > 1000


@pytest.mark.parametrize(
    ("page", "text"),
    [
        ("tutorial.md", "[nowhere](nowhere.md)"),
        ("tutorial.md", "[no such part](glossary.md#no-such-part)"),
        ("how-to/forgotten.md", "# A page that the navigation leaves out"),
    ],
)
def test_what_leads_nowhere_ends_the_build(tmp_path: Path, page: str, text: str) -> None:
    shutil.copytree(ROOT / "docs", tmp_path / "docs")
    with (tmp_path / "docs" / page).open("a", encoding="utf-8") as file:
        file.write(f"\n{text}\n")
    hook = ROOT / "manual" / "hook.py"
    settings = f"INHERIT: {ROOT / 'mkdocs.yml'}\ndocs_dir: docs\nhooks: [{hook}]\n"
    (tmp_path / "mkdocs.yml").write_text(settings, encoding="utf-8")
    done = built(tmp_path / "mkdocs.yml", tmp_path / "site")
    assert done.returncode == 1
    assert "Aborted with 1 warnings in strict mode" in done.stderr + done.stdout
