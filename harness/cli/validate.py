"""`harness validate`: every mistake of every file at once."""

from pathlib import Path

import click

from harness.cli.session import Session, json_option, pass_session
from harness.spec import DeclarationError
from harness.spec.shelf import Shelf

MISTAKES = 2


@click.command()
@click.argument("paths", nargs=-1, type=click.Path(path_type=Path), metavar="[PATH...]")
@json_option
@pass_session
def command(session: Session, paths: tuple[Path, ...]) -> int:
    """Check the declarations in PATH (files in hypotheses/ and runs/), or all in reach."""
    shelf = session.shelf
    files = [session.directory / path for path in paths] or _all(shelf)
    mistakes: list[str] = []
    for file in files:
        try:
            shelf.load(file)
        except DeclarationError as error:
            mistakes += error.lines
    text = "\n".join(mistakes) or f"{len(files)} declarations, no mistake"
    session.emit({"files": len(files), "mistakes": mistakes}, text)
    return MISTAKES if mistakes else 0


def _all(shelf: Shelf) -> list[Path]:
    return [shelf.path(kind, name) for kind in ("hypotheses", "runs") for name in shelf.names(kind)]
