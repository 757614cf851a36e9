"""`harness list`: what is declared."""

import click

from harness.cli.session import Session, output_options, pass_session
from harness.spec import DeclarationError
from harness.spec.code import PERMIT


@click.command()
@output_options
@pass_session
def command(session: Session) -> int:
    """List hypotheses, protocols and measures in reach."""
    shelf = session.shelf
    broken: dict[str, list[str]] = {}
    hypotheses: dict[str, str] = {}
    for name in shelf.names("hypotheses"):
        try:
            hypotheses[name] = shelf.hypothesis(name).title
        except DeclarationError as error:
            broken[name] = error.lines
    protocols: dict[str, str] = {}
    for name in shelf.names("runs"):
        try:
            protocols[name] = shelf.protocol(name).title
        except DeclarationError as error:
            broken[name] = error.lines
    measures = shelf.names("analysis")
    said = {"hypotheses": hypotheses, "protocols": protocols, "measures": measures, "broken": broken}
    wide = max(map(len, [*hypotheses, *protocols, *broken]), default=0)
    lines = ["hypotheses", *(f"  {name:<{wide}}  {title}" for name, title in hypotheses.items())]
    lines += ["protocols", *(f"  {name:<{wide}}  {title}" for name, title in protocols.items())]
    lines += ["measures", "  " + ", ".join(measures)]
    lines += [_broken(name, mistakes) for name, mistakes in broken.items()]
    session.emit(said, "\n".join(lines))
    return 0


def _broken(name: str, mistakes: list[str]) -> str:
    if all(PERMIT in mistake for mistake in mistakes):
        return f"refused    {name}: names code of this project; read it, then repeat with {PERMIT}"
    return f"broken     {name}: {len(mistakes)} mistakes (harness validate)"
