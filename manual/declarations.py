"""The pages of declared fields: types, bounds and defaults from the JSON Schema, meanings from the code or a table.

A field's meaning is the docstring under it, where the code has one, else the entry of `fields.yaml`: `Model.field`
before `field`. A field with neither is an error, so the site cannot be built without it.
"""

import ast
import inspect
import textwrap
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any, get_args

import yaml
from pydantic import BaseModel

from harness.spec import Hypothesis, Protocol
from harness.spec.trainer import OWNED, OWNED_FAMILIES, TRAINERS
from manual.markdown import escaped, prose, table

Schema = Mapping[str, Any]
FIELDS = Path(__file__).with_name("fields.yaml")
BOUNDS = {
    "minimum": "from {}",
    "exclusiveMinimum": "above {}",
    "gt": "above {}",
    "maximum": "to {}",
    "exclusiveMaximum": "below {}",
    "minLength": "at least {} characters",
    "maxLength": "at most {} characters",
    "minItems": "at least {}",
    "maxItems": "at most {}",
}
"""Words for the bounds of a schema, in the order in which they are said."""


def models(root: type[BaseModel]) -> list[type[BaseModel]]:
    """Return `root` and all models that it is made of, each once, in the order of its fields."""
    found: list[type[BaseModel]] = []

    def visit(annotation: Any) -> None:
        if inspect.isclass(annotation) and issubclass(annotation, BaseModel):
            if annotation in found:
                return
            found.append(annotation)
            for field in annotation.model_fields.values():
                visit(field.annotation)
        for argument in get_args(annotation):
            visit(argument)

    visit(root)
    return found


@cache
def _under(model: type[BaseModel]) -> dict[str, str]:
    """Return the docstrings under the fields that a class itself declares."""
    body = ast.parse(textwrap.dedent(inspect.getsource(model))).body[0]
    assert isinstance(body, ast.ClassDef)
    found: dict[str, str] = {}
    for one, after in zip(body.body, body.body[1:], strict=False):
        if isinstance(one, ast.AnnAssign) and isinstance(one.target, ast.Name) and isinstance(after, ast.Expr):
            text = after.value.value if isinstance(after.value, ast.Constant) else None
            found |= {one.target.id: text} if isinstance(text, str) else {}
    return found


@cache
def entries() -> dict[str, str]:
    """Return `fields.yaml`."""
    return yaml.safe_load(FIELDS.read_text(encoding="utf-8"))


def source(model: type[BaseModel], field: str) -> tuple[str, str]:
    """Return where the meaning of a field is written, and it.

    Raises:
        KeyError: It is written nowhere.
    """
    for above in model.__mro__:
        if issubclass(above, BaseModel) and above is not BaseModel and field in _under(above):
            return f"{above.__name__} in the code", _under(above)[field]
    for key in (*(f"{above.__name__}.{field}" for above in model.__mro__), field):
        if key in entries():
            return key, entries()[key]
    raise KeyError(f"{model.__name__}.{field} has no meaning. Write one under the field, or in {FIELDS.name}.")


def hypothesis_page() -> str:
    """Return the page of a hypothesis's fields."""
    intro = (
        "What `harness schema` says, with a meaning for every field. [Declaring a hypothesis](hypotheses.md) is the "
        "page to begin with. What crosses fields, such as whether a region can be reached, `harness validate` tells. "
        "A field without a default has to be written."
    )
    return _page("Fields of a hypothesis", intro, Hypothesis)


def protocol_page() -> str:
    """Return the page of a protocol's fields, with the trainer's fields that are not the declaration's to set."""
    intro = (
        "What `harness schema protocol` says, with a meaning for every field. [Tasks](tasks.md) and "
        "[scales](scales.md) explain those of tasks and bases. A field without a default has to be written."
    )
    owned = [(f"`{name}`", escaped(why)) for name, why in OWNED.items()]
    owned += [(f"`{name}*`", escaped(why)) for name, why in OWNED_FAMILIES.items()]
    names = " and ".join(f"`{key}` takes the fields of TRL's `{name}`" for key, name in TRAINERS.items())
    parts = [
        _page("Fields of a protocol", intro, Protocol),
        "## Fields of the trainers",
        f"{names}, by TRL's names and with TRL's defaults. These the harness sets or refuses:",
        table(("field", "because"), owned),
    ]
    return "\n\n".join(parts) + "\n"


def _page(title: str, intro: str, root: type[BaseModel]) -> str:
    schema = root.model_json_schema()
    sections = (_section(model, schema) for model in models(root))
    return "\n\n".join([f"# {title}", intro, *filter(None, sections)]) + "\n"


def _section(model: type[BaseModel], schema: Schema) -> str:
    name = model.__name__
    own: Schema = schema if schema.get("title") == name and "$defs" in schema else schema["$defs"].get(name, {})
    rows = [
        (f"`{field}`", kind(said), default(said, field, own), prose(source(model, field)[1]))
        for field, said in own.get("properties", {}).items()
    ]
    inherited = prose(_inherited(model))
    parts = [f"## {name}", prose(model.__doc__), inherited, table(("field", "type", "default", "is"), rows)]
    return "\n\n".join(filter(None, parts)) if rows else ""


def _inherited(model: type[BaseModel]) -> str:
    """Return what private parents say after their first line: it is about fields that the model has from them."""
    parents = (above for above in model.__mro__[1:] if above.__name__.startswith("_") and above.__doc__)
    return "\n\n".join(inspect.cleandoc(above.__doc__ or "").partition("\n\n")[2] for above in parents)


def kind(said: Schema) -> str:
    """Return the type of a value in words, with its bounds and a link to the model that it is."""
    if "$ref" in said:
        name = said["$ref"].rsplit("/", 1)[-1]
        return "any JSON value" if name == "JsonValue" else f"[{name}](#{name.lower()})"
    if one_of := said.get("anyOf") or said.get("oneOf"):
        return " or ".join(dict.fromkeys(kind(one) for one in one_of))
    if "const" in said:
        return f"`{said['const']}`"
    if "enum" in said:
        return " or ".join(f"`{value}`" for value in said["enum"])
    bounds = ", ".join(_bounds(said))
    return f"{_plain(said)} ({bounds})" if bounds else _plain(said)


def _plain(said: Schema) -> str:
    match said.get("type"):
        case "array":
            return f"list of {kind(said['items'])}"
        case "object":
            inner: Schema | bool = said.get("additionalProperties", True)
            return "mapping" if isinstance(inner, bool) else f"mapping of names to {kind(inner)}"
        case "string":
            return f"text like `{said['pattern']}`" if "pattern" in said else "text"
        case "integer":
            return "whole number"
        case "null":
            return "null"
        case str(other):
            return {"boolean": "true or false"}.get(other, other)
        case _:
            return "any value"


def _bounds(said: Schema) -> Iterator[str]:
    for key, words in BOUNDS.items():
        if key in said:
            yield words.format(said[key])


def default(said: Schema, field: str, of: Schema) -> str:
    """Return the default of a field; nothing where it has to be written."""
    if field in of.get("required", ()):
        return ""
    if "default" not in said:
        return "empty"
    value = said["default"]
    if isinstance(value, dict):
        return "its own defaults"
    return f"`{yaml.safe_dump(value, default_flow_style=True).splitlines()[0]}`"


def unused() -> set[str]:
    """Return the entries of `fields.yaml` that are the meaning of no field."""
    fields = [(model, name) for root in (Hypothesis, Protocol) for model in models(root) for name in model.model_fields]
    return entries().keys() - {source(model, name)[0] for model, name in fields}
