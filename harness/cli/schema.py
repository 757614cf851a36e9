"""`harness schema`: the JSON Schema of a declaration, for editors, or of what a command prints, for other programs."""

import json
from typing import Any

import click
from click.shell_completion import CompletionItem

from harness.cli.session import Session, output_options, pass_session
from harness.spec import Hypothesis, Protocol

KINDS = {"hypothesis": Hypothesis, "protocol": Protocol}
ALL = "all"


def _commands(_: click.Context, __: click.Parameter, incomplete: str) -> list[CompletionItem]:
    from harness.publish.answers import ANSWERS

    return [CompletionItem(name) for name in [ALL, *ANSWERS] if name.startswith(incomplete)]


@click.command()
@click.argument("kind", type=click.Choice(list(KINDS)), required=False)
@click.option(
    "--output", metavar="COMMAND", shell_complete=_commands, help="Of what COMMAND prints with --json, or `all` do."
)
@output_options
@pass_session
def command(session: Session, kind: str | None, output: str | None) -> int:
    """Print the JSON Schema of a hypothesis (the default), a protocol, or with --output of what a command prints.

    It knows fields, types and bounds; what crosses fields is told by `harness validate`. In an editor with the YAML
    language server: `# yaml-language-server: $schema=hypothesis.json` as the first line of a file.
    """
    if kind is not None and output is not None:
        raise click.UsageError(f"--output is of a command, and {kind} is a declaration. Name one of them.")
    said = KINDS[kind or "hypothesis"].model_json_schema() if output is None else _of_output(output)
    session.emit(said, json.dumps(said, indent=1, ensure_ascii=False), as_is=True)
    return 0


def _of_output(command: str) -> dict[str, Any]:
    from harness.cli.mistakes import meant
    from harness.publish.answers import ANSWERS, schema, schemas
    from harness.spec.messages import nearest

    if command == ALL:
        return schemas()
    if command not in ANSWERS:
        hint = meant(nearest(command, ANSWERS))
        rule = f"{command!r} is no command with --json.{hint} Known: {ALL}, {', '.join(ANSWERS)}."
        raise click.BadParameter(rule, param_hint="--output")
    return schema(command)
