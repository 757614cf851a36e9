"""`harness new`: a hypothesis to start from, with every field explained, or a copy of one in reach."""

import click

from harness.cli.names import hypothesis_names
from harness.cli.session import Session, output_options, pass_session
from harness.spec import DeclarationError
from harness.spec.project import BEGINNING
from harness.spec.shelf import Shelf, nameable


@click.command()
@click.argument("name")
@click.option("--like", metavar="NAME", shell_complete=hypothesis_names, help="Begin with a copy of this hypothesis.")
@output_options
@pass_session
def command(session: Session, name: str, like: str | None) -> int:
    """Write hypotheses/NAME.yaml into this project: a valid claim to edit, its fields explained.

    Nothing is overwritten.
    """
    shelf = session.shelf
    if shelf.root is None:
        rule = "no project here: no folder above has a pyproject.toml with a [tool.harness] table."
        raise DeclarationError([f"{rule} `harness init DIR` makes one."])
    if not nameable(f"{name}.yaml", "hypotheses"):
        rule = f"{name!r} is no name of a hypothesis. Use lower-case letters, digits, dots and dashes."
        raise DeclarationError([rule])
    text = _text(shelf, like)
    target = shelf.root / "hypotheses" / f"{name}.yaml"
    target.parent.mkdir(exist_ok=True)
    try:
        with target.open("x", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError:
        raise DeclarationError([f"{shelf.shown(target)}:1 file: exists already. Choose another name."]) from None
    then = f"edit it, then: harness validate {shelf.shown(target)}"
    session.emit({"file": str(target), "like": like}, f"{shelf.shown(target)} written; {then}")
    return 0


def _text(shelf: Shelf, like: str | None) -> str:
    if like is None:
        return BEGINNING.read_text(encoding="utf-8")
    text = shelf.path("hypotheses", like).read_text(encoding="utf-8")
    return f"# Begun as a copy of {like}: state your own title, claim, source and predictions.\n{text}"
