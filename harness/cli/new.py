"""`harness new`: a hypothesis to start from, a copy of one in reach with its comments."""

import click

from harness.cli.names import hypothesis_names
from harness.cli.session import Session, output_options, pass_session
from harness.spec import DeclarationError
from harness.spec.shelf import nameable


@click.command()
@click.argument("name")
@click.option(
    "--like", required=True, metavar="NAME", shell_complete=hypothesis_names, help="The hypothesis to start from."
)
@output_options
@pass_session
def command(session: Session, name: str, like: str) -> int:
    """Write hypotheses/NAME.yaml into this project, a copy of another hypothesis; nothing is overwritten."""
    shelf = session.shelf
    if shelf.root is None:
        rule = "no project here: no folder above has a pyproject.toml with a [tool.harness] table. Make one."
        raise DeclarationError([rule])
    if not nameable(f"{name}.yaml", "hypotheses"):
        rule = f"{name!r} is no name of a hypothesis. Use lower-case letters, digits, dots and dashes."
        raise DeclarationError([rule])
    source = shelf.path("hypotheses", like)
    text = source.read_text(encoding="utf-8")
    target = shelf.root / "hypotheses" / f"{name}.yaml"
    target.parent.mkdir(exist_ok=True)
    try:
        with target.open("x", encoding="utf-8") as file:
            file.write(f"# Begun as a copy of {like}: state your own title, claim, source and predictions.\n{text}")
    except FileExistsError:
        raise DeclarationError([f"{shelf.shown(target)}:1 file: exists already. Choose another name."]) from None
    then = f"edit it, then: harness validate {shelf.shown(target)}"
    session.emit({"file": str(target), "like": like}, f"{shelf.shown(target)} written; {then}")
    return 0
