"""The command line as a page, and the variables that set its options: from the click commands themselves."""

from collections.abc import Iterator

import click

from harness.cli.main import cli
from manual.markdown import escaped, prose, table

ROOT_VARIABLES = "HARNESS"


def contexts() -> Iterator[click.Context]:
    """Yield `harness` and each of its commands, those of groups after the group, as click would call them."""
    root = click.Context(cli, info_name="harness", auto_envvar_prefix=ROOT_VARIABLES)
    yield from _below(root)


def _below(context: click.Context) -> Iterator[click.Context]:
    yield context
    if not isinstance(context.command, click.Group):
        return
    for name in context.command.list_commands(context):
        command = context.command.get_command(context, name)
        if command is not None and not command.hidden:
            yield from _below(click.Context(command, parent=context, info_name=name))


def variables(context: click.Context, option: click.Option) -> tuple[str, ...]:
    """Return the environment variables that set an option, the one that click looks at first before the others."""
    named = option.envvar
    if named is not None:
        return (named,) if isinstance(named, str) else tuple(named)
    prefix = context.auto_envvar_prefix
    return (f"{prefix}_{str(option.name).upper()}",) if option.allow_from_autoenv and prefix else ()


def options(context: click.Context) -> list[tuple[str, str, click.Option]]:
    """Return the options of a command: as they are written, what they do, and the option."""
    found = [parameter for parameter in context.command.params if isinstance(parameter, click.Option)]
    records = ((option, option.get_help_record(context)) for option in found)
    return [(record[0], record[1], option) for option, record in records if record is not None]


def usage(context: click.Context) -> str:
    """Return a command's usage line."""
    return " ".join([context.command_path, *context.command.collect_usage_pieces(context)])


def commands_page() -> str:
    """Return the page of all commands."""
    sections = [_section(context) for context in contexts()]
    intro = (
        "Written from the commands themselves when this site is built; `harness COMMAND --help` says the same. "
        "[Exit codes](exit-codes.md) and [environment variables](environment.md) have pages of their own."
    )
    return "\n\n".join(["# Commands", intro, *sections]) + "\n"


def _section(context: click.Context) -> str:
    parts = [f"## {context.command_path}", f"```text\n{usage(context)}\n```", prose(context.command.help)]
    found = [(f"`{written}`", escaped(does)) for written, does, _ in options(context)]
    if isinstance(context.command, click.Group):
        names = context.command.list_commands(context)
        inner = [(name, context.command.get_command(context, name)) for name in names]
        listed = [
            (f"[`{name}`](#{f'{context.command_path} {name}'.replace(' ', '-')})", _short(name, command, context))
            for name, command in inner
            if command is not None and not command.hidden
        ]
        parts.append(table(("command", "does"), listed))
    return "\n\n".join([*filter(None, parts), table(("option", "does"), found)])


def _short(name: str, command: click.Command, context: click.Context) -> str:
    from harness.cli.main import COMMANDS

    return escaped(COMMANDS[name] if context.parent is None else command.get_short_help_str(limit=200))
