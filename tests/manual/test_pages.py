"""Pages that are written from the code say all of it, and links of the repository's own pages lead to files."""

import re
from pathlib import Path

import pytest

from harness.cli.campaign import FAILED
from harness.cli.main import COMMANDS, INTEGRITY, INTERRUPTED, MACHINE, OK, USAGE
from harness.cli.test import GATE
from harness.record.shards import EVALUATION, SPECTRUM, STEPS
from harness.spec import Hypothesis, Protocol
from manual import declarations
from manual.commands import commands_page, contexts, options
from manual.environment import environment_page
from manual.markdown import cell, escaped, table
from manual.measures import measures_page, said
from manual.tables import tables_page

ROOT = Path(__file__).parents[2]
WRITTEN = re.findall(r'^    "(reference/[\w-]+\.md)": ', (ROOT / "manual" / "hook.py").read_text(), flags=re.M)
"""Pages that are in no folder, as they are written when the site is built."""


def test_signs_are_shown_and_code_stays() -> None:
    assert escaped("a_b * <x> `a_b * <x>` |y|") == r"a\_b \* &lt;x&gt; `a_b * <x>` |y|"
    assert escaped("one ` alone_") == r"one ` alone\_"
    assert cell("a|b\n c\\|d") == r"a\|b c\|d"
    assert table(("x", "y"), [("1", "a|b")]) == "| x | y |\n| --- | --- |\n| 1 | a\\|b |"


def test_every_command_and_option_has_its_place() -> None:
    page = commands_page()
    headings = set(re.findall(r"^## harness ?(.*)$", page, flags=re.M))
    assert set(COMMANDS) | {"", "runs import", "db query"} <= headings
    for context in contexts():
        section = page.split(f"\n## {context.command_path}\n")[1].split("\n## ")[0]
        assert all(f"| `{written}` |" in section for written, _, _ in options(context))
    assert "`--against" in page.split("\n## harness spectra\n")[1].split("\n## ")[0]


def test_variables_are_those_that_click_reads() -> None:
    page = environment_page()
    for name in ("HARNESS_STORE", "HARNESS_PROTOCOL", "HARNESS_WORKERS", "HARNESS_TEST_GATE", "HARNESS_JSON"):
        assert f"| `{name}` |" in page
    assert "HARNESS_TEST_PROTOCOL" not in page  # --protocol has a variable of its own, so click makes none
    assert page.count("`HARNESS_PROTOCOL`") == 1


@pytest.mark.parametrize(("root", "page"), [(Hypothesis, "hypothesis_page"), (Protocol, "protocol_page")])
def test_every_field_of_the_schema_has_a_row(root: "type[Hypothesis | Protocol]", page: str) -> None:
    text = getattr(declarations, page)()
    schema = root.model_json_schema()
    for name, definition in [(root.__name__, schema), *schema["$defs"].items()]:
        if fields := definition.get("properties"):
            section = text.split(f"\n## {name}\n")[1].split("\n## ")[0]
            rows = dict(re.findall(r"^\| `(\w+)` \| .* \| (.+) \|$", section, flags=re.M))
            assert rows.keys() == fields.keys()
            assert all(len(meaning.strip()) > 3 for meaning in rows.values())


def test_types_bounds_and_defaults_are_those_of_the_schema() -> None:
    page = declarations.hypothesis_page()
    assert "| `seeds` | whole number (from 1, to 1000) | `8` |" in page
    assert "| `combine` | `all` or `any` | `all` |" in page
    assert "| `margin` | number (above 0) |  |" in page
    assert "| `looks` | list of whole number (from 1) or null | `null` |" in page


def test_no_meaning_is_of_no_field() -> None:
    assert declarations.unused() == set()


def test_a_field_without_a_meaning_ends_the_build(monkeypatch: pytest.MonkeyPatch) -> None:
    entries = {name: text for name, text in declarations.entries().items() if name != "rationale"}
    monkeypatch.setattr(declarations, "entries", lambda: entries)
    with pytest.raises(KeyError, match=r"MinEffect\.rationale has no meaning"):
        declarations.hypothesis_page()


def test_every_measure_has_its_grain_and_its_text() -> None:
    page = measures_page()
    for path in (ROOT / "analysis").glob("*.sql"):
        grain, value = said(path)
        assert f"| [`{path.stem}`](#{path.stem}) | {cell(escaped(grain))} | {cell(escaped(value))} |" in page
        assert path.read_text(encoding="utf-8").strip() in page


def test_a_measure_without_a_grain_is_told(tmp_path: Path) -> None:
    (tmp_path / "mine.sql").write_text("SELECT 1\n")
    with pytest.raises(ValueError, match="states no grain"):
        said(tmp_path / "mine.sql")


def test_every_table_has_its_columns_with_their_comments() -> None:
    page = tables_page()
    for name, columns in (("evaluation", EVALUATION), ("step", STEPS), ("spectrum", SPECTRUM)):
        section = page.split(f"\n## {name}\n")[1].split("\n## ")[0]
        for column, what in columns.items():
            assert re.search(
                rf"^\| `{column}` \| `[A-Z\[\]]+` \| {re.escape(cell(escaped(what.definition)))} \|$", section, re.M
            )
    assert "One row per committed run" in page
    assert "| `rank` | `INTEGER` | null where the method has none |" in page


def test_exit_codes_are_those_of_the_code() -> None:
    page = (ROOT / "docs" / "reference" / "exit-codes.md").read_text(encoding="utf-8")
    first, second = page.split("With `harness test --gate`")
    codes = {int(code) for code in re.findall(r"^\| (\d+) \|", first, flags=re.M)}
    assert codes == {OK, FAILED, USAGE, INTEGRITY, MACHINE, INTERRUPTED}
    gate = {word: int(code) for code, word in re.findall(r"^\| (\d+) \| (\w+)", second, flags=re.M)}
    assert gate == {str(outcome): code for outcome, code in GATE.items()}


def test_links_of_the_pages_in_the_repository_lead_to_files() -> None:
    followed = 0
    for page in [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").rglob("*.md")]:
        for link in re.findall(r"\]\(([^)#\s]+)[^)]*\)", page.read_text(encoding="utf-8")):
            if link.startswith(("http://", "https://")):
                continue
            target = (page.parent / link).resolve()
            written = target.is_relative_to(ROOT / "docs") and str(target.relative_to(ROOT / "docs")) in WRITTEN
            assert target.exists() or written, f"{page.relative_to(ROOT)} links to {link}, which is not there"
            followed += 1
    assert followed > 50
