"""Reports of stores made by hand, and LaTeX."""

import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from harness.campaign.findings import findings
from harness.campaign.verdicts import verdict_on
from harness.plan import PlannedRun
from harness.publish.report.emitted import Emitted
from harness.publish.report.report import Asked, Report, report
from harness.spec.shelf import find_shelf

if TYPE_CHECKING:
    from tests.conftest import Made

AWKWARD = r"""a_b 50 % & # $x^2$ {y} ~ ^ \ \input{/etc/passwd} < > " ' | `--` café Ł β ≤ 中 😀 ж"""
"""Every sign that LaTeX, HTML or Markdown take for their own, and letters that stock fonts lack."""


@pytest.fixture
def reported(made: "Made") -> Callable[..., Report]:
    """Return a function that makes the report of the project's store as it is."""

    def make(*names: str, **asked: object) -> Report:
        shelf = find_shelf(made.root)
        return report(findings(shelf, made.store, names), shelf, Asked(names, **asked))  # pyright: ignore[reportArgumentType]

    return make


@pytest.fixture
def decide(made: "Made") -> Callable[..., None]:
    """Return a function that commits runs of these accuracies and decides the claims named."""

    def run(accuracy: Callable[[PlannedRun], float | None], *names: str) -> None:
        bench = made.bench()
        bench.register_shelf()
        made.results(accuracy, *names)
        for name, hypothesis in bench.hypotheses(names).items():
            verdict_on(bench, name, hypothesis, bench.planned_bases(()))

    return run


def text(made: Report, path: str) -> str:
    """Return a text file of a report."""
    (found,) = (file for file in made.files if file.path == path)
    assert isinstance(found.content, str)
    return found.content


def write(files: tuple[Emitted, ...], folder: Path) -> None:
    """Write the files of a report."""
    for file in files:
        path = folder / file.path
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(file.encoded)


@pytest.fixture
def compiled(tmp_path: Path) -> Iterator[Callable[[str], str]]:
    """Return a function that compiles a document in the test's folder and returns its pages as text."""
    if shutil.which("pdflatex") is None or shutil.which("pdftotext") is None:
        pytest.skip("no pdflatex or pdftotext here: texlive-latex-recommended and poppler-utils have them")

    def run(name: str) -> str:
        folder = tmp_path / "report"
        done = subprocess.run(
            ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", name], cwd=folder, capture_output=True
        )
        log = (folder / name).with_suffix(".log").read_text(errors="replace")
        assert done.returncode == 0, log[-3000:]
        assert "undefined" not in log.lower().replace("undefined references", ""), log[-3000:]
        said = ["pdftotext", "-layout", str((folder / name).with_suffix(".pdf")), "-"]
        return subprocess.run(said, capture_output=True, text=True, check=True).stdout

    yield run
