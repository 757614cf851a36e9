"""The page on hypotheses against the declarations that it is about: no field is left out, none is invented."""

import re
from pathlib import Path

import pytest
from pydantic import BaseModel

from harness.cli.main import COMMANDS
from harness.spec import Hypothesis
from harness.spec.arms import Arm

PAGE = (Path(__file__).parents[2] / "docs" / "reference" / "hypotheses.md").read_text(encoding="utf-8")


def first_column(heading: str) -> set[str]:
    """Return the names in the first column of the first table under a heading."""
    section = PAGE.split(f"\n## {heading}\n")[1].split("\n## ")[0]
    rows = re.findall(r"^\| (`.*?) \|", section, flags=re.M)
    return {name.split(":")[0] for row in rows for name in re.findall(r"`([^`]+)`", row)}


@pytest.mark.parametrize(
    ("heading", "declared"), [("The file", Hypothesis), ("Arms: which runs a prediction looks at", Arm)]
)
def test_every_field_has_a_row_and_every_row_a_field(heading: str, declared: type[BaseModel]) -> None:
    assert first_column(heading) == set(declared.model_fields)


def test_commands_that_the_page_names_exist() -> None:
    named = set(re.findall(r"harness ([a-z]+)", PAGE))
    assert named
    assert named <= set(COMMANDS)
