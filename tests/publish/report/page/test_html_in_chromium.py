"""The page in a real browser: what it looks like is not tested, what it does is."""

import shutil
from collections.abc import Callable, Iterator
from importlib import resources
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Locator, Page, expect, sync_playwright

CHROMIUM = shutil.which("chromium")
ARGUMENTS = [
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
AXE = resources.files("axe_playwright_python").joinpath("axe.min.js").read_text(encoding="utf-8")
RUNS = "#runs-live-bench-llama"

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed: no `chromium` on the path"),
]


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        found = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        yield found
        found.close()


@pytest.fixture
def file(text: str, tmp_path: Path) -> str:
    """Return the address of the page."""
    at = tmp_path / "report.html"
    at.write_text(text, encoding="utf-8")
    return at.as_uri()


@pytest.fixture
def opened(browser: Browser, file: str) -> Iterator[Callable[..., Page]]:
    """Return what opens the page at a fragment; at the end nothing was complained of and nothing was asked for."""
    said: list[str] = []
    asked: list[str] = []
    contexts: list[Any] = []

    def open_at(fragment: str = "", width: int = 1400, scheme: Any = "light", **more: Any) -> Page:
        context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme, **more)
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(5000)
        page.on("console", lambda message: said.append(message.text))
        page.on("pageerror", lambda error: said.append(str(error)))
        page.on("request", lambda request: asked.append(request.url))
        page.goto(f"{file}{fragment}")
        return page

    yield open_at
    for context in contexts:
        context.close()
    assert said == []
    assert {url.split("#")[0] for url in asked} <= {file, "data:,"}


def first_run(page: Page) -> str:
    """Return the fragment of the first run that the page lists."""
    found = page.locator('a[href^="#run/"]').first.get_attribute("href")
    assert found
    return found


def block_of(page: Page, table: str) -> Locator:
    """Return what a table is folded into."""
    return page.locator("details.block", has=page.locator(table))


def violations(page: Page) -> list[str]:
    """Return what axe finds, each with the elements it finds it in."""
    page.evaluate(f"(() => {{ {AXE} }})()")
    found = page.evaluate("axe.run(document, {resultTypes: ['violations']})")
    return [f"{one['id']}: {node['html'][:200]}" for one in found["violations"] for node in one["nodes"]]


def column(page: Page, table: str, place: int) -> list[str]:
    """Return the texts of a column of a table, of the rows that are to be seen."""
    rows = page.locator(f"{table} tbody tr:visible")
    return [text.strip() for text in rows.locator(f":nth-child({place + 1})").all_inner_texts()]


@pytest.mark.parametrize(("width", "scheme"), [(400, "light"), (400, "dark"), (1400, "light"), (1400, "dark")])
def test_it_opens_within_its_width_and_without_a_barrier(opened: Callable[..., Page], width: int, scheme: str) -> None:
    page = opened(width=width, scheme=scheme)
    judged = (width, scheme) in ((400, "light"), (1400, "dark"))  # seconds each; colours hang on no width
    page.get_by_role("button", name="Unfold all").click()
    assert page.evaluate("document.documentElement.scrollWidth") == width
    assert not judged or violations(page) == []
    page.evaluate("fragment => { location.hash = fragment; }", first_run(page))
    page.locator("#run h2").first.wait_for()
    for numbers in page.locator("#run summary").all():
        numbers.click()
    assert page.evaluate("document.documentElement.scrollWidth") == width
    assert not judged or violations(page) == []


def test_the_chosen_scheme_stays(opened: Callable[..., Page]) -> None:
    page = opened(scheme="light")
    ground = "getComputedStyle(document.body).backgroundColor"
    assert page.evaluate(ground) == "rgb(255, 255, 255)"
    dark = page.get_by_role("button", name="Dark colours")
    assert dark.get_attribute("aria-pressed") == "false"
    dark.click()
    chosen = page.evaluate(ground)
    assert chosen != "rgb(255, 255, 255)" and dark.get_attribute("aria-pressed") == "true"
    page.reload()
    assert page.evaluate(ground) == chosen


def test_a_table_is_sorted_and_filtered_by_keyboard(opened: Callable[..., Page]) -> None:
    page = opened()
    block_of(page, RUNS).locator("summary").first.click()
    button = page.locator(f"{RUNS} thead button").nth(4)
    button.focus()
    page.keyboard.press("Enter")
    assert page.locator(f"{RUNS} thead th").nth(4).get_attribute("aria-sort") == "ascending"
    rising = column(page, RUNS, 4)
    assert rising == sorted(rising) and rising[-1] == ".550"
    page.keyboard.press("Space")
    assert page.locator(f"{RUNS} thead th").nth(4).get_attribute("aria-sort") == "descending"
    assert column(page, RUNS, 4) == rising[::-1]
    page.locator(RUNS).get_by_label("Filter").focus()
    page.keyboard.type("r16 COLLAPSED")
    assert column(page, RUNS, 1) == ["grpo-lora-r16"] * 6
    assert page.locator(f"{RUNS} [role=status]").inner_text() == "6 of 12 rows"


