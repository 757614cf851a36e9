"""`harness report`: the appendix table of stored verdicts."""

from pathlib import Path

import click

from harness.cli.session import Session, output_options, pass_session
from harness.record.atomic import write_text
from harness.record.verdict_files import latest


@click.command()
@click.argument("names", nargs=-1, metavar="[NAME...]")
@click.option("-o", "--output", type=click.Path(path_type=Path, file_okay=False), help="Folder (.harness/report).")
@output_options
@pass_session
def command(session: Session, names: tuple[str, ...], output: Path | None) -> int:
    r"""Write a booktabs table for each stored verdict, ready for \input in an appendix."""
    from harness.publish.latex import verdict_table

    verdicts = [verdict for verdict in latest(session.store) if not names or verdict.hypothesis in names]
    if not verdicts:
        told = f"on {', '.join(names)} " if names else ""
        raise click.ClickException(f"no verdict {told}is stored. `harness test` makes one.")
    folder = session.directory / output if output else session.store.report
    folder.mkdir(parents=True, exist_ok=True)
    written: list[str] = []
    for verdict in verdicts:
        path = folder / f"{verdict.hypothesis}-{verdict.protocol}-{verdict.base}.tex"
        write_text(path, verdict_table(verdict, session.shelf.path("paper", "verdict")))
        written.append(str(path))
    session.emit({"written": written}, "\n".join(written))
    return 0
