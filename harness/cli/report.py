"""`harness report`: the verdicts as an appendix, tables, figures and a page, and whether they still follow."""

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import click

from harness.cli.names import hypothesis_names, protocol_names
from harness.cli.session import Session, output_options, pass_session
from harness.record.atomic import IntegrityError, write_bytes

if TYPE_CHECKING:
    from harness.publish.report.report import Asked, Format, Report

INTEGRITY = 3


@click.command()
@click.argument("names", nargs=-1, metavar="[NAME...]", shell_complete=hypothesis_names)
@click.option("-o", "--output", type=click.Path(path_type=Path, file_okay=False), help="Folder (.harness/report).")
@click.option("--format", "formats", metavar="A,B", help="Of tex, md, html, csv, with commas between (all).")
@click.option("--check", is_flag=True, help="Recompute every number from the run directories; exit 3 on a difference.")
@click.option("--protocol", metavar="NAME", shell_complete=protocol_names, help="Verdicts under this one (all).")
@output_options
@pass_session
def command(
    session: Session,
    names: tuple[str, ...],
    output: Path | None,
    formats: str | None,
    check: bool,
    protocol: str | None,
) -> int:
    """Write what the stored verdicts on NAME (all without one) say, for people to read.

    An appendix in LaTeX with its tables and figures, Markdown, a page for the browser and values as CSV. Nothing is
    decided or executed. With --check, what was written is compared with what the run directories give.
    """
    folder = session.directory / output if output else session.store.report
    if check:
        if names or formats or protocol:
            rule = "--check compares the report as it was written. Leave names, --format and --protocol out."
            raise click.UsageError(rule)
        return _check(session, folder)
    from harness.campaign.findings import findings
    from harness.publish.report.report import Asked, files_of, report

    asked = Asked(names, protocol, _formats(formats))
    if protocol is not None:
        session.shelf.path("runs", protocol)  # one that is not declared is told with those that are
    _can_be_written(folder)
    found = findings(session.shelf, session.store, names, protocol)
    made = report(found, session.shelf, asked)
    _write(made, folder, files_of(folder))
    session.emit(
        {"folder": str(folder), "verdicts": len(found.chapters), "files": [file.path for file in made.files]},
        _said(made, folder, len(found.chapters), asked),
    )
    if without := [name for name in names if name in found.undecided]:
        session.note(f"without a verdict: {', '.join(without)}. `harness test {without[0]}` makes one.")
    return 0


def _can_be_written(folder: Path) -> None:
    """Raise click.BadParameter where a report would go into something that is no folder, or among other files."""
    from harness.publish.report.report import PROVENANCE

    first = next(path for path in (folder, *folder.parents) if path.exists())
    if not first.is_dir():
        raise click.BadParameter(f"{first} is no folder. Name another.", param_hint="--output")
    if folder.is_dir() and any(folder.iterdir()) and not (folder / PROVENANCE).is_file():
        rule = f"{folder} holds other files and no report. Name a folder that is empty or not there yet."
        raise click.BadParameter(rule, param_hint="--output")


def _formats(named: str | None) -> "tuple[Format, ...]":
    from harness.publish.report.report import FORMATS

    asked = [name.strip() for name in named.split(",")] if named is not None else list(FORMATS)
    if unknown := [name for name in asked if name not in FORMATS]:
        rule = f"{unknown[0]!r} is none of {', '.join(FORMATS)}. Name some of them, with commas between."
        raise click.BadParameter(rule, param_hint="--format")
    return tuple(name for name in FORMATS if name in asked)


def _write(made: "Report", folder: Path, former: list[str]) -> None:
    """Write a report; files of a former one in the same folder that are not in it go."""
    for gone in set(former) - {file.path for file in made.files}:
        if (folder / gone).resolve().is_relative_to(folder.resolve()):
            (folder / gone).unlink(missing_ok=True)
    for file in made.files:
        path = folder / file.path
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            write_bytes(path, file.encoded)
        except (FileNotFoundError, NotADirectoryError, IsADirectoryError, FileExistsError) as error:
            rule = f"{path} cannot be written: {error.strerror}. Name another folder."
            raise click.BadParameter(rule, param_hint="--output") from None


def _said(made: "Report", folder: Path, verdicts: int, asked: "Asked") -> str:
    first = {"tex": "appendix.tex", "md": "report.md", "html": "report.html", "csv": "tables/*.csv"}
    lines = [f"{verdicts or 'no'} verdict{'' if verdicts == 1 else 's'}, {len(made.tables)} tables in {folder}"]
    lines += [f"  {first[kind]}" for kind in asked.formats]
    return "\n".join(lines)


def _check(session: Session, folder: Path) -> int:
    from harness.campaign.recomputed import recomputed
    from harness.publish.report.check import differences
    from harness.publish.report.report import asked_of, drawn_elsewhere, report

    asked = asked_of(folder)
    if asked is None:
        raise click.ClickException(f"{folder}: no report here. `harness report` writes one.")
    session.note("reading every run directory and deciding again")
    with tempfile.TemporaryDirectory(prefix="harness-check-") as apart:
        try:
            again = recomputed(session.shelf, session.store, Path(apart), asked.names, asked.protocol)
        except IntegrityError as error:
            raise IntegrityError(f"{error} Until then nothing can be checked.") from None
        if elsewhere := drawn_elsewhere(folder):
            session.note(f"pictures and page were drawn by {elsewhere} and are not compared: another is here")
        made = report(again.findings, session.shelf, asked)
        told = [*again.damaged, *again.stale, *differences(made, folder, pictures=not elsewhere)]
    good = f"every number in {folder} is what the run directories give"
    session.emit({"folder": str(folder), "differences": told}, "\n".join(told) or good)
    return INTEGRITY if told else 0
