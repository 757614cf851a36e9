"""`harness show`: one declaration, resolved, with what its author left to defaults marked."""

from collections.abc import Iterator
from typing import Any

import click
from pydantic import BaseModel

from harness.cli.session import Session, json_option, pass_session
from harness.spec import DeclarationError, Protocol
from harness.spec.declared import Declared
from harness.spec.trainer import TRAINERS, trainer_fields


@click.command()
@click.argument("name")
@json_option
@pass_session
def command(session: Session, name: str) -> int:
    """Show the hypothesis or protocol NAME; `# default` marks what its file does not say."""
    shelf = session.shelf
    if name in shelf.names("hypotheses"):
        declared: Declared = shelf.hypothesis(name)
    elif name in shelf.names("runs"):
        declared = shelf.protocol(name)
    else:
        known = ", ".join([*shelf.names("hypotheses"), *shelf.names("runs")])
        raise DeclarationError([f"{name!r} is neither a hypothesis nor a protocol here. Known: {known}."])
    lines = list(_shown(declared))
    if isinstance(declared, Protocol):
        for key, config in TRAINERS.items():
            given = set(declared.trainer(key))
            rest = {field: value for field, value in trainer_fields()[config].items() if field not in given}
            lines.append(f"# {key}: left at the defaults of trl.{config} ({trainer_fields()['trl']})")
            lines += [f"#   {field}: {value}" for field, value in sorted(rest.items())]
    session.emit(declared.model_dump(mode="json"), "\n".join(lines))
    return 0


def _shown(value: BaseModel, indent: str = "") -> Iterator[str]:
    for name in type(value).model_fields:
        item = getattr(value, name)
        mark = "" if name in value.model_fields_set else "   # default"
        yield from _item(name, item, indent, mark)


def _item(name: str, item: Any, indent: str, mark: str) -> Iterator[str]:
    if isinstance(item, BaseModel):
        yield f"{indent}{name}:{mark}"
        yield from _shown(item, indent + "  ")
    elif isinstance(item, dict) and item:
        yield f"{indent}{name}:{mark}"
        for key, inner in item.items():
            yield from _item(str(key), inner, indent + "  ", "")
    elif isinstance(item, tuple) and item and isinstance(item[0], BaseModel):
        yield f"{indent}{name}:{mark}"
        for inner in item:
            first, *rest = _shown(inner, indent + "    ")
            yield f"{indent}  - {first.strip()}"
            yield from rest
    else:
        yield f"{indent}{name}: {list(item) if isinstance(item, tuple) else item}{mark}"
