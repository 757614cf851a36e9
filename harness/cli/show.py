"""`harness show`: one declaration, resolved, with what its author left to defaults marked."""

from collections.abc import Iterator
from typing import Any, cast

import click
from pydantic import BaseModel

from harness.cli.mistakes import meant
from harness.cli.names import declaration_names
from harness.cli.session import Session, output_options, pass_session
from harness.spec import DeclarationError, Protocol
from harness.spec.declared import Declared
from harness.spec.messages import nearest
from harness.spec.trackers import REPORT_TO
from harness.spec.trainer import TRAINERS, trainer_fields


@click.command()
@click.argument("name", shell_complete=declaration_names)
@output_options
@pass_session
def command(session: Session, name: str) -> int:
    """Show the hypothesis or protocol NAME; `# default` marks what its file does not say."""
    shelf = session.shelf
    if name in shelf.names("hypotheses"):
        declared: Declared = shelf.hypothesis(name)
    elif name in shelf.names("runs"):
        declared = shelf.protocol(name)
    else:
        known = [*shelf.names("hypotheses"), *shelf.names("runs")]
        hint = meant(nearest(name, known))
        rule = f"{name!r} is neither a hypothesis nor a protocol here.{hint} Known: {', '.join(known)}."
        raise DeclarationError([rule])
    lines = list(_shown(declared))
    if isinstance(declared, Protocol):
        for key, config in TRAINERS.items():
            given = declared.grpo if key == "grpo" else declared.sft
            told = {*given, REPORT_TO} if declared.trackers(key) else set(given)
            rest = {field: value for field, value in trainer_fields()[config].items() if field not in told}
            if trackers := declared.trackers(key):
                lines.append(f"# {key}: reports to {', '.join(trackers)}, which is in no run's identity")
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
        for key, inner in cast("dict[str, Any]", item).items():
            yield from _item(key, inner, indent + "  ", "")
    elif isinstance(item, tuple):
        yield from _list(name, cast("tuple[Any, ...]", item), indent, mark)
    else:
        yield f"{indent}{name}: {item}{mark}"


def _list(name: str, items: tuple[Any, ...], indent: str, mark: str) -> Iterator[str]:
    if not items or not isinstance(items[0], BaseModel):
        yield f"{indent}{name}: {list(items)}{mark}"
        return
    yield f"{indent}{name}:{mark}"
    for item in items:
        first, *rest = _shown(item, indent + "    ")
        yield f"{indent}  - {first.strip()}"
        yield from rest
