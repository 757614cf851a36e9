"""`harness catalogue`: what all hypotheses came to under a protocol, and what it took."""

from dataclasses import asdict
from pathlib import Path

import click

from harness.campaign.bench import Bench
from harness.cli.names import hypothesis_names
from harness.cli.session import Session, output_options, pass_session, protocol_option
from harness.record.atomic import write_text


@click.command()
@click.argument("names", nargs=-1, metavar="[NAME...]", shell_complete=hypothesis_names)
@protocol_option
@click.option(
    "--into",
    type=click.Path(path_type=Path, dir_okay=False, exists=True),
    help="Markdown file that takes the table, between two marks.",
)
@output_options
@pass_session
def command(session: Session, names: tuple[str, ...], protocol: str | None, into: Path | None) -> int:
    """Show the stored verdicts of the claims NAME (all without one) as a table: outcomes, runs, sharing, minutes."""
    from harness.campaign.catalogue import catalogue
    from harness.publish.catalogue import into as put
    from harness.publish.catalogue import table

    bench = Bench(session.shelf, session.store, session.protocol_name(protocol))
    for name in names:
        session.shelf.path("hypotheses", name)  # an unknown one is a mistake, not a claim that cannot be asked
    found = catalogue(bench, tuple(dict.fromkeys(names)) or bench.shelf.names("hypotheses"))
    if into is not None:
        try:
            write_text(into, put(into.read_text(encoding="utf-8"), found))
        except ValueError as error:
            raise click.ClickException(f"{into}: {error}") from None
    said = [
        {
            "hypothesis": one.name,
            "outcomes": {verdict.base: str(verdict.outcome) for verdict, _ in one.verdicts},
            "stands": {verdict.base: stands for verdict, stands in one.verdicts},
            "runs": one.runs,
            "executed": one.executed,
            "shared": one.shared,
            "cpu_minutes": one.cpu_minutes,
        }
        for one in found.tested
    ]
    totals = {key: value for key, value in asdict(found).items() if key != "tested"}
    session.emit({"hypotheses": said, **totals}, table(found))
    return 0
