"""`harness validate`: every mistake of every file at once."""

from collections.abc import Callable
from functools import partial
from pathlib import Path

import click

from harness.cli.session import Session, output_options, pass_session
from harness.source import splits
from harness.source.code import load as load_code
from harness.spec import CustomTask, DeclarationError, Hypothesis, Protocol
from harness.spec.shelf import Shelf

MISTAKES = 2


@click.command()
@click.argument("paths", nargs=-1, type=click.Path(path_type=Path), metavar="[PATH...]")
@output_options
@pass_session
def command(session: Session, paths: tuple[Path, ...]) -> int:
    """Check the declarations in PATH (files in hypotheses/ and runs/), or all in reach."""
    shelf = session.shelf
    files = [session.directory / path for path in paths]
    loads = [partial(shelf.load, file) for file in files] or _all(shelf)
    mistakes: list[str] = []
    for load in loads:
        try:
            _try_code(shelf, load())
        except DeclarationError as error:
            mistakes += error.lines
    text = "\n".join(mistakes) or f"{len(loads)} declarations, no mistake"
    session.emit({"files": len(loads), "mistakes": mistakes}, text)
    return MISTAKES if mistakes else 0


def _try_code(shelf: Shelf, declared: Hypothesis | Protocol) -> None:
    """Run the code that a protocol names, as far as that costs no training; without permission nothing was loaded."""
    if not isinstance(declared, Protocol) or shelf.code_root is None:
        return
    if isinstance(declared.task, CustomTask):
        splits(declared.task)
    if declared.recipe.reward:
        load_code(shelf.code_root, declared.recipe.reward, declared.recipe.reward_sha256)


def _all(shelf: Shelf) -> list[Callable[[], Hypothesis | Protocol]]:
    hypotheses: list[Callable[[], Hypothesis | Protocol]] = [
        partial(shelf.hypothesis, name) for name in shelf.names("hypotheses")
    ]
    return [*hypotheses, *(partial(shelf.protocol, name) for name in shelf.names("runs"))]