def test_numbers_are_sorted_as_numbers_and_what_is_empty_comes_last(opened: Callable[..., Page]) -> None:
    page = opened()
    page.evaluate(
        """() => {
            const table = document.querySelector("#runs-live-bench-llama table");
            const rows = [...table.tBodies[0].rows];
            [["9", 9], ["10", 10], ["1e-05", 1e-5], ["", null], ["-2", -2]].forEach(([text, value], i) => {
                const cell = rows[i].cells[4];
                cell.textContent = text;
                if (value === null) delete cell.dataset.value; else cell.dataset.value = value;
            });
            rows.slice(5).forEach((row) => row.remove());
            table.closest("details").open = true;
        }"""
    )
    button = page.locator(f"{RUNS} thead button").nth(4)
    button.click()
    assert column(page, RUNS, 4) == ["-2", "1e-05", "9", "10", ""]
    button.click()
    assert column(page, RUNS, 4) == ["10", "9", "1e-05", "-2", ""]


def test_a_run_opens_and_back_returns_to_where_it_was_left(opened: Callable[..., Page]) -> None:
    page = opened()
    page.get_by_role("button", name="Unfold all").click()
    link = page.locator('a[href^="#run/"]').nth(3)
    name = link.inner_text()
    link.focus()
    left = page.evaluate("scrollY")
    page.keyboard.press("Enter")
    assert page.locator("h1:visible").inner_text() == name
    assert page.evaluate("document.activeElement.id") == "run-title" and page.title().startswith(name)
    titles = page.locator("#run .charts h3").all_inner_texts()
    curves = ["Reward", "Loss", "Gradient norm", "Entropy"]
    assert titles == [*curves, "Leading singular values", "Effective rank by layer"]
    assert "60 of 90 updates" in page.locator("#run .charts").first.inner_text()
    said = page.locator("#run").inner_text()
    assert "cell.adapter.rank" in said and "on the held-out problems; it starts from 0.400" in said
    page.go_back()
    page.locator("#report").wait_for()
    assert page.evaluate("document.activeElement.textContent") == name
    assert page.evaluate("scrollY") == left
    page.go_forward()
    page.get_by_role("link", name="Back to the report").click()
    page.locator("#report").wait_for()
    assert page.evaluate("scrollY") == left
    page.keyboard.press("Enter")
    page.get_by_role("navigation").get_by_role("link", name="All verdicts").click()
    page.locator("#report").wait_for()
    assert page.evaluate("scrollY") < left and page.evaluate("document.activeElement.id") == "overview"


def test_a_run_can_be_linked_to_and_one_that_is_not_there_is_told(opened: Callable[..., Page]) -> None:
    run = first_run(opened())
    page = opened(run)
    assert page.locator("h1:visible").inner_text() == run.removeprefix("#run/")
    page.get_by_role("link", name="Low ranks live").click()
    assert page.locator("#live-bench-llama").is_visible() and page.locator("#run").is_hidden()
    page = opened("#run/no%20such%3Cb%3E")
    assert page.locator("h1:visible").inner_text() == "no such<b>"
    assert "no run of this name" in page.locator("#run").inner_text()


def test_a_cell_tells_its_query(opened: Callable[..., Page]) -> None:
    page = opened()
    page.get_by_role("button", name="Unfold all").click()
    box = page.locator("#table-live-bench-llama-cells")
    box.locator("summary").click()
    whole = box.locator(".sql").inner_text()
    box.get_by_label("Row").select_option(index=1)
    box.get_by_label("Column").select_option(index=1)
    name = box.locator("tbody th").first.inner_text()
    asked = f'SELECT "n_runs" FROM ({whole}) WHERE "name" IS NOT DISTINCT FROM \'{name}\''
    assert box.locator(".sql").inner_text() == asked
    box.locator("tbody tr").nth(1).locator("td").nth(1).click()
    assert box.locator(".sql").inner_text().startswith('SELECT "planned" FROM (')


def test_on_paper_all_is_unfolded_and_nothing_is_cut(opened: Callable[..., Page]) -> None:
    page = opened(width=700)
    hidden = page.locator(f"{RUNS} td").first
    assert not hidden.is_visible()
    page.emulate_media(media="print")
    expect(page.locator("main details:not([open])")).to_have_count(0)
    assert hidden.is_visible() and not page.get_by_role("button", name="Unfold all").is_visible()
    cut = "[...document.querySelectorAll('.scroll')].filter((each) => each.scrollWidth > each.clientWidth + 1).length"
    assert page.evaluate(cut) == 0
    page.emulate_media(media="screen")
    expect(page.locator("main details.block[open]")).to_have_count(0)


def test_without_scripts_all_but_the_runs_reads(opened: Callable[..., Page]) -> None:
    page = opened(java_script_enabled=False)
    assert page.get_by_role("heading", name="Low ranks live").is_visible()
    assert page.locator("noscript").inner_text().startswith("The links of runs open their curves")
    block_of(page, RUNS).locator("summary").first.click()
    assert page.locator(f"{RUNS} td").first.is_visible()
    assert page.locator("button").count() == 0 and page.locator("input").count() == 0
