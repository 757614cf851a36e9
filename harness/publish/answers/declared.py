"""What the commands print with --json that are about declarations and the machine."""

from pydantic import with_config
from typing_extensions import TypedDict

from harness.publish.answers.shape import DOCUMENTED
from harness.spec import Hypothesis, Protocol

Show = Hypothesis | Protocol


@with_config(DOCUMENTED)
class List(TypedDict):
    """What is declared in reach."""

    hypotheses: dict[str, str]
    """Title by name."""
    protocols: dict[str, str]
    """Title by name."""
    measures: list[str]
    broken: dict[str, list[str]]
    """Mistakes by the name of what cannot be read."""


@with_config(DOCUMENTED)
class Validate(TypedDict):
    """What is wrong with declarations; the exit is 2 where there is a mistake."""

    files: int
    """Declarations that were looked at."""
    mistakes: list[str]
    """`file:line field: value, rule, remedy`, one each."""
    warnings: list[str]


@with_config(DOCUMENTED)
class New(TypedDict):
    """What was written."""

    file: str
    like: str | None
    """The hypothesis that it is a copy of."""


@with_config(DOCUMENTED)
class Init(TypedDict):
    """What was made."""

    project: str
    """Absolute path."""
    written: list[str]
    """Files and folders there."""


@with_config(DOCUMENTED)
class Completion(TypedDict):
    """The script for a shell."""

    shell: str
    script: str


@with_config(DOCUMENTED)
class Checked(TypedDict):
    """One thing that was looked at."""

    name: str
    ok: bool | None
    """None where nothing depends on it."""
    said: str


@with_config(DOCUMENTED)
class AbleTo(TypedDict):
    """What a machine makes of a protocol."""

    able: bool
    missing: list[str]
    """Why it cannot run here, each with what would do."""
    notes: list[str]


@with_config(DOCUMENTED)
class Doctor(TypedDict):
    """What works on this machine."""

    checks: list[Checked]
    protocols: dict[str, AbleTo]
    """By name."""
