"""Mistakes of a command line in one form: what is wrong and what to do, without a prefix; where it helps, a pointer.

Declarations, options and names are all told alike, on standard error, so that whoever reads them needs one rule.
"""

from collections.abc import Iterable

import click
from click.exceptions import NoArgsIsHelpError


def told(error: click.ClickException) -> str:
    """Return what a mistake prints: its line, and below a mistake in options or arguments where help is."""
    said = _said(error)
    if not isinstance(error, click.UsageError) or error.ctx is None or isinstance(error, NoArgsIsHelpError):
        return said  # the last of these is the help itself
    return f"{said}\nTry '{error.ctx.command_path} --help' for help."


def _said(error: click.ClickException) -> str:
    if isinstance(error, click.NoSuchOption | click.NoSuchCommand) and error.possibilities:
        return f"{error.message}{meant(error.possibilities[0])}"
    return error.format_message()


def meant(near: str | None) -> str:
    """Return the question whether the nearest name was meant, after a space; nothing where there is no such name."""
    return f" Did you mean {near}?" if near else ""


def nearest_run(named: str, known: Iterable[str]) -> str | None:
    """Return the run whose id, or a beginning or end of it as long as `named`, is spelt most like `named`.

    Ids are long and few are typed whole.
    """
    from harness.spec.messages import nearest  # 0.1 s, of mistakes only

    parts: dict[str, str] = {}
    for run in known:
        parts |= dict.fromkeys((run[: len(named)], run[-len(named) :], run), run)
    near = nearest(named, parts)
    return parts[near] if near else None
