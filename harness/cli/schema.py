"""`harness schema`: the JSON Schema of a declaration, for editors."""

import json

import click

from harness.cli.session import Session, output_options, pass_session
from harness.spec import Hypothesis, Protocol

KINDS = {"hypothesis": Hypothesis, "protocol": Protocol}


@click.command()
@click.argument("kind", type=click.Choice(list(KINDS)), default="hypothesis")
@output_options
@pass_session
def command(session: Session, kind: str) -> int:
    """Print the JSON Schema of a hypothesis or a protocol.

    It knows fields, types and bounds; what crosses fields is told by `harness validate`. In an editor with the YAML
    language server: `# yaml-language-server: $schema=hypothesis.json` as the first line of a file.
    """
    schema = KINDS[kind].model_json_schema()
    session.emit(schema, json.dumps(schema, indent=1), as_is=True)
    return 0
