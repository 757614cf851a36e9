"""`harness report`: the verdicts as an appendix, tables, figures and a page, and whether they still follow."""

from pathlib import Path

import click

from harness.cli.session import Session, output_options, pass_session, protocol_option
from harness.record.atomic import write_bytes


@click.command()
@click.argument("names", nargs=-1, metavar="[NAME...]")
@click.option("-o", "--output", type=click.Path(path_type=Path, file_okay=False), help="Folder (.harness/report).")
@click.option("--format", "formats", metavar="A,B", help="Of tex, md, html, csv, with commas between (all).")
@protocol_option
@output_options
@pass_session
def command(
    session: Session, names: tuple[str, ...], output: Path | None, formats: str | None, protocol: str | None
) -> int:
    """Write what the stored verdicts say: an appendix, its tables and figures, Markdown, a page, and values as CSV."""
    from harness.campaign.findings import findings
    from harness.publish.report.report import report

    folder = session.directory / output if output else session.store.report
    made = report(findings(session.shelf, session.store, names, protocol), session.shelf)
    for file in made.files:
        path = folder / file.path
        path.parent.mkdir(parents=True, exist_ok=True)
        write_bytes(path, file.encoded)
    written = [str(folder / file.path) for file in made.files]
    session.emit({"written": written}, f"{len(written)} files in {folder}")
    return 0
