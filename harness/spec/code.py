"""Code of the user's own as a declaration names it: `module:function`, a `def` in a file of the project.

Nothing here imports or runs that file: it is found, hashed and parsed, and only with permission. Without permission
every name is a mistake, told with its remedy. The hash is of the one file: what the file imports is not in it.
"""

import ast
import hashlib
import re
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator

from harness.spec.problem import Location, Problem, items, mapping, shown

PERMIT = "--allow-code"
"""The option of the command line that gives permission."""
_NAME = re.compile(r"[a-zA-Z_][\w.]*:[a-zA-Z_]\w*")
_SHA256 = re.compile(r"[0-9a-f]{64}")
_UNREADABLE = (SyntaxError, ValueError, RecursionError, MemoryError)
"""What parsing raises for text that is no Python: a NUL, a thousand brackets."""


class CodeError(ValueError):
    """A name leads to no function that may be used; the text says the rule and the remedy, not the name."""


def _name(value: str) -> str:
    if not is_code(value):
        rule = "names no function of a file. Write module:function, e.g. tasks:products for `def products` in tasks.py."
        raise ValueError(f"{shown(value)} {rule}")
    return value


def _hash(value: str) -> str:
    if not _SHA256.fullmatch(value):
        raise ValueError(f"{shown(value)} is no SHA-256 of 64 hexadecimal digits. Leave it out: it is filled in.")
    return value


CodeName = Annotated[str, AfterValidator(_name)]
"""A function of the project, `module:function`; dots in the module are folders."""
Sha256 = Annotated[str, AfterValidator(_hash)]


@dataclass(frozen=True, slots=True)
class Source:
    """The file of a named function, read once, so that what is hashed is what is run."""

    file: Path
    content: bytes

    @property
    def sha256(self) -> str:
        """The SHA-256 of the file's bytes."""
        return hashlib.sha256(self.content).hexdigest()


def is_code(name: str) -> bool:
    """Return whether a text has the form of a function's name, `module:function`."""
    return _NAME.fullmatch(name) is not None


def source_file(root: Path, name: str) -> Path:
    """Return the file of the module in `name`, `<root>/<module>.py`; nothing is imported.

    Raises:
        CodeError: it does not exist, or leads out of the project, also by a link.
    """
    parts = name.partition(":")[0].split(".")
    relative = Path(*parts).with_suffix(".py") if all(map(str.isidentifier, parts)) else None
    if relative is None or not is_code(name):
        raise CodeError("is no name of a function. Write module:function.")
    file = root / relative
    if not file.is_file():
        raise CodeError(f"is in {relative}, which is no file of the project {root}. Write it, or name another module.")
    if not file.resolve().is_relative_to(root.resolve()):
        raise CodeError(f"is in {relative}, which leads out of the project. Copy the file in.")
    return file


def read(root: Path, name: str) -> Source:
    """Return the file of the function `name`, which must have a `def` of its own in it.

    Raises:
        CodeError: there is no such file in the project, or no such function in it.
    """
    file = source_file(root, name)
    try:
        source = Source(file, file.read_bytes())
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # a doubtful escape is told when the file runs
            tree = ast.parse(source.content)
    except OSError as error:
        raise CodeError(f"is in {file.name}, which cannot be read ({error.strerror}). Check the file.") from None
    except _UNREADABLE as error:
        at = f":{error.lineno}" if isinstance(error, SyntaxError) else ""
        said = error.msg if isinstance(error, SyntaxError) else str(error)
        raise CodeError(f"is in {file.name}{at}, which is no Python: {said}. Mend it.") from None
    known = [node.name for node in tree.body if isinstance(node, ast.FunctionDef)]
    if (function := name.partition(":")[2]) not in known:
        have = ", ".join(known) or "none"
        raise CodeError(f"has no `def {function}` in {file.name}. Functions there: {have}. Write it, or name another.")
    return source


def problems(raw: Mapping[str, Any], root: Path | None) -> list[Problem]:
    """Return the mistakes in the code that a raw declaration names.

    Args:
        raw: A hypothesis or a protocol as YAML gives it.
        root: The project whose code is permitted, or None where none is: then every name is a mistake.
    """
    found: list[Problem] = []
    for place, name, pin in _named(raw):
        if root is None:
            rule = f"{shown(name)} is code, which runs only with permission. Read it, then repeat with {PERMIT}."
            found.append(Problem(place, rule))
            continue
        try:
            sha256 = read(root, name).sha256
        except CodeError as error:
            found.append(Problem(place, f"{shown(name)} {error}"))
            continue
        declared = _at(raw, pin) if pin else None
        if isinstance(declared, str) and _SHA256.fullmatch(declared) and declared != sha256:
            rule = f"{shown(declared)} is not the hash of the file, {sha256}. Read the file, then declare its hash."
            found.append(Problem(pin, rule))
    return found


def _named(raw: Mapping[str, Any]) -> list[tuple[Location, str, Location]]:
    """Return where code is named, the name, and where its hash may be declared (nowhere: an empty place)."""
    places: list[tuple[Location, Location]] = [
        (("task", "code"), ("task", "sha256")),
        (("recipe", "reward"), ("recipe", "reward_sha256")),
    ]
    for i in range(len(items(raw.get("predictions")))):
        places += [(("predictions", i, field), ()) for field in ("estimand", "measure")]
    named = ((place, _at(raw, place), pin) for place, pin in places)
    return [(place, name, pin) for place, name, pin in named if isinstance(name, str) and is_code(name)]


def _at(raw: Mapping[str, Any], place: Location) -> Any:
    value: Any = raw
    for step in place:
        value = items(value)[step] if isinstance(step, int) else mapping(value).get(step)
    return value
