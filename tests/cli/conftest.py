"""The command line as a function: arguments in, exit code and what was printed out."""

import json
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from typing import TYPE_CHECKING, Any, NamedTuple, cast

import pytest
from jsonschema import Draft202012Validator

from harness.cli.main import status
from harness.publish.answers import ANSWERS, schema

if TYPE_CHECKING:
    from tests.conftest import Act, Made, Scripted


class Said(NamedTuple):
    """What a command came to."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """Return standard output as JSON, all of it."""
        return json.loads(self.out)


def closed(said: Any) -> Any:
    """Return a schema that refuses fields which it does not know, so that none is printed that is not documented."""
    if isinstance(said, list):
        return [closed(item) for item in cast("list[Any]", said)]
    if not isinstance(said, dict):
        return said
    whole: dict[str, Any] = {key: closed(value) for key, value in cast("dict[str, Any]", said).items()}
    shut = isinstance(whole.get("properties"), dict) and whole.get("type") == "object"
    return {**whole, "additionalProperties": False} if shut else whole


@cache
def checker(command: str) -> Any:
    """Return what checks an answer of a command."""
    said = closed(schema(command))
    Draft202012Validator.check_schema(said)
    return Draft202012Validator(said)


def check_answer(arguments: Sequence[str], out: str) -> None:
    """Hold what a command printed with --json against its schema; of an error nothing is there."""
    if "--json" not in arguments or not out:
        return
    words = [each for each in arguments if not each.startswith("-")]
    pairs = ((f"{word} {after}", word) for word, after in zip(words, [*words[1:], ""], strict=True))
    command = next(name for pair in pairs for name in pair if name in ANSWERS)
    mistakes = [f"{error.json_path}: {error.message[:200]}" for error in checker(command).iter_errors(json.loads(out))]
    assert mistakes == [], command


@pytest.fixture
def call(capsys: pytest.CaptureFixture[str]) -> Callable[..., Said]:
    """Return a function that runs a command line anywhere."""

    def run(*arguments: str) -> Said:
        capsys.readouterr()
        code = status(list(arguments))
        captured = capsys.readouterr()
        check_answer(arguments, captured.out)
        return Said(code, captured.out, captured.err)

    return run


@pytest.fixture
def harness(made: "Made", call: Callable[..., Said], monkeypatch: pytest.MonkeyPatch) -> Callable[..., Said]:
    """Return a function that runs a command line in the project of the test."""
    monkeypatch.chdir(made.root)
    return call


@pytest.fixture
def acting(scripted: "type[Scripted]", monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[["Act"], "Scripted"]]:
    """Return a function that puts a scripted executor in the place of the one on this machine."""

    def put(act: "Act") -> "Scripted":
        executor = scripted(act)

        def instead(*_: object) -> "Scripted":
            return executor

        for module in ("campaign", "frontier", "pilot"):
            monkeypatch.setattr(f"harness.cli.{module}.executor", instead)
        return executor

    yield put
