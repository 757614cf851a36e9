"""From a YAML file to a declaration, or to every mistake in it at once, each with file, line, field and remedy."""

import json
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Any, TypeVar

from pydantic import ValidationError

from harness.spec import code, hypothesis_checks, messages, protocol
from harness.spec.declared import Declared
from harness.spec.hypothesis import Hypothesis
from harness.spec.measure import MeasureHead
from harness.spec.problem import Location, Problem, dotted, mapping, shown
from harness.spec.protocol import Protocol
from harness.spec.yaml_text import MAX_BYTES, YamlText, parse

D = TypeVar("D", bound=Declared)


class DeclarationError(ValueError):
    """One or more mistakes in declarations; the text holds one line for each."""

    def __init__(self, lines: list[str]):
        super().__init__("\n".join(lines))
        self.lines = lines


def load_hypothesis(
    path: Path,
    shown: str,
    measures: Mapping[str, MeasureHead] | None = None,
    code_root: Path | None = None,
    rivals: Collection[str] | None = None,
) -> Hypothesis:
    """Return the hypothesis in `path`, called `shown` in messages; raise DeclarationError with all its mistakes.

    With `measures`, every prediction's measure must be one of them. Code that it names must be in `code_root`; without
    one, naming code is a mistake. With `rivals`, those that it names must be among them.
    """

    def check(raw: Mapping[str, Any]) -> list[Problem]:
        return [*hypothesis_checks.check(raw, measures, rivals), *code.problems(raw, code_root)]

    return _load(path, shown, Hypothesis, check)


def load_protocol(path: Path, shown: str, code_root: Path | None = None) -> Protocol:
    """Return the protocol in `path`, called `shown` in messages; raise DeclarationError with all its mistakes.

    Code that it names must be in `code_root` and may then be run; without one, naming code is a mistake.
    """
    declared = _load(path, shown, Protocol, lambda raw: [*protocol.check(raw), *code.problems(raw, code_root)])
    return declared if code_root is None else declared.permitted(code_root)


def _load(path: Path, name: str, model: type[D], check: Callable[[Mapping[str, Any]], list[Problem]]) -> D:
    return declared_in(content_of(path, name), name, model, check)


def declared_in(content: bytes, name: str, model: type[D], check: Callable[[Mapping[str, Any]], list[Problem]]) -> D:
    """Return the declaration in YAML text, called `name` in messages; raise DeclarationError with all its mistakes."""
    text = parse(content)
    found = list(text.problems)
    declared = None
    if text.data is not None or not found:
        declared, more = _validated(text.data, model, check)
        found += [problem for problem in more if not text.explains(problem.location)]
    if found or declared is None:
        raise DeclarationError(_lines(name, text, found))
    return declared


def content_of(path: Path, name: str) -> bytes:
    """Return the first bytes of a regular file, one more than are allowed; a pipe or device would never end."""
    try:
        regular = path.is_file() or not path.exists()
        if regular:
            with path.open("rb") as file:
                return file.read(MAX_BYTES + 1)
    except OSError as error:
        raise DeclarationError([f"{name}:1 file: cannot be read ({error.strerror}). Check the path."]) from None
    except ValueError:  # a NUL in the path
        raise DeclarationError([f"{shown(name)}:1 file: no path. Check its characters."]) from None
    raise DeclarationError([f"{name}:1 file: no regular file but a directory or device. Name a YAML file."])


def _validated(
    data: Any, model: type[D], check: Callable[[Mapping[str, Any]], list[Problem]]
) -> tuple[D | None, list[Problem]]:
    if not isinstance(data, dict):
        return None, [Problem((), f"{shown(data)} is no mapping. Write `field: value` lines.")]
    crossing = check(mapping(data))
    try:
        # JSON mode keeps strict types and still reads a list as a tuple.
        return model.model_validate_json(json.dumps(data)), crossing
    except ValidationError as error:
        return None, messages.problems(error, model) + crossing


def _lines(name: str, text: YamlText, found: list[Problem]) -> list[str]:
    """Return one line a mistake, in the order of the file; one that two aliases reach is told once."""
    lines: dict[tuple[int, Location, str], tuple[int, str]] = {}
    for problem in found:
        line = problem.line or text.line(problem.location)
        said = f"{name}:{line} {dotted(problem.location)}: {problem.message}"
        lines.setdefault((*text.origin(problem.location), f"{line} {problem.message}"), (line, said))
    return [said for _, said in sorted(lines.values(), key=lambda pair: pair[0])]
