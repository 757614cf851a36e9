"""`harness init`: a project of one's own, begun with the shipped declarations."""

import os
from pathlib import Path

import click

from harness.cli.session import Session, output_options, pass_session


@click.command()
@click.argument("folder", metavar="DIR", type=click.Path(path_type=Path))
@output_options
@pass_session
def command(session: Session, folder: Path) -> int:
    """Make a project in DIR: the shipped hypotheses, protocols, measures and templates, and a pyproject.toml.

    Nothing is overwritten: where anything of that name is there, nothing is written.
    """
    from harness.spec.project import begin

    made = Path(os.path.abspath(session.directory / folder))
    names = begin(made)
    text = (
        f"{folder}: a project, with {', '.join(names)}\n"
        f"then: cd {folder}; harness new NAME writes a claim to edit, harness test rank-collapse tests one"
    )
    session.emit({"project": str(made), "written": names}, text)
    return 0
