"""Where pydantic found a mistake, as the author wrote it.

Pydantic puts the tag of a union into the place (`predictions.0.min_effect.margin`) and marks a key with `[key]`.
Walking the model along with the place tells those steps from written ones, and tells which fields may stand there.
"""

from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, cast, get_args, get_origin

from pydantic import BaseModel, Tag

from harness.spec.problem import Location


def written(model: type[BaseModel], reported: Location) -> tuple[Location, tuple[str, ...]]:
    """Return the reported place without pydantic's own steps, and the fields known beside its last step."""
    place: list[str | int] = []
    fields: tuple[str, ...] = ()
    kind: Any = model
    for step in reported:
        kinds = _kinds(kind)
        if len(kinds) > 1:  # a tagged union: the step is the tag
            kind = _tagged(kind, step) or Any
        elif step != "[key]":
            fields = _fields(kinds[0])
            kind = _inside(kinds[0], step)
            place.append(step)
    return tuple(place), fields


def _tagged(kind: Any, step: str | int) -> Any:
    """Return the alternative of a union that the tag `step` chooses, or None: its own Tag, or a word of a literal."""
    if get_origin(kind) is Annotated:
        inner, *notes = get_args(kind)
        return inner if any(isinstance(note, Tag) and note.tag == step for note in notes) else _tagged(inner, step)
    if get_origin(kind) in (Union, UnionType):
        return next((found for part in get_args(kind) if (found := _tagged(part, step)) is not None), None)
    return kind if step in _tags(kind) else None


def _kinds(kind: Any) -> list[Any]:
    """Return the alternatives to None of an annotation, stripped."""
    if get_origin(kind) is Annotated:
        return _kinds(get_args(kind)[0])
    if get_origin(kind) in (Union, UnionType):
        return [inner for part in get_args(kind) if part is not NoneType for inner in _kinds(part)]
    return [kind]


def _fields(kind: Any) -> tuple[str, ...]:
    return tuple(cast("type[BaseModel]", kind).model_fields) if _is_model(kind) else ()


def _tags(kind: Any) -> set[Any]:
    if not _is_model(kind):
        return set()
    types = [field.annotation for field in cast("type[BaseModel]", kind).model_fields.values()]
    return {word for literal in types if get_origin(literal) is Literal for word in get_args(literal)}


def _inside(kind: Any, step: str | int) -> Any:
    """Return the annotation of what stands at a step into `kind`: a field, a list item, a mapping's value."""
    if _is_model(kind):
        field = cast("type[BaseModel]", kind).model_fields.get(str(step))
        return field.annotation if field else Any
    parts = get_args(kind)
    return parts[0 if get_origin(kind) is tuple else -1] if parts else Any


def _is_model(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, BaseModel)
