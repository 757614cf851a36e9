"""The `harness` command: its global options, its commands, and how mistakes and interruptions end.

A user's mistake prints one line a mistake and exits 2 without a traceback; a bug of ours keeps its traceback.
"""

import contextlib
import errno
import importlib
import io
import os
import re
import sys
from pathlib import Path

import click
from click.shell_completion import CompletionItem

from harness import __version__
from harness.cli.mistakes import told
from harness.cli.session import Session, output_options
from harness.publish.terminal import printable

COMMANDS = {
    "test": "Run what a claim needs, decide, and print the verdict card.",
    "pilot": "Run the protocol's pilot and apply its rule.",
    "list": "List what is declared.",
    "show": "Show a declaration with its implicit defaults marked.",
    "init": "Begin a project with the shipped declarations.",
    "new": "Begin a hypothesis, its fields explained or copied from another.",
    "schema": "The JSON Schema of a declaration, for editors.",
    "validate": "Report every mistake in declarations, with file and line.",
    "register": "Freeze claims before their data, or amend them.",
    "diagnose": "Simulate how often a claim comes out right and wrong.",
    "plan": "Show which runs are needed, and why.",
    "run": "Execute runs without deciding.",
    "frontier": "Search the rate at which runs begin to collapse, by rank.",
    "status": "Show what is done, what is at work, what failed.",
    "logs": "Show what a run prints, as it grows.",
    "cancel": "Call runs off, wherever they are.",
    "verdict": "Show stored verdicts; computes nothing.",
    "catalogue": "What all claims came to, and what it took, as a table.",
    "report": "Write an appendix, tables, figures and a page of the verdicts.",
    "spectra": "Singular-value spectra of any adapter, checkpoint or run.",
    "runs": "The runs of the store: list, show, exclude.",
    "db": "The index: path, query, rebuild.",
    "completion": "The script that completes commands and names in a shell.",
    "doctor": "What works on this machine, and which protocols it can run.",
}
"""Command and short help; each lives in the module of its name."""

COMPLETE = "_HARNESS_COMPLETE"
"""The variable that a shell asks for completions with; the script of `harness completion` sets it."""
UNWRITABLE = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM)
_PARTIAL = re.compile(r"(?<=/)\.(?:index[-.][^/]*|([^/]+)\.[0-9]+-[0-9a-f]{8})$")
"""A file in the making, which is called like the one that it was to become."""
OK, USAGE, INTEGRITY, MACHINE, INTERRUPTED = 0, 2, 3, 4, 130


class _Commands(click.Group):
    """Commands that are imported when they are called, so that help and light commands stay fast."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        return importlib.import_module(f"harness.cli.{cmd_name}").command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        try:
            return super().resolve_command(ctx, args)
        except click.NoSuchCommand as error:
            raise click.NoSuchCommand(error.command_name, possibilities=COMMANDS, ctx=ctx) from None

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        known = [CompletionItem(name, help=text) for name, text in COMMANDS.items() if name.startswith(incomplete)]
        return [*known, *click.Command.shell_complete(self, ctx, incomplete)]  # a group would import every command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"], "auto_envvar_prefix": "HARNESS"})
@click.option("-C", "directory", type=click.Path(path_type=Path), default=Path("."), help="Work as if started there.")
@click.option("--store", type=click.Path(path_type=Path), envvar="HARNESS_STORE", help="Records (default: .harness).")
@click.option("--allow-code", is_flag=True, envvar="HARNESS_ALLOW_CODE", help="Run code that declarations name.")
@output_options
@click.version_option(__version__, prog_name="harness")
@click.pass_context
def cli(ctx: click.Context, directory: Path, store: Path | None, allow_code: bool) -> None:
    """A laboratory bench for claims about RLVR and parameter-efficient fine-tuning.

    `harness test rank-collapse` runs what the claim needs and ends with a verdict. Repeating a command resumes it.
    """
    session = ctx.ensure_object(Session)
    session.directory, session.chosen_store, session.allow_code = directory, store, allow_code


def main(arguments: list[str] | None = None) -> None:
    """Run the command line and exit with its status."""
    sys.exit(status(arguments))


def status(arguments: list[str] | None = None) -> int:
    """Run the command line and return its exit status."""
    if os.environ.get(COMPLETE, "").endswith("_complete"):
        return _completed()
    try:
        return _status(arguments)
    except click.ClickException as error:
        click.echo(told(error), err=True)
        return USAGE
    except (click.Abort, KeyboardInterrupt):
        click.echo("interrupted; the same command goes on from here", err=True)
        return INTERRUPTED
    except RuntimeError as error:
        if str(error) == "Query interrupted":  # what DuckDB makes of Ctrl-C
            click.echo("interrupted; the same command goes on from here", err=True)
            return INTERRUPTED
        from harness.campaign.engines import Unable  # 0.1 s, which --help does not need

        if not isinstance(error, Unable):
            raise
        click.echo(printable(str(error)), err=True)
        return MACHINE
    except Exception as error:
        if (said := _unwritable(error)) is None:
            raise
        click.echo(printable(f"{said}. Choose another --store, or make room."), err=True)
        return MACHINE


def _unwritable(error: Exception) -> str | None:
    """Return what an error says of a disk that takes no more, or a place that takes nothing; None of any other."""
    if isinstance(error, OSError) and error.errno in UNWRITABLE:
        where = _PARTIAL.sub(lambda of: of[1] or "index.duckdb", str(error.filename)) + ": " if error.filename else ""
        return f"{where}{os.strerror(error.errno)}"
    if type(error).__module__.endswith("duckdb"):  # whose errors have no number
        said = (os.strerror(number) for number in UNWRITABLE if os.strerror(number) in str(error))
        return next((f"the index: {why}" for why in said), None)
    return None


def _completed() -> int:
    """Answer a shell that asks for completions; what goes wrong is told to nobody, who only pressed a key."""
    with contextlib.redirect_stderr(io.StringIO()):
        try:
            cli.main(args=[], prog_name="harness", complete_var=COMPLETE)
        except SystemExit as end:
            return int(end.code or 0)
        except Exception:
            return USAGE
    return USAGE


def _status(arguments: list[str] | None) -> int:
    try:
        session = Session(typed=tuple(sys.argv[1:] if arguments is None else arguments))
        return cli.main(args=arguments, prog_name="harness", standalone_mode=False, obj=session) or OK
    except ValueError as error:
        from harness.record.atomic import IntegrityError  # these take 0.1 s, which --help does not need
        from harness.spec import DeclarationError

        if not isinstance(error, DeclarationError | IntegrityError):
            raise
        click.echo(printable(str(error)), err=True)
        return USAGE if isinstance(error, DeclarationError) else INTEGRITY


if __name__ == "__main__":
    main()
