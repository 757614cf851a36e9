"""`harness verdict`: stored verdicts, no computation."""

from typing import Any

import click

from harness.campaign.bench import Bench
from harness.cli.campaign import shown
from harness.cli.names import hypothesis_names
from harness.cli.session import Session, output_options, pass_session
from harness.record.verdict_files import latest


@click.command()
@click.argument("names", nargs=-1, metavar="[NAME...]", shell_complete=hypothesis_names)
@output_options
@pass_session
def command(session: Session, names: tuple[str, ...]) -> int:
    """Print the newest stored verdict of each claim NAME (all without one) on each base and protocol."""
    stored = list(latest(session.store))
    verdicts = [verdict for verdict in stored if not names or verdict.hypothesis in names]
    if absent := [name for name in names if name not in {verdict.hypothesis for verdict in verdicts}]:
        session.shelf.path("hypotheses", absent[0])  # one that is not declared is told with those that are
        raise click.ClickException(f"no verdict on {absent[0]} is stored. `harness test {absent[0]}` makes one.")
    said: list[dict[str, Any]] = []
    cards: list[str] = []
    for verdict in verdicts:
        bench = Bench(session.shelf, session.store, verdict.protocol)
        one, text = shown(bench, [verdict], stored, session.width)
        said += one
        cards.append(text)
    session.emit({"verdicts": said}, "\n\n".join(cards) or "no verdict is stored yet")
    return 0
