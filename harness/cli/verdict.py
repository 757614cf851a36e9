"""`harness verdict`: stored verdicts, no computation."""

import click

from harness.cli.session import Session, output_options, pass_session
from harness.publish.card import card
from harness.record.verdict_files import as_json, latest


@click.command()
@click.argument("names", nargs=-1, metavar="[NAME...]")
@output_options
@pass_session
def command(session: Session, names: tuple[str, ...]) -> int:
    """Print the newest stored verdict of each claim NAME (all without one) on each base and protocol."""
    verdicts = [verdict for verdict in latest(session.store) if not names or verdict.hypothesis in names]
    if absent := [name for name in names if name not in {verdict.hypothesis for verdict in verdicts}]:
        raise click.ClickException(f"no verdict on {absent[0]} is stored. `harness test {absent[0]}` makes one.")
    said = [{**as_json(verdict), "passed": verdict.passed} for verdict in verdicts]
    text = "\n\n".join(card(verdict) for verdict in verdicts) or "no verdict is stored yet"
    session.emit({"verdicts": said}, text)
    return 0
