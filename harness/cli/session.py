"""What every command knows: where it works, where records are, and how to speak."""

import json
import os
import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from harness.publish.terminal import printable
from harness.publish.width import folded, width_in

if TYPE_CHECKING:
    from harness.record.layout import Store
    from harness.spec.shelf import Shelf

F = TypeVar("F", bound=Callable[..., Any])


@dataclass
class Session:
    """The settings of one invocation."""

    directory: Path = field(default_factory=Path.cwd)
    chosen_store: Path | None = None
    quiet: bool = False
    json: bool = False
    typed: tuple[str, ...] = ()
    """The words of the command line."""
    said: set[str] = field(default_factory=set[str])
    """What is said once at most."""
    allow_code: bool = False
    """Whether code of the project that a declaration names may be run."""

    @cached_property
    def shelf(self) -> "Shelf":
        """The declarations in reach of the working directory."""
        from harness.spec.shelf import find_shelf  # here, so that --help loads no declarations

        if not self.directory.is_dir():
            raise click.BadParameter(f"{self.directory} is no folder.", param_hint="-C")
        shelf = find_shelf(self.directory, allow_code=self.allow_code)
        for path in shelf.overridden():
            self.note(f"{shelf.shown(path)} of this project stands before the shipped file of that name")
        return shelf

    @cached_property
    def store(self) -> "Store":
        """The store: --store, else the project's setting, else `.harness` in the project or working directory."""
        from harness.record.layout import Store

        here = self.shelf.root or self.directory
        named = self.shelf.settings.get("store", ".harness")
        root = (self.directory / self.chosen_store if self.chosen_store else here / named).absolute()
        if root.exists() and not root.is_dir():
            raise click.BadParameter(f"{root} is no folder.", param_hint="--store")
        return Store(root)

    def protocol_name(self, chosen: str | None) -> str:
        """Return the protocol's name: the option, else the project's setting, else `tiny`."""
        return chosen or self.shelf.settings.get("protocol", "tiny")

    @property
    def room(self) -> int | None:
        """Columns for the result, by COLUMNS or the terminal; None where neither says."""
        return shutil.get_terminal_size((0, 0)).columns or None

    @property
    def width(self) -> int:
        """The width of what is laid out."""
        return width_in(self.room)

    def emit(self, value: Any, text: str, *, as_is: bool = False) -> None:
        """Print the result: `value` as JSON with --json, else `text`, folded where the room is known.

        Text `as_is` is meant for other programs, and is not.
        """
        if not as_is:
            text = printable(text)
        if not self.json and not as_is and self.room is not None:
            text = folded(text, self.width)
        try:
            click.echo(_json(value) if self.json else text)
        except BrokenPipeError:  # whoever read us has left, as `head` does; the exit code still tells the outcome
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())

    def note(self, text: str) -> None:
        """Say something beside the result."""
        if not self.quiet:
            click.echo(printable(text), err=True)

    def note_once(self, text: str) -> None:
        """Say something beside the result, unless this command has said it already."""
        if text not in self.said:
            self.said.add(text)
            self.note(text)


def _json(value: Any) -> str:
    """Return a value as JSON, in which a number that is not finite, as only a foreign record has it, is a text."""
    try:
        return json.dumps(value, indent=1, ensure_ascii=False, allow_nan=False)
    except ValueError:
        plain = json.loads(json.dumps(value), parse_constant=str)
        return json.dumps(plain, indent=1, ensure_ascii=False, allow_nan=False)


pass_session = click.make_pass_decorator(Session, ensure=True)


def output_options(function: F) -> F:
    """Add --json and --quiet, which are understood before and after the command's name."""

    def as_json(ctx: click.Context, _: click.Parameter, value: bool) -> None:
        session = ctx.ensure_object(Session)
        session.json = session.json or value

    def quiet(ctx: click.Context, _: click.Parameter, value: bool) -> None:
        session = ctx.ensure_object(Session)
        session.quiet = session.quiet or value

    text = "Standard output is JSON only."
    function = click.option("-q", "--quiet", is_flag=True, expose_value=False, callback=quiet, help="No progress.")(
        function
    )
    return click.option("--json", is_flag=True, expose_value=False, callback=as_json, help=text)(function)


def protocol_option(function: F) -> F:
    """Add --protocol."""
    from harness.cli.names import protocol_names  # which knows sessions

    text = "Protocol in runs/ (default: the project's setting, else tiny)."
    named = click.option(
        "--protocol", metavar="NAME", envvar="HARNESS_PROTOCOL", shell_complete=protocol_names, help=text
    )
    return named(function)


def models_option(function: F) -> F:
    """Add --models, a list with commas."""

    def split(_: click.Context, __: click.Parameter, value: str | None) -> tuple[str, ...]:
        return tuple(name.strip() for name in (value or "").split(",") if name.strip())

    from harness.cli.names import base_names  # which knows sessions

    text = "Bases of the protocol, with commas between (default: its own choice)."
    return click.option(
        "--models", metavar="A,B", callback=split, envvar="HARNESS_MODELS", shell_complete=base_names, help=text
    )(function)


def explore_option(function: F) -> F:
    """Add --explore."""
    text = "Seeds of an exploration; registers nothing, so nothing is confirmed."
    return click.option("--explore", is_flag=True, help=text)(function)


def no_rivals_option(function: F) -> F:
    """Add --no-rivals."""
    return click.option("--no-rivals", is_flag=True, help="Leave the rivals of the claims out.")(function)


def workers_option(function: F) -> F:
    """Add --workers."""
    text = "Runs at a time on this machine (default: as many as its cores or GPUs bear)."
    kind = click.IntRange(min=1)
    return click.option("--workers", type=kind, envvar="HARNESS_WORKERS", help=text)(function)


def engine_option(function: F) -> F:
    """Add --executor, called `engine`; the project's setting stands in for it."""

    def chosen(ctx: click.Context, _: click.Parameter, value: str | None) -> str:
        return value or ctx.ensure_object(Session).shelf.settings.get("executor", "local")

    text = "Where runs run: local, slurm or ray (default: the project's setting, else local)."
    kind = click.Choice(["local", "slurm", "ray"])
    named = click.option(
        "--executor", "engine", type=kind, metavar="NAME", callback=chosen, envvar="HARNESS_EXECUTOR", help=text
    )
    return named(function)
