"""Pydantic's findings in the words of a declaration: the value, the rule, the remedy, and the right place.

Pydantic says what a type wants; a user needs to know what to write instead.
"""

import difflib
from collections.abc import Iterable
from typing import Any

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from harness.spec.place import written
from harness.spec.problem import Location, Problem, shown
from harness.spec.scaling import exact

_RULES = {
    "finite_number": "{value} is not a finite number. Write an ordinary number.",
    "int_type": "{value} is not a whole number. Write one, without quotes or a decimal point.",
    "int_from_float": "{value} is not a whole number. Write one, without a decimal point.",
    "float_type": "{value} is not a number. Write one, without quotes.",
    "bool_type": "{value} is neither true nor false. Write true or false, without quotes.",
    "string_type": "{value} is not text. Write text, in quotes if it looks like a number.",
    "tuple_type": "{value} is not a list. Write [ ... ], also for a single item.",
    "dict_type": "{value} is not a mapping. Write `key: value` lines below it.",
    "model_type": "{value} is not a mapping. Write `field: value` lines below it.",
    "model_attributes_type": "{value} is not a mapping. Write `field: value` lines below it.",
    "greater_than": "{value} is out of range: it must be greater than {gt}. Change it.",
    "greater_than_equal": "{value} is out of range: it must be at least {ge}. Change it.",
    "less_than": "{value} is out of range: it must be less than {lt}. Change it.",
    "less_than_equal": "{value} is out of range: it must be at most {le}. Change it.",
    "string_too_short": "{value} is too short: at least {min_length} characters. Say more.",
    "string_too_long": "{value} is too long: at most {max_length} characters. Shorten it.",
    "string_pattern_mismatch": (
        "{value} is no name: it does not fit {pattern}. Start with a lower-case letter; go on with lower-case "
        "letters, digits and {joint}."
    ),
    "too_short": "{value} has too few items: at least {min_length}. Add more.",
    "too_long": "{value} has too many items: at most {max_length}. Remove some.",
    "literal_error": "{value} is not one of {expected}. Choose one of them.",
    "union_tag_invalid": "{value} is not one of {expected_tags}. Choose one of them.",
    "union_tag_not_found": "missing, so what is declared here is unknown. Add this field.",
    "missing": "missing. Add this field.",
}
"""By pydantic's error type, for every constraint that the declarations use."""


def problems(error: ValidationError, model: type[BaseModel]) -> list[Problem]:
    """Return every finding of a validation `error` of `model`, in pydantic's order.

    A required field that is misspelt is one mistake: it is told where it stands, not also as missing. Likewise a list
    whose items are mistaken is not also told to be short, as pydantic does, which counts the valid ones.
    """
    details = [detail for detail in error.errors(include_url=False) if not _miscounted(detail)]
    misspelt = {meant for detail in details if (meant := _meant(detail, model)) is not None}
    return [
        _problem(detail, model)
        for detail in details
        if detail["type"] != "missing" or written(model, detail["loc"])[0] not in misspelt
    ]


def nearest(name: str, known: Iterable[str]) -> str | None:
    """Return the known name that is spelt most like `name`, or None where none is."""
    near: list[str] = difflib.get_close_matches(name, list(known), 1)
    return near[0] if near else None


def unknown(what: str, near: str | None) -> str:
    """Return the message for a field that does not exist, with the `near`est one that does."""
    return f"{mistaken(what, near)} Remove or rename it."


def mistaken(what: str, near: str | None) -> str:
    """Return `what` as a sentence, with the question whether the `near`est name was meant; None for no such name."""
    return f"{what}; did you mean {near}?" if near else f"{what}."


def _miscounted(detail: ErrorDetails) -> bool:
    return detail["type"] == "too_short" and len(detail["input"]) >= detail.get("ctx", {})["min_length"]


def _meant(detail: ErrorDetails, model: type[BaseModel]) -> Location | None:
    """Return the place of the field that an unknown one seems to mean."""
    if detail["type"] != "extra_forbidden":
        return None
    place, fields = written(model, detail["loc"])
    near = nearest(str(place[-1]), fields)
    return (*place[:-1], near) if near else None


def _problem(detail: ErrorDetails, model: type[BaseModel]) -> Problem:
    place, fields = written(model, detail["loc"])
    kind, context = detail["type"], detail.get("ctx", {})
    if "error" in context:
        field = getattr(context["error"], "field", None)
        return Problem((*place, field) if field else place, str(context["error"]))
    if kind == "extra_forbidden":
        return Problem(place, unknown("unknown field", nearest(str(place[-1]), fields)))
    value = detail["input"]
    if kind in ("union_tag_invalid", "union_tag_not_found"):
        place = (*place, str(context["discriminator"]).strip("'"))
        value = context.get("tag")
    if kind not in _RULES:
        return Problem(place, f"{shown(value)} is refused: {detail['msg']}. Change it.")
    said: dict[str, Any] = {name: exact(at) if isinstance(at, float) else at for name, at in context.items()}
    said["value"] = shown(value)
    said["joint"] = "underscores" if "_" in str(context.get("pattern")) else "dashes"
    return Problem(place, _RULES[kind].format(**said))
