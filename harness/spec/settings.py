"""The `[tool.harness]` table of a pyproject.toml: what a project settles for its commands, and for its engines.

A project may come from a stranger, so the table is data of known keys and bounded forms; nothing in it is run. Somebody
else's file on the way up, without the table, is passed by, broken or not.
"""

import json
import re
import tomllib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar, cast

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from harness.spec import messages
from harness.spec.engines import ENGINES, RaySettings, SlurmSettings
from harness.spec.files import DeclarationError
from harness.spec.problem import Location, dotted, shown

TEXTS = ("exchange", "executor", "protocol", "store")
"""Keys with a text value."""
TABLES = ("ray", "slurm")
"""Keys that are tables, of an engine each."""
BYTES = 2**22
"""No pyproject.toml comes near."""
S = TypeVar("S", SlurmSettings, RaySettings)

_WORD = (
    "has signs that a batch script may read as more than a name, or is too long. Write a name as the site gives it: "
    "letters, digits and _.,:@+=/&|*[]-, with no dash in front, at most 201 characters."
)
_ADDRESS = "is no address of a dashboard. Write http://HOST:PORT, without a user, a password or a query."
_OURS = re.compile(r"^\s*\[tool\.harness\b", re.MULTILINE)
_WHERE = re.compile(r"\(at line (\d+), column \d+\)")


@dataclass(frozen=True, slots=True)
class Settings:
    """What a project settles."""

    texts: dict[str, str] = field(default_factory=dict[str, str])
    """By key, those of TEXTS that are there."""
    slurm: SlurmSettings = field(default_factory=SlurmSettings)
    ray: RaySettings = field(default_factory=RaySettings)


def settings_in(file: Path) -> Settings | None:
    """Return what a pyproject.toml settles, or None where it has no [tool.harness] table or cannot be read.

    Raises:
        DeclarationError: the table is there, and is not what it may be, or the file that has it is no TOML.
    """
    text = ""
    try:
        with file.open("rb") as opened:
            text = opened.read(BYTES).decode()
        tools = tomllib.loads(text).get("tool", {})
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError, RecursionError) as error:
        if not _OURS.search(text):
            return None  # somebody else's broken file on the way up is not ours to judge
        found = _WHERE.search(str(error))
        rule = f"no TOML: {str(error).partition(' (at ')[0] or 'too deep'}"
        raise DeclarationError([f"{file}:{found[1] if found else 1} {rule}. Texts stand in quotes."]) from None
    if not isinstance(tools, dict) or "harness" not in tools:
        return None
    table = cast("dict[str, Any]", tools)["harness"]
    if not isinstance(table, dict):
        raise DeclarationError([f"{file}:1 tool.harness: {table!r} is no table. Write a line [tool.harness]."])
    return _settings(cast("dict[str, Any]", table), f"{file}:1 tool.harness")


def _settings(table: dict[str, Any], place: str) -> Settings:
    lines = [f"{place}.{dotted((key,))}: {rule}" for key, value in table.items() if (rule := _mistake(key, value))]
    slurm = _engine(SlurmSettings, table.get("slurm", {}), f"{place}.slurm", lines)
    ray = _engine(RaySettings, table.get("ray", {}), f"{place}.ray", lines)
    if lines or slurm is None or ray is None:
        raise DeclarationError(lines)
    return Settings({key: table[key] for key in TEXTS if key in table}, slurm, ray)


def _mistake(key: str, value: Any) -> str:
    known = (*TEXTS, *TABLES)
    if key not in known:
        near = messages.nearest(key, known)
        hint = f"; did you mean {near}?" if near else "."
        return f"unknown setting{hint} Known here: {', '.join(sorted(known))}."
    if key in TEXTS and not isinstance(value, str):
        return f"{shown(value)} is no text. Write it in quotes."
    if key == "executor" and value not in ENGINES:
        return f"{shown(value)} is no engine. Choose one of {', '.join(ENGINES)}."
    return ""


def _engine(model: type[S], table: Any, place: str, lines: list[str]) -> S | None:
    if not isinstance(table, dict):
        lines.append(f"{place}: {shown(table)} is no table. Write a line [tool.harness.{place.rpartition('.')[2]}].")
        return None
    try:
        # JSON mode keeps strict types and still reads a list as a tuple; dates are no values here.
        return model.model_validate_json(json.dumps(table, default=lambda value: {"date": str(value)}))
    except ValidationError as error:
        special = {_location(detail): detail for detail in error.errors() if detail["type"] == _PATTERN}
        for problem in messages.problems(error, model):
            detail = special.get(problem.location)
            said = f"{shown(detail['input'])} {_rule(problem.location)}" if detail else problem.message
            lines.append(f"{place}.{dotted(problem.location)}: {said}")
        return None


_PATTERN = "string_pattern_mismatch"


def _location(detail: ErrorDetails) -> Location:
    return tuple(detail["loc"])


def _rule(location: Location) -> str:
    return _ADDRESS if location == ("address",) else _WORD
