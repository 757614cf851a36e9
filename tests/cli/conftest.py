"""The command line as a function: arguments in, exit code and what was printed out."""

import json
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest

from harness.campaign import execution
from harness.cli.main import status

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


@pytest.fixture
def call(capsys: pytest.CaptureFixture[str]) -> Callable[..., Said]:
    """Return a function that runs a command line anywhere."""

    def run(*arguments: str) -> Said:
        capsys.readouterr()
        code = status(list(arguments))
        captured = capsys.readouterr()
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
        monkeypatch.setattr(execution, "TICK", 0)
        return executor

    yield put
