"""What MkDocs calls: adds the pages that are written from the code, and the files of the root that have pages.

Links of a page to LOG.md, CHANGELOG.md and CONTRIBUTING.md in the root are right where the page is read in the
repository; on the site they lead to the pages made of those files.
"""

import posixpath
import re
from collections.abc import Callable, Mapping
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

from manual.commands import commands_page
from manual.declarations import hypothesis_page, protocol_page
from manual.environment import environment_page
from manual.measures import measures_page
from manual.tables import tables_page

ROOT = Path(__file__).parents[1]
WRITTEN: Mapping[str, Callable[[], str]] = {
    "reference/commands.md": commands_page,
    "reference/environment.md": environment_page,
    "reference/hypothesis-fields.md": hypothesis_page,
    "reference/protocol-fields.md": protocol_page,
    "reference/measures.md": measures_page,
    "reference/index-tables.md": tables_page,
}
"""Pages that are written from the code, and what writes them."""
OF_THE_ROOT = {
    "LOG.md": "project/log.md",
    "CHANGELOG.md": "project/changes.md",
    "CONTRIBUTING.md": "project/contributing.md",
}
"""Files of the root, and the pages made of them."""
LINK = re.compile(r"\]\((?:\.\./)+(LOG|CHANGELOG|CONTRIBUTING)\.md([)#])")


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages that are not in docs/."""
    for page, write in WRITTEN.items():
        files.append(File.generated(config, page, content=write()))
    for name, page in OF_THE_ROOT.items():
        files.append(File.generated(config, page, content=(ROOT / name).read_text(encoding="utf-8")))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Lead links to files of the root to their pages."""
    here = posixpath.dirname(page.file.src_uri)
    return LINK.sub(lambda m: f"]({posixpath.relpath(OF_THE_ROOT[f'{m[1]}.md'], here or '.')}{m[2]}", markdown)
